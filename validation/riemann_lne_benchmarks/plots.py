"""Plots of a record: scaling, work-precision, peers, rooflines. Needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from riemann_lne.errors import MissingDependencyError

from .results import Record, Row

_KERNELS = {"fused": "-", "plain": "--"}


def write_plots(record: Record, folder: Path) -> list[Path]:
    """Write the plots for which the record has numbers; returns their paths.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "matplotlib", "verify", "the plots of a benchmark", error
        ) from error
    drawings: dict[str, Callable[[Record, Any], bool]] = {
        "scaling": _scaling,
        "work-precision": _work_precision,
        "peers": _peers,
        "roofline": _roofline,
        "lne": _lne,
    }
    paths = []
    for name, draw in drawings.items():
        figure = Figure(figsize=(7.0, 4.6), layout="constrained")
        axes = figure.add_subplot()
        if draw(record, axes):
            axes.grid(alpha=0.3, which="major")
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=120)
            paths.append(path)
    return paths


def _speed(row: Row) -> float:
    return float(row.figures["million points/s"])


def _scaling(record: Record, axes: Any) -> bool:
    """Speed against the number of points, by dimension and version."""
    drawn = False
    for n, colour in ((2, "C0"), (3, "C1"), (4, "C2")):
        for version, style in _KERNELS.items():
            rows = [
                r
                for r in record.rows("scaling", version=version, dtype="float64", study=None)
                if len(r.parameters["shape"]) == n
            ]
            if rows:
                sizes = [math.prod(r.parameters["shape"]) for r in rows]
                speeds = [_speed(r) for r in rows]
                axes.loglog(
                    sizes, speeds, style, color=colour, marker="o", ms=4, label=f"{n}-D, {version}"
                )
                drawn = True
    axes.set(xlabel="grid points", ylabel="million points/s, one core, float64, order 4")
    if drawn:
        axes.legend(ncols=3, fontsize=8)
    return drawn


def _work_precision(record: Record, axes: Any) -> bool:
    """Seconds against error."""
    rows = record.rows("work-precision")
    colours: dict[str, str] = {}
    curves: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if math.isfinite(float(row.figures.get("error", math.inf))):
            p = row.parameters
            curves.setdefault((p["version"], p["method"], p["kernel"]), []).append(row)
    for (version, method, kernel), points in curves.items():
        colour = colours.setdefault(method, f"C{len(colours)}")
        points = sorted(points, key=lambda r: float(r.figures["error"]))
        name = f"SciPy {method}" if version == "solve" else f"{method}, {kernel}"
        axes.loglog(
            [r.figures["error"] for r in points],
            [r.figures["seconds"] for r in points],
            _KERNELS[kernel],
            color=colour,
            marker="s" if version == "solve" else "o",
            ms=5,
            # single runs have no line to tell them by
            markerfacecolor="none" if kernel == "plain" else colour,
            label=name,
        )
    axes.set(xlabel="largest error at the end, against the exact solution", ylabel="seconds")
    if curves:
        axes.invert_xaxis()
        axes.figure.legend(loc="outside upper center", ncols=4, fontsize=8)
    return bool(curves)


def _peers(record: Record, axes: Any) -> bool:
    """Speeds next to each other, on one core."""
    rows = [r for r in record.rows("peers", threads=1) if "million points/s" in r.figures]
    names = list(dict.fromkeys(r.parameters["version"] for r in rows))
    if not rows:
        return False
    kinds = list(dict.fromkeys((len(r.parameters["shape"]), r.parameters["order"]) for r in rows))
    height = 0.8 / len(kinds)
    for k, (n, order) in enumerate(kinds):
        mine = {r.parameters["version"]: _speed(r) for r in rows if _kind(r) == (n, order)}
        places = [names.index(name) + (k - (len(kinds) - 1) / 2) * height for name in mine]
        axes.barh(places, list(mine.values()), 0.9 * height, label=f"{n}-D, order {order}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set(xlabel="million points/s, one core, float64")
    axes.legend(fontsize=8)
    return True


def _kind(row: Row) -> tuple[int, int]:
    return len(row.parameters["shape"]), row.parameters["order"]


def _roofline(record: Record, axes: Any) -> bool:
    """Arithmetic against intensity on one core, below the two roofs."""
    rows = record.rows("roofline", threads=1)
    bandwidth = max((float(r.figures.get("GB/s", 0)) for r in rows), default=0.0)
    fused = [r for r in rows if r.parameters["version"] == "fused"]
    if not bandwidth or not fused:
        return False
    intensities = [float(r.figures["flop a byte"]) for r in fused]
    left, right = min(intensities) / 4, max(intensities) * 4
    for dtype, colour in (("float64", "C0"), ("float32", "C1")):
        roofs = [r for r in rows if r.parameters.get("dtype") == dtype and r not in fused]
        peak = max((float(r.figures["Gflop/s"]) for r in roofs), default=math.inf)
        x = [left, min(max(peak / bandwidth, left), right), right]
        axes.loglog(x, [min(peak, i * bandwidth) for i in x], color=colour, label=f"roof, {dtype}")
        mine = [r for r in fused if r.parameters["dtype"] == dtype]
        axes.loglog(
            [r.figures["flop a byte"] for r in mine],
            [r.figures["Gflop/s"] for r in mine],
            "o",
            color=colour,
            label=f"fused, {dtype}",
        )
        for r in mine:
            place = (float(r.figures["flop a byte"]), float(r.figures["Gflop/s"]))
            axes.annotate(
                f"{len(r.parameters['shape'])}-D",
                place,
                xytext=(6, -3),
                textcoords="offset points",
                fontsize=8,
            )
    axes.set(xlabel="flop a byte of the least traffic", ylabel="Gflop/s, one core")
    axes.legend(fontsize=8)
    return True


def _lne(record: Record, axes: Any) -> bool:
    """Seconds against the number of weights."""
    curves: dict[str, list[Row]] = {}
    for row in record.rows("lne"):
        curves.setdefault(row.parameters["operation"], []).append(row)
    for name, rows in curves.items():
        style = "k:" if name == "x + v" else "k--" if name == "tanh(x)" else "-"
        axes.loglog(
            [r.parameters["n"] for r in rows],
            [r.figures["seconds"] for r in rows],
            style,
            marker=".",
            label=name,
        )
    axes.set(xlabel="weights", ylabel="seconds, one core")
    if curves:
        axes.legend(fontsize=8)
    return bool(curves)
