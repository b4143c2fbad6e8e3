"""Runs benchmarks by name and keeps their results as they come."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from riemann_lne.errors import InvalidArgumentError, RiemannLNEError, UnknownNameError
from riemann_lne_validation.lab.folders import owned
from riemann_lne_validation.lab.words import duration

from .budget import bench_budget
from .cuda_sources import bench_cuda, bench_cuda_whole
from .environment import environment
from .gpu import bench_gpu
from .instructions import using
from .integrators import bench_integrators
from .memory import bench_memory
from .peer_comparison import bench_peers
from .requirements import judge
from .results import Record, Result, Settings
from .right_hand_side import bench_right_hand_side, bench_scaling
from .roofline import bench_roofline
from .samples import NOISY, statistics
from .starting import bench_start
from .tables import Terminal
from .time_to_solution import bench_solution, bench_solution_3d
from .training import bench_corrector, bench_regularizer
from .weights import bench_lne
from .work_precision import bench_work_precision

BENCHMARKS: dict[str, Callable[[Settings], Result]] = {
    "right-hand-side": bench_right_hand_side,
    "scaling": bench_scaling,
    "peers": bench_peers,
    "roofline": bench_roofline,
    "start": bench_start,
    "work-precision": bench_work_precision,
    "solution": bench_solution,
    "solution-3d": bench_solution_3d,
    "memory": bench_memory,
    "integrators": bench_integrators,
    "budget": bench_budget,
    "gpu": bench_gpu,
    "cuda": bench_cuda,
    "cuda-whole": bench_cuda_whole,
    "lne": bench_lne,
    "corrector": bench_corrector,
    "regularizer": bench_regularizer,
}
"""In the order in which they run."""


RECORDS = tuple(
    Path(__file__).parents[2] / "docs" / "benchmarks" / f"{name}.json"
    for name in ("cuda", "solution", "results")
)
"""The recorded runs of the documentation, which a checkout and the source distribution have."""

_BUSY = 0.9
"""Share of the time that a process on one thread has its core; below it, others take part of it."""


def run_benchmarks(
    only: Sequence[str] | None = None,
    report: Path | None = None,
    *,
    json: Path | None = None,
    quick: bool = False,
    repeats: int | None = None,
    resume: bool = False,
    peer_python: str = "",
    instructions: str = "native",
) -> int:
    """Run benchmarks by name (or all), print them, and keep them as JSON and plots.

    Parameters
    ----------
    only : sequence of str, optional
        Names; see ``BENCHMARKS``.
    report : Path, optional
        Folder for bench.json and the plots.
    json : Path, optional
        Another file for the results.
    quick : bool
        Small sizes.
    repeats : int, optional
        Rounds of what takes turns: 7, and 3 in the quick form.
    resume : bool
        Keep what the file has, run what it lacks and what ``only`` names.
    peer_python : str
        Interpreter with the peers; this one by default.
    instructions : str
        "native", or "avx2": measure as on a processor that has no AVX-512.

    Returns
    -------
    int
        Exit code: 0; 1 if a benchmark broke down; 130 after Ctrl-C. What was done is kept.

    Raises
    ------
    UnknownNameError
        For a name or an instruction set that is not known.
    InvalidArgumentError
        If the number of rounds is not positive, a place cannot be written to, or there is nothing
        to resume or it is of another machine.
    """
    for name in only or []:
        if name not in BENCHMARKS:
            raise UnknownNameError("benchmark", name, BENCHMARKS)
    rounds = (3 if quick else 7) if repeats is None else repeats
    if rounds < 1:
        raise InvalidArgumentError(f"{rounds} repeats; at least one round is needed")
    path = json or (report / "bench.json" if report else None)
    terminal = Terminal()
    settings = Settings(quick, rounds, peer_python, terminal.status, instructions)
    with using(instructions), owned("the results of bench", [report], path):
        return _run_and_keep(only, report, path, settings, resume, terminal)


def _run_and_keep(
    only: Sequence[str] | None,
    report: Path | None,
    path: Path | None,
    settings: Settings,
    resume: bool,
    terminal: Terminal,
) -> int:
    """Run what is wanted, keep it as it comes, and print it; the exit code."""
    record = _start(path, settings, resume)
    wanted = [n for n in BENCHMARKS if (n in only if only else True)]
    if resume and not only:
        done = {n for n, r in record.results.items() if not r.problem}
        wanted = [n for n in wanted if n not in done]
    usual = {} if settings.quick else usual_seconds()
    terminal.say(announcement(wanted, usual, settings.quick))
    code = 0
    for name in wanted:
        terminal.say(f"{name} runs{_about(usual.get(name))} ...")
        try:
            result = run_one(name, settings)
        except KeyboardInterrupt:
            terminal.say(f"interrupted in {name}; what was done before is kept")
            code = 130
            break
        record.results[name] = result
        code = max(code, int(bool(result.problem)))
        terminal.result(result)
        if path is not None:
            record.write(path, judge(record))
    terminal.requirements(judge(record))
    if path is not None:
        terminal.say(f"results: {path}")
    if report is not None and record.results:
        from .plots import write_plots

        for plot in write_plots(record, report):
            terminal.say(f"plot:    {plot}")
    return code


def usual_seconds() -> dict[str, float]:
    """How long each benchmark took in the recorded runs; empty where there is no record here."""
    found: dict[str, float] = {}
    for path in RECORDS:
        with suppress(OSError, RiemannLNEError):
            results = Record.read(path).results
            found |= {name: r.seconds for name, r in results.items() if r.seconds and not r.problem}
    return found


def announcement(wanted: Sequence[str], usual: Mapping[str, float], quick: bool) -> str:
    """The first line of a run: how many benchmarks, and how long they will take."""
    text = f"{len(wanted)} benchmark{'s' * (len(wanted) != 1)}"
    if quick:
        return f"{text} in the quick form, small sizes and few rounds"
    known = [usual[name] for name in wanted if name in usual]
    if not known:
        return text
    new = len(wanted) - len(known)
    more = f" and {new} that the record lacks" * bool(new)
    return f"{text}:{_about(sum(known))}{more}, as long as the recorded run took"


def _about(seconds: float | None) -> str:
    return "" if seconds is None else f" about {duration(seconds)}"


def list_benchmarks() -> None:
    """Print the names of the benchmarks, how long each takes, and what it measures."""
    terminal, usual = Terminal(), usual_seconds()
    for name, function in BENCHMARKS.items():
        took = f"{duration(usual[name])}" if name in usual else ""
        terminal.say(f"{name:16s} {took:>8s}  {_title(function)}")


def _title(function: Callable[[Settings], Result]) -> str:
    """First line of a docstring."""
    return (function.__doc__ or "").strip().splitlines()[0]


def run_one(name: str, settings: Settings) -> Result:
    """A benchmark; if it breaks down, the result says why, and the others go on."""
    function = BENCHMARKS[name]
    title = _title(function)
    began = time.perf_counter()
    try:
        result = function(settings)
    except (RiemannLNEError, MemoryError) as error:
        result = Result(name, title, problem=f"{type(error).__name__}: {error}")
    except Exception:
        result = Result(name, title, problem=traceback.format_exc())
    result.name, result.title = name, title
    result.seconds = time.perf_counter() - began
    result.notes += _noise(result)
    return result


def _noise(result: Result) -> list[str]:
    """Warnings about times that other work on the machine has disturbed."""
    notes = []
    noisy = [row.what for row in result.rows if row.noisy]
    if noisy:
        notes.append(
            f"noise: the quartiles of {len(noisy)} of {len(result.rows)} times (marked ~) lie more "
            f"than {NOISY:.0%} of the median apart: repeat them on a quiet machine"
        )
    shares = [
        statistics(row.samples.cpu).median / statistics(row.samples.wall).median
        for row in result.rows
        if row.samples and row.parameters.get("threads") == 1 and min(row.samples.cpu) > 0
    ]
    if shares and statistics(shares).median < _BUSY:
        notes.append(
            f"noise: the processes measured had their core for {statistics(shares).median:.0%} of "
            "the time only: something else runs on this machine, compare the process times"
        )
    return notes


def _start(path: Path | None, settings: Settings, resume: bool) -> Record:
    """A new record, or the one to go on with."""
    fresh = Record(environment(), settings.as_dict())
    if not resume:
        return fresh
    if path is None:
        raise InvalidArgumentError("--resume needs --json FILE or --report DIR, to go on with it")
    if not path.exists():
        return fresh
    record = Record.read(path)
    both = {**fresh.environment, **fresh.settings}
    kept = {**record.environment, **record.settings}
    other = {k: (kept.get(k), both.get(k)) for k in {*both, *kept} if kept.get(k) != both.get(k)}
    if other:
        text = "; ".join(f"{k}: {old!r} there, {new!r} here" for k, (old, new) in other.items())
        raise InvalidArgumentError(
            f"{path} cannot be resumed, its results are of another setting ({text}); "
            "leave --resume away to begin anew"
        )
    return record
