"""Base of the metrics that add a correction to Eq. 16 and keep an inverse in O(n)."""

from __future__ import annotations

from typing import Any

from ..arrays import Array
from ..errors import UnknownNameError
from ..identity import ByValue
from .metric import LNEMetric

_METHODS = ("exact",)


class CorrectedLNE(ByValue):
    """The metric of Eq. 16 that is corrected, and when the result can be solved with."""

    def __init__(self, tau: Any) -> None:
        self.lne = LNEMetric(tau)
        self.tau = self.lne.tau

    def _require_solvable(self, x: Array, method: str, check: bool) -> None:
        """Raise for a method of another name and, with ``check``, where Eq. 16 is not definite."""
        if method not in _METHODS:
            raise UnknownNameError("method", method, _METHODS)
        if check:
            self.lne.determinant(x)
