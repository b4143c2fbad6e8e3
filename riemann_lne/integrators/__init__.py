"""How a flow is integrated: one-step methods, step control, the solve and its result."""

from .solution import FlowSolution
from .solve import METHODS, solve_flow

__all__ = ["METHODS", "FlowSolution", "solve_flow"]
