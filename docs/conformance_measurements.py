"""The numbers of the page conformance: ``python docs/conformance_measurements.py [NAME ...]``.

Each beside another library, which has to be installed for its part.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measurements import largest, run

import riemann_lne as rl
from riemann_lne.integrators import RKG2, RKL2


def problems() -> None:
    """DETEST problems at rtol = atol = 1e-10: correct digits, ours and SciPy's RK45."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from scipy.integrate import solve_ivp

    from tests.integrators.problems import PROBLEMS

    for name, problem in PROBLEMS.items():
        end, reference = problem.end, problem.reference()
        ours = rl.integrate(
            problem.f, problem.start, (0, end), t_eval=[end], rtol=1e-10, atol=1e-10
        )
        scipy = solve_ivp(problem.f, (0, end), problem.start, rtol=1e-10, atol=1e-10)
        size = max(1.0, largest(reference))
        digits = [
            -math.log10(max(largest(y - reference) / size, 1e-16))
            for y in (ours.y[-1], scipy.y[:, -1])
        ]
        kind = "closed form" if problem.exact is not None else "DOP853 at 1e-13"
        print(
            f"| {name} | {kind} | {digits[0]:.1f} | {digits[1]:.1f} | {ours.nfev} | {scipy.nfev} |"
        )


def orders() -> None:
    """Order and stability interval of every one-step method, as nodepy finds them.

    The tableau is read off the integrator itself: the rate of the k-th call is the k-th unit vector
    of a large space, so that the state of every call is a row of the matrix A.
    """
    from nodepy import rk

    methods: dict[str, Any] = {"rk4": "rk4", "tsit5": "tsit5", "bs32": "bs32"}
    for s in (3, 5, 9):
        methods[f"rkl2, {s} stages"] = RKL2(stages=s)
        methods[f"rkg2, {s} stages"] = RKG2(stages=s)
    size = 16
    for name, method in methods.items():
        states: list[np.ndarray] = []

        def rate(t: float, y: np.ndarray, states: list[np.ndarray] = states) -> np.ndarray:
            states.append(np.array(y))
            return np.eye(size)[len(states) - 1]

        end = rl.integrate(rate, np.zeros(size), (0, 1), method, [1.0], dt=1.0).y[-1]
        stages = len(states)
        found = rk.ExplicitRungeKuttaMethod(np.array(states)[:, :stages], end[:stages])
        order, interval = found.order(tol=1e-12), found.real_stability_interval()
        print(f"| {name} | {stages} | {order} | {interval:.2f} |")


def diffrax() -> None:
    """Allen-Cahn and Burgers by diffrax, for the table of `work`."""
    import diffrax
    import jax

    jax.config.update("jax_enable_x64", True)
    np_ = jax.numpy
    n = 256
    h = 2 * np.pi / n
    x = h * np.arange(n)

    def second(u: Any) -> Any:
        return (np_.roll(u, 1) + np_.roll(u, -1) - 2 * u) / h**2

    def allen_cahn(t: float, u: Any, args: Any) -> Any:
        return 0.02 * second(u) + u - u**3

    def burgers(t: float, u: Any, args: Any) -> Any:
        flux = u * u / 2
        return 0.03 * second(u) - (np_.roll(flux, -1) - np_.roll(flux, 1)) / (2 * h)

    for name, f, start, end in (
        ("Allen-Cahn", allen_cahn, 0.5 * np.sin(x) + 0.3 * np.cos(3 * x), 8.0),
        ("Burgers", burgers, np.sin(x), 2.0),
    ):

        def solve(
            solver: Any, tolerance: float, f: Any = f, start: Any = start, end: Any = end
        ) -> Any:
            return diffrax.diffeqsolve(
                diffrax.ODETerm(f),
                solver,
                0.0,
                end,
                None,
                np_.asarray(start),
                stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
                max_steps=100_000,
            )

        best = np.asarray(solve(diffrax.Kvaerno5(), 1e-11).ys[0])
        for label, solver in (("Tsit5", diffrax.Tsit5()), ("Kvaerno5", diffrax.Kvaerno5())):
            for tolerance in (1e-3, 1e-6):
                run = jax.jit(lambda s=solver, r=tolerance: solve(s, r))
                run()  # compile
                begun = time.process_time()
                found = run()
                values = np.asarray(found.ys[0])
                spent = time.process_time() - begun
                steps = int(found.stats["num_steps"])
                error = largest(values - best)
                row = f"| {name} | diffrax {label} | {tolerance:g} | {steps} steps | {error:.1e}"
                print(f"{row} | {spent:.2f} |")


