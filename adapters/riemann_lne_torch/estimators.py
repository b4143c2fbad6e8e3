"""Estimators, those of the LNE geometry included."""

from .natural.estimators import LNE, DualLNE, FlowedLNE, HessianLNE
from .quantize.estimators import (
    BWN,
    EDE,
    EWGS,
    STE,
    ClippedSTE,
    DoReFa,
    Estimator,
    ReSTE,
    Site,
    Standardized,
    available_estimators,
    estimate,
    get_estimator,
    register_estimator,
)

__all__ = [
    "BWN",
    "EDE",
    "EWGS",
    "LNE",
    "STE",
    "ClippedSTE",
    "DoReFa",
    "DualLNE",
    "Estimator",
    "FlowedLNE",
    "HessianLNE",
    "ReSTE",
    "Site",
    "Standardized",
    "available_estimators",
    "estimate",
    "get_estimator",
    "register_estimator",
]
