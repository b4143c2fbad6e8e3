"""How a flow or another system is integrated: one-step methods, step control, and results."""

import sys

from . import events, methods
from .checkpoint import Checkpoint
from .integration import Integration, integrate
from .methods import METHODS, known_methods, register_method
from .methods.base import Integrator, OneStep, State, Step, System
from .methods.rkl import RKG2, RKL2
from .methods.runge_kutta import ExplicitRungeKutta, Tableau
from .solution import FlowSolution
from .solve import solve_flow

__all__ = [
    "METHODS",
    "RKG2",
    "RKL2",
    "Checkpoint",
    "ExplicitRungeKutta",
    "FlowSolution",
    "Integration",
    "Integrator",
    "OneStep",
    "State",
    "Step",
    "System",
    "Tableau",
    "events",
    "integrate",
    "known_methods",
    "register_method",
    "solve_flow",
]

# Modules of ``methods`` that stood in this folder go on being importable from here.
for _name in (
    "base",
    "blockwise",
    "controller",
    "etd",
    "etd_coefficients",
    "etd_in_place",
    "pooled",
    "protocol",
    "rkl",
    "runge_kutta",
    "splitting",
):
    _module = sys.modules[f"{methods.__name__}.{_name}"]
    sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _module
del _name, _module
