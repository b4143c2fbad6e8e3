"""The command lines ``riemann-lne verify`` and ``riemann-lne bench``."""

from __future__ import annotations

import argparse
import ast
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from riemann_lne.errors import InvalidArgumentError

from .audit import Claim, Outcome, Verdict, run_claim, select
from .backends import Backend

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def verify(commands: Any) -> None:
    """Add ``riemann-lne verify`` to the command line."""
    parser = commands.add_parser(
        "verify",
        help="the theorem audit: statements of the paper, run, measured, judged",
        description="Check statements of the source paper by running them. Every verdict is "
        "computed from what this run measures.",
    )
    parser.add_argument("--only", nargs="+", metavar="ID", help="check these claims alone")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="small parameters (default)")
    length.add_argument("--full", action="store_true", help="more dimensions, modes and draws")
    parser.add_argument("--backend", default="numpy", help="numpy (default), torch or cupy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write index.html with plots")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter of a check, as a Python literal; needs --only with one claim",
    )
    parser.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="processes (default: cores)"
    )
    parser.add_argument("--list", action="store_true", help="list the claims with their parameters")
    parser.set_defaults(run=_verify)


def bench(commands: Any) -> None:
    """Add ``riemann-lne bench`` to the command line."""
    parser = commands.add_parser(
        "bench",
        help="time the core, each part against a plain version in the same run",
        description="Medians of repeated runs; every figure is next to that of a plain version.",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these benchmarks alone")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write bench.json there")
    parser.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    from .benchmarks import run_benchmarks

    run_benchmarks(arguments.only, arguments.report)
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from .report import Terminal, write_html, write_json

    claims = select(arguments.only)
    terminal = Terminal()
    if arguments.list:
        terminal.list(claims)
        return 0
    overrides = parse_settings(arguments.set)
    if overrides and len(claims) != 1:
        raise InvalidArgumentError("--set needs --only with exactly one claim")
    Backend(arguments.backend)  # a backend that is missing is an error now, not in every check
    _require_writable(arguments.json and arguments.json.parent)
    _require_writable(arguments.report)
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        with terminal.progress(len(claims)) as advance:
            for outcome in _outcomes(claims, arguments, overrides):
                outcomes.append(outcome)
                advance(outcome)
    except KeyboardInterrupt:
        interrupted = True
        terminal.say(f"interrupted: {len(outcomes)} of {len(claims)} checks are done")
    order = {claim.id: i for i, claim in enumerate(claims)}
    outcomes.sort(key=lambda o: order[o.claim.id])
    terminal.table(outcomes)
    if arguments.json:
        write_json(arguments.json, outcomes, arguments.backend)
        terminal.say(f"results: {arguments.json}")
    if arguments.report:
        page = write_html(arguments.report, outcomes, arguments.backend)
        terminal.say(f"report:  {page}")
    if interrupted:
        return 130
    return 1 if any(o.verdict is Verdict.ERROR for o in outcomes) else 0


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """``["name=literal", ...]`` as a dict.

    Raises
    ------
    InvalidArgumentError
        If an entry is not of that form or its value not a Python literal.
    """
    result = {}
    for setting in settings:
        name, separator, text = setting.partition("=")
        try:
            if not separator:
                raise ValueError
            result[name.strip()] = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError) as error:
            raise InvalidArgumentError(
                f"--set {setting!r}: give NAME=VALUE with a number, tuple or string in quotes"
            ) from error
    return result


def _require_writable(folder: Path | None) -> None:
    """Create the folder now: to find out after minutes of work that it cannot be is unkind."""
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidArgumentError(f"cannot write to {folder}: {error}") from error


def _outcomes(
    claims: list[Claim], arguments: argparse.Namespace, overrides: dict[str, Any]
) -> Iterator[Outcome]:
    """Outcomes as they come, from this process or several."""
    jobs = min(arguments.jobs or os.cpu_count() or 1, len(claims))
    if jobs <= 1:
        for claim in claims:
            yield run_claim(claim, arguments.full, Backend(arguments.backend), overrides)
        return
    with _one_thread_each(), ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures: list[Future[Outcome]] = [
            pool.submit(_run_by_id, claim.id, arguments.full, arguments.backend, overrides)
            for claim in claims
        ]
        try:
            for future in as_completed(futures):
                yield future.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_by_id(id: str, full: bool, backend: str, overrides: dict[str, Any]) -> Outcome:
    """What a worker process runs."""
    return run_claim(select([id])[0], full, Backend(backend), overrides)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Worker processes with one linear-algebra thread each: the cores are taken already."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update({name: "1" for name in _THREAD_VARIABLES if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