def sundials() -> None:
    """Allen-Cahn and Burgers by the stabilised methods of SUNDIALS, for the same table.

    The bound on the spectrum is estimated by its power iteration, whose evaluations are counted
    apart: its binding cannot take a function that returns the bound.
    """
    from scipy.integrate import solve_ivp
    from sundials4py import arkode, core

    for name, f, _, start, end in _stiff():
        best = solve_ivp(f, (0, end), start, "Radau", rtol=1e-11, atol=1e-12).y[:, -1]

        def rate(t: float, y: Any, out: Any, data: Any, f: Any = f) -> int:
            core.N_VGetNumpyArray(out)[:] = f(t, core.N_VGetNumpyArray(y))
            return 0

        for label in ("RKL_2", "RKC_2"):
            for tolerance in (1e-3, 1e-6):
                _, context = core.SUNContext_Create(core.SUN_COMM_NULL)
                y, guess = (core.N_VNew_Serial(len(start), context) for _ in range(2))
                core.N_VGetNumpyArray(y)[:] = start
                core.N_VGetNumpyArray(guess)[:] = np.random.default_rng(0).normal(size=len(start))
                view = arkode.LSRKStepCreateSTS(rate, 0.0, y, context)
                memory = view.get()
                arkode.LSRKStepSetSTSMethod(memory, getattr(arkode, f"ARKODE_LSRK_{label}"))
                power = core.SUNDomEigEstimator_Power(guess, 100, 0.01, context)
                arkode.LSRKStepSetDomEigEstimator(memory, power)
                arkode.LSRKStepSetMaxNumStages(memory, 999)
                arkode.ARKodeSetMaxNumSteps(memory, 100_000)
                arkode.ARKodeSetStopTime(memory, end)
                arkode.ARKodeSStolerances(memory, tolerance, tolerance)
                arkode.ARKodeEvolve(memory, end, y, arkode.ARK_NORMAL)
                evaluations = arkode.ARKodeGetNumRhsEvals(memory, 0)[1]
                more = arkode.LSRKStepGetNumDomEigEstRhsEvals(memory)[1]
                error = largest(core.N_VGetNumpyArray(y) - best)
                row = f"| {name} | SUNDIALS {label} | {tolerance:g} | {evaluations} and {more}"
                print(f"{row} | {error:.1e} | |")


def _stiff() -> list[tuple[str, Callable[..., Any], float, np.ndarray, float]]:
    """Name, right-hand side, diffusivity, start and end of two stiff systems on 256 points."""
    n = 256
    h = 2 * np.pi / n
    x = h * np.arange(n)

    def second(u: np.ndarray) -> np.ndarray:
        return np.asarray((np.roll(u, 1) + np.roll(u, -1) - 2 * u) / h**2)

    def allen_cahn(t: float, u: np.ndarray) -> np.ndarray:
        return np.asarray(0.02 * second(u) + u - u**3)

    def burgers(t: float, u: np.ndarray) -> np.ndarray:
        flux = u * u / 2
        return np.asarray(0.03 * second(u) - (np.roll(flux, -1) - np.roll(flux, 1)) / (2 * h))

    return [
        ("Allen-Cahn", allen_cahn, 0.02, 0.5 * np.sin(x) + 0.3 * np.cos(3 * x), 8.0),
        ("Burgers", burgers, 0.03, np.sin(x), 2.0),
    ]


