"""The plan of a study: its arms, the origin of their settings, the primary comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .protocol import Arm
from .tuning import Candidate, candidates, configured

Chosen = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class StudyArm:
    """One arm of a study, and where its settings come from.

    Attributes
    ----------
    arm : Arm
        As it is before tuning, on the test images.
    reference : str
        Label of the arm it is compared with; the arm's label where it is compared with none.
    tried : tuple of dict
        Its configurations, if it is tuned.
    settings_of : str or None
        Label of a tuned arm whose chosen learning rate, weight decay (and whatever that arm tuned
        of the common settings) it takes. With configurations of its own it is tuned from there,
        in a second stage.
    why_untuned : str
        For an arm with fixed settings.
    """

    arm: Arm
    reference: str
    tried: tuple[Mapping[str, Any], ...] = ()
    settings_of: str | None = None
    why_untuned: str = ""

    @property
    def label(self) -> str:
        """Label of the arm."""
        return self.arm.label


@dataclass(frozen=True)
class Study:
    """The whole plan. Made by `load_study` or `parse_study`, which check it.

    Attributes
    ----------
    title, question : str
    arms : tuple of StudyArm
    tuning_seeds, final_seeds : tuple of int
        Disjoint.
    budget : int
        Configurations of every tuned arm.
    tuning_epochs : int or None
        Length of the tuning runs; None for that of the final ones.
    primary : tuple of (label, reference label)
    metric : {"last", "final"}
    alpha : float
    test : {"t", "sign-flip"}
    table : dict
        The file as it was read, which the lock protects.
    """

    title: str
    question: str
    arms: tuple[StudyArm, ...]
    tuning_seeds: tuple[int, ...]
    final_seeds: tuple[int, ...]
    budget: int
    tuning_epochs: int | None
    primary: tuple[tuple[str, str], ...]
    metric: str
    alpha: float
    test: str
    table: Mapping[str, Any]

    def candidates(self, chosen: Chosen | None = None) -> dict[str, list[Candidate]]:
        """The configurations of tuned arms: of the first stage, or given its choice the second."""
        groups = {}
        for a in self.arms:
            if a.tried and (a.settings_of is None) == (chosen is None):
                arm = self._base(a, chosen or {})
                if self.tuning_epochs is not None:
                    arm = replace(arm, epochs=self.tuning_epochs)
                groups[a.label] = candidates(arm, a.tried)
        return groups

    def final_arms(self, chosen: Chosen) -> list[Arm]:
        """The arms as they are measured on the test images."""
        return [configured(self._base(a, chosen), chosen.get(a.label, {})) for a in self.arms]

    def every_arm(self) -> list[Arm]:
        """Every configuration and every final arm, as far as they are known before any run."""
        groups = [*self.candidates().values(), *self.candidates({}).values()]
        return [c.arm for group in groups for c in group] + self.final_arms({})

    def _base(self, a: StudyArm, chosen: Chosen) -> Arm:
        """The arm with the settings that it takes from another one."""
        taken = chosen.get(a.settings_of, {}) if a.settings_of else {}
        return configured(a.arm, {k: v for k, v in taken.items() if "." not in k})

    def describe(self) -> str:
        """The runs that will be made, in a few lines."""
        tuned = [a for a in self.arms if a.tried]
        tuning = sum(len(a.tried) for a in tuned) * len(self.tuning_seeds)
        final = len(self.arms) * len(self.final_seeds)
        lines = [
            self.title,
            f"  tuning: {len(tuned)} arms x {self.budget} configurations x "
            f"{len(self.tuning_seeds)} seeds = {tuning} runs on validation images",
            f"  final:  {len(self.arms)} arms x {len(self.final_seeds)} seeds = {final} runs on "
            "test images",
            f"  primary comparisons: {len(self.primary)}, corrected level "
            f"{self.alpha / max(1, len(self.primary)):.2g}",
        ]
        return "\n".join(lines)
