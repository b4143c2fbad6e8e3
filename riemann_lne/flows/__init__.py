"""What is integrated: the right-hand sides of geometric flows of a metric."""

from .base import Flow, laplacian_spectral_radius
from .ricci import RicciDeTurckFlow, RicciFlow

__all__ = ["Flow", "RicciDeTurckFlow", "RicciFlow", "laplacian_spectral_radius"]
