"""Arms that are one and the same, by their settings or in every run: they count once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .arms import ArmSummary

__all__ = ["Same", "same_arms"]


@dataclass(frozen=True)
class Same:
    """An arm that repeats an earlier one.

    Attributes
    ----------
    label, first : str
        Of the arm, and of the first arm that it repeats.
    why : {"settings", "runs"}
        "settings": both have the same settings, and so would have the same runs wherever they are
        run. "runs": their settings differ, and no run does.
    """

    label: str
    first: str
    why: str

    @property
    def line(self) -> str:
        """For a reader."""
        reason = (
            "the same settings"
            if self.why == "settings"
            else "other settings, but the same accuracies and sign flips in all runs"
        )
        return f"{self.label} repeats {self.first} ({reason}): the two count once."


def same_arms(arms: Sequence[ArmSummary]) -> tuple[Same, ...]:
    """The arms that repeat an earlier one.

    Arms repeat each other in result if they were run on the same seeds and agree in everything
    that was measured: accuracies of every seed and image, the mean curve, sign flips, diverged
    runs. Two arms whose runs all diverged do not: nothing was measured in which they could agree.
    """
    found: list[Same] = []
    first: list[ArmSummary] = []
    for arm in arms:
        for other in first:
            why = _why(arm, other)
            if why:
                found.append(Same(arm.label, other.label, why))
                break
        else:
            first.append(arm)
    return tuple(found)


def _why(one: ArmSummary, two: ArmSummary) -> str:
    if one.arm.digest == two.arm.digest:
        return "settings"
    measured = (
        "seeds", "diverged", "last_by_seed", "final_by_seed", "curve", "spread", "sign_flip_rate",
        "hits",
    )  # fmt: skip
    finished = any(value is not None for value in one.final_by_seed.values())
    equal = all(getattr(one, name) == getattr(two, name) for name in measured)
    return "runs" if finished and equal else ""
