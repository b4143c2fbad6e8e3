"""Time to an error against the exact solution, beside what a user would take instead.

Every solver may choose its grid, its order of differences and its tolerance: the quickest run that
reaches the error counts. So a solver is not judged on a grid that suits another one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from .lab import Laboratory, NotMeasuredError, take_turns
from .peers import INSTALL, PACKAGES
from .results import Result, Row, Settings
from .samples import Samples, statistics

TIME = "processor time, s"
"""Name of the figure: median over the rounds."""
NOT_REACHED = "not reached"
OURS = "riemann-lne "
"""How the labels of our solvers begin."""
TARGETS = (1e-4, 1e-6, 1e-8)
_LADDER = (100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
"""Tolerances, in units of the error that is to be reached, from loose to tight."""
_TIGHTEST = 1e-13
"""Tolerance below which rounding decides, and some libraries refuse."""
_SHARE_OF_SPACE = 0.7
"""Share of an error that the differences in space may take; the rest is left for time."""
_LIMIT = 30.0
"""Seconds of processor time after which a run is given up."""
_SLOW = 3.0
"""Seconds of processor time from which a run is timed once only."""
_WALL = 300.0
"""Seconds of the clock after which a command is given up on a machine with other work."""

Order = int | str


@dataclass(frozen=True)
class Solver:
    """A method of a library, and the orders of differences that it is given.

    ``label`` is for people, ``version`` the name of the task that runs it, ``peer`` says whether
    it is looked for in the interpreter of the peers.
    """

    label: str
    version: str
    method: str
    orders: tuple[Order, ...] = (4, 6, "fourier")
    peer: bool = True


SOLVERS = (
    Solver(OURS + "etdrk4", "flow", "etdrk4", peer=False),
    Solver(OURS + "rkl2", "flow", "rkl2", peer=False),
    Solver(OURS + "tsit5", "flow", "tsit5", peer=False),
    Solver("SciPy RK45", "solve", "RK45", peer=False),
    Solver("SciPy BDF, sparse Jacobian", "solve", "BDF", (4, 6), peer=False),
    Solver("SciPy LSODA, banded Jacobian", "solve", "LSODA", (4, 6), peer=False),
    # Compiling takes them longer than all runs together, for each grid anew: no order 4.
    Solver("diffrax Tsit5", "diffrax", "Tsit5", (6, "fourier")),
    Solver("diffrax KenCarp4 (IMEX), GMRES", "diffrax", "KenCarp4", (6, "fourier")),
    Solver("SUNDIALS CVODE BDF, GMRES", "SUNDIALS", "BDF"),
    Solver("SUNDIALS LSRKStep RKL_2", "SUNDIALS", "RKL_2"),
    Solver("py-pde Runge-Kutta", "py-pde run", "runge-kutta", (2,)),
)


@dataclass(frozen=True)
class Case:
    """A problem with a known end: name, number of dimensions, time span, points an axis to try."""

    problem: str
    ndim: int
    span: tuple[float, float]
    points: tuple[int, ...]
    targets: tuple[float, ...] = TARGETS


SAUSAGE = (
    Case(
        "diagonal sausage",
        2,
        (1.0, 1.5),
        (16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384),
    ),
    Case("diagonal sausage", 2, (1.0, 1.1), (12, 16, 24), (1e-2,)),
)
"""The 2-D problem, and its quick form.

It changes along both axes. Where a solution changes along one alone, waves along the other never
arise, not even by rounding, and an explicit method that feels its way to the limit of stability
takes steps twice as long: at (1, 0) SciPy's RK45 makes half the evaluations of "tsit5", which
stays below the limit of all waves, and at (1, 1) as many.
"""
GAUGE_FAMILY = (
    Case("gauge family", 3, (0.0, 0.5), (8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48)),
    Case("gauge family", 3, (0.0, 0.1), (8, 10), (1e-2,)),
)
"""The 3-D problem, and its quick form."""


@dataclass
class _Run:
    """A solver's run on one grid at one tolerance, and what it gave."""

    key: str
    task: dict[str, Any]
    building: float = 0.0
    processor: float = 0.0
    wall: float = 0.0
    error: float = float("inf")
    work: str = ""


