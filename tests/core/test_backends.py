"""The same code on every array library: equal numbers, the input's type, nothing overwritten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from riemann_lne import (
    Grid,
    MetricField,
    RicciDeTurckFlow,
    RicciFlow,
    curvature,
    perturbed_euclidean,
    solve_flow,
)
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.stencils import gradient, hessian

GRIDS = {
    "torus2": Grid.torus((9, 8)),
    "box2": Grid.box(0, 2, (12, 11)),
    "mixed3": Grid((6, 9, 7), (0, 0, 0), (3, 2, 4), (True, False, True)),
    "torus4": Grid.torus((4, 5, 6, 5)),
}
TOLERANCE = {"float64": 1e-12, "float32": 2e-4}


def agree(backend: Any, value: Any, exact: np.ndarray, dtype: str, tolerance: float) -> None:
    assert value.dtype == backend.dtype(dtype)
    host = backend.numpy(value)
    assert host.shape == exact.shape
    assert np.max(np.abs(host - exact)) <= tolerance * max(1.0, float(np.max(np.abs(exact))))


def data(name: str) -> tuple[Grid, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    grid = GRIDS[name]
    g = perturbed_euclidean(grid, 0.3, seed=1, modes=1).components
    bar = perturbed_euclidean(grid, 0.3, seed=2, modes=1).components
    h = perturbed_euclidean(grid, 0.3, seed=3, modes=1).components
    v = np.stack([h[0, k] - 0.5 for k in range(grid.ndim)])
    return grid, g, bar, h, v


CALLS = {
    "inverse": lambda g, bar, h, v, grid, o: curvature.inverse(g, grid),
    "volume_element": lambda g, bar, h, v, grid, o: curvature.volume_element(g, grid),
    "christoffel": lambda g, bar, h, v, grid, o: curvature.christoffel(g, grid, o),
    "riemann": lambda g, bar, h, v, grid, o: curvature.riemann(g, grid, o),
    "ricci": lambda g, bar, h, v, grid, o: curvature.ricci(g, grid, o),
    "scalar": lambda g, bar, h, v, grid, o: curvature.scalar_curvature(g, grid, o),
    "einstein": lambda g, bar, h, v, grid, o: curvature.einstein(g, grid, o),
    "lie": lambda g, bar, h, v, grid, o: curvature.lie_derivative(g, v, grid, o),
    "deturck": lambda g, bar, h, v, grid, o: curvature.deturck_vector(g, grid, bar, o),
    "deturck flat": lambda g, bar, h, v, grid, o: curvature.deturck_vector(g, grid, None, o),
    "lichnerowicz": lambda g, bar, h, v, grid, o: curvature.lichnerowicz(g, h, grid, o),
    "laplacian": lambda g, bar, h, v, grid, o: curvature.laplacian(g, v[0, ...], grid, o),
    "gradient": lambda g, bar, h, v, grid, o: gradient(g, grid, o),
    "hessian": lambda g, bar, h, v, grid, o: hessian(g, grid, o),
    "flow": lambda g, bar, h, v, grid, o: RicciDeTurckFlow(MetricField(grid, bar)).rhs(
        0.0, MetricField(grid, g).packed, grid, o
    ),
    "ricci flow": lambda g, bar, h, v, grid, o: RicciFlow().rhs(
        0.0, MetricField(grid, g).packed, grid, o
    ),
    "mean": lambda g, bar, h, v, grid, o: MetricField(grid, g).mean().components,
}
CASES = [
    ("torus2", 2),
    ("torus2", "fourier"),
    ("box2", 4),
    ("mixed3", 4),
    ("torus4", "fourier"),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("where", "order"), CASES, ids=[f"{a}-{b}" for a, b in CASES])
def test_every_function_agrees_with_numpy_and_keeps_library_and_precision(
    backend: Any, where: str, order: Any, dtype: str
) -> None:
    if (where, dtype) == ("torus4", "float32"):
        pytest.skip("slow, and the same code as in three dimensions")
    grid, *host = data(where)
    arrays = [backend.array(a, dtype) for a in host]
    for name, call in CALLS.items():
        exact = call(*host, grid, order)
        value = call(*arrays, grid, order)
        try:
            agree(backend, value, exact, dtype, TOLERANCE[dtype])
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    for array, values in zip(arrays, host, strict=True):
        assert np.array_equal(backend.numpy(array), values.astype(dtype)), "an input was changed"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("order", [4, "fourier"])
@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2", "etdrk4"])
@pytest.mark.parametrize("dt", [None, 0.01])
def test_every_method_agrees_with_numpy(
    backend: Any, method: str, order: Any, dtype: str, dt: float | None
) -> None:
    grid = Grid.torus((9, 8))
    g = perturbed_euclidean(grid, 0.3, seed=1, modes=1)
    options: dict[str, Any] = {
        "method": method, "order": order, "dt": dt, "t_eval": [0.0, 0.02, 0.05], "rtol": 1e-5,
    }  # fmt: skip
    start = MetricField(grid, backend.array(g.components, dtype))
    solution = solve_flow(start, RicciDeTurckFlow(), (0, 0.05), **options)
    exact = solve_flow(g, RicciDeTurckFlow(), (0, 0.05), **options)
    assert solution.success
    assert isinstance(solution.t, np.ndarray)
    if dtype == "float64":
        assert (solution.nfev, solution.n_accepted) == (exact.nfev, exact.n_accepted)
    tolerance = 1e-12 if dtype == "float64" else 3e-5
    for one, two in zip(solution.metrics, exact.metrics, strict=True):
        agree(backend, one.components, two.components, dtype, tolerance)
    assert np.array_equal(backend.numpy(start.components), g.components.astype(dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2"])
@pytest.mark.parametrize("kind", ["held", "function", "free"])
def test_boundaries_agree_with_numpy(backend: Any, method: str, kind: str, dtype: str) -> None:
    grid = Grid.box(-0.5, 0.5, (11, 10))

    def sphere(t: float, x: Any, y: Any) -> list[list[Any]]:
        v = 4 * (1 - 2 * t) / (1 + x**2 + y**2) ** 2
        return [[v, 0], [0, v]]

    boundary: Any = sphere if kind == "function" else kind
    g = MetricField.from_function(grid, lambda x, y: sphere(0.0, x, y))
    options: dict[str, Any] = {"method": method, "dt": 1e-3, "t_eval": [5e-3], "boundary": boundary}
    start = MetricField(grid, backend.array(g.components, dtype))
    end = solve_flow(start, RicciFlow(), (0, 5e-3), **options)[-1]
    exact = solve_flow(g, RicciFlow(), (0, 5e-3), **options)[-1]
    agree(backend, end.components, exact.components, dtype, 1e-12 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_metrics_and_their_numbers_agree_with_numpy(backend: Any, dtype: str) -> None:
    grid, g, bar, *_ = data("box2")
    one, two = (MetricField(grid, backend.array(a, dtype)) for a in (g, bar))
    rel = 1e-12 if dtype == "float64" else 1e-5
    assert one.volume() == pytest.approx(MetricField(grid, g).volume(), rel=rel)
    exact = MetricField(grid, g).l2_distance(MetricField(grid, bar))
    assert one.l2_distance(two) == pytest.approx(exact, rel=10 * rel)
    radius = RicciDeTurckFlow().spectral_radius(one.packed, grid, 4)
    assert isinstance(radius, float)
    host = MetricField(grid, g).packed
    assert radius == pytest.approx(RicciDeTurckFlow().spectral_radius(host, grid, 4), rel=rel)


def test_numpy_scalars_as_options_do_not_promote_float32(backend: Any) -> None:
    grid = Grid.torus((np.int64(8), np.int64(8)), np.float64(2.0))
    g = perturbed_euclidean(grid, np.float64(0.2), xp=backend.xp, dtype=backend.dtype("float32"))
    for method in ("rk4", "tsit5", "rkl2", "etdrk4"):
        for dt in (None, np.float64(5e-3)):
            end = solve_flow(
                g,
                RicciDeTurckFlow(),
                np.array([0.0, 0.06]),  # long enough for steps that the controller chose
                method,
                t_eval=np.array([0.05, 0.06]),
                dt=dt,
                rtol=np.float64(1e-4),
                atol=np.float64(1e-6),
            )[-1]
            assert end.packed.dtype == backend.dtype("float32")


def test_arrays_of_two_libraries_are_refused(backend: Any) -> None:
    if backend.name == "numpy":
        pytest.skip("the same library")
    grid, g, _, h, v = data("torus2")
    for call in (
        lambda: curvature.lichnerowicz(backend.array(g), h, grid),
        lambda: curvature.lie_derivative(backend.array(g), v, grid),
        lambda: curvature.deturck_vector(g, grid, backend.array(h)),
    ):
        with pytest.raises(InvalidArgumentError, match="mixed"):
            call()


def test_an_unstable_flow_ends_with_a_status_on_every_library(backend: Any) -> None:
    grid = Grid.torus((12, 12))
    g = perturbed_euclidean(grid, 0.3, xp=backend.xp)
    solution = solve_flow(g, RicciDeTurckFlow(), (0, 20), "rk4", dt=0.4)
    assert solution.status == -1
    assert "stability limit" in solution.message
    assert isinstance(solution[-1].packed, backend.array_type)
