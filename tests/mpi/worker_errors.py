"""Things that go wrong on one process: worker_errors.py SCENARIO ...; a line for each."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np

import riemann_lne as rl
import riemann_lne_mpi as rlm

TEAM: Any = rlm.world() if __name__ == "__main__" else None
LAST = TEAM.size - 1 if TEAM else 0
FLOW = rl.RicciDeTurckFlow()


def start(shape: Any = (24, 24)) -> Any:
    return rl.perturbed_euclidean(rlm.distribute(rl.Grid.torus(shape)), 0.2, seed=1)


def event_fails_later() -> str:
    def event(t: float, metric: Any) -> float:
        if t > 0.05 and TEAM.rank == LAST:
            raise ValueError("boo")
        return metric.volume() - 1e9

    solution = rlm.solve_flow(start(), FLOW, (0, 1), "rkl2", events=[event])
    again = rlm.solve_flow(start(), FLOW, (0, 0.1), "rkl2")
    return f"{solution.status} {solution.message} | {again.message}"


def interrupted() -> str:
    if TEAM.rank == LAST:
        threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    def slow(metric: Any) -> float:
        time.sleep(0.01)
        return 0.0

    observe = {"o": slow}
    solution = rlm.solve_flow(start(), FLOW, (0, 1e3), "rk4", observe=observe, t_eval=[1e3])
    times = TEAM.listed(float(solution.t[-1]))
    return f"{solution.status} {solution.message} | same time: {len(set(times)) == 1}"


def event_fails_at_once() -> Any:
    def event(t: float, metric: Any) -> float:
        if TEAM.rank == LAST:
            raise ValueError("boo")
        return metric.volume()

    return rlm.solve_flow(start(), FLOW, (0, 1), "rkl2", events=[event])


def block_alone() -> Any:
    observe = {"a": lambda metric: float(metric.packed.max())}
    return rlm.solve_flow(start(), FLOW, (0, 1), "rkl2", observe=observe)


def no_metric() -> Any:
    def function(x: Any, y: Any) -> Any:
        return [[np.where(x > 4, -1.0, 1.0), 0], [0, 1]]

    with TEAM.together():
        return rl.MetricField.from_function(rlm.distribute(rl.Grid.torus((24, 24))), function)


def raised_by_one(error: BaseException) -> str:
    """What all of them raise where one process raises this."""
    try:
        with TEAM.together():
            if TEAM.rank == LAST:
                error.add_note("a note")
                raise error
    except BaseException as found:
        return f"{type(found).__name__}: {found} ({', '.join(found.__notes__)})"
    return "went on"


def class_inside() -> str:
    class InsideError(Exception):
        pass

    return raised_by_one(InsideError("of a function"))


class TwoArgumentsError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def other_constructor() -> str:
    return raised_by_one(TwoArgumentsError("one", "two"))


class NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def no_text() -> str:
    try:
        return raised_by_one(NoTextError())
    except ValueError:  # the text of what is raised here fails as well
        return "NoText"


def ctrl_c() -> str:
    return raised_by_one(KeyboardInterrupt("of one"))


def end_of_one() -> str:
    return raised_by_one(SystemExit(3))


def other_arguments() -> Any:
    return rlm.solve_flow(start(), FLOW, (0, 1 + TEAM.rank), "rkl2")


def other_grids() -> Any:
    return rlm.distribute(rl.Grid.torus((24, 24 + TEAM.rank)))


def too_many() -> Any:
    return rlm.distribute(rl.Grid.torus((5, 2)))


def too_thin() -> Any:
    grid = rlm.distribute(rl.Grid.torus((8, 24)), (TEAM.size, 1))
    return rlm.solve_flow(rl.flat_metric(grid), FLOW, (0, 1), order=6)


def spectrum() -> Any:
    return rl.lichnerowicz_spectrum(start(), 3, order=4)


def whole_grid() -> str:
    """All that needs a whole grid: eigenvalues, and functions that read values by their place."""
    g = start()
    calls = {
        "lambda": lambda: rl.perelman_lambda(g),
        "lambda's rate": lambda: rl.analysis.perelman_lambda_rate(g),
        "ground state": lambda: rl.analysis.perelman_ground_state(g),
        "rates": lambda: rl.predicted_decay_rates(g),
        "mode": lambda: rl.analysis.mode_amplitude(g, (1, 0)),
        "geodesic": lambda: rl.geodesic(g, [0.0, 0.0], [1.0, 0.0], (0, 0.1)),
        "profile": lambda: rl.analysis.embedding_profile(g),
        "uniformize": lambda: rl.conformal.uniformize(g),
        "torus": lambda: rl.conformal.Torus(g.grid),
    }
    answered = []
    for name, call in calls.items():
        try:
            call()
            answered.append(name)
        except rl.errors.InvalidArgumentError as error:
            if "needs the whole grid" not in str(error) or "gather(metric)" not in str(error):
                answered.append(f"{name}: {error}")
    return f"answered: {answered}"


def other_seed() -> Any:
    """A random start on the whole grid, drawn by each process for itself."""
    g = rl.perturbed_euclidean(rl.Grid.torus((24, 24)), 0.2, seed=1 + TEAM.rank)
    return rlm.solve_flow(g, FLOW, (0, 0.1))


def saved() -> Any:
    return rlm.solve_flow(start(), FLOW, (0, 0.1)).save("nowhere.npz")


def store_exists() -> Any:
    return rlm.solve_flow(start(), FLOW, (0, 0.1), store=os.environ["THERE"])


def another_run() -> Any:
    folder = os.environ["THERE"].replace(".zarr", "-checkpoint")
    rlm.solve_flow(start(), FLOW, (0, 0.1), checkpoint=folder)
    return rlm.solve_flow(start(), FLOW, (0, 0.2), checkpoint=folder, resume=True)


def run_without_mpi() -> Any:
    folder = os.environ["THERE"].replace(".zarr", "-alone")
    with TEAM.together():
        if TEAM.rank == 0:
            whole = rl.perturbed_euclidean(rl.Grid.torus((24, 24)), 0.2, seed=1)
            rl.solve_flow(whole, FLOW, (0, 0.1), checkpoint=folder)
    return rlm.solve_flow(start(), FLOW, (0, 0.1), checkpoint=folder, resume=True)


def alone() -> Any:
    """An error that nobody else knows of ends all processes."""
    if TEAM.rank == LAST:
        raise RuntimeError("only me")
    TEAM.barrier()


def main() -> None:
    for name in sys.argv[1:]:
        if name == "alone":
            alone()
        try:
            text = globals()[name]()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
        texts = TEAM.listed(str(text))
        if TEAM.rank == 0:
            print(f"{name} | {len(set(texts))} | {text}", flush=True)


if __name__ == "__main__":
    main()
