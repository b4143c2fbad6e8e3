"""Runs of the same problems by other libraries: diffrax on JAX, SUNDIALS and py-pde.

Each task solves from the begin of the span to its end and tells its error against the exact
solution. What compiles is compiled when the task is made, so that it is no part of a run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from riemann_lne.errors import InvalidArgumentError

from .formula import Rolled, Spectral, apply_along, deturck_form
from .peers import library, py_pde_operators
from .solving import absolute, rate_of, start_and_end
from .versions import Problem, Task

_MOST_STEPS = 1_000_000


def _error(found: np.ndarray | None, exact: np.ndarray) -> float:
    if found is None or not np.all(np.isfinite(found)):
        return float("inf")
    return float(np.abs(found - exact).max())


def diffrax_solve(problem: Problem) -> Task:
    """diffrax, compiled by JAX as a whole, with its default controller of steps.

    ``Tsit5`` is explicit. ``KenCarp4`` is an IMEX method: implicit is the Laplacian of the mean
    inverse metric at the start, as ours is for ``"etdrk4"``, explicit what is left. Its equations
    are linear and too large for a dense matrix: Newton's method with GMRES, whose Jacobian is
    never made.
    """
    diffrax = library("diffrax")
    settings = tuple((key, _hashable(value)) for key, value in sorted(problem.items()))
    kept = tuple(item for item in settings if item[0] not in ("rtol", "atol"))
    solve, start, exact = _compiled(kept)
    tolerances = float(problem["rtol"]), absolute(problem)

    def call() -> Any:
        solution = solve(start, *tolerances)
        return solution, np.asarray(solution.ys[0])

    def facts(value: Any) -> dict[str, Any]:
        solution, found = value
        done = bool(solution.result == diffrax.RESULTS.successful)
        steps = int(solution.stats["num_steps"])
        return {"error": _error(found if done else None, exact), "work": f"{steps} steps"}

    return Task(call, lambda value: value[1], facts)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@lru_cache(maxsize=4)
def _compiled(settings: tuple[tuple[str, Any], ...]) -> tuple[Any, Any, np.ndarray]:
    """The compiled run (start, rtol, atol) -> solution, for all tolerances alike."""
    diffrax, jax, lineax, optimistix = map(library, ("diffrax", "jax", "lineax", "optimistix"))
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    problem = dict(settings)
    start, grid, exact = start_and_end(problem)
    n, order = grid.ndim, problem["order"]
    lengths = tuple(b - a for a, b in zip(grid.lower, grid.upper, strict=True))
    inverse = np.linalg.inv(np.moveaxis(start.components, (0, 1), (-2, -1)))
    mean = inverse.mean(axis=tuple(range(n)))

    def derivatives(y: Any) -> Any:
        if order == "fourier":
            return Spectral(y, lengths, apply_along(jnp))
        return Rolled(y, grid.spacing, order, jnp.roll)

    def rate(t: Any, y: Any, args: Any) -> Any:
        return jnp.stack(deturck_form(derivatives(y), y, n))

    def linear(t: Any, y: Any, args: Any) -> Any:
        d = derivatives(y)
        return sum(mean[a, b] * d.second(a, b) for a in range(n) for b in range(n))

    def rest(t: Any, y: Any, args: Any) -> Any:
        return rate(t, y, args) - linear(t, y, args)

    def solve(y: Any, rtol: Any, atol: Any) -> Any:
        if problem["method"] == "KenCarp4":
            gmres = lineax.GMRES(rtol=rtol, atol=atol)
            newton = optimistix.Newton(rtol=rtol, atol=atol, linear_solver=gmres)
            solver: Any = diffrax.KenCarp4(root_finder=newton)
            term: Any = diffrax.MultiTerm(diffrax.ODETerm(rest), diffrax.ODETerm(linear))
        else:
            solver, term = getattr(diffrax, problem["method"])(), diffrax.ODETerm(rate)
        begin, end = problem["span"]
        return diffrax.diffeqsolve(
            term,
            solver,
            begin,
            end,
            None,
            y,
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
            max_steps=_MOST_STEPS,
            throw=False,
        )

    packed = jnp.asarray(start.packed)
    return jax.jit(solve).lower(packed, 1.0, 1.0).compile(), packed, exact


def sundials_solve(problem: Problem) -> Task:
    """SUNDIALS by its own binding, on our right-hand side called back from C.

    ``BDF`` is CVODE's with GMRES and no preconditioner, ``RKL_2`` the stabilised method of LSRKStep
    with its power iteration for the spectrum (the binding cannot take a function that returns a
    bound).
    """
    library("sundials4py")
    arkode, core, cvodes = (library(f"sundials4py.{name}") for name in ("arkode", "core", "cvodes"))

    start, grid, exact = start_and_end(problem)
    right_hand_side = rate_of(problem, start, grid)
    shape = start.packed.shape
    begin, end = problem["span"]
    rtol, atol = problem["rtol"], absolute(problem)
    count = 0

    def rate(t: float, y: Any, out: Any, data: Any) -> int:
        nonlocal count
        count += 1
        found = right_hand_side(t, core.N_VGetNumpyArray(y).reshape(shape))
        core.N_VGetNumpyArray(out)[:] = np.ravel(found)
        return 0

    def vector(values: np.ndarray, context: Any) -> Any:
        made = core.N_VNew_Serial(values.size, context)
        core.N_VGetNumpyArray(made)[:] = np.ravel(values)
        return made

    def bdf(y: Any, context: Any) -> int:
        view = cvodes.CVodeCreate(cvodes.CV_BDF, context)
        memory = view.get()
        cvodes.CVodeInit(memory, rate, begin, y)
        cvodes.CVodeSStolerances(memory, rtol, atol)
        solver = core.SUNLinSol_SPGMR(y, core.SUN_PREC_NONE, 0, context)
        cvodes.CVodeSetLinearSolver(memory, solver, None)
        cvodes.CVodeSetMaxNumSteps(memory, _MOST_STEPS)
        cvodes.CVodeSetStopTime(memory, end)
        return int(cvodes.CVode(memory, end, y, cvodes.CV_NORMAL)[0])

    def stabilised(y: Any, context: Any) -> int:
        guess = vector(np.random.default_rng(0).normal(size=start.packed.size), context)
        view = arkode.LSRKStepCreateSTS(rate, begin, y, context)
        memory = view.get()
        method = getattr(arkode, f"ARKODE_LSRK_{problem['method']}")
        arkode.LSRKStepSetSTSMethod(memory, method)
        power = core.SUNDomEigEstimator_Power(guess, 100, 0.01, context)
        arkode.LSRKStepSetDomEigEstimator(memory, power)
        arkode.LSRKStepSetMaxNumStages(memory, 999)
        arkode.ARKodeSetMaxNumSteps(memory, _MOST_STEPS)
        arkode.ARKodeSetStopTime(memory, end)
        arkode.ARKodeSStolerances(memory, rtol, atol)
        return int(arkode.ARKodeEvolve(memory, end, y, arkode.ARK_NORMAL)[0])

    def call() -> Any:
        nonlocal count
        count = 0
        _, context = core.SUNContext_Create(core.SUN_COMM_NULL)
        y = vector(start.packed, context)
        flag = (bdf if problem["method"] == "BDF" else stabilised)(y, context)
        values = np.array(core.N_VGetNumpyArray(y)).reshape(shape)
        return (values if flag >= 0 else None), count

    def facts(value: Any) -> dict[str, Any]:
        found, evaluations = value
        return {"error": _error(found, exact), "work": f"{evaluations} evaluations"}

    return Task(call, lambda value: value[0], facts)


def py_pde_solve(problem: Problem) -> Task:
    """py-pde's own differences (order 2) in an equation written as its class, adaptive steps.

    The algebra of the evolution rate is NumPy's: as text, Numba had not compiled it after a minute.
    """
    pde = library("pde")
    if problem["method"] != "runge-kutta":
        raise InvalidArgumentError(f"method = {problem['method']!r}; give 'runge-kutta' for py-pde")
    start, on, exact = start_and_end(problem)
    grid, operators = py_pde_operators(on, problem["order"])
    count = 0

    base: Any = pde.PDEBase

    class Equation(base):  # type: ignore[misc]
        def evolution_rate(self, state: Any, t: float = 0) -> Any:
            nonlocal count
            count += 1
            rate = state.copy()
            packed = state.data
            rate.data = np.stack(deturck_form(operators(packed), packed, on.ndim))
            return rate

    equation = Equation()
    fields = pde.FieldCollection([pde.ScalarField(grid, block) for block in start.packed])
    equation.evolution_rate(fields)  # Numba compiles the differences here

    def call() -> Any:
        nonlocal count
        count = 0
        last = equation.solve(
            fields.copy(),
            t_range=problem["span"],
            dt=1e-5 * (problem["span"][1] - problem["span"][0]),
            solver=problem["method"],
            adaptive=True,
            tolerance=problem["rtol"],
            backend="numpy",
            tracker=None,
        )
        return last, count

    def facts(value: Any) -> dict[str, Any]:
        last, evaluations = value
        found = None if last is None else np.asarray(last.data)
        return {"error": _error(found, exact), "work": f"{evaluations} evaluations"}

    return Task(call, lambda value: np.asarray(value[0].data), facts)
