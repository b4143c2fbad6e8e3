"""The geometry of weight space: LNE metric, its divergence, its scale tau, the discrete flow.

Weight vectors have shape (..., n): batch dimensions first, one block of weights along the last
axis. Nothing here builds an n-by-n matrix unless ``matrix`` is called.
"""

from .constraints import AffineSet, Box, ConvexSet, Simplex
from .discrete_flow import discrete_flow_defect, discrete_flow_defect_of_steps
from .divergence import lne_divergence, lne_potential
from .duality import lne_dual_divergence, lne_dual_potential
from .flowed import FlowedLNEMetric
from .hessian import HessianLNEMetric
from .hypersurface import minkowski_product
from .levels import quantize_levels
from .metric import LNEMetric
from .mirror_descent import (
    MirrorDescentBound,
    MirrorDescentResult,
    mirror_descent,
    mirror_descent_bound,
)
from .potentials import EuclideanPotential, LNEPotential, NegativeEntropy, Potential
from .ricci import LNERicci
from .scale import auto_tau, max_tau
from .shifted import ShiftedLNEMetric
from .strong_inverse import InverseNetwork, StrongInverse, strong_inverse, train_inverse

__all__ = [
    "AffineSet",
    "Box",
    "ConvexSet",
    "EuclideanPotential",
    "FlowedLNEMetric",
    "HessianLNEMetric",
    "InverseNetwork",
    "LNEMetric",
    "LNEPotential",
    "LNERicci",
    "MirrorDescentBound",
    "MirrorDescentResult",
    "NegativeEntropy",
    "Potential",
    "ShiftedLNEMetric",
    "Simplex",
    "StrongInverse",
    "auto_tau",
    "discrete_flow_defect",
    "discrete_flow_defect_of_steps",
    "lne_divergence",
    "lne_dual_divergence",
    "lne_dual_potential",
    "lne_potential",
    "max_tau",
    "minkowski_product",
    "mirror_descent",
    "mirror_descent_bound",
    "quantize_levels",
    "strong_inverse",
    "train_inverse",
]
