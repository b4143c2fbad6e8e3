"""A character model: bits a character on the text of Python's own help pages, or any other."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from riemann_lne.errors import InvalidArgumentError, StorageError

__all__ = ["CharacterModel", "bits_a_character", "character_data", "character_loss"]

WINDOW = 64
SYMBOLS = 97  # printable ASCII, the end of a line, and one for everything else
_MOST_BYTES = 2**24


class _Norm(nn.LayerNorm):
    """Layer norm over the channels of each position: nothing of later positions is seen."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mT).mT


class CharacterModel(nn.Module):
    """Causal convolutions over the characters before: dilations 1, 2, 4, 8 of three.

    Parameters
    ----------
    width : int
        Channels.

    Notes
    -----
    Input: tokens (batch, positions). Output: scores (batch, symbols, positions), each of which
    depends on the tokens up to its own position.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, width)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, 3, dilation=2**i, bias=False) for i in range(4)
        )
        self.norms = nn.ModuleList(_Norm(width) for _ in range(4))
        self.head = nn.Conv1d(width, SYMBOLS, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of the next character at each position."""
        x = self.embedding(tokens).mT
        for layer, norm in zip(self.layers, self.norms, strict=True):
            before = nn.functional.pad(x, (self.lag(layer), 0))
            x = x + torch.relu(norm(layer(before)))
        scores: Tensor = self.head(x)
        return scores

    @staticmethod
    def lag(layer: nn.Module) -> int:
        """Positions that a convolution looks back."""
        assert isinstance(layer, nn.Conv1d)
        return 2 * int(layer.dilation[0])


def character_loss(output: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over all positions."""
    return nn.functional.cross_entropy(output, target)


def bits_a_character(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of each window in bits a character."""
    found = nn.functional.cross_entropy(output, target, reduction="none")
    return found.mean(1) / math.log(2.0)


def character_data(seed: int, folder: Path | None = None) -> dict[str, tuple[Tensor, Tensor]]:
    """Windows of 64 characters and of those that follow: the first 80 %, then twice 10 %.

    Parameters
    ----------
    seed : int
        Not used: the text is the same for every seed.
    folder : path, optional
        A text file, or a folder of .txt files; by default the help pages in `pydoc_data.topics`,
        which differ between versions of Python.

    Raises
    ------
    StorageError
        If a file cannot be read.
    InvalidArgumentError
        If the text is shorter than 100 windows.
    """
    return _windows(None if folder is None else Path(folder))


@lru_cache(maxsize=2)
def _windows(folder: Path | None) -> dict[str, tuple[Tensor, Tensor]]:
    raw = np.frombuffer(_text(folder), dtype=np.uint8)
    printable = (raw >= 32) & (raw < 127)
    tokens = np.where(printable, raw - 31, np.where(raw == 10, 96, 0)).astype(np.int64)
    if len(tokens) < 100 * (WINDOW + 1):
        raise InvalidArgumentError(
            f"the text has {len(tokens)} characters; give one with at least {100 * (WINDOW + 1)}"
        )
    ends = [0, int(0.8 * len(tokens)), int(0.9 * len(tokens)), len(tokens)]
    parts = {}
    names = ("train", "validation", "test")
    for name, start, end in zip(names, ends, ends[1:], strict=False):
        count = (end - start - 1) // WINDOW
        part = torch.from_numpy(tokens[start : start + count * WINDOW + 1])
        parts[name] = (part[:-1].reshape(-1, WINDOW), part[1:].reshape(-1, WINDOW))
    return parts


def _text(folder: Path | None) -> bytes:
    if folder is None:
        from pydoc_data.topics import topics

        return "\n".join(str(topics[name]) for name in sorted(topics)).encode()
    paths = sorted(folder.glob("*.txt")) if folder.is_dir() else [folder]
    if not paths:
        raise StorageError(f"there is no .txt file in {folder}; name a text file with --data")
    content = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                content.append(file.read(_MOST_BYTES))
        except OSError as error:
            raise StorageError(f"cannot read the text {path}: {error}") from error
    return b"\n".join(content)[:_MOST_BYTES]
