"""Checks that an object has the members that a protocol asks for."""

from __future__ import annotations

from typing import Any

from ...checks import require_members
from .base import Integrator

_MINIMAL = """\
    from riemann_lne.integrators import OneStep, Step

    class Midpoint(OneStep):
        name, order = "midpoint", 2

        def step(self, system, state, dt, estimate):
            middle = system.update(state.t, state.y, dt / 2, [(1.0, state.y)])
            return Step(system.update(state.t + dt / 2, middle, dt, [(1.0, state.y)]))
"""

_MEMBERS = {
    "name": str,
    "order": (int, float),
    "error_exponent": (int, float),
    "adaptive": bool,
    "returns_rate": bool,
    "step": None,
    "stable_step": None,
    "memory": None,
    "recall": None,
}


def require_integrator(method: Any) -> Integrator:
    """The integrator, if it is an object with the members of ``Integrator``.

    Raises
    ------
    DTypeError
        If a member is missing or of another kind; the message names it and shows a right one.
    """
    require_members(method, "method", _MEMBERS, "an integrator", _MINIMAL)
    integrator: Integrator = method
    return integrator
