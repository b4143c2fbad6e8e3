"""Costs: of the harness beside a bare training loop, and of each method's step beside STE's.

``python -m riemann_lne_validation.comparison.benchmark FILE`` measures both and writes a record.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from riemann_lne.command_line import Help
from riemann_lne_torch import QuantConfig, quantize_

from .augmentation import plan_epoch
from .datasets import Images, load_images
from .environment import environment
from .measurements import prepare
from .methods import DoesNotApplyError, available_methods, get_method
from .models import build_model
from .problems import problem_of
from .protocol import Arm, default_arm
from .training import Run

__all__ = ["Overhead", "StepCost", "bare_loop", "measure_overhead", "measure_steps"]

BOUND = 1.3
"""A step that takes at most this many times as long as one of STE is called cheap."""


@dataclass(frozen=True)
class Overhead:
    """Processor time of the harness as a multiple of that of a bare loop.

    Attributes
    ----------
    ratio, smallest, largest : float
        Median, and range, of the ratios of runs that took turns, epoch by epoch.
    seconds : float
        Of the bare loop, median.
    """

    ratio: float
    smallest: float
    largest: float
    seconds: float


def measure_overhead(epochs: int = 10, pairs: int = 7, angle_every: int = 0) -> Overhead:
    """A run of the comparison on digits beside a bare loop, which reaches the same accuracies.

    The bare loop is what a user would write: batches from a permutation, STE, SGD, half a cosine,
    the accuracy after each epoch. The two take turns at every epoch, so that both meet the same
    load of the machine. Gradient angles are a measurement of their own and are left out unless
    ``angle_every`` asks for them.

    Raises
    ------
    RuntimeError
        If the accuracies differ: then it is not the same work.
    """
    images = load_images("digits")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _in_turns(bare_loop(0, 2, images), _harness(0, 2, images, 2))
        ratios, seconds = [], []
        for seed in range(pairs):
            bare = bare_loop(seed, epochs, images)
            full = _harness(seed, epochs, images, angle_every)
            base, other = _in_turns(bare, full)
            ratios.append(other / base)
            seconds.append(base)
    finally:
        torch.set_num_threads(threads)
    return Overhead(float(np.median(ratios)), min(ratios), max(ratios), float(np.median(seconds)))


def _in_turns(*loops: Iterator[float | None]) -> list[float]:
    """Processor time of each of two trainings, of which now one, now the other goes first."""
    seconds, turn = [0.0, 0.0], 0
    found: list[list[float | None]] = [[None], [None]]
    while found[0]:
        found = [[], []]
        for k in (0, 1) if turn % 2 else (1, 0):
            began = time.process_time()
            found[k] = list(islice(loops[k], 1))
            seconds[k] += time.process_time() - began
        turn += 1
        if found[0] != found[1]:
            raise RuntimeError(f"accuracies differ: {found[0]} and {found[1]}")
    return seconds


def _harness(seed: int, epochs: int, images: Images, angle_every: int) -> Iterator[float | None]:
    run = Run(default_arm("ste", epochs=epochs, angle_every=angle_every), seed, images)
    while not run.finished:
        run.epoch()
        yield run.rows[-1].accuracy


def bare_loop(seed: int, epochs: int, images: Images) -> Iterator[float]:
    """A training loop without anything else: the accuracy after each epoch."""
    arm = default_arm("ste", epochs=epochs)
    model = quantize_(build_model(arm, seed), QuantConfig(weight_bits=1))
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True, foreach=True
    )
    x_train, x_test = images.normalise(images.train), images.normalise(images.held_out)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = 0.05 * (1.0 + math.cos(math.pi * epoch / epochs))
        order = torch.from_numpy(plan_epoch(len(x_train), seed, epoch + 1).order)
        model.train()
        for i in range(0, len(order), arm.batch_size):
            batch = order[i : i + arm.batch_size]
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x_train[batch]), images.train_labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        model.eval()
        with torch.no_grad():
            hits = model(x_test).argmax(1) == images.held_out_labels
        yield int(hits.sum()) / len(hits)


@dataclass(frozen=True)
class StepCost:
    """Processor time of a method's training step as a multiple of STE's at the same bits.

    Attributes
    ----------
    method, network : str
    bits : int
    ratio, low, high : float
        Median and quartiles over rounds in which all methods took turns.
    """

    method: str
    network: str
    bits: int
    ratio: float
    low: float
    high: float


NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "small": {"dataset": "mnist1d"},
    "wide": {"dataset": "mnist1d", "width": 100},
}
"""Arms' settings by name: in the step of the small one calls cost more than the arithmetic."""


