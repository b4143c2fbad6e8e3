"""The tables of the page parallel.md: ``python docs/parallel_figures.py`` writes them anew.

The cost of a step comes from ``riemann_lne_mpi.plan`` and from the formula of the kernels;
what was measured from ``docs/parallel/measured.json``, which ``docs/parallel_measure.py`` writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from riemann_lne import Grid
from riemann_lne.kernels.emit import difference_flops, flops
from riemann_lne.kernels.trace import trace
from riemann_lne.kernels.units import units
from riemann_lne_mpi import plan
from riemann_lne_mpi.planning import human

HERE = Path(__file__).parent
PAGE, MEASURED = HERE / "parallel.md", HERE / "parallel" / "measured.json"
GRIDS = ((256, 3), (512, 3), (1024, 3), (2048, 3), (64, 4), (96, 4), (128, 4), (192, 4))
PROCESSES = (4, 64, 512)
TIMES = " \u00d7 "


@cache
def flops_per_point(n: int, order: int = 4) -> int:
    """Operations of the Ricci-DeTurck right-hand side at a point."""
    program = trace("ricci_deturck", n, units(order).ratio)
    return flops(program.nodes) + difference_flops(program, order // 2)


def plans() -> str:
    """Memory, halo and arithmetic of a process, for RKL2 with 9 stages at order 4."""
    lines = [
        "| grid | processes | blocks | memory of a process | halos a right-hand side | "
        "arithmetic a step |",
        "|---|---|---|---|---|---|",
    ]
    for points, axes in GRIDS:
        for size in PROCESSES:
            found = plan(Grid.torus((points,) * axes), size, "rkl2")
            work = found.block_points * flops_per_point(axes) * found.evaluations
            lines.append(
                f"| ${points}^{axes}$ | {size} | {TIMES.join(map(str, found.layout.dims))} | "
                f"{human(found.memory)} | {human(found.halo_bytes)} | {work / 1e9:.3g} Gflop |"
            )
    return "\n".join(lines)


def powers(text: str) -> str:
    """A text of the record with its powers typeset: ``128^3``."""
    return re.sub(r"\d+\^\d+", r"$\g<0>$", text.replace(" x ", TIMES))


def measured() -> str:
    """The measurements, with the load of the machine."""
    if not MEASURED.exists():
        return "Nothing has been measured on this version."
    record = json.loads(MEASURED.read_text())
    busy = record["load"][0] > 2
    lines = [
        f"{record['machine']}; {record['rounds']} rounds in turns, medians. Load of the machine "
        f"meanwhile: {record['load'][0]:.1f} to {record['load'][1]:.1f}"
        + (" (other work ran on it)." if busy else " (that of the runs themselves)."),
        "",
        "The ratio says how many times as fast the processes are as the run they are compared "
        "with. The ratio of processor time per process (waiting for the others included) "
        "estimates it for a machine on which nothing else runs."
        + (
            " **The machine was busy throughout, and two processes then get more of it than one. "
            "So the ratios of time are no evidence for the aims; those of processor time are rough "
            "evidence.**"
            if busy
            else ""
        ),
        "",
        "| run | seconds a step | compared with | ratio | ratio of processor time | aim |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {powers(row['run'])} | {row['seconds']:.3g} | {powers(row['beside'])} | "
        f"{row['ratio']:.2f} | "
        f"{row['ratio_of_work']:.2f} | {row['aim']} |"
        for row in record["rows"]
    ]
    return "\n".join(lines)


def model() -> str:
    """Strong and weak scaling by a model with three numbers, two of them measured here."""
    if not MEASURED.exists():
        return "Nothing has been measured on this version."
    fit = json.loads(MEASURED.read_text())["fit"]
    rate, band = fit["points_per_second"], fit["halo_bytes_per_second"]
    latency = 5e-6

    def seconds(points: int, size: int) -> float:
        found = plan(Grid.torus((points,) * 3), size, "rkl2")
        exchange = found.halo_bytes / band + 26 * latency if size > 1 else 0.0
        return found.evaluations * (found.block_points / rate + exchange)

    lines = [
        f"**A model, not a measurement.** A right-hand side takes (points of a block) / "
        f"{rate / 1e6:.3g} million a second + (bytes of the halo) / ({band / 1e9:.3g} GB/s) + 26 "
        "messages of 5 microseconds. The first two numbers are fitted to the processor time of "
        "a block of $96 \\times 192^2$ points on this machine, alone and as one of two. The last "
        "is a usual figure of clusters and was not measured. There is one process for each core. "
        "The model leaves out a shared memory bus and a busy network.",
        "",
        "| processes | $512^3$: seconds a step | efficiency | $192^3$ points each: efficiency |",
        "|---|---|---|---|",
    ]
    one = seconds(512, 1)
    for size in (1, 8, 64, 512):
        strong = seconds(512, size)
        side = 192 * round(size ** (1 / 3))
        weak = seconds(192, 1) / seconds(side, size)
        lines.append(f"| {size} | {strong:.3g} | {one / size / strong:.2f} | {weak:.2f} |")
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {"plans": plans, "measured": measured, "model": model}


def current(text: str) -> str:
    """The page with all tables as they are now."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        assert len(pattern.findall(text)) == 1, name
        text = pattern.sub(f"{begin}\n\n{make()}\n\n{end}".replace("\\", "\\\\"), text)
    return text


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(current(PAGE.read_text()))


def fitted(half: float, two: float, points: int, halo: int) -> dict[str, Any]:
    """Rate of a core, and of a halo, from the seconds of a right-hand side of one block.

    ``half``: the block alone, closed on itself; ``two``: the same block as one of two.
    """
    return {"points_per_second": points / half, "halo_bytes_per_second": halo / (two - half)}


if __name__ == "__main__":
    main()
