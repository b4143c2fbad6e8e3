"""Memory of curvature and integrators on large grids, and that no memory is used twice.

Peaks are those of tracemalloc, which counts NumPy's arrays exactly. Their unit is one copy of the
metric as users see it, (n, n, *shape); packed it is 2/3 of that in 3-D.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import riemann_lne as rl
from riemann_lne.coefficients import half_width
from riemann_lne.ghosts import pad, padded_tile
from riemann_lne.integrators import METHODS, State, semidiscrete
from riemann_lne.integrators.methods import blockwise
from riemann_lne.integrators.methods.etd import etdrk4_coefficients
from riemann_lne.integrators.methods.registry import make_integrator
from riemann_lne.integrators.semidiscrete import SemiDiscreteFlow, laplacian_symbol, mean_metric

NAMED = [m for m in METHODS if m != "auto"]
CHEAP_TILES = 2048


class Shrinking:
    """g' = -g / 10 with a stiff bound: a right-hand side that takes no memory but its result."""

    parabolic = True

    def rhs(self, t: float, packed: Any, grid: rl.Grid, order: Any) -> Any:
        return np.multiply(packed, -0.1)

    def spectral_radius(self, packed: Any, grid: rl.Grid, order: Any) -> float:
        return 12 / grid.spacing[0] ** 2


