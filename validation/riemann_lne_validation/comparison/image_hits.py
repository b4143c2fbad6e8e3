"""Which images a run classifies correctly at its end: for statistics over images as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from riemann_lne.errors import InvalidArgumentError

__all__ = ["ImageHits"]

# One character an image: counts from 0 to at most 35, and a window has ten epochs at most.
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class ImageHits:
    """Hits of one run on every image of its split, in the order of the split.

    Attributes
    ----------
    window : int
        Number of last epochs that are counted, as in `statistics.window`.
    last : tuple of int
        In how many of these epochs the discrete network classified the image correctly.
    final : tuple of int
        1 where it did so after the last epoch, else 0.

    Raises
    ------
    InvalidArgumentError
        If the two differ in length, or a count is out of range.

    Examples
    --------
    >>> hits = ImageHits.of([[True, False], [True, True]])
    >>> hits.last, hits.final, hits.points("last").tolist()
    ((2, 1), (1, 1), [100.0, 50.0])
    >>> ImageHits.from_dict(hits.to_dict()) == hits
    True
    """

    window: int
    last: tuple[int, ...]
    final: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.window < len(_DIGITS):
            raise InvalidArgumentError(f"a window has 1 to 35 epochs, got {self.window!r}")
        if not self.last or len(self.last) != len(self.final):
            raise InvalidArgumentError(
                f"hits of {len(self.last)} images in the last epochs and of {len(self.final)} in "
                "the final one: they are of the same images, at least one"
            )
        for i, (count, one) in enumerate(zip(self.last, self.final, strict=True)):
            # the final epoch is one of the last ones: a hit in it is counted, and so is a miss
            if one not in (0, 1) or not one <= count <= self.window - 1 + one:
                raise InvalidArgumentError(
                    f"image {i} has {count} hits in the last {self.window} epochs and {one} in the "
                    "final one, which is among them: that cannot be"
                )

    @classmethod
    def of(cls, epochs: Sequence[Sequence[bool]] | np.ndarray) -> ImageHits:
        """The hits of the last epochs, one row an epoch."""
        table = np.asarray(epochs, dtype=bool)
        return cls(
            window=len(table),
            last=tuple(int(n) for n in table.sum(0)),
            final=tuple(int(n) for n in table[-1]),
        )

    def points(self, metric: str) -> np.ndarray:
        """Accuracy of the run on each image, in percentage points; metric "last" or "final"."""
        if metric == "final":
            return 100.0 * np.asarray(self.final, dtype=np.float64)
        return 100.0 * np.asarray(self.last, dtype=np.float64) / self.window

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: one character an image."""
        return {
            "window": self.window,
            "last": "".join(_DIGITS[n] for n in self.last),
            "final": "".join(_DIGITS[n] for n in self.final),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImageHits:
        """The hits of such data.

        Raises
        ------
        InvalidArgumentError
            If they are damaged.
        """
        try:
            window, last, final = data["window"], data["last"], data["final"]
            columns = [tuple(_DIGITS.index(c) for c in text) for text in (last, final)]
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidArgumentError(f"the hits of images are damaged: {error!r}") from error
        if isinstance(window, bool) or not isinstance(window, int):
            raise InvalidArgumentError(f"a window has 1 to 35 epochs, got {window!r}")
        return cls(window, *columns)
