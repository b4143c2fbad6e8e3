"""The LNE geometry in the training of quantised networks with PyTorch."""

from . import estimators, optimizers, quantization, quantizers
from .algorithms import StepResult, algorithm_1_step, algorithm_2_step
from .channels import register_channel_axis
from .corrector import LNECorrector
from .estimators import *  # noqa: F403
from .optimizers import *  # noqa: F403
from .quantization import *  # noqa: F403
from .quantizers import *  # noqa: F403
from .regularizer import LayerDefect, RicciFlowRegularizer
from .shifts import translate
from .statistics import LayerStatistics

__all__ = [
    "LNECorrector",
    "LayerDefect",
    "LayerStatistics",
    "RicciFlowRegularizer",
    "StepResult",
    "algorithm_1_step",
    "algorithm_2_step",
    "register_channel_axis",
    "translate",
    *estimators.__all__,
    *optimizers.__all__,
    *quantization.__all__,
    *quantizers.__all__,
]