@pytest.fixture(scope="module")
def metric() -> rl.MetricField:
    """48^3 points: tiles are small in comparison."""
    grid = rl.Grid.torus((48, 48, 48))
    x, y, z = grid.coordinates()
    packed = np.stack(
        [1 + 0.1 * np.sin(x + y), 0.1 * np.cos(z), 0 * x, 1 + 0 * x, 0 * x, 1 + 0 * x]
    )
    return rl.MetricField.from_packed(grid, packed)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Use each method once, so that no test counts the modules that Python imports for it."""
    small = rl.perturbed_euclidean(rl.Grid.torus((8, 8, 8)), 0.1)
    for method, order in (("rkl2", 4), ("rkl2", "fourier"), ("etdrk4", "fourier")):
        rl.solve_flow(small, rl.RicciDeTurckFlow(), (0, 1e-3), method, order=order, kernel="plain")


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """As small against the grid as the usual ones are against a grid of 96^3 points."""
    monkeypatch.setattr("riemann_lne.stencils._TILE_POINTS_CPU", CHEAP_TILES)


def peak(call: Callable[[], Any], metric: rl.MetricField) -> float:
    """Peak of what a call allocates, in copies of (n, n, *shape)."""
    tracemalloc.start()
    try:
        call()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return most / (metric.n**2 * metric.packed[0].nbytes)


# ---- peaks ----------------------------------------------------------------------------------


PACKED = 2 / 3  # of the copies that are counted here: 6 of 9 components


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    ("method", "order", "equal", "adapted"),
    [
        # Packed: the start, the first rate, two stages, a rate.
        ("rkl2", 4, 5.1, 5.1),
        # And, for the 2/3 rule, transforms of a component, axis by axis as on blocks of a grid.
        ("rkl2", "fourier", 5.7, 5.7),
        # Packed: the start, a stage, its rate; transforms: two that become the result and the last
        # stage, two of a component; coefficients, 0.4. With adapted steps also the long step.
        ("etdrk4", 4, 6.1, 7.1),
        ("etdrk4", "fourier", 6.6, 7.6),
    ],
)
def test_memory_of_a_flow_besides_that_of_its_right_hand_side(
    metric: rl.MetricField, method: str, order: Any, equal: float, adapted: float
) -> None:
    """In packed copies: with the result of the right-hand side, without its temporaries and
    without the metric of the caller."""
    flow, end = Shrinking(), 0.02
    if method == "rkl2":
        end = 40 / flow.spectral_radius(metric.packed, metric.grid, order)

    def call(dt: float | None) -> None:
        assert rl.solve_flow(
            metric, flow, (0, end), method, dt=dt, order=order, store="last"
        ).success

    assert peak(lambda: call(end / 2), metric) < equal * PACKED
    assert peak(lambda: call(None), metric) < adapted * PACKED


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(("method", "bound"), [("rkl2", 5.7), ("etdrk4", 7.6)])
def test_memory_of_a_flow_with_that_of_its_right_hand_side(
    metric: rl.MetricField, method: str, bound: float
) -> None:
    flow = rl.RicciDeTurckFlow()
    end = {"rkl2": 20 / flow.spectral_radius(metric.packed, metric.grid, 4), "etdrk4": 0.02}[method]

    def call() -> None:
        # That of array code, which takes more than a compiled kernel.
        options: dict[str, Any] = {"store": "last", "max_steps": 3, "kernel": "plain"}
        assert rl.solve_flow(metric, flow, (0, end), method, **options).nfev > 5

    assert peak(call, metric) < bound * PACKED


CURVATURES = ("christoffel", "ricci", "scalar_curvature", "flow")


def curvature(name: str, metric: rl.MetricField, order: Any) -> Any:
    if name == "flow":
        return rl.RicciDeTurckFlow().rhs(0.0, metric.packed, metric.grid, order)
    return getattr(rl.curvature, name)(metric.components, metric.grid, order)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    ("name", "order", "bound"),
    [
        # The packed copy of the argument (not for the flow), 0.7; the result, which is 3, 0.7 and
        # unpacked 1, 0.1, 0.7; the tile, 0.3, or the checks of the argument.
        ("christoffel", 4, 4.0),
        ("ricci", 4, 2.5),
        ("scalar_curvature", 4, 1.6),
        ("flow", 4, 1.1),
        # And both derivatives along the first axis, 1.3; tiles are of whole planes.
        ("christoffel", "fourier", 5.7),
        ("ricci", "fourier", 3.4),
        ("scalar_curvature", "fourier", 2.8),
        ("flow", "fourier", 2.7),
    ],
)
def test_memory_of_curvature_is_little_besides_its_result(
    metric: rl.MetricField, name: str, order: Any, bound: float
) -> None:
    metric.components  # made once, and the caller's  # noqa: B018
    assert peak(lambda: curvature(name, metric, order), metric) < bound


# ---- tiles ----------------------------------------------------------------------------------


@settings(deadline=None)
@given(data=st.data())
def test_a_padded_tile_is_the_tile_of_the_padded_field(data: Any) -> None:
    """Wherever the tile lies, whatever the ends of the axes are."""
    order = data.draw(st.sampled_from([2, 4, 6]))
    w = half_width(order)
    n = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.lists(st.integers(order + 2, 12), min_size=n, max_size=n)))
    wraps = tuple(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    grid = rl.Grid(shape, (0.0,) * n, (1.0,) * n, wraps)
    faces = [(a, side) for a in range(n) for side in (0, 1) if not wraps[a]]
    if faces:
        grid = grid.with_mirrors(data.draw(st.sets(st.sampled_from(faces))))
    tile = []
    for size in shape:
        start = data.draw(st.integers(0, size - 1))
        tile.append(slice(start, data.draw(st.integers(start + 1, size))))
    f = np.random.default_rng(0).normal(size=(n * (n + 1) // 2, *shape))
    f.setflags(write=False)
    halo = tuple(slice(s.start, s.stop + 2 * w) for s in tile)
    expected = pad(f, grid, order)[(slice(None), *halo)]
    assert np.array_equal(padded_tile(f, grid, order, tuple(tile)), expected)


@pytest.mark.parametrize("points", [1, 40, 200, 10**9])
@pytest.mark.parametrize("name", CURVATURES)
@pytest.mark.parametrize(
    ("shape", "wraps", "orders"),
    [
        ((13, 11), (True, True), (2, 8, "fourier")),
        ((9, 8, 7), (True, True, True), (2, 4, "fourier")),
        ((9, 8, 7), (False, True, False), (2, 4)),
        ((7, 6, 6, 5), (True, True, True, True), (4, "fourier")),
    ],
)
def test_the_size_of_the_tiles_changes_no_bit(
    shape: tuple[int, ...],
    wraps: tuple[bool, ...],
    orders: tuple[Any, ...],
    name: str,
    points: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n = len(shape)
    grid = rl.Grid(shape, (0.0,) * n, (1.0,) * n, wraps)
    metric = rl.perturbed_euclidean(grid, 0.3, modes=1)
    for order in orders:
        usual = curvature(name, metric, order)
        with monkeypatch.context() as patch:
            patch.setattr("riemann_lne.stencils._TILE_POINTS_CPU", points)
            assert np.array_equal(curvature(name, metric, order), usual)


# ---- aliasing -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def start() -> rl.MetricField:
    return rl.perturbed_euclidean(rl.Grid.torus((12, 12)), 0.3, seed=3)


def run(start: rl.MetricField, flow: Any, method: str, **options: Any) -> rl.FlowSolution:
    arguments = {"order": 2, "rtol": 1e-4} | options
    return rl.solve_flow(start, flow, (0, 0.3), method, **arguments)


def arrays(solution: rl.FlowSolution) -> list[np.ndarray]:
    found = [m.packed for m in solution.metrics]
    return found + [m.packed for group in solution.metrics_events for m in group]


def volume_event(t: float, metric: rl.MetricField) -> float:
    return float(metric.packed[0].max()) - 1.15


@pytest.mark.parametrize("method", NAMED)
def test_stored_metrics_are_what_they_were_and_share_no_memory(
    start: rl.MetricField, method: str
) -> None:
    """With every step kept, times within steps, an event, and an observer that takes copies."""
    seen: dict[float, np.ndarray] = {}
    event_metrics: list[tuple[rl.MetricField, np.ndarray]] = []

    def event(t: float, metric: rl.MetricField) -> float:
        event_metrics.append((metric, metric.packed.copy()))
        return volume_event(t, metric)

    def observe(metric: rl.MetricField) -> float:
        seen[len(seen)] = metric.packed.copy()
        return 0.0

    for options in ({}, {"t_eval": np.linspace(0, 0.3, 23), "dense_output": True}):
        seen.clear()
        solution = run(
            start,
            rl.RicciDeTurckFlow(),
            method,
            events=event,
            observe={"copy": observe},
            observe_at="t_eval" if options else "steps",
            **options,
        )
        assert len(solution.metrics) == len(seen) > 3
        assert len(solution.t_events[0]) > 0
        for metric, copy in zip(solution.metrics, seen.values(), strict=True):
            assert np.array_equal(metric.packed, copy)
        # What an event was given stays what it was, the flow having gone on.
        assert all(np.array_equal(m.packed, copy) for m, copy in event_metrics)
        kept = [start.packed, *(m.packed for m in solution.metrics)]
        assert not any(np.shares_memory(a, b) for a, b in combinations(kept, 2))


@pytest.mark.parametrize("method", NAMED)
@pytest.mark.parametrize("order", [2, "fourier"])
def test_a_step_leaves_its_arguments_alone_and_gives_arrays_of_its_own(
    start: rl.MetricField, method: str, order: Any
) -> None:
    y = start.packed.copy()
    system = SemiDiscreteFlow(rl.RicciDeTurckFlow(), start.grid, order, None, y, (0.0, 1.0))
    integrator = make_integrator(method, system, y)
    rate = system(0.0, y)
    before = y.copy(), rate.copy()
    y.setflags(write=False)
    rate.setflags(write=False)
    held: list[np.ndarray] = [y, rate]
    copies: list[np.ndarray] = list(before)
    # Two steps of one size, so that whatever one of them kept for the next would be used again.
    for given_rate in (rate, None, rate):
        step = integrator.step(system, State(0.0, y, given_rate), 0.002, True)
        own = [a[...] for a in (step.y, step.rate, step.error) if a is not None]
        held += own
        copies += [a.copy() for a in own]
    assert all(np.array_equal(a, b) for a, b in zip(held, copies, strict=True))
    assert not any(np.shares_memory(a, b) for a, b in combinations(held, 2))


@pytest.mark.parametrize("method", NAMED)
def test_read_only_starts_are_accepted_and_not_written_to(
    start: rl.MetricField, method: str
) -> None:
    packed = start.packed.copy()
    packed.setflags(write=False)
    metric = rl.MetricField.from_packed(start.grid, packed, check=False)
    solution = run(metric, rl.RicciDeTurckFlow(), method, dt=0.005, order=4)
    assert solution.success
    assert np.array_equal(packed, start.packed)


class Growing:
    """g' = g, the argument itself, a view or a copy of it being returned."""

    parabolic = True

    def __init__(self, result: str) -> None:
        self.result = result

    def rhs(self, t: float, packed: Any, grid: rl.Grid, order: Any) -> Any:
        return {"itself": packed, "view": packed[...], "copy": packed.copy()}[self.result]

    def spectral_radius(self, packed: Any, grid: rl.Grid, order: Any) -> float:
        return 30.0


