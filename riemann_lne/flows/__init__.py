"""What is integrated: the right-hand sides of geometric flows of a metric."""

from .base import Flow, laplacian_spectral_radius
from .ricci import RicciDeTurckFlow, RicciFlow
from .scaled import NormalizedRicciFlow, ScaledFlow

__all__ = [
    "Flow",
    "NormalizedRicciFlow",
    "RicciDeTurckFlow",
    "RicciFlow",
    "ScaledFlow",
    "laplacian_spectral_radius",
]
