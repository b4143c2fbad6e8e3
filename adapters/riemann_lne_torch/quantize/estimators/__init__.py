"""Estimators: what stands in for the derivative of a quantiser in the backward pass."""

from .base import Estimator, Site, estimate
from .registry import available_estimators, get_estimator, register_estimator
from .smooth import EDE, DoReFa, ReSTE, Standardized
from .straight_through import BWN, EWGS, STE, ClippedSTE

__all__ = [
    "BWN",
    "EDE",
    "EWGS",
    "STE",
    "ClippedSTE",
    "DoReFa",
    "Estimator",
    "ReSTE",
    "Site",
    "Standardized",
    "available_estimators",
    "estimate",
    "get_estimator",
    "register_estimator",
]
