"""Rotationally symmetric metrics phi^2 dx^2 + psi^2 g_(S^n) and their Ricci flow, poles included.

On S^(n+1), R^(n+1) and S^n x S^1, for any n >= 1: curvature up to the poles, Ricci flow with points
that follow the geometry, neckpinches, surgery.
"""

from .examples import corseted_sphere, dumbbell, odd_sines, random_sphere, round_sphere
from .history import Piece, SurgeryHistory, flow_with_surgery
from .metric import RotationalMetric
from .parts import solve_in_parts
from .solutions import bryant_soliton, king_rosenau, neckpinch_profile
from .solve import NeckBelow, RotationalSolution, solve
from .storage import load_history, save_history
from .surgery import Cap, cut, cut_circle

__all__ = [
    "Cap",
    "NeckBelow",
    "Piece",
    "RotationalMetric",
    "RotationalSolution",
    "SurgeryHistory",
    "bryant_soliton",
    "corseted_sphere",
    "cut",
    "cut_circle",
    "dumbbell",
    "flow_with_surgery",
    "king_rosenau",
    "load_history",
    "neckpinch_profile",
    "odd_sines",
    "random_sphere",
    "round_sphere",
    "save_history",
    "solve",
    "solve_in_parts",
]
