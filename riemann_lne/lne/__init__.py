"""The geometry of weight space: LNE metric, its divergence, its scale tau, the discrete flow.

Weight vectors have shape (..., n): batch dimensions first, one block of weights along the last
axis. Nothing here builds an n-by-n matrix unless ``matrix`` is called.
"""

from .discrete_flow import discrete_flow_defect, discrete_flow_defect_of_steps
from .divergence import lne_divergence, lne_potential
from .flowed import FlowedLNEMetric
from .hessian import HessianLNEMetric
from .metric import LNEMetric
from .ricci import LNERicci
from .scale import auto_tau, max_tau

__all__ = [
    "FlowedLNEMetric",
    "HessianLNEMetric",
    "LNEMetric",
    "LNERicci",
    "auto_tau",
    "discrete_flow_defect",
    "discrete_flow_defect_of_steps",
    "lne_divergence",
    "lne_potential",
    "max_tau",
]
