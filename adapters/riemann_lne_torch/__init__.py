"""The LNE geometry in the training of quantised networks with PyTorch."""

from . import estimators, optimizers, quantization, quantizers
from .estimators import *  # noqa: F403
from .natural.corrector import LNECorrector
from .natural.loss_curvature import hessian_traces
from .natural.statistics import LayerStatistics
from .optimizers import *  # noqa: F403
from .penalty.algorithms import StepResult, algorithm_1_step, algorithm_2_step
from .penalty.regularizer import LayerDefect, RicciFlowRegularizer
from .penalty.shifts import translate
from .quantization import *  # noqa: F403
from .quantize.channels import register_channel_axis
from .quantizers import *  # noqa: F403

__all__ = [
    "LNECorrector",
    "LayerDefect",
    "LayerStatistics",
    "RicciFlowRegularizer",
    "StepResult",
    "algorithm_1_step",
    "algorithm_2_step",
    "hessian_traces",
    "register_channel_axis",
    "translate",
    *estimators.__all__,
    *optimizers.__all__,
    *quantization.__all__,
    *quantizers.__all__,
]