@dataclass
class Contender:
    """A solver with its process: looks for the quickest run that reaches an error.

    Attributes
    ----------
    solver : Solver
        What runs.
    python : str
        The interpreter of its process.
    limit : float
        Seconds of processor time that a run may take.
    reason : str
        Why the last search found nothing.
    missing : bool
        Whether its library is not installed.
    """

    solver: Solver
    python: str = ""
    limit: float = _LIMIT
    reason: str = ""
    missing: bool = False
    _lab: Laboratory | None = None
    _built: dict[tuple[Any, ...], float] = field(default_factory=dict)

    def close(self) -> None:
        """End its process."""
        if self._lab is not None:
            self._lab.close()
            self._lab = None

    def lab(self) -> Laboratory:
        """Its process, a new one where the last was ended."""
        if self._lab is None:
            self._lab = Laboratory(python=self.python)
        return self._lab

    def search(
        self, case: Case, target: float, grids: Sequence[tuple[Order, int]]
    ) -> tuple[_Run | None, float]:
        """The quickest run to a target over grids and tolerances, and the least error of all."""
        best: _Run | None = None
        least, reasons = float("inf"), []
        for order, points in sorted(grids, key=lambda grid: grid[1]):
            for rtol in (f * target for f in _LADDER if f * target > _TIGHTEST):
                run = self._prepared(case, order, points, rtol)
                # A run on another grid is of interest only where it is quicker.
                limit = self.limit if best is None else min(self.limit, 1.5 * best.processor + 1)
                try:
                    self.measure(run, limit)
                except NotMeasuredError as error:
                    self.missing = error.missing
                    if best is None:
                        reasons.append(f"{describe(case, order, points)}: {error}")
                    if "not done" in str(error) or "process" in str(error):
                        self.close()
                    break
                least = min(least, run.error)
                if run.error <= target:
                    if best is None or run.processor < best.processor:
                        best = run
                    break
            if self.missing:
                break
        self.reason = "; ".join(reasons)
        return best, least

    def _prepared(self, case: Case, order: Order, points: int, rtol: float) -> _Run:
        task: dict[str, Any] = {
            "problem": case.problem,
            "method": self.solver.method,
            "span": list(case.span),
            "points": points,
            "order": order,
            "rtol": rtol,
            "atol": rtol,
            "kernel": "fused",
        }
        return _Run(f"{case.problem} {order} {points} {rtol:.0e}", task)

    def measure(self, run: _Run, limit: float) -> None:
        """Build and run once; fills in what it took."""
        kept = tuple((k, str(v)) for k, v in run.task.items() if k not in ("rtol", "atol"))
        built = self.lab().do("prepare", _WALL, key=run.key, version=self.solver.version,
                              problem=run.task)["building cpu"]  # fmt: skip
        # Later tolerances on the same grid find it compiled.
        run.building = self._built.setdefault(kept, built)
        facts = self.lab().do("first", _WALL, limit, key=run.key, path=None)
        run.wall, run.processor, run.error = facts["first"], facts["cpu"], facts["error"]
        run.work = facts.get("work") or f"{facts['evaluations']} evaluations"

    def ready(self, run: _Run) -> None:
        """Have the run's task in the process once more, where that was ended since."""
        self.lab().do("prepare", _WALL, key=run.key, version=self.solver.version, problem=run.task)


def describe(case: Case, order: Order, points: int) -> str:
    """A grid in words.

    >>> describe(SAUSAGE[0], "fourier", 32), describe(GAUGE_FAMILY[0], 4, 16)
    ('Fourier, 32^2', 'order 4, 16^3')
    """
    return f"{'Fourier' if order == 'fourier' else f'order {order}'}, {points}^{case.ndim}"


def bench_solution(settings: Settings) -> Result:
    """Periodic sausage in 2-D, processor time to an error of 1e-4, 1e-6, 1e-8, beside others."""
    return solved("solution", SAUSAGE[settings.quick], settings)


def bench_solution_3d(settings: Settings) -> Result:
    """Gauge family in 3-D, processor time to an error of 1e-4, 1e-6, 1e-8, beside others."""
    return solved("solution-3d", GAUGE_FAMILY[settings.quick], settings)


def solved(
    name: str, case: Case, settings: Settings, solvers: Sequence[Solver] = SOLVERS
) -> Result:
    """All solvers on one problem, target by target."""
    result = Result(name, "")
    contenders = [
        Contender(solver, settings.peer_python if solver.peer else "") for solver in solvers
    ]
    try:
        space = errors_in_space(case, {o for s in solvers for o in s.orders}, result, settings)
        beaten: dict[str, str] = {}
        for target in sorted(case.targets, reverse=True):
            _race(case, target, space, contenders, beaten, settings, result)
    finally:
        for contender in contenders:
            contender.close()
    _versions(settings, result)
    return result


