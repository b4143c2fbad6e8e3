"""Runs on the periodic sausage, by our integrators and by SciPy's on the same right-hand side."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from riemann_lne import RicciDeTurckFlow, solve_flow
from riemann_lne.coefficients import half_width
from riemann_lne.exact import periodic_sausage

from .versions import NoKernelError, Problem, Task


def _start(problem: Problem) -> tuple[Any, Any, np.ndarray]:
    sausage = periodic_sausage((1, 0))
    grid = sausage.grid(int(problem["points"]))
    begin, end = problem["span"]
    return sausage.field(begin, grid), grid, sausage.field(end, grid).packed


def flow(problem: Problem) -> Task:
    """``solve_flow`` with a method, a tolerance and a kernel; tells error and evaluations."""
    start, _, exact = _start(problem)
    options: dict[str, Any] = {}
    kernel = problem.get("kernel", "plain")
    if "kernel" in inspect.signature(solve_flow).parameters:
        options["kernel"] = kernel
    elif kernel != "plain":
        raise NoKernelError("solve_flow has no fused kernels in this version")

    def call() -> Any:
        return solve_flow(
            start,
            RicciDeTurckFlow(),
            problem["span"],
            problem["method"],
            [problem["span"][1]],
            problem.get("dt"),
            rtol=problem["rtol"],
            atol=problem["rtol"] / 1000,
            order=problem["order"],
            store="last",
            **options,
        )

    def facts(run: Any) -> dict[str, Any]:
        error = float(np.abs(run[-1].packed - exact).max()) if run.success else float("inf")
        return {"error": error, "evaluations": run.nfev, "message": run.message}

    return Task(call, lambda run: run[-1].packed, facts)


def solve(problem: Problem) -> Task:
    """``scipy.integrate.solve_ivp`` on the method of lines of the plain right-hand side.

    LSODA is told the band of the Jacobian in the order (x, y, component); the corners that the
    periodic wrap adds are left out, which slows its Newton iteration but not its accuracy. Without
    a band it would ask for a dense matrix of 19 GB at 128 x 128 points.
    """
    start, grid, exact = _start(problem)
    deturck, order = RicciDeTurckFlow(), problem["order"]
    shape = start.packed.shape
    points_first = problem["method"] == "LSODA"
    options: dict[str, Any] = {}
    if points_first:
        band = (half_width(order) * grid.shape[1] + 1) * shape[0]
        options = {"lband": band, "uband": band}

    def to_flat(packed: np.ndarray) -> np.ndarray:
        return (np.moveaxis(packed, 0, -1) if points_first else packed).ravel()

    def to_packed(y: np.ndarray) -> np.ndarray:
        if not points_first:
            return y.reshape(shape)
        return np.ascontiguousarray(np.moveaxis(y.reshape(*shape[1:], shape[0]), -1, 0))

    def rate(t: float, y: np.ndarray) -> np.ndarray:
        return to_flat(deturck.rhs(t, to_packed(y), grid, order))

    def call() -> Any:
        return solve_ivp(
            rate,
            problem["span"],
            to_flat(start.packed),
            method=problem["method"],
            t_eval=[problem["span"][1]],
            rtol=problem["rtol"],
            atol=problem["rtol"] / 1000,
            **options,
        )

    def facts(run: Any) -> dict[str, Any]:
        done = run.success and run.y.shape[1] == 1
        error = float(np.abs(to_packed(run.y[:, -1]) - exact).max()) if done else float("inf")
        return {"error": error, "evaluations": int(run.nfev), "message": run.message}

    return Task(call, lambda run: to_packed(run.y[:, -1]), facts)
