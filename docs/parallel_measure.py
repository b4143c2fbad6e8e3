"""Measures the figures of parallel.md: ``python docs/parallel_measure.py ROUNDS``, with an MPI.

One process with one and with two threads, two processes, in turns, five rounds unless said
otherwise. It writes the record and the page's tables. An idle machine with two cores takes about
ten minutes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from parallel_figures import HERE, MEASURED, fitted, main

from riemann_lne import Grid
from riemann_lne_mpi import plan

WORKER = HERE.parent / "tests" / "mpi" / "measure.py"
MPIEXEC = Path(sys.executable).parent / "mpiexec"
LARGE, HALF = "192x192x192", "96x192x192"


def run(shape: str, method: str, steps: int, threads: int, size: int = 0) -> dict[str, float]:
    """One run: alone, or under MPI on a number of processes."""
    command = [sys.executable, str(WORKER), shape, method, str(steps)]
    if size:
        command = [str(MPIEXEC), "-n", str(size), *command]
    environment = {**os.environ, "RIEMANN_LNE_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def measure(rounds: int) -> None:
    """All runs, in turns."""
    runs: dict[str, tuple[Any, ...]] = {
        "one": (LARGE, "rkl2", 3, 1),
        "threads": (LARGE, "rkl2", 3, 2),
        "two": (LARGE, "rkl2", 3, 1, 2),
        "half": (HALF, "rkl2", 3, 1),
        "etd threads": ("128x128x128", "etdrk4", 4, 2),
        "etd two": ("128x128x128", "etdrk4", 4, 1, 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    worked: dict[str, list[float]] = {name: [] for name in runs}
    evaluations: dict[str, float] = {}
    load = []
    for number in range(rounds):
        for name, arguments in runs.items():
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            load.append(os.getloadavg()[0])
            found = run(*arguments)
            seconds[name].append(found["seconds"])
            worked[name].append(found["cpu"] / (2 if "threads" in name else 1))
            evaluations[name] = found["nfev"]
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    cpu = {name: statistics.median(values) for name, values in worked.items()}

    def row(run: str, here: str, beside: str, there: str, aim: str) -> dict[str, Any]:
        """A line of the table: how many times as fast as what stands beside it."""
        return {
            "run": run, "seconds": middle[here], "beside": f"{beside}: {middle[there]:.3g} s",
            "ratio": middle[there] / middle[here], "ratio_of_work": cpu[there] / cpu[here],
            "aim": aim,
        }  # fmt: skip

    large, etd = "2 processes, 192^3, rkl2", "2 processes, 128^3, etdrk4"
    rows = [
        row(large, "two", "core, 2 threads", "threads", "at least 0.95"),
        row(large, "two", "core, 1 thread", "one", "at least 1.85"),
        row(large, "two", "core, 1 thread, 96 x 192^2", "half", "above 0.92"),
        row(etd, "etd two", "core, 2 threads", "etd threads", "at least 0.63"),
    ]
    halo = plan(Grid.torus((192, 192, 192)), 2, "rkl2").halo_bytes
    # Processor time: the model is of machines on which nothing else runs.
    each = [cpu[name] / evaluations[name] for name in ("half", "two")]
    record = {
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "rounds": rounds,
        "load": [min(load), max(load)],
        "seconds": seconds,
        "processor_seconds": worked,
        "rows": rows,
        "fit": fitted(*each, 192**3 // 2, halo),
    }
    MEASURED.parent.mkdir(exist_ok=True)
    MEASURED.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    main()