def errors_in_space(
    case: Case, orders: Collection[Order], result: Result, settings: Settings
) -> dict[Order, list[tuple[int, float]]]:
    """For each order the errors on finer and finer grids, until the smallest target is reached."""
    found: dict[Order, list[tuple[int, float]]] = {}
    smallest = min(case.targets)
    judge = Contender(Solver("", "flow", "etdrk4", peer=False))
    try:
        for order in sorted(orders, key=str):
            found[order] = []
            for points in case.points:
                run = judge._prepared(case, order, points, smallest / 10)
                settings.say(f"{case.problem}: error in space, {describe(case, order, points)}")
                try:
                    judge.measure(run, _LIMIT)
                except NotMeasuredError as reason:
                    result.notes.append(f"{describe(case, order, points)}: {reason}")
                    judge.close()
                    break
                found[order].append((points, run.error))
                if run.error <= _SHARE_OF_SPACE * smallest:
                    break
            if not found[order]:
                continue
            points, error = found[order][-1]
            parameters = {"problem": case.problem, "order": order, "points": points}
            row = Row(f"{case.problem}, {describe(case, order, points)}", parameters)
            row.figures = {"error in space": error}
            result.rows.append(row)
    finally:
        judge.close()
    return found


def grids_for(
    target: float, orders: Sequence[Order], space: dict[Order, list[tuple[int, float]]]
) -> list[tuple[Order, int]]:
    """For each order the coarsest grid whose error in space leaves room below the target."""
    grids: list[tuple[Order, int]] = []
    for order in orders:
        fine = [points for points, error in space[order] if error <= _SHARE_OF_SPACE * target]
        grids += [(order, min(fine))] if fine else []
    return grids


def _race(
    case: Case,
    target: float,
    space: dict[Order, list[tuple[int, float]]],
    contenders: Sequence[Contender],
    beaten: dict[str, str],
    settings: Settings,
    result: Result,
) -> None:
    """Every solver's quickest run to one target; those that are quick are timed in turns."""
    rows: list[tuple[Contender, _Run, Row]] = []
    for contender in contenders:
        solver = contender.solver
        name = f"{case.problem} to {target:.0e}: {solver.label}"
        parameters = {"problem": case.problem, "target": target, "solver": solver.label}
        row = Row(name, parameters)
        if contender.missing:
            continue
        result.rows.append(row)
        grids = grids_for(target, solver.orders, space)
        if solver.label in beaten:
            row.figures = {NOT_REACHED: f"not tried after {beaten[solver.label]}"}
            continue
        if not grids and not space[solver.orders[-1]]:
            row.figures = {NOT_REACHED: "no error in space was found"}
            continue
        if not grids:
            order = solver.orders[-1]
            points, error = space[order][-1]
            text = f"error in space {error:.1g} at {describe(case, order, points)}"
            row.figures = {NOT_REACHED: text}
            continue
        settings.say(name)
        best, least = contender.search(case, target, grids)
        if contender.missing:
            result.rows.remove(row)
            note = f"{solver.label}: not installed; to compare with it: {install(solver)}"
            result.notes.append(note)
        elif best is None:
            text = contender.reason or f"least error {least:.1g} at all tolerances"
            row.figures = {NOT_REACHED: text}
            beaten[solver.label] = f"{target:.0e}"
        else:
            rows.append((contender, best, row))
    _take_turns(rows, settings)
    for contender, run, row in rows:
        assert row.samples is not None
        row.parameters |= {"order": run.task["order"], "points": run.task["points"]}
        row.parameters |= {"rtol": run.task["rtol"], "kernel": run.task["kernel"], "threads": 1}
        row.parameters |= {"compiled": contender.solver.version == "diffrax"}
        row.figures = {
            TIME: statistics(row.samples.cpu).median,
            "compiling before, s": run.building,
            "grid": describe(case, run.task["order"], run.task["points"]),
            "rtol": run.task["rtol"],
            "error": run.error,
            "work": run.work,
        }


def _take_turns(rows: Sequence[tuple[Contender, _Run, Row]], settings: Settings) -> None:
    """More samples of what is quick; of what is slow the run of the search counts."""
    turns = []
    for number, (contender, run, row) in enumerate(rows):
        row.samples = Samples([run.wall], [run.processor])
        if run.processor < _SLOW:
            contender.ready(run)
            turns.append((str(number), contender.lab(), run.key))
    if not turns:
        return
    samples = take_turns(turns, min(settings.repeats, 3), 0.0)
    for name, found in samples.items():
        rows[int(name)][2].samples = found


def install(solver: Solver) -> str:
    """The command that installs a solver's library."""
    names = {"diffrax": "diffrax", "SUNDIALS": "SUNDIALS", "py-pde run": "py-pde"}
    return INSTALL[names[solver.version]]


def _versions(settings: Settings, result: Result) -> None:
    try:
        with Laboratory(python=settings.peer_python) as lab:
            names = [*PACKAGES, "scipy", "diffrax", "sundials4py"]
            found = lab.do("versions", names=names)["versions"]
    except NotMeasuredError:
        return
    text = ", ".join(f"{name} {number}" for name, number in found.items())
    result.notes.append(f"versions of the peers: {text}")
