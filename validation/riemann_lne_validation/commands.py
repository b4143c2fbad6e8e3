"""The command lines ``riemann-lne verify``, ``riemann-lne bench`` and ``riemann-lne compare``."""

from __future__ import annotations

import argparse
import ast
import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riemann_lne.command_line import Help, Names
from riemann_lne.errors import InvalidArgumentError

from .audit.backends import Backend
from .audit.frame import (
    Claim,
    Outcome,
    Verdict,
    known_claims,
    load_claims,
    parameters_of,
    select,
)
from .lab.folders import owned

if TYPE_CHECKING:
    from .audit.records import Setting
    from .audit.report import Terminal


def verify(commands: Any) -> None:
    """Add ``riemann-lne verify`` to the command line."""
    parser = commands.add_parser(
        "verify",
        help="the theorem audit: statements of the paper, run, measured, judged",
        description="Check statements of the source paper by running them. Every verdict is "
        "computed from what this run measures.",
        epilog="examples:\n  riemann-lne verify --only weak-inverse --set n=2000\n"
        "  riemann-lne verify --report verify-report",
        formatter_class=Help,
    )
    parser.add_argument(
        "--only",
        nargs="+",
        action=Names,
        names=known_claims,
        metavar="ID",
        help="check these claims alone",
    )
    parser.add_argument(
        "--claims",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="Python files with claims of yours; without --only these alone are checked",
    )
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
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with an interrupted run: take what is finished in --report or --json",
    )
    parser.add_argument(
        "--certify",
        nargs="?",
        type=Path,
        const=Path(),
        metavar="DIR",
        help="write exact proofs of the verdicts that have one, and the checker of these proofs "
        "(default: certificates, in --report's folder if there is one)",
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="print every measurement (default: with --only)",
    )
    parser.add_argument("--list", action="store_true", help="list the claims with their parameters")
    parser.set_defaults(run=_verify)


def bench(commands: Any) -> None:
    """Add ``riemann-lne bench`` to the command line."""
    parser = commands.add_parser(
        "bench",
        help="time the core, each part against a plain version in the same run",
        description="Medians of repeated runs; every figure is next to that of a plain version.",
        epilog="example:\n  riemann-lne bench --quick --report bench-report",
        formatter_class=Help,
    )
    parser.add_argument(
        "--only",
        nargs="+",
        action=Names,
        names=_benchmarks,
        metavar="NAME",
        help="run these benchmarks alone",
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works")
    parser.add_argument("--repeats", type=int, metavar="N", help="rounds (default: 7; quick: 3)")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write bench.json, plots there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep what the file has; run what it lacks, and what --only names",
    )
    parser.add_argument(
        "--peer-python",
        default="",
        metavar="PATH",
        help="Python with geomstats, JAX, PyTorch, py-pde (default: this one)",
    )
    parser.add_argument(
        "--instructions",
        choices=("native", "avx2"),
        default="native",
        help="avx2: measure as on a processor without AVX-512",
    )
    parser.add_argument("--list", action="store_true", help="list the benchmarks")
    parser.set_defaults(run=_bench)


