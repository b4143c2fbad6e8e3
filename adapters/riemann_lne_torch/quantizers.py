"""Quantisers of weights and activations."""

from .quantize.quantizers import *  # noqa: F403
from .quantize.quantizers import __all__ as __all__
