"""Section 6 on: the quantisers of the experiments."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from riemann_lne.errors import UnknownNameError
from riemann_lne.lne import quantize_levels

from ...lab.parameters import require_number, require_numbers
from ..backends import Backend
from ..frame import Evidence, Line, Measurement, Plot, claim


def _known_levels(backend: Backend) -> Measurement:
    """Levels of a few weights by hand: Eq. 38 at 2 bits, max |w| = 2, thresholds at 0, 4 / 3."""
    w = np.array([-2.0, -1.4, -1.3, -0.1, 0.1, 1.3, 1.4, 2.0])
    known = [-1.0, -1.0, -1 / 3, -1 / 3, 1 / 3, 1 / 3, 1.0, 1.0]
    error = float(np.abs(quantize_levels(w, 2) - np.array(known)).max())
    return Measurement.vanishing(
        "levels of eight weights at 2 bits, by hand", error, 1e-15, "rounding"
    )


@claim(
    "quantiser-levels",
    "Eq. 37, 38",
    guard=_known_levels,
    quick={
        "bits": (1, 2, 3, 4, 8),
        "dtypes": ("float32", "float64"),
        "count": 20001,
        "exact": 200,
        "seeds": (0, 1, 2),
    },
    full={"bits": tuple(range(1, 17)), "count": 400001, "exact": 2000},
)
def quantiser_levels(
    backend: Backend,
    bits: Sequence[int],
    dtypes: Sequence[str],
    count: int,
    exact: int,
    seeds: Sequence[int],
) -> Evidence:
    """The k-bit quantiser maps weights to 2^k levels, evenly spaced on [-1, 1] with both ends,
    which are its fixed points; with one bit it is the sign, +1 at zero.

    Measured: the values that the library's quantisers take on an even sweep of weights, on random
    ones and on the levels themselves, for each number of bits and type: how many, where, and what
    quantising again changes; and Eq. 38 in rational numbers, rounded to the nearest, for random
    weights. Predicted: exactly 2^k values (2 m - 2^k + 1) / (2^k - 1), and no exception. Scaling
    the weights by a power of two changes nothing, and a tensor of zeros gives finite levels.
    """
    require_numbers("bits", bits, 0, 17, whole=True)
    require_number("count", count, above=2, whole=True)
    require_number("exact", exact, above=0, whole=True)
    wrong = dict.fromkeys(
        (
            "number of levels",
            "range",
            "fixed points",
            "nearest level",
            "scale",
            "zeros",
        ),
        0,
    )
    spacing, numbers = [], {}
    checked = 0
    for name in dtypes:
        dtype = _dtype(name)
        unit = float(np.finfo(dtype).eps)
        for k in bits:
            # The sweep must pass every level: there are 2^k of them.
            sweep = np.linspace(-3.0, 3.0, max(count, 2 ** (k + 2) + 1), dtype=dtype)
            values = quantize_levels(sweep, k)
            found = np.unique(values).tolist()
            levels = [float(Fraction(2 * m + 1 - 2**k, 2**k - 1)) for m in range(2**k)]
            numbers[f"{name}, k = {k}"] = len(found)
            wrong["number of levels"] += int(len(found) != 2**k)
            wrong["range"] += int((found[0], found[-1]) != (-1.0, 1.0))
            wrong["fixed points"] += int(not np.array_equal(quantize_levels(values, k), values))
            wrong["scale"] += int(
                not np.array_equal(quantize_levels(sweep * dtype(2.0**-20), k), values)
            )
            zeros = quantize_levels(np.zeros(5, dtype=dtype), k)
            wrong["zeros"] += int(
                not np.array_equal(zeros, np.full(5, float(Fraction(1, 2**k - 1)), dtype=dtype))
            )
            if len(found) == len(levels):
                off = max(abs(a - b) for a, b in zip(found, levels, strict=True))
                spacing.append(off / unit)
            for seed in seeds:
                bad, seen = _misplaced(dtype, k, exact, seed)
                wrong["nearest level"] += bad
                checked += seen
    total = sum(wrong.values())
    steps = _staircase()
    return Evidence(
        Measurement(
            f"exceptions, bits {list(bits)}, types {list(dtypes)}; {checked} random weights were "
            "compared with Eq. 38 in rational numbers",
            {**wrong, "levels found": numbers},
            "no exception, 2^k levels",
            float(total),
            0.0,
            "a count",
        ),
        also=[
            Measurement.vanishing(
                "levels against (2 m - 2^k + 1) / (2^k - 1); in units of the type's rounding",
                max(spacing, default=float("inf")),
                1.0,
                "one division is rounded once",
            ),
            *_adapter(bits, count, seeds[0]),
        ],
        plots=[
            Plot(
                "Levels of the quantisers, max |w| = 1",
                "w",
                "Q(w)",
                [Line(f"{k} bit", *steps[k]) for k in steps],
            )
        ],
    )


def _dtype(name: str) -> Any:
    if name not in ("float32", "float64"):
        raise UnknownNameError("type", name, ("float32", "float64"))
    return getattr(np, name)


def _misplaced(dtype: Any, bits: int, count: int, seed: int) -> tuple[int, int]:
    """How many random weights Eq. 38 in rational numbers puts elsewhere, and how many were seen.

    Weights within rounding of the middle between two levels may go either way, and are left out.
    """
    w = np.random.default_rng(seed).normal(size=count).astype(dtype)
    values = quantize_levels(w, bits).tolist()
    exact = [Fraction(v) for v in w.tolist()]
    largest = max(abs(v) for v in exact)
    steps = 2**bits - 1
    margin = Fraction(float(np.finfo(dtype).eps)) * 4 * steps
    wrong = seen = 0
    for v, q in zip(exact, values, strict=True):
        number = steps * (v / (2 * largest) + Fraction(1, 2))
        if abs(number % 1 - Fraction(1, 2)) <= margin:
            continue
        seen += 1
        wrong += int(abs(q - float(Fraction(2 * round(number) - steps, steps))) > 1e-6)
    return wrong, seen


def _adapter(bits: Sequence[int], count: int, seed: int) -> list[Measurement]:
    """The PyTorch quantisers against the core's levels, where PyTorch is installed."""
    try:
        import torch

        from riemann_lne_torch import quantizers
    except ImportError:
        return []
    w = np.random.default_rng(seed).normal(size=min(count, 20001))
    differ = sum(
        int(
            np.sum(
                quantizers.quantize_tensor(torch.as_tensor(w), k).numpy() != quantize_levels(w, k)
            )
        )
        for k in bits
    )
    return [
        Measurement(
            f"PyTorch is installed: weights (of {len(w)}, each number of bits) to which the "
            "adapter's quantisers give another level",
            differ,
            0,
            float(differ),
            0.0,
            "a count",
        )
    ]


def _staircase() -> dict[int, tuple[list[float], list[float]]]:
    w = np.linspace(-1.0, 1.0, 801)
    return {k: (w.tolist(), quantize_levels(w, k).tolist()) for k in (1, 2, 3)}
