"""Array libraries whose arrays cannot be written to: JAX where it is installed, and one like it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import curvature
from riemann_lne.arrays import put, to_numpy, writes
from riemann_lne.errors import DTypeError
from tests.core.unwritable import Frozen

Make = Callable[[np.ndarray], Any]
TORUS = rl.perturbed_euclidean(rl.Grid.torus((12, 10)), 0.2, seed=1)
CUBE = rl.perturbed_euclidean(rl.Grid.torus((8, 8, 10)), 0.2, seed=1)
SPHERE = rl.exact.round_sphere(2)
CAP = SPHERE.field(0.0, SPHERE.grid(13))


@pytest.fixture(params=["like JAX", "JAX"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an array of the library from a NumPy array."""
    if request.param == "like JAX":
        return lambda values: Frozen(np.array(values))
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return lambda values: jax.numpy.asarray(values)


def moved(make: Make, g: rl.MetricField) -> rl.MetricField:
    return rl.MetricField(g.grid, make(np.array(g.components)))


def gap(found: Any, expected: Any) -> float:
    return float(np.max(np.abs(to_numpy(found) - to_numpy(expected))))


def test_such_arrays_are_told_apart(make: Make) -> None:
    array = make(np.zeros(3))
    assert not writes(array)
    assert to_numpy(put(array, 1, 2.0)).tolist() == [0.0, 2.0, 0.0]
    assert to_numpy(array).tolist() == [0.0, 0.0, 0.0]
    plain = np.zeros(3)
    assert writes(plain)
    assert put(plain, 1, 2.0) is plain


@pytest.mark.parametrize("g", [TORUS, CUBE, CAP], ids=["torus", "cube", "cap"])
@pytest.mark.parametrize(
    "name", ["christoffel", "riemann", "ricci", "scalar_curvature", "inverse", "volume"]
)
def test_curvature(make: Make, g: rl.MetricField, name: str) -> None:
    found = getattr(moved(make, g), name)()
    assert gap(found, getattr(g, name)()) < 1e-12


@pytest.mark.parametrize("order", [2, 4, 6, "fourier"])
def test_every_order_of_differences(make: Make, order: Any) -> None:
    found = curvature.ricci(make(np.array(TORUS.components)), TORUS.grid, order)
    assert gap(found, curvature.ricci(TORUS.components, TORUS.grid, order)) < 1e-12


FLOWS = {
    "torus": (TORUS, rl.RicciDeTurckFlow(), {}),
    "cube": (CUBE, rl.RicciDeTurckFlow(), {}),
    "fourier": (TORUS, rl.RicciDeTurckFlow(), {"order": "fourier"}),
    "scaled": (TORUS, rl.ScaledFlow(rl.RicciFlow(), 0.3), {}),
    "normalized": (TORUS, rl.NormalizedRicciFlow(rl.RicciDeTurckFlow()), {}),
    "held": (CAP, rl.RicciDeTurckFlow(), {"boundary": "held"}),
    "driven": (CAP, rl.RicciDeTurckFlow(SPHERE.metric), {"boundary": SPHERE.metric}),
    "pulled back": (TORUS, rl.RicciFlow(gauge="deturck"), {"order": "fourier"}),
}


@pytest.mark.parametrize("name", FLOWS)
def test_flows(make: Make, name: str) -> None:
    g, flow, options = FLOWS[name]
    if name == "driven":  # its functions take the arrays of the library
        pytest.importorskip("jax")
        if isinstance(make(np.zeros(1)), Frozen):
            pytest.skip("the exact solution is NumPy's and JAX's")
    solutions = [
        rl.solve_flow(start, flow, (0, 0.02), "rkl2", [0.01, 0.02], 0.005, **options)
        for start in (g, moved(make, g))
    ]
    assert solutions[1].success
    assert solutions[0].nfev == solutions[1].nfev
    assert gap(solutions[1][-1].components, solutions[0][-1].components) < 1e-12
    assert type(solutions[1][-1].packed) is type(moved(make, g).packed)


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2", "rkg2", "etdrk4"])
def test_methods_with_error_control_and_events(make: Make, method: str) -> None:
    event = rl.events.SteadyState(3.0)
    event.terminal = False
    solutions = [
        rl.solve_flow(
            start, rl.RicciDeTurckFlow(), (0, 0.1), method, [0.03, 0.1], order=2, events=event,
            dense_output=True,
        )
        for start in (TORUS, moved(make, TORUS))
    ]  # fmt: skip
    assert solutions[1].success
    assert gap(solutions[1][-1].components, solutions[0][-1].components) < 1e-10
    assert np.allclose(solutions[0].t_events[0], solutions[1].t_events[0], rtol=1e-6)


def test_integrate(make: Make) -> None:
    found = rl.integrate(lambda t, y: -y, make(np.array([1.0, 2.0])), (0, 1), rtol=1e-9)
    assert gap(found.y[-1], np.array([1.0, 2.0]) * np.exp(-1)) < 1e-8


def test_checkpoints_and_stores(make: Make, tmp_path: Any) -> None:
    options: dict[str, Any] = {"dt": 0.01, "checkpoint": tmp_path / "run"}
    start = moved(make, TORUS)
    rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.05), "rk4", max_steps=2, **options)
    end = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.05), "rk4", resume=True, **options)
    whole = rl.solve_flow(start, rl.RicciDeTurckFlow(), (0, 0.05), "rk4", dt=0.01)
    assert gap(end[-1].components, whole[-1].components) == 0.0


def test_weight_space(make: Make) -> None:
    x, v = np.array([0.3, -0.2, 0.1]), np.array([0.1, 0.2, -0.3])
    lne = rl.LNEMetric(1.0)
    for name in ("apply", "solve"):
        found = getattr(lne, name)(make(x), make(v))
        assert gap(found, getattr(lne, name)(x, v)) < 1e-14
    assert gap(lne.exp(make(x), make(v)), lne.exp(x, v)) < 1e-10
    assert gap(rl.auto_tau(make(x), 0.5), rl.auto_tau(x, 0.5)) < 1e-12


def test_jax_traces_are_refused() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    with pytest.raises(DTypeError, match=r"jax\.jit"):
        jax.jit(lambda x: curvature.ricci(x, TORUS.grid))(jax.numpy.asarray(TORUS.components))