@pytest.mark.parametrize("method", NAMED)
@pytest.mark.parametrize("result", ["itself", "view"])
@pytest.mark.parametrize("order", [2, "fourier"])
def test_a_flow_may_return_its_argument(
    start: rl.MetricField, method: str, result: str, order: Any
) -> None:
    plain = run(start, Growing("copy"), method, order=order)
    assert plain.success
    same = run(start, Growing(result), method, order=order)
    for a, b in zip(arrays(same), arrays(plain), strict=True):
        assert np.array_equal(a, b)


class Remembering(rl.RicciDeTurckFlow):
    """Knows by the identity of the argument what it has computed already."""

    def __init__(self) -> None:
        super().__init__()
        self.last: tuple[Any, Any] | None = None

    def rhs(self, t: float, packed: Any, grid: rl.Grid, order: Any) -> Any:
        if self.last is None or self.last[0] is not packed:
            self.last = (packed, super().rhs(t, packed, grid, order))
        return self.last[1].copy()


@pytest.mark.parametrize("method", NAMED)
def test_a_flow_may_remember_what_belongs_to_an_array(start: rl.MetricField, method: str) -> None:
    plain, other = (run(start, flow, method) for flow in (rl.RicciDeTurckFlow(), Remembering()))
    assert np.array_equal(plain[-1].packed, other[-1].packed)


