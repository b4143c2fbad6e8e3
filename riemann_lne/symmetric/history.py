"""Ricci flow with surgery: a sphere with necks, followed through its pinches to round points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..errors import DTypeError, InvalidArgumentError
from ..io import npz_path
from .files import own_checkpoint
from .flow import RotationalFlow
from .metric import RotationalMetric
from .solve import require_resolved
from .stretch import Pace
from .surgery import Cap, cut, cut_circle

_ROUND = 0.99
_GOOD = ("round point", "circle", "end of t_span", "neck")
# A part that is not round when it has shrunk so far beyond ``stop`` is given up.
_GIVE_UP = 1e-4


@dataclass(frozen=True, eq=False)
class Piece:
    """One connected part, from its birth to its end.

    Attributes
    ----------
    index, parent : int
        Its place in ``SurgeryHistory.pieces``, and that of the part it was cut from (-1: none).
    born : float
        Time of its first metric, length^2.
    steps : ndarray, (k - 1,)
        Times between one kept metric and the next: close to a singularity these are far smaller
        than the precision of the time itself.
    metrics : list of RotationalMetric, k
    end : str
        "" while it flows; "cut" where a neck was cut, "neck" where one was to be but ``max_pieces``
        were there; "round point"; "circle" where S^n x S^1 shrank to a circle without a neck that
        pinched; "end of t_span"; or the reason of a failure.
    cap : Cap or None
        The cap that closed it, None for the start.
    """

    index: int
    parent: int
    born: float
    steps: np.ndarray
    metrics: list[RotationalMetric]
    end: str = ""
    cap: Cap | None = None

    @property
    def t(self) -> np.ndarray:
        """The times of the metrics, (k,)."""
        return self.born + np.concatenate([[0.0], np.cumsum(self.steps)])

    def time_left(self) -> np.ndarray:
        """T - t for the metrics, (k,), with T the time of the singularity that ends the piece.

        Summed from the end, so that it is exact also where t is not; of the last metric itself it
        is psi^2 / (2 (n - 1)) of the neck, that of a cylinder, or r^2 / (2 n) with the largest psi,
        that of a round sphere.
        """
        last = self.metrics[-1]
        neck = last.neck_radius()
        n = last.n
        # A part that failed at a neck was about to pinch there.
        alive = self.end in ("", "round point", "circle", "end of t_span", "interrupted")
        pinches = not alive and n > 1 and math.isfinite(neck)
        if self.end == "circle":
            neck, pinches = float(last.psi.max()), n > 1
        rest = neck**2 / (2 * (n - 1)) if pinches else float(last.psi.max()) ** 2 / (2 * n)
        return np.append(np.cumsum(self.steps[::-1])[::-1] + rest, rest)


@dataclass(frozen=True, eq=False)
class SurgeryHistory:
    """All parts of a flow with surgery.

    Attributes
    ----------
    pieces : list of Piece
        Parents before children.
    success : bool
        Whether every part that was not cut ended as a round point, at the end of the time, or at a
        neck that was not to be cut.
    message : str
        How each part ended.
    nfev, n_accepted : int
        Evaluations of the right-hand side, and steps, of all parts.
    parameters : dict
        How the flow was asked for.
    """

    pieces: list[Piece]
    success: bool
    message: str
    nfev: int
    n_accepted: int
    parameters: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"SurgeryHistory({len(self.pieces)} pieces; {self.message})"

    @property
    def caps(self) -> list[Cap]:
        """The parameters of the surgeries, one for each cut."""
        found = {p.parent: p.cap for p in self.pieces if p.cap is not None}
        return list(found.values())

    def at(self, t: float) -> list[tuple[Piece, RotationalMetric]]:
        """The parts that exist at a time, each with its kept metric closest to it.

        Raises
        ------
        InvalidArgumentError
            If the time is before the start.
        """
        t = checks.number(t, "t")
        if t < self.pieces[0].born:
            raise InvalidArgumentError(f"t = {t}; give a time from {self.pieces[0].born} on")
        found = []
        for piece in self.pieces:
            times = piece.t
            if times[0] <= t < times[-1] or (t == times[-1] and piece.end != "cut"):
                found.append((piece, piece.metrics[int(np.abs(times - t).argmin())]))
        return found


def flow_with_surgery(
    metric: RotationalMetric,
    *,
    t_end: float | None = None,
    neck: float = 1e-3,
    stop: float = 1e-3,
    gauge: str = "monitor",
    method: str = "auto",
    rtol: float = 1e-5,
    max_pieces: int = 8,
    max_steps: int = 100_000,
    checkpoint: str | PathLike[str] | None = None,
    resume: bool = False,
) -> SurgeryHistory:
    """Ricci flow of a metric on S^(n+1) or S^n x S^1 through its neckpinches.

    Parameters
    ----------
    metric : RotationalMetric
        The start, on a sphere of dimension 3 or more (on surfaces nothing pinches), or on
        S^n x S^1, n at least 2: the first cut makes a sphere of it.
    t_end : float, optional
        The end, length^2; by default all parts are followed until they vanish.
    neck : float
        A neck is cut when its radius has fallen to this part of the thinnest neck of the start (of
        its largest psi if it has none). 1e-6 and less can be reached: a limit of the method, not of
        the geometry, is ``resolution()``, the points at the neck.
    stop : float
        A part ends as a round point when its largest psi has fallen to this part of that of the
        start, and its least curvature is at least 0.99 of its largest.
    gauge, method, rtol
        As in ``solve``.
    max_pieces : int
        Largest number of parts: then no more necks are cut, and a part ends at its neck. With 1,
        the flow ends at the first neckpinch.
    max_steps : int
        Steps of each part.
    checkpoint : path, optional
        A file, ending in .npz, written after every part: ``resume=True`` then goes on from it. One
        that is there already is not written over.
    resume : bool
        Go on from the checkpoint, if it exists. All other arguments must be as they were.

    Returns
    -------
    SurgeryHistory
        A part that fails, as one whose neck is smaller than the points resolve, ends with the
        reason and keeps its metrics; the other parts are followed. Ctrl-C ends all that are left.

    Raises
    ------
    DTypeError, InvalidArgumentError, UnknownNameError
        If an argument makes no sense.
    StorageError, DamagedFileError, FolderInUseError
        If the checkpoint cannot be written or read, or another run is writing it.

    Examples
    --------
    >>> from riemann_lne.symmetric import dumbbell
    >>> history = flow_with_surgery(dumbbell(64, neck=0.1, n=3), neck=0.2, stop=0.1, rtol=1e-4)
    >>> [piece.end for piece in history.pieces]
    ['cut', 'round point', 'round point']
    """
    if not isinstance(metric, RotationalMetric):
        raise DTypeError(f"metric is {checks.shown(metric)}; give a RotationalMetric")
    if metric.space == "euclidean":
        raise InvalidArgumentError(
            f"surgery is for metrics on a sphere or on S^n x S^1, not on {metric!r}"
        )
    if metric.n < 2:
        raise InvalidArgumentError("n = 1: on a surface no neck pinches; use solve(...)")
    require_resolved(metric)
    options: dict[str, Any] = {
        "t_end": math.inf if t_end is None else checks.number(t_end, "t_end", above=0),
        "neck": checks.number(neck, "neck", above=0),
        "stop": checks.number(stop, "stop", above=0),
        "gauge": gauge,
        "method": "rkl2" if method == "auto" else method,
        "rtol": checks.number(rtol, "rtol", above=0),
        "max_pieces": checks.count(max_pieces, "max_pieces", least=1),
        "max_steps": checks.count(max_steps, "max_steps", least=1),
    }
    if options["neck"] >= 1 or options["stop"] >= 1:
        raise InvalidArgumentError(f"neck = {neck}, stop = {stop}; both must be below 1")
    run = _Run(metric, options)
    file = None if checkpoint is None else npz_path(checkpoint)
    if checks.flag(resume, "resume") and file is None:
        raise InvalidArgumentError("resume=True needs checkpoint=path, to know what to resume")
    if file is None:
        run.go(None)
        return run.history()
    with own_checkpoint(file, resume) as there:
        if there:
            run.recall(file)
        run.go(file)
    return run.history()


class _Run:
    """One flow with surgery: the parts that are done, and those still to be followed."""

    def __init__(self, metric: RotationalMetric, options: dict[str, Any]) -> None:
        self.options = options
        thinnest = metric.neck_radius()
        size = float(metric.psi.max())
        self.cut_at = options["neck"] * (thinnest if math.isfinite(thinnest) else size)
        self.stop_at = options["stop"] * size
        self.pieces = [Piece(0, -1, 0.0, np.zeros(0), [metric])]
        self.nfev = self.steps = 0
        self.start = metric

    def go(self, file: Path | None) -> None:
        """Follow every part that has not ended, children included."""
        try:
            while (piece := next((p for p in self.pieces if not p.end), None)) is not None:
                self._follow(piece)
                if file is not None:
                    from .storage import save_history

                    save_history(self.history(), file)
        except KeyboardInterrupt:
            self.pieces = [p if p.end else replace(p, end="interrupted") for p in self.pieces]

    def recall(self, file: Path) -> None:
        """Go on from a checkpoint of the same flow."""
        from .storage import load_history

        found = load_history(file)
        if found.parameters != self._parameters() or found.pieces[0].metrics[0] != self.start:
            raise InvalidArgumentError(
                f"the checkpoint {file} is that of another flow; give another path, or the same "
                f"metric and arguments: {found.parameters}"
            )
        self.pieces, self.nfev, self.steps = list(found.pieces), found.nfev, found.n_accepted

    def _follow(self, piece: Piece) -> None:
        """Follow a part to its end, and add its children if it is cut."""
        metrics, steps, end = [piece.metrics[0]], [], ""
        flow = RotationalFlow(metrics[0].operators, metrics[0].n, self.options["gauge"])
        pace = Pace(flow, self.options["method"], self.options["rtol"])
        t, taken = piece.born, 0
        while not end:
            metric = metrics[-1]
            most = max(1, self.options["max_steps"] - taken)
            stretch = pace.follow(metric, self.options["t_end"] - t, self._still(metric), most)
            run = stretch.run
            self.nfev += run.nfev
            taken += run.n_accepted
            kept = _spread(len(run.t) - 1)
            steps += stretch.durations(kept)
            metrics += [
                RotationalMetric.from_state(metric.operators, metric.n, stretch.state(after))
                for after in kept
            ]
            t = float(piece.born + np.cumsum(steps)[-1])  # as ``Piece.t`` has it
            if run.status < 0:
                end = "interrupted" if run.status == -2 else run.message
            else:
                end = self._state_of(metrics[-1], t)
        self.steps += taken
        done = replace(piece, steps=np.array(steps), metrics=metrics, end=end)
        self.pieces[piece.index] = done
        if run.status == -2:
            # ``integrate`` has taken Ctrl-C; the parts that are left end with this one.
            raise KeyboardInterrupt
        if end == "cut":
            parts: list[RotationalMetric]
            if metrics[-1].space == "sphere":
                *parts, cap = cut(metrics[-1])
            else:
                part, cap = cut_circle(metrics[-1])
                parts = [part]
            for part in parts:
                self.pieces.append(
                    Piece(len(self.pieces), piece.index, t, np.zeros(0), [part], cap=cap)
                )

    def _still(self, metric: RotationalMetric) -> float:
        """By which part, as a logarithm, lengths shrink before a part is cut or has vanished."""
        neck = metric.neck_radius()
        if math.isfinite(neck):
            return math.log(neck / self.cut_at)
        return math.log(float(metric.psi.max()) / self.stop_at)

    def _state_of(self, metric: RotationalMetric, t: float) -> str:
        """Why a part ends here; nothing if it goes on."""
        if t >= self.options["t_end"] * (1 - 1e-14):
            return "end of t_span"
        if metric.neck_radius() <= self.cut_at:
            return "cut" if len(self.pieces) < self.options["max_pieces"] else "neck"
        size = float(metric.psi.max())
        if size <= self.stop_at and metric.space == "cylinder":
            return "circle"
        if size <= self.stop_at and metric.roundness() >= _ROUND:
            return "round point"
        if size <= _GIVE_UP * self.stop_at:
            return f"not round: least over largest curvature {metric.roundness():.3g}"
        if not metric.resolution() < 1:
            return (
                "the points do not resolve the curvature: they are "
                f"{metric.resolution():.3g} radii of curvature apart; take more points, or a "
                "larger neck"
            )
        return ""

    def _parameters(self) -> dict[str, Any]:
        start = self.start
        return {**self.options, "n": start.n, "points": start.points,
                "order": start.operators.order}  # fmt: skip

    def history(self) -> SurgeryHistory:
        """The pieces followed so far, as a result."""
        leaves = [p for p in self.pieces if p.end != "cut"]
        good = all(p.end in _GOOD for p in leaves)
        ends = ", ".join(f"piece {p.index}: {p.end or 'not followed yet'}" for p in self.pieces)
        return SurgeryHistory(
            list(self.pieces), good, ends, self.nfev, self.steps, self._parameters()
        )


def _spread(count: int) -> list[int]:
    """Numbers of the steps that are kept of ``count``: the last, and at most seven before it."""
    return sorted({max(1, round(count * part / 8)) for part in range(1, 9)}) if count else []
