"""Runs with a known end, by our integrators and by SciPy's on the same right-hand side."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from scipy.integrate import solve_ivp

from riemann_lne import RicciDeTurckFlow, solve_flow
from riemann_lne.coefficients import half_width
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.exact import ExactSolution, gauge_family, periodic_sausage
from riemann_lne.kernels.fused import choose

from .versions import NoKernelError, Problem, Task

EXACT: dict[str, Callable[[], ExactSolution]] = {
    "sausage": lambda: periodic_sausage((1, 0)),
    # Changes along both axes: see ``time_to_solution.SAUSAGE``.
    "diagonal sausage": lambda: periodic_sausage((1, 1)),
    "gauge family": lambda: gauge_family(3),
}
"""Solutions of the Ricci-DeTurck flow on a torus, by the name that a problem gives."""
LARGEST_MATRIX = 2 * 2**30
"""Bytes of a Jacobian, as stored before it is factored, that a method may ask for."""


def start_and_end(problem: Problem) -> tuple[Any, Any, np.ndarray]:
    """Metric at the begin of the span, its grid, and the exact packed metric at the end."""
    solution = EXACT[problem.get("problem", "sausage")]()
    grid = solution.grid(int(problem["points"]))
    begin, end = problem["span"]
    return solution.field(begin, grid), grid, solution.field(end, grid).packed


def rate_of(problem: Problem, start: Any, grid: Any) -> Any:
    """The right-hand side (t, packed) -> packed of the problem's order, in its kernel."""
    kernel, order = problem.get("kernel", "plain"), problem["order"]
    flow, _ = choose(kernel, RicciDeTurckFlow(), grid, order, start.packed)
    return lambda t, packed: flow.rhs(t, packed, grid, order)


def absolute(problem: Problem) -> float:
    """Absolute tolerance: a thousandth of the relative one, unless the problem gives another."""
    return float(problem.get("atol", problem["rtol"] / 1000))


def flow(problem: Problem) -> Task:
    """``solve_flow`` with a method, a tolerance and a kernel; tells error and evaluations."""
    start, grid, exact = start_and_end(problem)
    options: dict[str, Any] = {}
    kernel = problem.get("kernel", "plain")
    if "kernel" in inspect.signature(solve_flow).parameters:
        options["kernel"] = kernel
    elif kernel != "plain":
        raise NoKernelError("solve_flow has no fused kernels in this version")
    rate_of(problem, start, grid)  # a kernel is built or loaded here, before anything is timed

    def call() -> Any:
        return solve_flow(
            start,
            RicciDeTurckFlow(),
            problem["span"],
            problem["method"],
            [problem["span"][1]],
            problem.get("dt"),
            rtol=problem["rtol"],
            atol=absolute(problem),
            order=problem["order"],
            store="last",
            **options,
        )

    def facts(run: Any) -> dict[str, Any]:
        error = float(np.abs(run[-1].packed - exact).max()) if run.success else float("inf")
        return {"error": error, "evaluations": run.nfev, "message": run.message}

    return Task(call, lambda run: run[-1].packed, facts)


def solve(problem: Problem) -> Task:
    """``scipy.integrate.solve_ivp`` on the method of lines of our right-hand side.

    LSODA is told the band of the Jacobian in the order (x, y, component); the corners that the
    periodic wrap adds are left out, which slows its Newton iteration but not its accuracy. Without
    a band it would ask for a dense matrix of 19 GB at 128 x 128 points. BDF is told which entries
    of the Jacobian are not zero, and factors it as a sparse matrix.

    Raises
    ------
    InvalidArgumentError
        If the Jacobian is larger than ``LARGEST_MATRIX``.
    """
    start, grid, exact = start_and_end(problem)
    right_hand_side, order = rate_of(problem, start, grid), problem["order"]
    shape = start.packed.shape
    points_first = problem["method"] == "LSODA"
    options: dict[str, Any] = {}
    if points_first:
        # The first axis is the outermost one: its neighbours are the farthest.
        inner = int(np.prod(grid.shape[1:]))
        band = (half_width(order) * inner + 1) * shape[0]
        _require_room(8 * start.packed.size * (3 * band + 1), "band of the Jacobian")
        options = {"lband": band, "uband": band}
    if problem["method"] == "BDF":
        width = (2 * half_width(order) + 1) ** grid.ndim * shape[0]
        _require_room(12 * start.packed.size * width, "sparse Jacobian")
        options = {"jac_sparsity": sparsity(shape, half_width(order))}

    def to_flat(packed: np.ndarray) -> np.ndarray:
        return (np.moveaxis(packed, 0, -1) if points_first else packed).ravel()

    def to_packed(y: np.ndarray) -> np.ndarray:
        if not points_first:
            return y.reshape(shape)
        return np.ascontiguousarray(np.moveaxis(y.reshape(*shape[1:], shape[0]), -1, 0))

    def rate(t: float, y: np.ndarray) -> np.ndarray:
        return to_flat(right_hand_side(t, to_packed(y)))

    def call() -> Any:
        return solve_ivp(
            rate,
            problem["span"],
            to_flat(start.packed),
            method=problem["method"],
            t_eval=[problem["span"][1]],
            rtol=problem["rtol"],
            atol=absolute(problem),
            **options,
        )

    def facts(run: Any) -> dict[str, Any]:
        done = run.success and run.y.shape[1] == 1
        error = float(np.abs(to_packed(run.y[:, -1]) - exact).max()) if done else float("inf")
        return {"error": error, "evaluations": int(run.nfev), "message": run.message}

    return Task(call, lambda run: to_packed(run.y[:, -1]), facts)


def _require_room(size: int, what: str) -> None:
    if size > LARGEST_MATRIX:
        raise InvalidArgumentError(f"the {what} would take {size / 2**30:.0f} GiB")


def sparsity(shape: tuple[int, ...], width: int) -> Any:
    """Which entries of the Jacobian of a right-hand side on a torus may differ from zero.

    Every component at a point depends on all components in the cube of ``width`` neighbours to
    each side, in the order (component, *points) of a packed metric of this shape.
    """
    components, points = shape[0], int(np.prod(shape[1:]))
    numbers = np.arange(points).reshape(shape[1:])
    axes = tuple(range(len(shape) - 1))
    columns = [
        np.roll(numbers, offset, axes).ravel()
        for offset in itertools.product(range(-width, width + 1), repeat=len(axes))
    ]
    rows = np.tile(numbers.ravel(), len(columns))
    entries = (np.ones(rows.size, dtype=np.int8), (rows, np.concatenate(columns)))
    block = scipy.sparse.csr_array(entries, shape=(points, points))
    full = np.ones((components, components), dtype=np.int8)
    return scipy.sparse.csc_matrix(scipy.sparse.kron(full, block))
