"""A flow whose states are written to a file from output to output, and that goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import InvalidArgumentError
from ..io import npz_path
from .files import own_checkpoint
from .metric import RotationalMetric
from .solve import Event, RotationalSolution, solve


def solve_in_parts(
    metric: RotationalMetric,
    times: Sequence[float],
    checkpoint: str | PathLike[str],
    *,
    resume: bool = False,
    gauge: str = "monitor",
    normalized: bool = False,
    method: str = "auto",
    rtol: float = 1e-6,
    events: Event | Sequence[Event] | None = None,
    max_steps: int = 100_000,
) -> RotationalSolution:
    """``solve`` from one time to the next, with everything so far in a file after each.

    A run that was killed loses the part it was in. Every part begins with a step size of its own,
    so that a resumed run has the same states as one that was not interrupted; those of ``solve``
    differ within the tolerance.

    The file is one whole solution at every time, which ``RotationalSolution.load`` reads. It is
    written anew after each part, so that the work of writing grows with the square of the number
    of times; ``solve(..., checkpoint=folder)`` appends, and is meant for very many.

    Parameters
    ----------
    metric : RotationalMetric
    times : sequence of float
        Times of the states, increasing, length^2. The first is that of ``metric``.
    checkpoint : path
        A file, ending in .npz, as ``RotationalSolution.save`` writes it. One that is there already
        is not written over.
    resume : bool
        Go on from the checkpoint, if it exists. Metric, times and options must be as they were
        (events cannot be compared: give the same).
    gauge, normalized, method, rtol, events, max_steps
        As in ``solve``; the steps are those of a part.

    Returns
    -------
    RotationalSolution
        Without the events of the parts before a checkpoint.

    Raises
    ------
    DTypeError, InvalidArgumentError, UnknownNameError
        If an argument makes no sense, or the checkpoint is that of another flow.
    StorageError, DamagedFileError, FolderInUseError
        If the checkpoint cannot be written or read, or another run is writing it.

    Examples
    --------
    >>> import tempfile, riemann_lne as rl
    >>> g = rl.symmetric.round_sphere(24)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = solve_in_parts(g, [0, 0.05, 0.1], folder + "/run.npz")
    ...     len(RotationalSolution.load(folder + "/run.npz"))
    3
    """
    when = [checks.number(t, "times") for t in times]
    if len(when) < 2 or any(b <= a for a, b in pairwise(when)):
        raise InvalidArgumentError(f"times = {checks.shown(times)}; give two or more, increasing")
    file = npz_path(checkpoint)
    options: dict[str, Any] = {
        "gauge": gauge, "normalized": normalized, "method": method, "rtol": rtol,
        "max_steps": max_steps,
    }  # fmt: skip
    with own_checkpoint(file, checks.flag(resume, "resume")) as there:
        done = _recalled(file, metric, when, options) if there else None
        while done is None or (done.status == 0 and len(done) < len(when)):
            k = 1 if done is None else len(done)
            start = metric if done is None else done[-1]
            part = solve(start, (when[k - 1], when[k]), t_eval=[when[k]], events=events, **options)
            done = _joined(done, part, metric, when, options)
            done.save(file)
    return done


def _joined(
    done: RotationalSolution | None,
    part: RotationalSolution,
    metric: RotationalMetric,
    when: list[float],
    options: dict[str, Any],
) -> RotationalSolution:
    """The parts so far and one more."""
    t = np.array(when[:1]) if done is None else done.t
    metrics = [metric] if done is None else done.metrics
    before = (0, 0, 0) if done is None else (done.nfev, done.n_accepted, done.n_rejected)
    parameters = {**part.parameters, "times": when, "options": options}
    return RotationalSolution(
        np.append(t, part.t[-1]),
        [*metrics, part[-1]],
        part.success,
        part.status,
        part.message,
        before[0] + part.nfev,
        before[1] + part.n_accepted,
        before[2] + part.n_rejected,
        part.method,
        part.t_events,
        part.metrics_events,
        parameters,
    )


def _recalled(
    file: Path, metric: RotationalMetric, when: list[float], options: dict[str, Any]
) -> RotationalSolution | None:
    """The solution in a checkpoint of the same flow; None where no part of it is whole."""
    found = RotationalSolution.load(file)
    known = found.parameters.get("times"), found.parameters.get("options")
    if known != (when, options) or found[0] != metric:
        raise InvalidArgumentError(
            f"the checkpoint {file} is that of another flow; give another path, or the same "
            f"metric, times and options: {known}"
        )
    if found.status != -2:
        return found
    # The part that was interrupted is followed anew.
    kept = len(found) - 1
    if kept < 2:
        return None
    return RotationalSolution(
        found.t[:kept], found.metrics[:kept], True, 0, "", found.nfev, found.n_accepted,
        found.n_rejected, found.method, parameters=found.parameters,
    )  # fmt: skip
