"""How a flow is integrated: one-step methods, step control, the solve and its result."""

from . import events
from .checkpoint import Checkpoint
from .methods import METHODS
from .solution import FlowSolution
from .solve import solve_flow

__all__ = ["METHODS", "Checkpoint", "FlowSolution", "events", "solve_flow"]
