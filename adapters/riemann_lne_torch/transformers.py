"""The corrector in the Hugging Face Trainer."""

from .hosts.transformers import LNECallback

__all__ = ["LNECallback"]
