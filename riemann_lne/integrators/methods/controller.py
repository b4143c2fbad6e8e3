"""Choice of the next step from the error of this one."""

from __future__ import annotations


class PIController:
    """Proportional-integral step control (Gustafsson 1991; Hairer & Wanner, section IV.2).

    After an accepted step with scaled error e the step is multiplied by
    safety * e**(-0.7 / k) * e_previous**(0.4 / k), k the exponent with which the error estimate
    shrinks; after a rejected one by safety * e**(-1 / k). The factor stays in [smallest, largest].
    """

    def __init__(
        self, exponent: int, safety: float = 0.9, smallest: float = 0.2, largest: float = 5.0
    ) -> None:
        self._k = exponent
        self._safety, self._smallest, self._largest = safety, smallest, largest
        self._previous = 1.0
        self._rejected = False

    def after_accepted(self, error: float) -> float:
        """Factor for the next step after a step that met the tolerance (error <= 1)."""
        error = max(error, 1e-10)
        factor = self._safety * error ** (-0.7 / self._k) * self._previous ** (0.4 / self._k)
        self._previous = error
        # A step that follows a rejection must not grow at once: it would be rejected again.
        largest = 1.0 if self._rejected else self._largest
        self._rejected = False
        return min(largest, max(self._smallest, factor))

    def after_rejected(self, error: float) -> float:
        """Factor for the repetition of a step that failed (error > 1, or infinite)."""
        self._rejected = True
        if error == float("inf"):
            return self._smallest
        return max(self._smallest, min(0.9, self._safety * error ** (-1.0 / self._k)))

    def memory(self) -> list[float]:
        """State that later factors depend on, as plain values."""
        return [self._previous, float(self._rejected)]

    def recall(self, memory: list[float]) -> None:
        """Go on from what ``memory`` gave."""
        self._previous, self._rejected = memory[0], bool(memory[1])