@pytest.mark.parametrize("method", ["rk4", "tsit5", "bs32", "rkl2"])
def test_stages_in_place_are_the_stages_in_arrays_of_their_own(
    start: rl.MetricField, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place = run(start, rl.RicciDeTurckFlow(), method, events=volume_event)

    def fresh(terms: Any, out: Any = None) -> Any:
        return blockwise.combination(terms)

    monkeypatch.setattr(semidiscrete, "combination", fresh)
    separate = run(start, rl.RicciDeTurckFlow(), method, events=volume_event)
    assert len(arrays(in_place)) == len(arrays(separate))
    for a, b in zip(arrays(in_place), arrays(separate), strict=True):
        assert np.array_equal(a, b)


def test_a_step_of_etdrk4_in_place_is_that_of_the_formulas(start: rl.MetricField) -> None:
    """Cox & Matthews, every stage in an array of its own."""
    y, dt = start.packed, 0.04
    system = SemiDiscreteFlow(rl.RicciDeTurckFlow(), start.grid, 4, None, y, (0.0, 1.0))
    symbol = laplacian_symbol(mean_metric(y, start.grid), start.grid, 4)

    def nonlinear(v: Any) -> Any:
        rate = system(0.0, np.fft.irfftn(v, start.grid.shape, (1, 2)))
        return np.fft.rfftn(rate, axes=(1, 2)) - symbol * v

    def advance(v: Any, size: float) -> Any:
        e, e_half, q, f1, f2, f3 = etdrk4_coefficients(symbol, size)
        n_v = nonlinear(v)
        a = e_half * v + q * n_v
        n_a = nonlinear(a)
        n_b = nonlinear(e_half * v + q * n_a)
        n_c = nonlinear(e_half * a + q * (2 * n_b - n_v))
        return e * v + f1 * n_v + f2 * (n_a + n_b) + f3 * n_c

    v = np.fft.rfftn(y, axes=(1, 2))
    coarse, fine = advance(v, dt), advance(advance(v, dt / 2), dt / 2)
    step = make_integrator("etdrk4", system, y).step(system, State(0.0, y), dt, True)
    # Rounding of two steps: the state is of size 1.
    assert np.max(np.abs(step.y - np.fft.irfftn(fine, start.grid.shape, (1, 2)))) < 1e-14
    gap = np.fft.irfftn(fine - coarse, start.grid.shape, (1, 2)) / 15
    assert np.max(np.abs(gap)) > 1e-10  # not rounding
    assert step.error is not None
    assert np.max(np.abs(step.error[...] - gap)) < 1e-14


# ---- block by block -------------------------------------------------------------------------


@given(
    shape=st.lists(st.integers(1, 7), min_size=2, max_size=4).map(tuple),
    points=st.integers(1, 60),
    place=st.sampled_from([None, 0, 1, "new"]),
)
def test_a_combination_has_the_same_bits_in_blocks_and_in_place(
    shape: tuple[int, ...], points: int, place: Any
) -> None:
    rng = np.random.default_rng(0)
    x, y, z = (rng.normal(size=shape) for _ in range(3))
    expected = x * 0.3 + y * -1.7 + z
    copies = [a.copy() for a in (x, y, z)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("riemann_lne.stencils._TILE_POINTS_CPU", points)
        out = {None: None, 0: x, 1: y, "new": np.empty(shape)}[place]
        result = blockwise.combination([(0.3, x), (-1.7, y), (1.0, z)], out)
    assert np.array_equal(result, expected)
    assert out is None or (result is not out and np.shares_memory(result, out))
    for k, (a, copy) in enumerate(zip((x, y, z), copies, strict=True)):
        assert place == k or np.array_equal(a, copy)


def test_combinations_work_in_every_library(backend: Any) -> None:
    values = np.random.default_rng(0).normal(size=(3, 3, 4, 5))
    x, y, z = (backend.array(v) for v in values)
    out = 0.0 * y + y  # not read-only
    result = blockwise.combination([(0.5, x), (-2.0, out), (1.0, z)], out=out)
    expected = values[0] * 0.5 + values[1] * -2.0 + values[2]
    assert np.allclose(backend.numpy(result), expected, rtol=1e-15, atol=1e-15)


def test_shared_memory_is_noticed_in_every_library(backend: Any) -> None:
    x, y = backend.array(np.ones((2, 3, 3))), backend.array(np.ones((2, 3, 3)))
    assert blockwise.may_share_memory(x, x)
    assert blockwise.may_share_memory(x, x[1:, ...])
    if backend.name != "array_api_strict":  # it has no way to know, and must say that they may
        assert not blockwise.may_share_memory(x, y)
