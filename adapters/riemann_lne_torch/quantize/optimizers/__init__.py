"""Training methods for discrete weights that need more than a backward pass."""

from .annealed import AnnealedLevels, annealed
from .base import OptimizerWrapper, quantizable_parameters
from .levels import CAGE, OscillationDamping, OscillationFreezing
from .lookahead import Lookahead
from .meta_quant import FCGrad, MultiFC
from .mirror import MirrorDescentTanh
from .projections import BinaryConnect, ProxQuant, proximal_binary

__all__ = [
    "CAGE",
    "AnnealedLevels",
    "BinaryConnect",
    "FCGrad",
    "Lookahead",
    "MirrorDescentTanh",
    "MultiFC",
    "OptimizerWrapper",
    "OscillationDamping",
    "OscillationFreezing",
    "ProxQuant",
    "annealed",
    "proximal_binary",
    "quantizable_parameters",
]
