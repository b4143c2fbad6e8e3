"""Two trainings weight by weight: do they keep the same levels, and how far do they move apart?

``python -m riemann_lne_validation.comparison.trajectories FILE`` makes the recorded figures on the
prediction of arXiv 2405.05171, for the documentation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from riemann_lne.command_line import Help
from riemann_lne.errors import InvalidArgumentError

from .adapted import AdaptedStraightThrough
from .environment import environment
from .methods import Method
from .problems import problem_of
from .protocol import Arm, default_arm
from .training import Run

__all__ = ["Agreement", "follow", "markdown", "record"]


@dataclass(frozen=True)
class Agreement:
    """How near two trainings are to one another after an epoch.

    Attributes
    ----------
    epoch : int
    same : float
        Share of the quantised weights that have the same level in both, 0 to 1.
    moved : float
        Share of those of the first training whose level is another one than at its start.
    distance : float
        Distance of the latent weights, those of the first mapped by M where the second is
        ``ste-adapted``, over the way of the second from its start. Dimensionless.
    accuracy : float
        Of the second less that of the first, in the unit of the metric.
    """

    epoch: int
    same: float
    moved: float
    distance: float
    accuracy: float


def follow(arm: Arm, others: Sequence[Arm], seed: int) -> dict[str, list[Agreement]]:
    """Train arms side by side on the same batches, and compare the others with the first.

    Parameters
    ----------
    arm : Arm
        The training that the others should follow.
    others : sequence of Arm
        With labels of their own; bits, network and data must be those of ``arm``.
    seed : int

    Returns
    -------
    dict
        For each label a row after each epoch, `Agreement`.

    Raises
    ------
    InvalidArgumentError
        If the arms differ in bits, network or data, if a factor stands before the levels, or if a
        training breaks down.

    Examples
    --------
    >>> from riemann_lne_validation.comparison.trajectories import follow
    >>> from riemann_lne_validation.comparison.protocol import default_arm
    >>> same = {"epochs": 1, "angle_every": 0}
    >>> found = follow(default_arm("ste", **same), [default_arm("ste", label="twin", **same)], 0)
    >>> found["twin"][0].same, found["twin"][0].distance
    (1.0, 0.0)
    """
    for other in others:
        for name in ("dataset", "model", "width", "depth", "weight_bits", "epochs", "batch_size"):
            if getattr(other, name) != getattr(arm, name):
                raise InvalidArgumentError(
                    f"arms {arm.label!r} and {other.label!r} differ in {name}: "
                    f"{getattr(arm, name)!r} and {getattr(other, name)!r}; give both the same"
                )
    for one in (arm, *others):
        if one.weight_scale != "none":
            raise InvalidArgumentError(
                f"arm {one.label!r} has weight_scale {one.weight_scale!r}: levels of two trainings "
                "are the same numbers only with 'none'"
            )
    runs = [Run(one, seed, problem_of(one).samples(seed)) for one in (arm, *others)]
    first = runs[0]
    starts = [(_latents(run), _levels(run)) for run in runs]
    rows: dict[str, list[Agreement]] = {other.label: [] for other in others}
    while not first.finished:
        for run in runs:
            run.epoch()
            if run.diverged is not None:
                raise InvalidArgumentError(
                    f"arm {run.arm.label!r}, seed {seed}: {run.diverged}; take a smaller rate"
                )
        levels = _levels(first)
        moved = _share(levels != starts[0][1])
        for run, (start, _) in zip(runs[1:], starts[1:], strict=True):
            way = (_latents(run) - start).norm()
            apart = (_latents(first, run.method) - _latents(run)).norm()
            rows[run.arm.label].append(
                Agreement(
                    epoch=len(run.rows),
                    same=_share(levels == _levels(run)),
                    moved=moved,
                    distance=float(apart / way) if float(way) > 0.0 else 0.0,
                    accuracy=_accuracy(run) - _accuracy(first),
                )
            )
    return rows


def _accuracy(run: Run) -> float:
    found = run.rows[-1].accuracy
    assert found is not None  # only of records whose training broke down
    return found


def _share(hits: Tensor) -> float:
    return float(hits.double().mean())


def _latents(run: Run, other: Method | None = None) -> Tensor:
    """All latent weights in one vector, mapped where another method has a map."""
    maps = other.adaptations if isinstance(other, AdaptedStraightThrough) else {}
    return torch.cat([
        (maps[name](p) if name in maps else p).detach().double().reshape(-1)
        for name, p in run.context.latents.items()
    ])  # fmt: skip


def _levels(run: Run) -> Tensor:
    """Numbers of the levels of all quantised weights, in one vector."""
    steps = 2**run.arm.weight_bits - 1
    modules = dict(run.model.named_modules())
    with torch.no_grad():
        values = [modules[name].weight.reshape(-1) for name in run.context.latents]
    return ((torch.cat(values).double() + 1.0) * (0.5 * steps)).round()


# -- the recorded figures -----------------------------------------------------------------------

ESTIMATORS = ("stacked-sigmoid", "dorefa", "rdfs")
RATES = (0.1, 0.01, 0.001)
_MEASURES = ("same", "moved", "distance", "accuracy")
_OTHERS = {
    "adapted": "STE, start and rate adapted",
    "ste": "STE, as it is",
    "last bit": "the estimator again, last bit",
}


def record(
    seeds: Sequence[int] = range(5),
    rates: Sequence[float] = RATES,
    estimators: Sequence[str] = ESTIMATORS,
    epochs: int = 20,
) -> dict[str, Any]:
    """The binary MLP on the digits, validation images: the last row of `follow` for every seed."""
    rows = []
    for of in estimators:
        for rate in rates:
            same: dict[str, Any] = {
                "learning_rate": rate, "epochs": epochs, "angle_every": 0, "split": "validation",
            }  # fmt: skip
            arms = [
                default_arm("ste-adapted", label="adapted", options={"of": of}, **same),
                default_arm("ste", label="ste", **same),
                default_arm("last-bit", label="last bit", options={"inner": of}, **same),
            ]
            for seed in seeds:
                found = follow(default_arm(of, label=of, **same), arms, seed)
                rows += [
                    {"estimator": of, "rate": rate, "seed": seed, "other": label} | asdict(r[-1])
                    for label, r in found.items()
                ]
    return {"environment": environment(), "epochs": epochs, "seeds": list(seeds), "rows": rows}


def means(found: Mapping[str, Any]) -> dict[tuple[str, float, str], dict[str, float]]:
    """Means over seeds of a record's rows, by estimator, rate and the other training.

    ``spread`` is the standard deviation over seeds of the difference in accuracy.
    """
    groups: dict[tuple[str, float, str], list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        groups.setdefault((row["estimator"], row["rate"], row["other"]), []).append(row)
    return {
        key: {n: float(np.mean([r[n] for r in rows])) for n in _MEASURES}
        | {"spread": float(np.std([r["accuracy"] for r in rows], ddof=min(1, len(rows) - 1)))}
        for key, rows in groups.items()
    }


def markdown(found: Mapping[str, Any]) -> str:
    """A record as a table for the documentation."""
    lines = [
        f"Means of {len(found['seeds'])} seeds after {found['epochs']} epochs; accuracies on "
        "validation images, with the standard deviation over seeds.",
        "",
        "| estimator | rate | against | same level | levels moved | distance | accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    for (of, rate, other), m in means(found).items():
        lines.append(
            f"| `{of}` | {rate:g} | {_OTHERS[other]} | {100 * m['same']:.1f} % | "
            f"{100 * m['moved']:.1f} % | {m['distance']:.3f} | "
            f"{100 * m['accuracy']:+.1f} (sd {100 * m['spread']:.1f}) |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the record that is named."""
    module = "python -m riemann_lne_validation.comparison.trajectories"
    parser = argparse.ArgumentParser(
        prog=module,
        description=main.__doc__,
        epilog=f"example:\n  {module} adapted-rates.json",
        formatter_class=Help,
    )
    parser.add_argument("file", type=Path, help="where the record is written")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = record()
    arguments.file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(markdown(found))


if __name__ == "__main__":
    main()
