"""A study: arms, tuning budget and primary comparisons, written down before the first test run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from riemann_lne.locks import hold

from .plan import Study, StudyArm
from .protocol import Arm
from .records import RunRecord, load_records
from .study_file import STUDIES, available_studies, find_study, load_study, parse_study
from .study_lock import StudyLock, StudyLockedError
from .summary import Summary, summarise
from .tuning import Candidate, Trial, edges, judge, tune

__all__ = [
    "STUDIES",
    "Study",
    "StudyArm",
    "StudyLockedError",
    "available_studies",
    "find_study",
    "load_study",
    "parse_study",
    "run_study",
]

Runner = Callable[..., list[RunRecord]]


def run_study(
    study: Study,
    folder: str | Path,
    *,
    command: str = "",
    run: Runner | None = None,
    **options: Any,
) -> Summary:
    """Tune on validation images, choose, lock, run on test images, and summarise.

    Call it again after an interruption: finished runs are not run again.

    Parameters
    ----------
    study : Study
    folder : path
        Holds the lock, the study and all records. One folder, one study.
    command : str
        For the report.
    run : callable, optional
        In place of `runner.run_arms`.
    **options
        Passed on to it: data, jobs, device, progress, checkpoint_seconds.

    Raises
    ------
    StudyLockedError
        If test runs have begun under another configuration.
    FolderInUseError
        If another run works in the folder.
    """
    run = run or _run_arms
    _check_methods(study.every_arm())
    with hold(folder, "a study"):
        return _run_study(study, Path(folder), command, run, options)


def _run_study(
    study: Study, folder: Path, command: str, run: Runner, options: dict[str, Any]
) -> Summary:
    lock = StudyLock.open(folder, study.table)
    trials: list[Trial] = []
    chosen: dict[str, dict[str, Any]] = {}
    for stage in (1, 2):
        groups = study.candidates(None if stage == 1 else chosen)
        if groups:
            flat = [c.arm for group in groups.values() for c in group]
            records = run(flat, list(study.tuning_seeds), folder / "tuning", **options)
            trials += tune(groups, records)
            chosen = {t.candidate.owner: dict(t.candidate.settings) for t in trials if t.chosen}
    arms = study.final_arms(chosen)
    lock.begin_final(chosen, [a.to_dict() for a in arms])
    records = run(arms, list(study.final_seeds), folder / "final", **options)
    return summarise(
        records,
        references={a.label: a.reference for a in study.arms},
        primary=study.primary,
        metric=study.metric,
        alpha=study.alpha,
        test=study.test,
        title=study.title,
        command=command,
        study=dict(study.table),
        tuning=tuple(t.to_dict() for t in trials) + _earlier(folder / "tuning", trials),
        notes=tuple(_notes(study, trials, lock)),
    )


def _notes(study: Study, trials: Sequence[Trial], lock: StudyLock) -> list[str]:
    notes = [study.question]
    tuned = [a for a in study.arms if a.tried]
    if tuned:
        notes.append(
            f"Settings of {len(tuned)} arms were chosen on validation images, each among "
            f"{study.budget} configurations over {len(study.tuning_seeds)} seeds that no test run "
            f"uses: {len(trials)} configurations in all, every one in the table below."
        )
        own = [[t for t in trials if t.candidate.owner == a.label] for a in tuned]
        at_edge = [edge for group in own for edge in edges(group)]
        if at_edge:
            notes.append("At the edge of its grid (a better value may lie beyond): " +
                         "; ".join(at_edge) + ".")  # fmt: skip
    for other in dict.fromkeys(a.settings_of for a in study.arms if a.settings_of):
        labels = [
            a.label + (" (then tuned further)" if a.tried else "")
            for a in study.arms
            if a.settings_of == other
        ]
        notes.append(f"Settings of {other}: {'; '.join(labels)}.")
    for why in dict.fromkeys(a.why_untuned for a in study.arms if a.why_untuned):
        labels = [a.label for a in study.arms if a.why_untuned == why]
        notes.append(f"Not tuned, {why}: {'; '.join(labels)}.")
    notes.append(
        f"The configuration (SHA-256 {lock.digest[:16]}...) was fixed at {lock.final_since}, "
        "before the first test run."
    )
    if lock.revisions > 1:
        notes.append(
            f"Changes before that, while there were validation runs only: {lock.revisions - 1}. "
            "The configurations tried then are in the table too."
        )
    return notes


def _earlier(folder: Path, trials: Sequence[Trial]) -> tuple[dict[str, Any], ...]:
    """Configurations that were tried under an earlier version of the study."""
    known = {t.candidate.arm.digest for t in trials}
    place = folder / "records"
    others: dict[str, list[RunRecord]] = {}
    for record in load_records(place) if place.is_dir() else []:
        if record.arm.digest not in known:
            others.setdefault(record.arm.digest, []).append(record)
    found = []
    for records in others.values():
        arm = records[0].arm
        trial = judge(Candidate(f"{arm.label} (earlier version)", arm.to_dict(), arm), records)
        found.append(trial.to_dict())
    return tuple(found)


def _check_methods(arms: Sequence[Arm]) -> None:
    """Refuse a method, or an option of it, that does not exist: now, not after the tuning."""
    from .methods import get_method

    for arm in arms:
        get_method(arm.method, arm.options).check(arm)


def _run_arms(*arguments: Any, **options: Any) -> list[RunRecord]:
    from .runner import run_arms

    return run_arms(*arguments, **options)
