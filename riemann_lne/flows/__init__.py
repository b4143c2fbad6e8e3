"""Right-hand sides of geometric flows of a metric."""

from .base import (
    CompilableFlow,
    FastFlow,
    Flow,
    FlowCompiler,
    Formula,
    GaugedFlow,
    PullableFlow,
    laplacian_spectral_radius,
)
from .local import LocalFlow
from .ricci import RicciDeTurckFlow, RicciFlow
from .scaled import NormalizedRicciFlow, ScaledFlow

__all__ = [
    "CompilableFlow",
    "FastFlow",
    "Flow",
    "FlowCompiler",
    "Formula",
    "GaugedFlow",
    "LocalFlow",
    "NormalizedRicciFlow",
    "PullableFlow",
    "RicciDeTurckFlow",
    "RicciFlow",
    "ScaledFlow",
    "laplacian_spectral_radius",
]
