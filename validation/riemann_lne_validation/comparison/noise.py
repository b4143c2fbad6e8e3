"""The noise floor of a task: STE against STE whose first weights differ in their last bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from riemann_lne.checks import printable

from .arms import ArmSummary
from .contracts import Measure
from .paired import pair

__all__ = ["LAST_BIT", "NOT_MEASURED", "Floor", "noise_floor"]

LAST_BIT = "last-bit"
NOT_MEASURED = (
    "Noise floor: not measured. With the method last-bit beside ste the table says how far runs "
    "move apart by rounding alone."
)


@dataclass(frozen=True)
class Floor:
    """How far two trainings move apart that differ in the last bit of their first weights.

    Attributes
    ----------
    arm, reference : str
        Labels.
    seeds : int
        Pairs that finished.
    mean : float or None
        Mean difference: its expectation is 0.
    deviation : float or None
        Standard deviation of the difference on one seed (ddof 1); None below two pairs.
    half_width : float or None
        Half-width of the 95 % interval of a mean over these seeds.
    """

    arm: str
    reference: str
    seeds: int
    mean: float | None
    deviation: float | None
    half_width: float | None

    @property
    def is_broken(self) -> bool:
        """Whether the mean is farther from 0 than twice the half-width: by more than chance."""
        known = self.mean is not None and self.half_width is not None
        return known and abs(self.mean) > 2.0 * self.half_width > 0.0  # type: ignore[arg-type,operator]

    def line(self, measure: Measure) -> str:
        """For a reader."""
        if self.deviation is None:
            return printable(
                f"Noise floor: {self.arm} against {self.reference} has {self.seeds} finished pairs "
                "of runs; two are needed."
            )
        text = (
            f"Noise floor: {self.arm} differs from {self.reference} by "
            f"{measure.text(self.deviation)} {measure.unit} on one seed (standard deviation of "
            f"{self.seeds})"
        )
        if self.half_width is not None:
            text += f", and by up to {measure.text(self.half_width)} on the mean of {self.seeds}"
        if self.is_broken:
            assert self.mean is not None
            return printable(
                f"{text}. But the mean difference is {measure.text(self.mean, '+')}: that is no "
                "rounding, the two arms are trained in different ways, and this is no noise floor."
            )
        return printable(
            f"{text}. A smaller difference is no more than rounding, amplified by training."
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Floor:
        """The floor of such data; TypeError if it is damaged."""
        return cls(**data)


def noise_floor(
    arms: Sequence[ArmSummary], references: Mapping[str, str], metric: str
) -> Floor | None:
    """The floor that the first last-bit arm measures against its reference; None without one."""
    by_label = {a.label: a for a in arms}
    for arm in arms:
        other = by_label.get(references.get(arm.label, ""))
        if arm.arm.method != LAST_BIT or other is None or other is arm:
            continue
        if not arm.values(metric).keys() & other.values(metric).keys():
            continue
        found = pair(arm.values(metric), other.values(metric))
        described = found.description
        return Floor(
            arm.label,
            other.label,
            found.finished,
            described.mean if described else None,
            described.standard_deviation if described else None,
            found.resolves,
        )
    return None
