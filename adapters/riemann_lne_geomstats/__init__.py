"""The LNE metrics of weight space as geomstats metrics.

geomstats' statistics (means, principal components, regression) then work on weight space. Every
method is a closed form or a geodesic of `riemann_lne`; nothing is differentiated automatically, so
that the backends numpy, autograd and pytorch give the same.
"""

from riemann_lne.errors import MissingDependencyError

try:
    import geomstats  # noqa: F401
except ImportError as missing:
    raise MissingDependencyError(
        "geomstats", "geomstats", "riemann_lne_geomstats", missing
    ) from missing

from .learning import LNEFrechetMean, LNEGeodesicRegression
from .metrics import HessianLNEMetric, LNEMetric
from .spaces import HessianLNESpace, LNESpace

__all__ = [
    "HessianLNEMetric",
    "HessianLNESpace",
    "LNEFrechetMean",
    "LNEGeodesicRegression",
    "LNEMetric",
    "LNESpace",
]
