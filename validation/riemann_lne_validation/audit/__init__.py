"""The audit: numbered statements of the paper as claims, each measured and judged in one run."""

from .frame import *  # noqa: F403
from .frame import __all__ as __all__