def measure_steps(
    network: str = "small", methods: Sequence[str] | None = None, rounds: int = 25
) -> list[StepCost]:
    """A step of every method beside one of STE: forward, backward, correction, update; one thread.

    At two bits, or at one for methods that know no other; ``rf-dnn`` and others that do not apply
    to the samples are left out. A method that does more in some steps is timed over its period.
    """
    names = list(available_methods() if methods is None else methods)
    settings = dict(NETWORKS[network])
    runs = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for name in ["ste", *names]:
            for bits in (2, 1):
                arm = default_arm(name, weight_bits=bits, **settings)
                found = _begun(arm)
                if found is not None:
                    runs[name, bits] = found
                    if ("ste", bits) not in runs:
                        started = _begun(default_arm("ste", weight_bits=bits, **settings))
                        assert started is not None
                        runs["ste", bits] = started
                    break
        x, y = problem_of(default_arm("ste", **settings)).example()
        seconds: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
        for round_ in range(rounds + 2):
            for key, method in runs.items():
                count = max(1, method.period)
                began = time.process_time()
                for _ in range(count):
                    method.step(x, y)
                if round_ > 1:  # the first are for caches, and for the first tau
                    seconds[key].append((time.process_time() - began) / count)
    finally:
        torch.set_num_threads(threads)
    costs = []
    for (name, bits), values in seconds.items():
        if name == "ste":
            continue
        ratios = np.asarray(values) / np.asarray(seconds["ste", bits])
        low, middle, high = (float(q) for q in np.quantile(ratios, (0.25, 0.5, 0.75)))
        costs.append(StepCost(name, network, bits, middle, low, high))
    return costs


def _begun(arm: Arm) -> Any:
    """The arm's method with its network and optimiser; None if it does not apply."""
    method = get_method(arm.method, arm.options)
    try:
        prepare(arm, build_model(arm, 0).train(), 40, method)
    except DoesNotApplyError:
        return None
    method.begin_epoch()
    return method


def record(rounds: int = 25) -> dict[str, Any]:
    """Environment, cost of the harness, and the steps of all methods on both networks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = [asdict(c) for name in NETWORKS for c in measure_steps(name, rounds=rounds)]
    return {
        "environment": environment(),
        "rounds": rounds,
        "weights": {name: _weights(name) for name in NETWORKS},
        "harness": asdict(measure_overhead(epochs=10, pairs=51)),
        "steps": steps,
    }


def _weights(network: str) -> int:
    """Number of weights that are quantised."""
    arm = default_arm("ste", **dict(NETWORKS[network]))
    return sum(p.numel() for p in _begun(arm).context.latents.values())


def markdown(found: Mapping[str, Any]) -> str:
    """A record as text and a table for the documentation."""
    h, where = found["harness"], found["environment"]
    rows: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in found["steps"]:
        rows.setdefault(row["method"], {})[row["network"]] = row
    names = sorted(rows, key=lambda n: rows[n]["small"]["ratio"])
    cheap = [n for n in names if all(r["ratio"] <= BOUND for r in rows[n].values())]
    lines = [
        f"A run of the comparison takes {h['ratio']:.3f} times the processor time of a bare loop "
        f"({h['smallest']:.3f} to {h['largest']:.3f} over pairs that took turns). {len(cheap)} of "
        f"{len(names)} methods take at most {BOUND} times STE's step on both networks; the others' "
        f"cost is what the table says. {where['processor']}, one thread, torch {where['torch']}, "
        f"{found['rounds']} rounds in turns, medians and quartiles of ratios; "
        f"{_state(where['commit'])}.{_missing(rows)}",
        "",
        f"| method | bits | {' | '.join(f'{n:,} weights' for n in found['weights'].values())} |",
        "|---|---|---|---|",
    ]
    for name in names:
        cells = [_cell(rows[name].get(network)) for network in NETWORKS]
        lines.append(f"| `{name}` | {rows[name]['small']['bits']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _state(commit: str | None) -> str:
    """The state that was measured, in words."""
    if not commit:
        return "the commit is not known"
    changed = commit.endswith("+")
    return f"commit {commit.rstrip('+')[:7]}" + (" with changes, which no commit holds" * changed)


def _missing(measured: Mapping[str, Any]) -> str:
    """The methods that have no row, in words."""
    absent = sorted(set(available_methods()) - set(measured) - {"ste"})
    return f" Not measured: {', '.join(f'`{name}`' for name in absent)}." if absent else ""


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    mark = "" if row["ratio"] <= BOUND else "**"
    return f"{mark}{row['ratio']:.2f}{mark} [{row['low']:.2f}, {row['high']:.2f}]"


def main() -> None:
    """Measure, and write the record that is named."""
    module = "python -m riemann_lne_validation.comparison.benchmark"
    parser = argparse.ArgumentParser(
        prog=module,
        description=main.__doc__,
        epilog=f"example:\n  {module} overheads.json",
        formatter_class=Help,
    )
    parser.add_argument("file", type=Path, help="where the record is written")
    parser.add_argument("--rounds", type=int, default=25, help="rounds of everything (default: 25)")
    arguments = parser.parse_args()
    found = record(arguments.rounds)
    arguments.file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(markdown(found))


if __name__ == "__main__":
    main()
