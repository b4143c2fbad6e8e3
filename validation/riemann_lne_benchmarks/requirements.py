"""Targets of the library's speed, judged by what a run measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .peer_comparison import FASTER
from .results import Record, Row
from .starting import CASES
from .work_precision import quickest


@dataclass(frozen=True)
class Target:
    """A bound on a measured number.

    Attributes
    ----------
    statement : str
        The requirement in words.
    bound : float or None
        The number; None where this kind of processor has no such target.
    at_least : bool
        Whether the number is a lower bound.
    measure : callable
        The number of a record with its quartiles, or None where the record does not have it.
    avx2 : float, optional
        Another bound for processors with AVX2 and without AVX-512.
    """

    statement: str
    bound: float | None
    at_least: bool
    measure: Callable[[Record], tuple[float, list[float] | None] | None]
    avx2: float | None = None

    def bound_of(self, record: Record) -> float | None:
        """The bound for the kind of processor that a record is of."""
        return self.avx2 if self.avx2 is not None and has_avx2_alone(record) else self.bound

    def judge(self, record: Record) -> dict[str, Any]:
        """Statement, bound, measured number, quartiles and verdict, as plain data."""
        found = self.measure(record)
        value, quartiles = found if found is not None else (None, None)
        bound = self.bound_of(record)
        verdict = "not measured"
        if value is not None and bound is not None:
            met = value >= bound if self.at_least else value <= bound
            verdict = "met" if met else "not met"
        return {
            "statement": self.statement,
            "bound": ("at least " if self.at_least else "at most ") + f"{bound:g}",
            "measured": value,
            "quartiles": quartiles,
            "verdict": verdict,
        }


Found = tuple[float, list[float] | None] | None


def has_avx2_alone(record: Record) -> bool:
    """Whether a record is of a processor with AVX2 and without AVX-512, or was taken as on one."""
    processor = str(record.environment.get("cpu", ""))
    return record.settings.get("instructions") == "avx2" or "avx2" in processor


def _figure(row: Row | None, name: str) -> Found:
    if row is None or name not in row.figures:
        return None
    return float(row.figures[name]), row.figures.get(f"{name}, quartiles")


def _first(rows: list[Row]) -> Row | None:
    return rows[0] if rows else None


def _fused_against(version: str, *shape: int) -> Callable[[Record], Found]:
    def measure(record: Record) -> Found:
        rows = record.rows(
            "right-hand-side", version="fused", shape=list(shape), order=4, dtype="float64"
        )
        return _figure(_first(rows), f"times {version}")

    return measure


def _speed(*shape: int) -> Callable[[Record], Found]:
    """Million points a second of the fused kernel of order 4 on a grid of the scaling study."""

    def measure(record: Record) -> Found:
        return _figure(_first(_scaling(record, shape)), "million points/s")

    return measure


def _scaling(record: Record, shape: tuple[int, ...]) -> list[Row]:
    rows = record.rows(
        "scaling", version="fused", shape=list(shape), order=4, dtype="float64", threads=1
    )
    return [row for row in rows if "study" not in row.parameters]


def _large_against_small(record: Record) -> Found:
    """Speed of the fused kernel at 96^3 over that at 32^3, which is in the cache."""
    large, small = (_speed(*(points,) * 3)(record) for points in (96, 32))
    return None if large is None or small is None else (large[0] / small[0], None)


def _study(study: str, name: str, n: int, **parameters: Any) -> Callable[[Record], Found]:
    def measure(record: Record) -> Found:
        rows = record.rows("scaling", version="fused", study=study, **parameters)
        large = [r for r in rows if len(r.parameters["shape"]) == n and _large(r)]
        return _figure(_first(large), name)

    return measure


def _large(row: Row) -> bool:
    """Whether a row is on one of the large grids, where targets are judged."""
    return int(row.parameters["shape"][0]) in (1024, 96, 20)


def _worst_jax(record: Record) -> Found:
    """Fused over JAX, the least of its two forms and of 2-D and 3-D."""
    names = ("JAX jit, rolled", "JAX jit, sliced")
    rows = [r for name in names for r in record.rows("peers", version=name, threads=1, order=4)]
    found = [_figure(r, FASTER) for r in rows if _large(r)]
    return min((f for f in found if f is not None), key=lambda f: f[0], default=None)


def _agreement(record: Record) -> Found:
    """Largest difference of fused and plain, in units of the largest term of the sum."""
    found = [
        float(row.figures["difference, of the largest term"])
        for name in ("right-hand-side", "scaling", "peers")
        for row in record.rows(name, version="fused", dtype="float64")
        if "difference, of the largest term" in row.figures
    ]
    return (max(found), None) if found else None


def _start(cache: str, dimensions: tuple[int, ...]) -> Callable[[Record], Found]:
    def measure(record: Record) -> Found:
        rows = record.rows("start", cache=cache)
        rows = [r for r in rows if len(r.parameters["shape"]) in dimensions]
        found = [float(r.figures["seconds"]) for r in rows]
        complete = len(found) == len(dimensions) * len(CASES)
        return (max(found), None) if complete else None

    return measure


def _against_scipy(kernel: str) -> Callable[[Record], Found]:
    """Seconds to 1e-6 of the quickest method of SciPy over those of our quickest one."""

    def measure(record: Record) -> Found:
        ours = quickest(record.rows("work-precision", version="flow", kernel=kernel, points=128))
        theirs = quickest(record.rows("work-precision", version="solve", points=128))
        if ours is None or theirs is None:
            return None
        return float(theirs.figures["seconds"]) / float(ours.figures["seconds"]), None

    return measure


def _memory(method: str, control: str) -> Callable[[Record], Found]:
    def measure(record: Record) -> Found:
        rows = record.rows(
            "memory", method=method, kernel="fused", shape=[96, 96, 96], control=control
        )
        return _figure(_first(rows), "copies of g in all")

    return measure


def _training(name: str, batch: int, kind: str, figure: str) -> Callable[[Record], Found]:
    def measure(record: Record) -> Found:
        return _figure(_first(record.rows(name, batch=batch, kind=kind)), figure)

    return measure


def _on_gpu(record: Record) -> Found:
    rows = record.rows("gpu", kernel="fused", dtype="float64", shape=[256, 256, 256])
    return _figure(_first(rows), "million points/s")


TARGETS = (
    Target(
        "fused against plain, one core, float64, order 4, 3-D at 96^3: times as fast",
        15,
        True,
        _fused_against("plain", 96, 96, 96),
        avx2=12,
    ),
    # The bound is older than the closed form, which made the plain version a quarter faster too.
    Target(
        "the same in 2-D at 1024^2, against array code for the index formula of all dimensions",
        20,
        True,
        _fused_against("index formula", 1024, 1024),
    ),
    Target(
        "the same in 2-D against plain, which has the closed form there as well",
        20,
        True,
        _fused_against("plain", 1024, 1024),
        avx2=14,
    ),
    Target("the same in 4-D at 20^4", 10, True, _fused_against("plain", 20, 20, 20, 20)),
    Target(
        "fused, 3-D at 96^3, one core: million points/s", None, True, _speed(96, 96, 96), avx2=24
    ),
    Target(
        "the same in the cache, at 32^3: million points/s", None, True, _speed(32, 32, 32), avx2=34
    ),
    Target("fused, 3-D: speed at 96^3 over that at 32^3", 0.85, True, _large_against_small),
    Target(
        "fused, 3-D at 96^3: float32 against float64, times as fast",
        1.7,
        True,
        _study("precision", "times float64", 3, dtype="float32"),
    ),
    Target(
        "fused, 3-D at 96^3: two cores against one, times as fast",
        1.8,
        True,
        _study("threads", "times 1 thread", 3, threads=2),
    ),
    Target(
        "fused against JAX jit of the same formula (its better form; the worse of 2-D and 3-D)",
        2,
        True,
        _worst_jax,
    ),
    Target(
        "fused and plain differ, float64, in units of the largest term that is summed",
        1e-12,
        False,
        _agreement,
    ),
    Target("warm start in seconds, n = 2 to 4", 1, False, _start("warm cache", (2, 3, 4))),
    Target("cold build in seconds, n up to 3", 15, False, _start("no cache", (2, 3))),
    Target("cold build in seconds, n = 4", 40, False, _start("no cache", (4,))),
    Target(
        "sausage at 128^2 to an error of 1e-6, plain right-hand side in both: our quickest "
        "integrator against solve_ivp's, times as fast",
        10,
        True,
        _against_scipy("plain"),
    ),
    Target(
        "memory of rkl2 in 3-D at 96^3, fused, equal steps, start included, in packed copies of g",
        6,
        False,
        _memory("rkl2", "equal"),
    ),
    Target("the same with adapted steps", 6, False, _memory("rkl2", "adapted")),
    Target("the same, etdrk4, equal steps", 8, False, _memory("etdrk4", "equal")),
    Target("the same, etdrk4, adapted steps", 8, False, _memory("etdrk4", "adapted")),
    Target(
        "corrector (tau auto, exact): % of a ResNet-20 training step, batch 128",
        2,
        False,
        _training("corrector", 128, "tau auto, exact", "% of the step"),
    ),
    Target(
        "the same: peak of the tensors that it allocates, in copies of the largest layer",
        1,
        False,
        _training("corrector", 128, "tau auto, exact", "peak memory / largest layer"),
    ),
    Target(
        "regulariser N with every=10: times a plain ResNet-20 step, batch 32",
        1.6,
        False,
        _training("regularizer", 32, "every=10", "times a plain step"),
    ),
    Target(
        "on a GPU (an H200 is meant), 3-D at 256^3, order 4, float64, fused: million points/s",
        2000,
        True,
        _on_gpu,
    ),
)
"""Judged on the sizes that they name: a quick run has no number for most of them."""


def judge(record: Record) -> list[dict[str, Any]]:
    """Every target of the kind of processor with what was measured, and whether it is met."""
    return [target.judge(record) for target in TARGETS if target.bound_of(record) is not None]
