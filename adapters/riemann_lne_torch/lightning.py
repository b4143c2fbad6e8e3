"""The corrector in PyTorch Lightning."""

from .hosts.lightning import LNECallback

__all__ = ["LNECallback"]
