"""The methods by name."""

from __future__ import annotations

from ..arrays import Array
from ..errors import UnknownNameError
from .base import Integrator
from .etd import ETDRK4
from .rkl import RKL2
from .runge_kutta import BS32, RK4, TSIT5, ExplicitRungeKutta
from .semidiscrete import SemiDiscreteFlow

METHODS = ("auto", "rk4", "tsit5", "bs32", "rkl2", "etdrk4")
"""Names that ``solve_flow`` knows."""


def make_integrator(method: str, system: SemiDiscreteFlow, y: Array) -> Integrator:
    """The integrator of a name, set up for a system and its start."""
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS)
    if method == "auto":
        if not system.flow.parabolic:
            method = "tsit5"
        else:
            method = "etdrk4" if system.grid.is_torus else "rkl2"
    if method == "etdrk4":
        return ETDRK4(system, y)
    if method == "rkl2":
        return RKL2()
    tableau = {"rk4": RK4, "tsit5": TSIT5, "bs32": BS32}[method]
    return ExplicitRungeKutta(method, tableau)