def work() -> None:
    """Allen-Cahn and Burgers, 256 points: evaluations and errors, beside SciPy."""
    from scipy.integrate import solve_ivp

    h = 2 * np.pi / 256
    for name, f, nu, start, end in _stiff():
        best = solve_ivp(f, (0, end), start, "Radau", rtol=1e-11, atol=1e-12).y[:, -1]
        for method in ("tsit5", "rkl2", "rkg2"):
            for rtol in (1e-3, 1e-6):
                begun = time.process_time()
                bound = 4 * nu / h**2 + 2
                found = rl.integrate(
                    f, start, (0, end), method, [end], rtol=rtol, atol=rtol, spectral_radius=bound
                )
                spent = time.process_time() - begun
                error = largest(found.y[-1] - best)
                print(
                    f"| {name} | {method} | {rtol:g} | {found.nfev} | {error:.1e} | {spent:.2f} |"
                )
        for method in ("RK45", "LSODA", "BDF", "Radau"):
            for rtol in (1e-3, 1e-6):
                begun = time.process_time()
                other = solve_ivp(f, (0, end), start, method, rtol=rtol, atol=rtol)
                spent = time.process_time() - begun
                error = largest(other.y[:, -1] - best)
                row = f"| {name} | SciPy {method} | {rtol:g} | {other.nfev} | {error:.1e}"
                print(f"{row} | {spent:.2f} |")


def curvature() -> None:
    """Curvature by Fourier derivatives against JAX's derivatives of the metric as a function."""
    import jax

    jax.config.update("jax_enable_x64", True)
    np_ = jax.numpy
    for n, points in ((2, 32), (3, 16), (4, 12)):

        def metric(x: Any, n: int = n) -> Any:
            rows = [
                [
                    (1.0 if i == j else 0.0)
                    + 0.1 / n * np_.sin(x[i] + (j + 1) * x[(i + j) % n])
                    + 0.1 / n * np_.sin(x[j] + (i + 1) * x[(i + j) % n])
                    for j in range(n)
                ]
                for i in range(n)
            ]
            return np_.array(rows)

        def christoffel(x: Any) -> Any:
            d = jax.jacfwd(metric)(x)  # d[i, j, k] = d_k g_ij
            lowered = d.transpose(0, 2, 1) + d - d.transpose(2, 0, 1)
            lowered = np_.einsum("pji->pij", lowered)
            return 0.5 * np_.einsum("kp,pij->kij", np_.linalg.inv(metric(x)), lowered)

        def riemann(x: Any) -> Any:
            gamma, d = christoffel(x), jax.jacfwd(christoffel)(x)  # d[l, j, k, i] = d_i Gamma^l_jk
            first = np_.einsum("ljki->lijk", d)
            second = np_.einsum("pjk,lip->lijk", gamma, gamma)
            half = first + second
            return half - half.transpose(0, 2, 1, 3)

        def ricci(x: Any) -> Any:
            return np_.einsum("iijk->jk", riemann(x))

        def scalar(x: Any) -> Any:
            return np_.einsum("jk,jk->", np_.linalg.inv(metric(x)), ricci(x))

        grid = rl.Grid.torus((points,) * n, 2 * np.pi)
        places = np.stack([c.reshape(-1) for c in np.broadcast_arrays(*grid.coordinates())], axis=1)

        def everywhere(f: Any, places: np.ndarray = places, grid: rl.Grid = grid) -> np.ndarray:
            values = np.asarray(jax.vmap(f)(places))
            return np.moveaxis(values, 0, -1).reshape(*values.shape[1:], *grid.shape)

        g = rl.MetricField(grid, everywhere(metric))
        for name, f in {
            "christoffel": christoffel, "riemann": riemann, "ricci": ricci,
            "scalar_curvature": scalar,
        }.items():  # fmt: skip
            expected = everywhere(f)
            found = getattr(g, name)("fourier")
            digits = -math.log10(largest(found - expected) / largest(expected))
            print(f"| {name}, {n}-D, ${points}^{n}$ points | {digits:.1f} |")


ALL: dict[str, Callable[[], None]] = {
    f.__name__: f
    for f in (
        problems,
        orders,
        diffrax,
        sundials,
        work,
        curvature,
    )
}

if __name__ == "__main__":
    run(ALL)