def compare(commands: Any) -> None:
    """Add ``riemann-lne compare`` to the command line."""
    from .comparison.command import add_arguments, run

    parser = commands.add_parser(
        "compare",
        help="estimators of quantised training side by side, with paired seeds",
        description="Train the same network with different methods, from the same weights on the "
        "same batches, and compare the accuracies. Stopped or killed, the same command goes on.",
        epilog="example:\n  riemann-lne compare --methods ste lne-exact --seeds 3 --out first",
        formatter_class=Help,
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def _benchmarks() -> list[str]:
    """Names of the benchmarks, for the completion of a shell."""
    from riemann_lne_benchmarks import BENCHMARKS

    return list(BENCHMARKS)


def _bench(arguments: argparse.Namespace) -> int:
    try:
        from riemann_lne_benchmarks import list_benchmarks, run_benchmarks
    except ModuleNotFoundError as error:
        if error.name != "riemann_lne_benchmarks":
            raise
        raise InvalidArgumentError(
            "riemann-lne bench needs the package 'riemann_lne_benchmarks', which is in no wheel: "
            "run `make bench` in a checkout, or in the unpacked source distribution"
        ) from error

    if arguments.list:
        list_benchmarks()
        return 0
    return run_benchmarks(
        arguments.only,
        arguments.report,
        json=arguments.json,
        quick=arguments.quick,
        repeats=arguments.repeats,
        resume=arguments.resume,
        peer_python=arguments.peer_python,
        instructions=arguments.instructions,
    )


def _verify(arguments: argparse.Namespace) -> int:
    from .audit.page import require_plots
    from .audit.report import Terminal

    mine = load_claims(arguments.claims)
    claims = select(arguments.only) if arguments.only or not mine else mine
    terminal = Terminal()
    if arguments.list:
        terminal.list(claims)
        return 0
    overrides = parse_settings(arguments.set)
    if overrides and len(claims) != 1:
        raise InvalidArgumentError("--set needs --only with exactly one claim")
    for claim in claims:
        parameters_of(claim, arguments.full, overrides)  # a name that is unknown is an error now,
    Backend(arguments.backend)  # and so is a backend that is missing, not in every check
    if arguments.report:
        require_plots()
    proofs = _proofs_folder(arguments)
    with owned("the results of verify", [arguments.report, proofs], arguments.json):
        return _run_and_keep(arguments, claims, overrides, terminal, proofs)


def _run_and_keep(
    arguments: argparse.Namespace,
    claims: list[Claim],
    overrides: dict[str, Any],
    terminal: Terminal,
    proofs: Path | None,
) -> int:
    """Run what is not done, keep it as it comes, and print it; the exit code."""
    from .audit.page import write_html
    from .audit.records import Setting, write_json
    from .audit.running import processes, run_claims

    setting = Setting(arguments.full, arguments.backend)
    files = _results_files(arguments)
    outcomes = _taken(claims, setting, overrides, files, terminal) if arguments.resume else []
    order = {claim.id: i for i, claim in enumerate(claims)}
    left = [c for c in claims if c.id not in {o.claim.id for o in outcomes}]
    terminal.say(_announcement(claims, left, setting.full, processes(arguments.jobs, len(left))))
    interrupted = False
    try:
        with (
            terminal.progress(len(claims), len(outcomes)) as advance,
            closing(
                run_claims(left, setting, overrides, arguments.jobs, arguments.claims)
            ) as coming,
        ):
            for outcome in coming:
                outcomes.append(outcome)
                outcomes.sort(key=lambda o: order[o.claim.id])
                for file in files:  # at once: whatever ends the run, what is done is kept
                    write_json(file, outcomes, setting)
                advance(outcome)
    except KeyboardInterrupt:
        interrupted = True
        terminal.say(f"interrupted: {len(outcomes)} of {len(claims)} checks are done")
    problems = _certify(proofs, outcomes, arguments, terminal) if proofs and not interrupted else []
    for file in files:
        write_json(file, outcomes, setting)
    page = write_html(arguments.report, outcomes, setting) if arguments.report else None
    details = arguments.details or bool(arguments.only)
    terminal.table(outcomes, details)  # after the files: the reader of the output may go away
    for file in files:
        terminal.say(f"results: {file}")
    if page:
        terminal.say(f"report:  {page}")
    if not interrupted:
        _read_next(arguments, page, details, terminal)
    if interrupted:
        if files:
            terminal.say("to go on from here: the same command with --resume")
        return 130
    for problem in problems:
        terminal.say(f"certificate: {problem}")
    return 1 if problems or any(o.verdict is Verdict.ERROR for o in outcomes) else 0


# Processor time of all claims on one core of a current machine, in minutes.
QUICK_MINUTES, FULL_MINUTES = 3, 15


def _announcement(claims: list[Claim], left: list[Claim], full: bool, jobs: int) -> str:
    """The first line of a run: how much there is to do."""
    text = f"{len(left)} check{'s' * (len(left) != 1)} in {jobs} process{'es' * (jobs != 1)}"
    if len(left) == len(claims) == len(known_claims()):
        minutes = FULL_MINUTES if full else QUICK_MINUTES
        text += f", about {minutes} minutes of processor time in all"
    return f"{text}; a line for each when it is done"


def _proofs_folder(arguments: argparse.Namespace) -> Path | None:
    """Where certificates go, or None if none are wanted."""
    if arguments.certify is None or arguments.certify != Path():
        return arguments.certify
    return (arguments.report or Path()) / "certificates"


def _certify(
    folder: Path, outcomes: list[Outcome], arguments: argparse.Namespace, terminal: Terminal
) -> list[str]:
    """Write and check the certificates, and say how a reader can do the latter."""
    from .certificates import certify

    terminal.say(f"certificates: written to {folder} and checked there (about a minute) ...")
    problems = certify(folder, outcomes, arguments.report or Path())
    terminal.say(f"to check them yourself: python {folder / 'check.py'} {folder}")
    return problems


def _read_next(
    arguments: argparse.Namespace, page: Path | None, details: bool, terminal: Terminal
) -> None:
    """The next things to see or to do, after the table."""
    terminal.say("read next:")
    if page:
        terminal.say(f"  each statement with its measurements and plots: open {page}")
    else:
        terminal.say("  a page with all measurements and plots: the same with --report DIR")
    if not details:
        # Without the files, the command would not know the claims in them.
        words = ["--claims", *map(str, arguments.claims)] if arguments.claims else []
        command = shlex.join(["riemann-lne", "verify", *words, "--only", "ID"])
        terminal.say(f"  the measurements of one statement: {command}")
        terminal.say("  those of all, here: the same with --details")
    if arguments.claims:
        terminal.say(
            "  all that a claim can have: python -m pydoc riemann_lne_validation.audit.claim"
        )
    else:
        terminal.say('  why statements fail: "For a reader of the paper", in the documentation')
        terminal.say(
            '  a statement of yours: "Check a statement, and add yours", in the documentation'
        )


def _results_files(arguments: argparse.Namespace) -> list[Path]:
    """Where results are kept while the run goes on: --json's file and one in --report's folder."""
    kept = arguments.report and arguments.report / "results.json"
    return [path for path in (arguments.json, kept) if path]


def _taken(
    claims: list[Claim],
    setting: Setting,
    overrides: dict[str, Any],
    files: list[Path],
    terminal: Terminal,
) -> list[Outcome]:
    """Outcomes of an earlier run that are taken, after a word on those that are not."""
    from .audit.records import resume

    if not files:
        raise InvalidArgumentError(
            "--resume needs --report DIR or --json FILE, those of the run that is to go on"
        )
    file = next((f for f in files if f.exists()), None)
    if file is None:
        terminal.say(f"--resume: no results at {files[0]} yet, every check is run")
        return []
    earlier = resume(file, claims, setting, overrides)
    names = [o.claim.id for o in earlier.taken]
    terminal.say(f"resumed: {len(names)} of {len(claims)} checks from {file}: {', '.join(names)}")
    for id, reason in earlier.refused.items():
        terminal.say(f"run again: {id} ({reason})")
    rest = [c.id for c in claims if c.id not in {*names, *earlier.refused}]
    terminal.say(f"not done yet: {len(rest)} of {len(claims)}: {', '.join(rest)}")
    return earlier.taken


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
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            raise InvalidArgumentError(
                f"--set {setting!r}: give NAME=VALUE with a number, tuple or string in quotes"
            ) from error
    return result
