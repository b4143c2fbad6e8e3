"""Checks that an integrator has the members that its protocol asks for, and what they return."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...arrays import Array
from ...checks import require_members, shown
from ...errors import DTypeError, InvalidArgumentError, ShapeError
from .base import Integrator
from .blockwise import Combination
from .state import Step

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
    "step": "system, state, dt, estimate",
    "stable_step": "radius",
    "memory": "",
    "recall": "memory",
}


def require_integrator(method: Any) -> Integrator:
    """The integrator, if it is an object with the members of ``Integrator``.

    Raises
    ------
    DTypeError
        If a member is missing or of another kind; the message names it and shows a right one.
    InvalidArgumentError
        If ``order`` or ``error_exponent`` is not above 0.
    """
    require_members(method, "method", _MEMBERS, "an integrator", _MINIMAL)
    for name in ("order", "error_exponent"):
        if not getattr(method, name) > 0:
            text = f"{name} of {type(method).__name__} is {getattr(method, name)}"
            raise InvalidArgumentError(f"{text}; give a number above 0")
    integrator: Integrator = method
    return integrator


def require_step(step: Any, integrator: Integrator, y: Array, estimate: bool) -> Step:
    """The outcome of an integrator's step from a state ``y``, if it is one.

    Raises
    ------
    DTypeError, ShapeError
        If it is no ``Step``, its state or error is not of the kind of ``y``, or the estimate that
        was asked for is missing; the message shows a right integrator.
    """
    kind: type[DTypeError] | type[ShapeError] = DTypeError
    if not isinstance(step, Step):
        problem = f"returned a {type(step).__name__}; return Step(y) or Step(y, rate, error)"
    elif estimate and step.error is None:
        problem = (
            "returned no error, though adaptive is True and estimate was given as True; return "
            "Step(y, error=...), or set adaptive = False"
        )
    elif not hasattr(step.y, "dtype") or step.y.dtype != y.dtype:
        dtype = getattr(step.y, "dtype", None)
        found = f"a {type(step.y).__name__}" + ("" if dtype is None else f" of dtype {dtype}")
        problem = f"returned {found} as y; return an array like the state, of dtype {y.dtype}"
    else:
        parts = [("y", step.y), ("rate", step.rate), ("error", step.error)]
        wrong = [
            f"{name} of shape {tuple(part.shape)}"
            for name, part in parts
            if not (part is None or isinstance(part, Combination) or part.shape == y.shape)
        ]
        if not wrong:
            return step
        kind = ShapeError
        problem = f"returned {', '.join(wrong)}; the state has the shape {tuple(y.shape)}"
    name = type(integrator).__name__
    raise kind(f"step of {name} {problem}. A minimal right one:\n\n{_MINIMAL}")


def require_step_size(integrator: Integrator, dt: float | None, radius: bool) -> None:
    """Raise InvalidArgumentError if nothing decides on the size of the steps.

    ``radius`` says whether the spectral radius is known, which limits the steps of some methods.
    """
    limited = not math.isinf(longest_step(integrator, 1.0))
    if dt is None and not integrator.adaptive and not (radius and limited):
        name = f"method {integrator.name!r} has no error estimate"
        more = "; give dt, or spectral_radius for steps at its stability limit"
        raise InvalidArgumentError(
            name + (more if limited else " and no limit of stability; give dt")
        )


def longest_step(integrator: Integrator, radius: float) -> float:
    """``stable_step`` of an integrator.

    Raises DTypeError or InvalidArgumentError if it is no number, or not above 0.
    """
    value: Any = integrator.stable_step(radius)
    text = f"stable_step({radius:.6g}) of {type(integrator).__name__} returned {shown(value)}"
    advice = "return the longest stable step, a number above 0, math.inf if any step is stable"
    try:
        length = float(value)
    except (TypeError, ValueError) as error:
        raise DTypeError(f"{text}; {advice}") from error
    if not length > 0:
        raise InvalidArgumentError(f"{text}; {advice}")
    return length


def memory_of(integrator: Integrator) -> dict[str, np.ndarray]:
    """``memory`` of an integrator, for a checkpoint.

    Raises DTypeError if it is no dictionary of NumPy arrays.
    """
    memory: Any = integrator.memory()
    if isinstance(memory, dict) and all(isinstance(a, np.ndarray) for a in memory.values()):
        return memory
    raise DTypeError(
        f"memory of {type(integrator).__name__} returned {shown(memory)}; return a dictionary of "
        "NumPy arrays, {} if later steps depend on the state alone"
    )
