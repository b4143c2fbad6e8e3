"""The section [output]: what is kept of a flow, and where."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .. import analysis
from ..analysis.invariants import quadrature_order
from ..coefficients import Order
from ..errors import InvalidArgumentError
from ..integrators import Checkpoint
from ..integrators.checkpoint import COMMIT, FILES, GENERATIONS, remove_sets
from ..io import storage_errors
from ..metrics import MetricField
from .config import forget_record
from .pictures import PICTURES
from .sections import Section

_KEYS = (
    "path", "t_eval", "store", "observe", "observe_at", "plots", "decay_window", "checkpoint",
)  # fmt: skip


def distance_to_mean(metric: MetricField) -> float:
    """L2 distance of a metric to its own grid average, in length^(n/2).

    Examples
    --------
    >>> from riemann_lne import Grid, flat_metric
    >>> distance_to_mean(flat_metric(Grid.torus((8, 8))))
    0.0
    """
    return metric.l2_distance(metric.mean())


OBSERVABLES: dict[str, Callable[..., float]] = {
    "bianchi_residual": analysis.bianchi_residual,
    "curvature_max": analysis.curvature_max,
    "distance_to_mean": distance_to_mean,
    "euler_characteristic": analysis.euler_characteristic,
    "perelman_lambda": analysis.perelman_lambda,
    "scalar_curvature_max": analysis.scalar_curvature_max,
    "scalar_curvature_min": analysis.scalar_curvature_min,
    "total_scalar_curvature": analysis.total_scalar_curvature,
    "volume": analysis.volume,
}
"""Numbers that can be observed, by their names in [output] observe."""


@dataclass(frozen=True)
class Output:
    """Settings of the section [output].

    Attributes
    ----------
    path : Path
        Of the solution, .npz or .zarr.
    store : str or Path
        As ``solve_flow`` takes it.
    pictures : dict from str to Path
        Names and files of the pictures.
    decay_window : (float, float) or None
        Where the rate is fitted.
    checkpoint : Checkpoint or None
        Where and how often is saved.
    """

    path: Path
    store: str | Path
    observe: dict[str, Callable[[MetricField], float]]
    observe_at: str
    pictures: dict[str, Path]
    decay_window: tuple[float, float] | None
    checkpoint: Checkpoint | None

    @property
    def streamed(self) -> bool:
        """Whether metrics go to a zarr store while the flow runs."""
        return self.path.suffix == ".zarr"

    @property
    def checkpoint_folder(self) -> Path | None:
        """Where checkpoints go."""
        return None if self.checkpoint is None else Path(self.checkpoint.path)


def build_output(table: Any, folder: Path, order: Order) -> Output:
    """The section [output]; relative paths start at the folder of the configuration."""
    section = Section("output", table, _KEYS)
    path = folder / section.text("path", wanted="a path that ends in .npz or .zarr")
    if path.suffix not in (".npz", ".zarr"):
        raise section.wrong("path", "a path that ends in .npz or .zarr")
    if not path.parent.is_dir():
        raise section.wrong("path", f"a path in a folder that exists; {path.parent} does not")
    store: str | Path = section.choice("store", ("metrics", "last"), "metrics")
    if path.suffix == ".zarr":
        if store == "last":
            raise section.wrong("store", "'metrics', or a path that ends in .npz")
        store = path
    names = section.choices("observe", OBSERVABLES)
    pictures = section.choices("plots", PICTURES)
    window = section.numbers("decay_window", None)
    if window is not None and not (len(window) == 2 and window[0] < window[1]):
        raise section.wrong("decay_window", "two rising times")
    if "observed" in pictures and not names:
        raise section.wrong("plots", "names in observe too, to have them drawn")
    if "decay" in pictures and store == "last":
        raise section.wrong("store", "'metrics': the picture of the decay needs them")
    return Output(
        path=path,
        store=store,
        observe={name: _observable(name, order) for name in names},
        observe_at=section.choice("observe_at", ("steps", "t_eval"), "steps"),
        pictures={
            name: path.with_name(f"{path.stem}-{name}{PICTURES[name].ending}") for name in pictures
        },
        decay_window=window if window is None else (window[0], window[1]),
        checkpoint=_checkpoint(section, path, folder),
    )


def _observable(name: str, order: Order) -> Callable[[MetricField], float]:
    """The function of the name, with the order of the run."""
    function = OBSERVABLES[name]
    if name == "volume":
        return partial(function, order=quadrature_order(order))
    if "order" in inspect.signature(function).parameters:
        return partial(function, order=order)
    return function


def _checkpoint(section: Section, path: Path, folder: Path) -> Checkpoint | None:
    value = section.get("checkpoint", True)
    if value is False:
        return None
    default = path.with_suffix(".checkpoint")
    if value is True:
        return Checkpoint(default)
    if isinstance(value, str) and value:
        return Checkpoint(folder / value)
    if not isinstance(value, Mapping):
        raise section.wrong(
            "checkpoint", "a path, true, false, or a table with path, steps, seconds"
        )
    inner = Section("output.checkpoint", value, ("path", "steps", "seconds"))
    where = folder / inner.text("path") if "path" in inner else default
    steps = inner.integer("steps", None, least=1)
    seconds = inner.number("seconds", None)
    with section.errors("checkpoint"):
        return Checkpoint(where, steps, seconds)


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from."""
    return any((folder / name).exists() for name in (*GENERATIONS, COMMIT))


def require_free(output: Output, resume: bool) -> None:
    """Refuse to begin where the work of another run would be lost.

    Raises
    ------
    InvalidArgumentError
        If an output or a checkpoint exists, or with ``resume`` outputs exist and no checkpoint.
    """
    folder = output.checkpoint_folder
    if resume:
        if folder is None:
            raise InvalidArgumentError(
                "--resume needs a checkpoint, but [output] checkpoint = false"
            )
        if output.path.exists() and not any((folder / name).exists() for name in FILES):
            raise InvalidArgumentError(
                f"{output.path} exists, but there is no checkpoint {folder} to go on from; "
                "remove it, choose another [output] path, or replace it with --force"
            )
        return
    existing = [p for p in (output.path, *output.pictures.values()) if p.exists()]
    if folder is not None and has_checkpoint(folder):
        existing.append(folder)
    if existing:
        raise InvalidArgumentError(
            f"these exist already: {', '.join(map(str, existing))}; go on with --resume, replace "
            "them with --force, or choose another [output] path"
        )


def clear(output: Output) -> None:
    """Make room for a run with --force: remove its store and its checkpoint, nothing else.

    Other outputs are replaced when they are written.

    Raises
    ------
    InvalidArgumentError
        If there is something else at the path of the store.
    """
    if output.streamed and output.path.exists():
        if not (output.path / "zarr.json").is_file():
            raise InvalidArgumentError(
                f"{output.path} is no zarr store and is left alone; remove it, or choose another "
                "[output] path"
            )
        with storage_errors("over the store", output.path):
            shutil.rmtree(output.path)
    folder = output.checkpoint_folder
    if folder is not None and folder.is_dir():
        with storage_errors("over the checkpoint", folder):
            # By name: whatever else lies in the folder is not this program's.
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
            remove_sets(folder)
            forget_record(folder)
