"""Estimators: what stands in for the derivative of a quantiser in the backward pass."""

from .base import Estimator, Site, estimate
from .learned_step import LSQ, SEQ
from .periodic import RDFS, StackedSigmoid
from .registry import available_estimators, get_estimator, register_estimator
from .scaled_levels import QuEST, RMSLevels, Ternary
from .smooth import EDE, DoReFa, ReSTE, Standardized
from .softmax import Hestia, ReinMax
from .straight_through import BWN, EWGS, STE, ClippedSTE

__all__ = [
    "BWN",
    "EDE",
    "EWGS",
    "LSQ",
    "RDFS",
    "SEQ",
    "STE",
    "ClippedSTE",
    "DoReFa",
    "Estimator",
    "Hestia",
    "QuEST",
    "RMSLevels",
    "ReSTE",
    "ReinMax",
    "Site",
    "StackedSigmoid",
    "Standardized",
    "Ternary",
    "available_estimators",
    "estimate",
    "get_estimator",
    "register_estimator",
]
