"""Optimisers for quantised layers."""

from .quantize.optimizers import *  # noqa: F403
from .quantize.optimizers import __all__ as __all__
