"""Layers made quantised, and back."""

from .quantize.quantization import *  # noqa: F403
from .quantize.quantization import __all__ as __all__
