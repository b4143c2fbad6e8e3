"""Logging of the corrector's statistics."""

from .hosts.logging import *  # noqa: F403
from .hosts.logging import __all__ as __all__
