"""Many runs: missing ones are run in parallel, one arm and seed a unit of work."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from riemann_lne.errors import (
    InvalidArgumentError,
    MissingDependencyError,
    RiemannLNEError,
    StorageError,
)
from riemann_lne.io import storage_errors
from riemann_lne.locks import hold
from riemann_lne.threads import usable_cores

from ..lab.timing import one_torch_thread
from ..lab.workers import interrupts_stay_here, worker_pool
from .checkpoints import save_tree
from .datasets import Samples
from .environment import environment
from .measurements import prepare
from .methods import DoesNotApplyError
from .models import build_model, hash_tensors
from .pairing import check_pairs, data_fingerprints, require_unchanged
from .problems import check_problem, check_run, problem_of
from .progress import Progress
from .protocol import Arm, check_arms
from .records import EpochRecord, RunRecord, load_record, record_path
from .registered import load_task_files
from .training import load_start, train
from .units import Place, Unit

__all__ = ["RunsFailedError", "applicable", "run_arms"]


# Seconds between two looks at how far the runs are.
_POLL = 2.0


class RunsFailedError(RiemannLNEError, RuntimeError):
    """Some runs broke off with an error, which is not divergence; the others are done.

    Attributes
    ----------
    records : tuple of RunRecord
        Those of the arms of which no run broke off.
    broken : dict from label to str
        The other arms, each with the error of its first run that broke off, in one line.
    """

    def __init__(
        self,
        message: str,
        records: Sequence[RunRecord] = (),
        broken: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.records, self.broken = tuple(records), dict(broken or {})


def run_arms(
    arms: Iterable[Arm],
    seeds: Sequence[int],
    folder: Path,
    *,
    data: Path | None = None,
    jobs: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
    checkpoint_seconds: float = 60.0,
    tensorboard: Path | None = None,
    tasks: Sequence[Path] = (),
) -> list[RunRecord]:
    """Records of every arm and seed: those of the folder, and new runs for the missing ones.

    It may be stopped or killed at any moment; the next call goes on, and a run that was broken
    off goes on from its last checkpoint, to the same accuracies.

    Parameters
    ----------
    arms : iterable of Arm
        With different labels.
    seeds : sequence of int
    folder : path
        Gets "records", "checkpoints" and "starts".
    data : path, optional
        Folder with the files of CIFAR, or what a task reads.
    jobs : int
        Processes, with one thread each; 0: one for each core, or each GPU.
    device : str
        "cpu", "cuda" (all GPUs, in turn), "cuda:1", ...
    progress : Progress, optional
    checkpoint_seconds : float
        Time between two checkpoints of a run.
    tensorboard : path, optional
        Folder for event files; needs tensorboard.
    tasks : sequence of paths
        Files that register what arms name (`registered.load_task_files`), for worker processes.

    Returns
    -------
    list of RunRecord
        Arm by arm, in each seed by seed.

    Raises
    ------
    InvalidArgumentError, UnknownNameError
        If an arm makes no sense, or the data are of another layout; if stored runs had other data
        or first weights than new ones (`pairing`). Before anything is run.
    RunsFailedError
        At the end, if runs broke off with an error.
    FolderInUseError
        If another run works in the folder.
    StorageError
        If a file cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> from riemann_lne_validation.comparison.protocol import default_arm
    >>> from riemann_lne_validation.comparison.runner import run_arms
    >>> arms = [default_arm("ste", epochs=1), default_arm("lne-weak", epochs=1)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     records = run_arms(arms, [0], folder, jobs=1)
    >>> [record.label for record in records]
    ['ste', 'lne-weak']
    """
    arms = check_arms(arms, seeds)
    devices = _devices(device)
    data = None if data is None else Path(data)
    for arm in arms:
        prepare(arm, build_model(arm, 0), 1, folder=data)
    for arm in arms:  # missing or wrong files are an error now, not in every run
        _images(arm, 0, data)
    # a batch of one item is looked at too: batch norm does not take it
    looks = {(arm.dataset, arm.model, arm.split, arm.batch_size == 1): arm for arm in arms}
    for arm in looks.values():
        check_problem(arm, data)
    if tensorboard is not None:
        _writer_class()
    place = Place(
        Path(folder),
        data,
        checkpoint_seconds,
        devices,
        environment(),
        tensorboard,
        tuple(map(Path, tasks)),
    )
    with hold(place.folder, "a comparison's runs"):
        return _run_missing(arms, seeds, place, jobs, progress)


def applicable(arms: Iterable[Arm], data: Path | None = None) -> tuple[list[Arm], dict[str, str]]:
    """The arms whose method applies to their bits, network and samples; the reasons of the others.

    ``data`` is the folder of `run_arms`.

    Raises
    ------
    InvalidArgumentError
        If none is left. Names the reasons.
    """
    kept, skipped = [], {}
    for arm in arms:
        try:
            prepare(arm, build_model(arm, 0), 1, folder=data)
        except DoesNotApplyError as error:
            skipped[arm.label] = str(error).removeprefix(f"arm {arm.label!r}: ")
        else:
            kept.append(arm)
    if not kept:
        raise InvalidArgumentError(
            f"none of {len(skipped)} methods applies, choose others: "
            + "; ".join(f"{label}: {why}" for label, why in skipped.items())
        )
    return kept, skipped


def _run_missing(
    arms: Sequence[Arm], seeds: Sequence[int], place: Place, jobs: int, progress: Progress | None
) -> list[RunRecord]:
    """The records of a folder that is owned, those that are missing made."""
    for kind in ("records", "checkpoints", "starts"):
        with storage_errors("the folder of the runs", place.folder / kind):
            (place.folder / kind).mkdir(parents=True, exist_ok=True)
    found = {
        (arm.label, seed): replace(load_record(path), arm=arm)
        for arm in arms
        for seed in seeds
        if (path := record_path(place.records, arm, seed)).exists()
    }
    check_pairs(found.values())
    # seed by seed, so that what there is after a while compares all arms
    missing = [Unit(arm, seed) for seed in seeds for arm in arms if (arm.label, seed) not in found]
    if missing:
        _require_unchanged(found.values(), place.data)
    starts = _starts(missing, place)
    units = [*starts, *missing]
    processes = _jobs(jobs, place.devices, len(units))
    if progress is not None:
        progress.begin(units, len(found), processes)
    problems: list[str] = []
    broken: dict[str, str] = {}
    try:
        for stage in (starts, missing):
            for unit, record, problem in _run(stage, place, processes, progress):
                if progress is not None:
                    progress.done(unit, record, problem)
                if problem:
                    problems.append(f"{unit.arm.label}, seed {unit.seed}: {problem}")
                    broken.setdefault(unit.arm.label, f"seed {unit.seed}: {_in_a_line(problem)}")
                elif record is not None and not unit.is_start:
                    found[unit.arm.label, unit.seed] = record
    finally:
        if progress is not None:
            progress.end()
    if problems:
        raise RunsFailedError(
            f"{len(problems)} of {len(units)} runs broke off; the others are "
            f"stored in {place.records}, start again to repeat these. The first one: "
            f"{problems[0]}",
            [
                found[arm.label, seed]
                for arm in arms
                if all((arm.label, seed) in found for seed in seeds)
                for seed in seeds
            ],
            broken,
        )
    check_pairs(found.values())
    return [found[arm.label, seed] for arm in arms for seed in seeds]


def _require_unchanged(found: Iterable[RunRecord], data: Path | None) -> None:
    """Refuse new runs beside stored ones of other data or first weights, before they are trained.

    Looks at one stored run for each network, data set and split; `check_pairs` looks at all.
    """
    for record in {(r.arm.dataset, r.arm.model, r.arm.split): r for r in found}.values():
        arm = record.arm
        now = data_fingerprints(arm, _images(arm, record.seed, data))
        if now and arm.start == "scratch":
            model = build_model(arm, record.seed)
            now["initial_weights"] = hash_tensors(dict(model.named_parameters()))
        require_unchanged(record, now)


# -- units --------------------------------------------------------------------------------------


def _starts(missing: Sequence[Unit], place: Place) -> list[Unit]:
    """The full-precision starts that the units need and that are not there."""
    found: dict[Path, Unit] = {}
    for unit in missing:
        if unit.arm.start == "fine-tune":
            arm = unit.arm.pretraining()
            path = place.start(arm, unit.seed)
            if not path.exists():
                found[path] = Unit(arm, unit.seed, is_start=True)
    return list(found.values())


def _images(arm: Arm, seed: int, data: Path | None) -> Samples:
    return problem_of(arm, data).samples(seed)


def _run_unit(unit: Unit, place: Place, device: str, tell: Callable[[float], None]) -> RunRecord:
    """Run one unit and store what comes of it."""
    images = _images(unit.arm, unit.seed, place.data)
    check_run(unit.arm, unit.seed, images)
    if device != "cpu":
        images = images.to(device)
    start = None
    if unit.arm.start == "fine-tune":
        path = place.start(unit.arm.pretraining(), unit.seed)
        if not path.exists():
            raise InvalidArgumentError(
                f"its full-precision start {path} broke off: look at its record"
            )
        start = load_start(path)
    seen = {**place.environment, "device": _device_name(device)}
    with _scalars(unit, place) as write:

        def on_epoch(row: EpochRecord, epochs: int) -> None:
            tell(row.epoch / epochs)
            place.tell(unit, row.epoch / epochs)
            if write is not None:
                write(row)

        place.tell(unit, 0.0)
        record, model = train(
            unit.arm,
            unit.seed,
            images,
            seen,
            start=start,
            checkpoint=place.checkpoint(unit),
            checkpoint_seconds=place.checkpoint_seconds,
            on_epoch=on_epoch,
            folder=place.data,
        )
    if not unit.is_start:
        record.save(place.records)
    elif record.diverged is not None:
        raise InvalidArgumentError(
            f"the full-precision start diverged ({record.diverged.reason}); set another "
            "learning_rate in pretrain"
        )
    else:
        save_tree(
            place.start(unit.arm, unit.seed), {"state": model.state_dict(), "cost": record.cost}
        )
    place.clear(unit)
    return record


@contextmanager
def _scalars(unit: Unit, place: Place) -> Iterator[Any]:
    """A function that writes an epoch for TensorBoard, or None."""
    if place.tensorboard is None:
        yield None
        return
    writer = _writer_class()(str(place.tensorboard / f"{unit.arm.key}-seed{unit.seed:04d}"))

    def write(row: EpochRecord) -> None:
        names = ("train_loss", "train_accuracy", "accuracy", "sign_flip_rate", "gradient_angle")
        for name in names:
            value = getattr(row, name)
            if value is not None:
                writer.add_scalar(name, value, row.epoch)

    try:
        yield write
    finally:
        writer.close()


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError("tensorboard", "hosts", "--tensorboard", error) from error
    return SummaryWriter


# -- processes ----------------------------------------------------------------------------------

_Result = tuple[Unit, RunRecord | None, str]


def _run(
    units: Sequence[Unit], place: Place, jobs: int, progress: Progress | None
) -> Iterator[_Result]:
    """Results as they come, from this process or several."""
    if jobs <= 1 or len(units) <= 1:
        for unit in units:

            def tell(fraction: float, unit: Unit = unit) -> None:
                if progress is not None:
                    progress.running({unit: fraction})

            _deterministic()
            # The last digits of sums depend on the number of threads.
            with one_torch_thread(torch):
                yield _guarded(unit, place, place.devices[0], tell)
        return
    try:
        with worker_pool(jobs, partial(_begin_worker, place.tasks)) as pool:
            with interrupts_stay_here():
                waiting: dict[Future[_Result], Unit] = {
                    pool.submit(_guarded, unit, place, place.devices[i % len(place.devices)]): unit
                    for i, unit in enumerate(units)
                }
            while waiting:
                ended = wait(waiting, timeout=_POLL, return_when=FIRST_COMPLETED).done
                for future in ended:
                    del waiting[future]
                    yield future.result()
                if progress is not None and not ended:
                    heard = [(u, place.hear(u)) for f, u in waiting.items() if f.running()]
                    progress.running({u: fraction for u, fraction in heard if fraction is not None})
    except BrokenProcessPool as error:
        raise RunsFailedError(
            "a worker process was killed (out of memory?); what is done is stored: run the same "
            "command again to go on, with fewer --jobs if memory is short"
        ) from error


def _begin_worker(tasks: Sequence[Path]) -> None:
    load_task_files(tasks)
    torch.set_num_threads(1)
    _deterministic()


def _nobody(fraction: float) -> None:
    """Nobody is told in this process how far a unit is."""


def _guarded(
    unit: Unit, place: Place, device: str, tell: Callable[[float], None] = _nobody
) -> _Result:
    """A crash of one run must not end the others; a full disk must."""
    try:
        return unit, _run_unit(unit, place, device, tell), ""
    except StorageError:
        raise
    except RiemannLNEError as error:
        return unit, None, str(error)
    except Exception:
        return unit, None, traceback.format_exc(limit=-3)


def _in_a_line(problem: str) -> str:
    """The first line of a message, or the last one of a traceback, which is the error."""
    lines = [line for line in problem.splitlines() if line.strip()] or [problem]
    return lines[-1 if lines[0].startswith("Traceback") else 0].strip()


def _deterministic() -> None:
    """On GPUs: the same algorithms in every run."""
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _devices(device: str) -> tuple[str, ...]:
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise InvalidArgumentError(
            f"unknown device {device!r}; give cpu, cuda, cuda:0, ..."
        ) from error
    if kind.type == "cpu":
        return ("cpu",)
    count = torch.cuda.device_count() if kind.type == "cuda" else 0
    if kind.type != "cuda" or (kind.index or 0) >= count:
        raise InvalidArgumentError(
            f"device {device!r} is not there; choose cpu, or one of {count} CUDA devices"
        )
    return (device,) if kind.index is not None else tuple(f"cuda:{i}" for i in range(count))


def _device_name(device: str) -> str:
    return "cpu" if device == "cpu" else torch.cuda.get_device_name(device)


def _jobs(jobs: int, devices: Sequence[str], units: int) -> int:
    if jobs < 0:
        raise InvalidArgumentError(f"jobs must be at least 0, got {jobs}")
    wanted = jobs or (len(usable_cores()) if devices == ("cpu",) else len(devices))
    return max(1, min(wanted, units))
