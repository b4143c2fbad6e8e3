"""How a flow or another system is integrated: one-step methods, step control, and results."""

from . import events
from .base import Integrator, OneStep, State, Step, System
from .checkpoint import Checkpoint
from .integration import Integration, integrate
from .methods import METHODS, known_methods, register_method
from .rkl import RKG2, RKL2
from .runge_kutta import ExplicitRungeKutta, Tableau
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
