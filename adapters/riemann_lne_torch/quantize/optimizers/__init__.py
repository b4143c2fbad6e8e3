"""Training methods for discrete weights that need more than a backward pass."""

from .base import OptimizerWrapper, quantizable_parameters
from .meta_quant import FCGrad, MultiFC
from .mirror import MirrorDescentTanh
from .projections import BinaryConnect, ProxQuant, proximal_binary

__all__ = [
    "BinaryConnect",
    "FCGrad",
    "MirrorDescentTanh",
    "MultiFC",
    "OptimizerWrapper",
    "ProxQuant",
    "proximal_binary",
    "quantizable_parameters",
]
