"""``riemann-lne flow``: a configuration is built, solved, kept, drawn and summed up."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..errors import InvalidArgumentError, RiemannLNEError, StorageError
from ..flows import Flow
from ..integrators import FlowSolution
from ..integrators.methods import make_integrator
from ..integrators.solve import make_system
from .config import read_config, require_same, write_record
from .outputs import Output, build_output, clear, has_checkpoint, require_free
from .pictures import PICTURES, Subject, new_figure
from .solver import build_events, build_flow, integrator_options, output_times, t_span
from .stage import ALONE, Stage, configured, find_stage, other_stage
from .start import Start, build_start, grid_of_start

DONE, ENDED_EARLY, INTERRUPTED = 0, 1, 130
"""Exit codes; 2 is that of an error before the first step. 130 is a shell's for Ctrl-C."""

_INTERRUPTED = -2


@dataclass(frozen=True)
class Task:
    """A configuration, checked and made into objects."""

    start: Start
    flow: Flow
    span: tuple[float, float]
    options: dict[str, Any]
    output: Output


def build_task(config: Mapping[str, Any], folder: Path, stage: Stage = ALONE) -> Task:
    """Check a configuration as a whole.

    Parameters
    ----------
    config : mapping
        Tables by name, as ``read_config`` gives them.
    folder : Path
        Where relative paths start.
    stage : Stage
        Where it will be run.

    Raises
    ------
    RiemannLNEError
        If anything in it makes no sense; the message names section and key.
    """
    for name in ("start", "integrator", "output"):
        if name not in config:
            raise InvalidArgumentError(f"the configuration lacks the section [{name}]; add it")
    span = t_span(config)
    start = build_start(config, folder, span[0], stage)
    options = integrator_options(config["integrator"], start)
    options["events"] = build_events(config.get("events", {}), options["order"])
    output = build_output(config["output"], folder, options["order"])
    options["t_eval"] = output_times(config["output"].get("t_eval"), span)
    flow = build_flow(config.get("flow", {}), start)
    # Arguments that solve_flow would refuse are refused before --force removes anything.
    y = start.metric.packed
    system = make_system(flow, start.metric, options["order"], options["boundary"], span)
    make_integrator(options["method"], system, system.start(y.copy()))
    return Task(start, flow, span, options, output)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        _complain("interrupted; what was written before is intact")
        return INTERRUPTED
    except MemoryError as error:
        raise InvalidArgumentError(
            f"there is not enough memory for this grid and its outputs ({error}): take fewer "
            "points, fewer times (t_eval), or a .zarr path"
        ) from error


def _run(arguments: argparse.Namespace) -> int:
    stage = find_stage()
    with stage.together():
        path = Path(arguments.config)
        config = read_config(path, arguments.set)
        stage = configured(stage, config)
        if arguments.dry_run:
            return _dry_run(arguments, config, path.parent, stage)
        if arguments.processes is not None:
            raise InvalidArgumentError("--processes goes with --dry-run; mpiexec -n starts them")
        task = build_task(config, path.parent, stage)
        output, folder = task.output, task.output.checkpoint_folder
        if output.pictures:
            new_figure(1, 1)  # whether matplotlib is there is better known before than after
        with ExitStack() as stack:
            # From before it is looked at until the last file is written.
            if folder is not None:
                stack.enter_context(stage.hold(folder, "the checkpoint of a flow"))
            stack.enter_context(stage.hold(output.path, "the output of a flow", inside=False))
            return _solve_and_write(arguments, config, task, stage)


def _dry_run(
    arguments: argparse.Namespace, config: dict[str, Any], folder: Path, stage: Stage
) -> int:
    """Say what the run would take."""
    if stage is ALONE:
        stage = other_stage("--dry-run")
        stage.configure(config.get("parallel"))
    grid = grid_of_start(config, folder)
    for line in stage.plan(grid, arguments.processes, config.get("integrator", {})):
        _print(line, sys.stdout)
    return DONE


def _prepare_files(arguments: argparse.Namespace, config: dict[str, Any], output: Output) -> None:
    """See that outputs are free, or make room for them; note what the run was asked for."""
    folder = output.checkpoint_folder
    if not arguments.force:
        require_free(output, arguments.resume)
    if arguments.force:
        clear(output)
    if folder is not None and has_checkpoint(folder):
        require_same(folder, config)
    elif folder is not None:
        write_record(folder, config)


def _solve_and_write(
    arguments: argparse.Namespace, config: dict[str, Any], task: Task, stage: Stage
) -> int:
    output, folder = task.output, task.output.checkpoint_folder
    with stage.together():
        if stage.first:
            _prepare_files(arguments, config, output)
    _say("start", task.start.metric)
    _say("flow", f"{task.flow!r}, t = {task.span[0]:g} .. {task.span[1]:g}")
    solution = stage.solve(
        task.start.metric,
        task.flow,
        task.span,
        observe=output.observe,
        observe_at=output.observe_at,
        store=output.store,
        checkpoint=output.checkpoint,
        resume=arguments.resume,
        progress=_can_show_progress(),
        **task.options,
    )
    _say("ended", solution.message)
    _say(
        "steps",
        f"{solution.n_accepted} accepted, {solution.n_rejected} rejected by {solution.method}; "
        f"{solution.nfev} evaluations of the right-hand side",
    )
    for name, times in zip(config.get("events", {}), solution.t_events, strict=True):
        if len(times):
            _say("event", f"{name} at t = {', '.join(f'{t:.6g}' for t in times)}")
    whole = stage.gathered(solution)
    written = stage.agreed(_write(task, whole) if stage.first else False)
    if folder is not None:
        use = (
            "of use only to draw pictures anew" if solution.success else "--resume goes on from it"
        )
        _say("checkpoint", f"{folder} ({use})")
    if solution.status == _INTERRUPTED:
        return INTERRUPTED
    return DONE if solution.success and written else ENDED_EARLY


def _can_show_progress() -> bool:
    # solve_flow shows a bar on a terminal alone; there rich, which draws it, may be missing.
    return importlib.util.find_spec("rich") is not None


def _write(task: Task, solution: FlowSolution) -> bool:
    """Solution and pictures; whether all of them could be written."""
    output = task.output
    try:
        if not output.streamed:
            solution.save(output.path)
    except StorageError as error:
        advice = "" if output.checkpoint is None else "; --resume goes on from the checkpoint"
        _complain(f"{error}{advice}")
        return False
    last = f"the last at t = {solution.t[-1]:g}"
    _say("wrote", f"{output.path} (metrics: {len(solution)}, {last})")
    order = task.options["order"]
    subject = Subject(solution, task.flow, order, output.decay_window)
    complete = True
    for name, path in output.pictures.items():
        try:
            line = PICTURES[name].draw(subject, path)
        except (RiemannLNEError, OSError) as error:
            _complain(f"the picture {name!r} was not drawn: {error}")
            complete = False
            continue
        _say("wrote", path)
        if line:
            _say(name, line)
    return complete


def _say(what: str, text: Any) -> None:
    _print(f"{what + ':':<17} {text}", sys.stdout)


def _complain(text: str) -> None:
    _print(f"riemann-lne flow: {text}", sys.stderr)


def _print(line: str, stream: TextIO) -> None:
    """Print a line. A reader that has gone (``| head``) or a full disk does not end the flow.

    Text that cannot be printed then is lost, and so is all later text.
    """
    try:
        print(line, file=stream, flush=True)
    except UnicodeEncodeError:
        print(line.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
