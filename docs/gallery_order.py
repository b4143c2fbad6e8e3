"""The order of the gallery's examples, and the limit of their processor time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

# An example that is not named here comes after those that are, by its name.
ORDER = [
    "first_flow",
    "decay_theory",
    "order_of_accuracy",
    "embedding_flow",
    "dumbbell",
    "round_sphere",
    "corseted_spheres",
    "surfaces_of_revolution",
    "positive_ricci",
    "hamilton_sphere",
    "gowdy_and_nil",
    "perelman_lambda",
    "crossover",
    "restart_zarr",
    "own_integrator",
    "property_tests",
    "mpi",
    "lne_metric",
    "weak_inverse",
    "lne_geodesics",
    "lne_curvature",
    "corrector_digits",
    "algorithm_2",
    "mismatch_training",
    "own_estimator",
    "own_task",
    "own_claim",
]
SECONDS = float(os.environ.get("DOCS_EXAMPLE_SECONDS", "20"))

_started: dict[str, float] = {}


class ReadingOrder:
    """Sort key of file names: as in ``ORDER``."""

    def __init__(self, folder: str) -> None:
        pass

    def __call__(self, file: str) -> tuple[int, str]:
        name = Path(file).stem.removeprefix("plot_")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)

    def __repr__(self) -> str:  # Sphinx compares configurations by their text
        return "<ReadingOrder>"


def limit_processor_time(config: dict[str, Any], file: str, when: str) -> None:
    """End an example after ``SECONDS`` of this process's time, with an error that names it.

    Processor time, not the clock, so that a busy machine does not fail the build. The signal ends
    an example that would run for ever; the check afterwards sees one that caught the error.
    """
    name = Path(file).name
    message = f"example {name} took more than {SECONDS:g} s of processor time: make it smaller"

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(message)

    if when == "before":
        _started[name] = time.process_time()
        signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        return
    signal.setitimer(signal.ITIMER_PROF, 0)
    used = time.process_time() - _started.pop(name)
    print(f"{name}: {used:.1f} s of processor time")
    if used > SECONDS:
        raise TimeoutError(message)
