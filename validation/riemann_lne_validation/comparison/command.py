"""The command line ``riemann-lne compare``."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from riemann_lne.checks import printable
from riemann_lne.command_line import Names
from riemann_lne.errors import InvalidArgumentError, MissingDependencyError, UnknownNameError

from ..lab.folders import owned
from .config import Comparison, arm_of, load_config, seeds_of
from .protocol import ACTIVATION_RANGES, OPTIMIZERS, SPLITS, STARTS, Arm, usual_train_on
from .registered import load_task_files
from .task_template import write_template

__all__ = ["add_arguments", "comparison_of", "run"]

# Arguments that are settings of every arm.
_SETTINGS = (
    "dataset", "model", "epochs", "optimizer", "learning_rate", "weight_decay", "batch_size",
    "weight_bits", "activation_bits", "activation_range", "subset", "split", "start",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    what = parser.add_argument_group("what is compared")
    what.add_argument(
        "--dataset",
        action=Names,
        names=_datasets,
        metavar="NAME",
        help="data set or task; default: the one of --tasks, else digits",
    )
    what.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="folder with the files of CIFAR, text for characters, or what a task of yours reads",
    )
    what.add_argument(
        "--model",
        action=Names,
        names=_networks,
        metavar="NAME",
        help="network; default: that of the data set (mlp, cnn1d, resnet20)",
    )
    what.add_argument(
        "--methods",
        nargs="+",
        action=Names,
        names=_methods,
        metavar="NAME",
        help="methods to compare; default: all; see --list",
    )
    what.add_argument(
        "--tasks",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="Python files that register tasks, data sets, networks, estimators or methods",
    )
    what.add_argument(
        "--new-task", type=Path, metavar="FILE", help="write a task to begin from, and stop"
    )
    what.add_argument("--reference", metavar="LABEL", help="compare with this arm (default: ste)")
    what.add_argument("--seeds", type=int, metavar="N", help="paired seeds (default 5)")
    own = "default: that of the data set or task"
    what.add_argument("--epochs", type=int, metavar="N", help=f"passes through the data; {own}")
    what.add_argument("--optimizer", choices=OPTIMIZERS, help="default: sgd, or that of the task")
    what.add_argument(
        "--learning-rate",
        type=float,
        metavar="X",
        help="of the first epoch, from where half a cosine leads to 0; default: that of the task, "
        "else 0.1 for sgd, 0.01 for adam",
    )
    what.add_argument(
        "--weight-decay", type=float, metavar="X", help="of the optimiser; default: 0"
    )
    what.add_argument("--batch-size", type=int, metavar="N", help=f"items in a step; {own}")
    what.add_argument(
        "--weight-bits", type=int, metavar="K", help="of quantised weights; default: 1"
    )
    what.add_argument(
        "--activation-bits",
        type=int,
        metavar="K",
        help="of the inputs of quantised layers; default: none, they stay floats",
    )
    what.add_argument(
        "--activation-range",
        choices=ACTIVATION_RANGES,
        help="range of these inputs: the largest value of a batch (default), its running mean, or "
        "a trained one, to be taken up to 3 bits",
    )
    what.add_argument("--subset", type=int, metavar="N", help="a fixed part of the training items")
    what.add_argument(
        "--split", choices=SPLITS, help="items on which the metric is taken (default: test)"
    )
    what.add_argument(
        "--start",
        choices=STARTS,
        help="first weights: scratch (default), or those of a full-precision training",
    )
    what.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="METHOD.OPTION=VALUE",
        help="an option of a method, or a setting of its arm",
    )
    what.add_argument(
        "--config", metavar="FILE", help="arms from a TOML file, or a study by file or name"
    )
    what.add_argument("--list", action="store_true", help="list the methods with their options")
    how = parser.add_argument_group("how it is run")
    how.add_argument(
        "--out", type=Path, default=Path("compare-runs"), metavar="DIR",
        help="where runs are stored; the same command again goes on there (default: %(default)s)",
    )  # fmt: skip
    how.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (default: cores)")
    how.add_argument("--device", default="cpu", help="cpu (default), cuda (all GPUs), cuda:0, ...")
    how.add_argument("--tensorboard", type=Path, metavar="DIR", help="write event files there")
    how.add_argument(
        "--checkpoint-seconds", type=float, default=60.0, metavar="X",
        help="time between two checkpoints of a run (default: %(default)g)",
    )  # fmt: skip
    out = parser.add_argument_group("what comes of it")
    out.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    out.add_argument("--report", type=Path, metavar="DIR", help="write index.html with plots")


def _datasets() -> Iterable[str]:
    from .registered import all_datasets

    return all_datasets()


def _networks() -> Iterable[str]:
    from .registered import all_networks

    return all_networks()


def _methods() -> Iterable[str]:
    from .methods import available_methods

    return available_methods()


def run(arguments: argparse.Namespace) -> int:
    """Run the command line; returns the exit status."""
    if arguments.new_task is not None:
        path = write_template(arguments.new_task)
        file = shlex.quote(str(path))
        trial = f"riemann-lne compare --tasks {file} --methods ste lne-exact last-bit"
        print(printable(f"{path} is written; try: {trial}"))
        return 0
    require_torch()
    registered = load_task_files(arguments.tasks)
    if arguments.list:
        _list()
        return 0
    if arguments.dataset is None and arguments.config is None and registered:
        if len(registered) > 1:
            raise InvalidArgumentError(
                f"the files of --tasks register {', '.join(registered)}: choose one with --dataset"
            )
        (arguments.dataset,) = registered
    work = _study_work(arguments) if _study(arguments) else _arms_work(arguments)
    places = (arguments.out, arguments.report)
    with owned("the runs and results of compare", places, arguments.json):
        return _run(work, arguments)


def _run(work: Callable[[], Any], arguments: argparse.Namespace) -> int:
    try:
        summary, failure = work()
    except KeyboardInterrupt:
        print(
            f"interrupted; what is done is in {arguments.out}: the same command goes on there",
            file=sys.stderr,
        )
        return 130
    from .report import write_json, write_report
    from .tables import print_table

    # Files first: the reader of the output may go away.
    if arguments.json:
        write_json(arguments.json, summary)
    page = write_report(arguments.report, summary) if arguments.report else None
    print_table(summary)
    if arguments.json:
        print(f"results: {arguments.json}")
    if page:
        print(f"report:  {page}")
    if failure is not None:
        sys.stdout.flush()  # the table comes before the error
        raise failure
    return 0


def require_torch() -> None:
    """Raise MissingDependencyError without PyTorch, which all of a comparison needs.

    Its import takes a second or more, in which a person would see nothing.
    """
    # A finder may raise instead of finding nothing; the import then says what is missing.
    with suppress(ImportError, ValueError):
        if "torch" not in sys.modules and importlib.util.find_spec("torch") is not None:
            print("loading PyTorch ...", file=sys.stderr)
    _require("torch", "torch", "riemann-lne compare")


def _require(module: str, library: str, purpose: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(library, "compare", purpose, error) from error


def _look_ahead(arms: Sequence[Arm], arguments: argparse.Namespace) -> None:
    """A failure that would be noticed late is an error now; a setting that seldom works is told."""
    from .problems import reads_folder
    from .wording import coarse_inputs

    if any(arm.dataset == "digits" for arm in arms):
        _require("sklearn.datasets", "scikit-learn", "the digits data set")
    if arguments.data is not None and not any(map(reads_folder, arms)):
        names = ", ".join(sorted({arm.dataset for arm in arms}))
        raise InvalidArgumentError(
            f"--data {arguments.data}: nothing reads it, {names} has its own data; leave it out, "
            "choose --dataset, or let the function of the task take (seed, folder)"
        )
    if arguments.report:
        _require("matplotlib", "matplotlib", "the report of a comparison")
    if told := coarse_inputs(arms):
        print(told, file=sys.stderr)


def comparison_of(arguments: argparse.Namespace) -> Comparison:
    """Arms, seeds and reference of a command line.

    Raises
    ------
    UnknownNameError
        For a method that is not known; the message lists them.
    InvalidArgumentError
        If settings do not fit together.
    """
    from .methods import available_methods

    changes = {n: getattr(arguments, n) for n in _SETTINGS if getattr(arguments, n) is not None}
    sets = [parse_set(text) for text in arguments.set]
    if arguments.config is not None:
        if arguments.methods:
            raise InvalidArgumentError(
                "--methods and --config exclude each other; give one of them"
            )
        loaded = load_config(Path(arguments.config), changes)
        arms = list(loaded.arms)
        seeds = loaded.seeds if arguments.seeds is None else seeds_of(arguments.seeds)
        reference = arguments.reference or loaded.reference
    else:
        known = available_methods()
        for name in arguments.methods or ():
            if name not in known:
                raise UnknownNameError("method", name, known)
        # the reference of the comparison is the first row of the table
        names = list(dict.fromkeys(arguments.methods or sorted(known, key=lambda n: n != "ste")))
        arms = [arm_of({"method": name, **changes}) for name in names]
        seeds = seeds_of(5 if arguments.seeds is None else arguments.seeds)
        reference = arguments.reference
    arms = apply_sets(arms, sets)
    labels = [arm.label for arm in arms]
    if reference is not None and reference not in labels:
        raise UnknownNameError("arm as reference", reference, labels)
    return Comparison(tuple(arms), seeds, reference)


def parse_set(text: str) -> tuple[str, str, Any]:
    """``"method.option=value"`` in three parts; a value that is no Python literal is text.

    >>> from riemann_lne_validation.comparison.command import parse_set
    >>> parse_set("lne-exact.block=channel"), parse_set("rf-dnn.alpha=1e-2")
    (('lne-exact', 'block', 'channel'), ('rf-dnn', 'alpha', 0.01))
    """
    name, equals, value = text.partition("=")
    method, dot, option = name.strip().rpartition(".")
    if not (equals and dot and method and option):
        raise InvalidArgumentError(f"--set {text!r}: give METHOD.OPTION=VALUE")
    value = value.strip()
    words = {"true": True, "false": False, "none": None}
    if value.lower() in words:
        return method, option, words[value.lower()]
    try:
        return method, option, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return method, option, value


def apply_sets(arms: Sequence[Arm], sets: Sequence[tuple[str, str, Any]]) -> list[Arm]:
    """The arms with what --set asks for; it applies to arms by method or label."""
    settings = {f.name for f in fields(Arm)} - {"label", "method", "options"}
    arms = list(arms)
    for method, option, value in sets:
        hits = [i for i, arm in enumerate(arms) if method in (arm.method, arm.label)]
        if not hits:
            raise UnknownNameError(
                "method in --set",
                method,
                {name for arm in arms for name in (arm.method, arm.label)},
            )
        for i in hits:
            change: Mapping[str, Any] = {option: value}
            if option not in settings or option in _options(arms[i].method):
                change = {"options": {**arms[i].options, option: value}}
            elif option == "split" and arms[i].train_on == usual_train_on(arms[i].split):
                change = {option: value, "train_on": None}
            arms[i] = replace(arms[i], **change)
    return arms


def _options(method: str) -> dict[str, Any]:
    from .methods import options_of

    return options_of(method)


def _study(arguments: argparse.Namespace) -> Path | None:
    """The file of a study, if --config names one."""
    if arguments.config is None:
        return None
    from .study import find_study

    return find_study(arguments.config)


def _study_work(arguments: argparse.Namespace) -> Callable[[], Any]:
    """The study of a command line, checked; the function runs it, and returns what arms return."""
    from .study import load_study, run_study

    names = (*_SETTINGS, "seeds", "methods", "reference")
    changed = [n for n in names if getattr(arguments, n) is not None]  # 0 is a setting, too
    if changed or arguments.set:
        given = ", ".join(f"--{n.replace('_', '-')}" for n in changed) or "--set"
        raise InvalidArgumentError(
            f"a study is run as it is written down: leave out {given}, or change its file"
        )
    path = _study(arguments)
    assert path is not None
    study = load_study(path)
    _look_ahead(study.every_arm(), arguments)

    def work() -> Any:
        print(printable(study.describe()))
        # its comparisons are fixed: if a run breaks off, there is no result
        return run_study(study, arguments.out, command=_command(), **_how(arguments)), None

    return work


def _arms_work(arguments: argparse.Namespace) -> Callable[[], Any]:
    """The arms of a command line, checked; the function runs them.

    It returns the summary and, where runs broke off, the error, which is raised after the output.
    """
    from .runner import RunsFailedError, applicable, run_arms
    from .summary import default_reference, summarise

    comparison = comparison_of(arguments)
    _look_ahead(comparison.arms, arguments)

    arms, skipped = applicable(comparison.arms, arguments.data)
    if comparison.reference in skipped:
        raise InvalidArgumentError(
            f"the reference {comparison.reference!r} does not apply, and there is nothing to "
            f"compare with: {skipped[comparison.reference]}; give another --reference"
        )

    # its absence is an error now, not after the training
    reference = comparison.reference or default_reference(arms)

    def work() -> Any:
        more: dict[str, Any] = {"command": _command(), "skipped": skipped}
        try:
            records = run_arms(arms, comparison.seeds, arguments.out, **_how(arguments))
        except RunsFailedError as error:
            if not error.records:
                raise
            more["broken"] = error.broken
            if reference in error.broken:  # each arm by itself
                labels = {record.label for record in error.records}
                more["references"] = {label: label for label in labels}
                return summarise(error.records, **more), error
            return summarise(error.records, reference=reference, **more), error
        return summarise(records, reference=reference, **more), None

    return work


def _command() -> str:
    """The line that was typed, for the report."""
    return shlex.join(["riemann-lne", *sys.argv[1:]])


def _how(arguments: argparse.Namespace) -> dict[str, Any]:
    from .progress import TerminalProgress

    return {
        "data": arguments.data,
        "jobs": arguments.jobs,
        "device": arguments.device,
        "progress": TerminalProgress(),
        "tensorboard": arguments.tensorboard,
        "checkpoint_seconds": arguments.checkpoint_seconds,
        "tasks": arguments.tasks,
    }


def _list() -> None:
    """The methods by kind, each with what sets it apart, then data sets, tasks and networks."""
    from .methods import KINDS, available_methods, options_of, traits
    from .registered import all_datasets, all_networks

    known = {name: (line, *traits(name)) for name, line in available_methods().items()}
    for kind in KINDS:
        print(f"{kind}\n")
        for name, (line, own, words) in known.items():
            if own == kind:
                options = ", ".join(f"{k}={v!r}" for k, v in options_of(name).items())
                print(f"  {name}\n      {line}")
                if words:
                    print(f"      {'; '.join(words)}")
                if options:
                    print(f"      options: {options}")
        print()
    for title, entries in (("data sets and tasks", all_datasets()), ("networks", all_networks())):
        print(f"{title}\n")
        for name, entry in entries.items():
            print(f"  {name}" + (f"\n      {entry.summary}" if entry.summary else ""))
        print()
