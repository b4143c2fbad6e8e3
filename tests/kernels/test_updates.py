"""Kernels that add their result to other arrays on the way, and what flows make of it."""

from __future__ import annotations

import tracemalloc
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import riemann_lne as rl
from riemann_lne import kernels
from riemann_lne.errors import DTypeError, InvalidArgumentError, ShapeError
from riemann_lne.integrators.semidiscrete import SemiDiscreteFlow
from riemann_lne.kernels.fused import fused_flow
from riemann_lne.kernels.layout import ResultMemory
from riemann_lne.kernels.trace import formula

pytestmark = pytest.mark.usefixtures("compiler")


@settings(deadline=None, max_examples=60)
@given(data=st.data(), n=st.sampled_from([2, 3]), dtype=st.sampled_from(["float64", "float32"]))
def test_an_update_is_the_sum_it_says(
    tools: SimpleNamespace, data: Any, n: int, dtype: str
) -> None:
    """Any number of terms, in place or not, rows shorter and longer than a vector."""
    order = data.draw(st.sampled_from([2, 4]))
    name = data.draw(st.sampled_from(["ricci_deturck", "ricci_deturck_background", "ricci"]))
    most = {2: 40, 3: 11}[n]
    shape = tuple(data.draw(st.integers(order + 2, most)) for _ in range(n))
    wraps = tuple(data.draw(st.booleans()) for _ in range(n))
    grid = rl.Grid(shape, (0.0,) * n, (1.0,) * n, wraps)
    seed = data.draw(st.integers(0, 99))
    fields = [tools.random_packed(grid, seed + k, dtype) for k in range(formula(name).fields)]
    kernel = kernels.compile_kernel(name, n, order, dtype)
    rate = kernel(fields[0], grid, *fields[1:])
    scale = 1e-3 * data.draw(st.floats(-2, 2))
    factors = data.draw(st.lists(st.floats(-2, 2), max_size=4))
    draw = np.random.default_rng(seed)
    terms = [(c, draw.normal(size=rate.shape).astype(dtype)) for c in factors]
    if terms and data.draw(st.booleans()):
        terms[-1] = (factors[-1], fields[0])  # the argument may be among them
    expected = scale * rate + sum((c * a for c, a in terms), np.zeros_like(rate))
    places = [None, np.empty_like(rate), *(a for _, a in terms if a is not fields[0])]
    out = data.draw(st.sampled_from(range(len(places))))
    held = [a.copy() for _, a in terms]
    threads = data.draw(st.sampled_from([1, 2]))
    background = fields[1] if fields[1:] else None
    found = kernel.update(fields[0], grid, scale, terms, background, places[out], threads)
    assert places[out] is None or found is places[out]
    size = np.abs(scale * rate).max() + sum(abs(c) * np.abs(a).max() for c, a in terms)
    assert np.abs(found - expected).max() <= 8 * np.finfo(dtype).eps * (size + 1e-30)
    for (_, a), copy in zip(terms, held, strict=True):
        assert a is found or np.array_equal(a, copy)


def test_large_results_are_updated_past_the_caches(tools: SimpleNamespace) -> None:
    """Stores that leave the caches out, rows that begin and end with cache lines, in place."""
    grid = rl.Grid.torus((640, 640))
    g = tools.random_packed(grid, 0)
    kernel = kernels.compile_kernel("ricci_deturck", 2)
    rate = kernel(g, grid)
    assert rate.nbytes > kernels.layout.PAST_CACHES
    expected = 0.5 * g + 1e-6 * rate
    other = kernel(g, grid)  # memory that begins with a cache line
    other[...] = g
    found = kernel.update(g, grid, 1e-6, [(0.5, other)], out=other)
    assert found is other
    assert np.abs(found - expected).max() < 1e-14


def test_wrong_terms_are_errors() -> None:
    grid = rl.Grid.torus((8, 9))
    g = rl.flat_metric(grid).packed + 0.0
    kernel = kernels.compile_kernel("ricci_deturck", 2)
    with pytest.raises(ShapeError, match=r"a term has shape \(3, 9, 8\); the result needs"):
        kernel.update(g, grid, 1.0, [(1.0, np.ones((3, 9, 8)))])
    with pytest.raises(DTypeError, match="a term has dtype float32"):
        kernel.update(g, grid, 1.0, [(1.0, g.astype(np.float32))])
    with pytest.raises(InvalidArgumentError, match="out overlaps an argument"):
        kernel.update(g, grid, 1.0, [(1.0, g)], out=g)
    memory = np.zeros(g.size + 1)
    one, other = memory[:-1].reshape(g.shape), memory[1:].reshape(g.shape)
    with pytest.raises(InvalidArgumentError, match="overlaps a term without being"):
        kernel.update(g, grid, 1.0, [(1.0, one)], out=other)


def system(kernel: bool, boundary: Any = None, order: Any = 4) -> tuple[SemiDiscreteFlow, Any]:
    grid = rl.Grid.torus((12, 13)) if boundary is None else rl.Grid.box(0.0, 1.0, (12, 13))
    flow: Any = rl.RicciDeTurckFlow()
    y = rl.perturbed_euclidean(rl.Grid.torus((12, 13)), 0.2, seed=3).packed
    if kernel:
        flow = fused_flow(flow, grid, order, y)
    return SemiDiscreteFlow(flow, grid, order, boundary, y, (0.0, 1.0)), y


@pytest.mark.parametrize("boundary", [None, "held", "free"])
def test_a_system_with_a_kernel_updates_as_one_without(boundary: str | None) -> None:
    """In one pass where nothing is prescribed at the ends; and it counts its evaluations."""
    results = []
    for kernel in (False, True):
        made, y = system(kernel, boundary)
        first, other = made(0.0, y), np.cos(y)
        result = made.update(0.0, y, 0.01, [(2.0, y), (-0.5, first), (0.25, other)], other)
        assert np.shares_memory(result, other)
        assert result is not other
        assert made.nfev == 2
        assert made._in_one_pass is (kernel and boundary != "held")
        results.append(result)
    gap = np.abs(results[1] - results[0]).max()
    assert gap < 1e-12
    if boundary == "held":  # the rate is zero there
        first = system(False, boundary)[0](0.0, y)
        assert np.abs(first[:, 0]).max() == 0.0


@pytest.mark.parametrize("method", ["rkl2", "rk4", "etdrk4", "tsit5", "bs32"])
@pytest.mark.parametrize("dt", [None, 0.01])
def test_methods_give_the_same_on_kernels(
    tools: SimpleNamespace, method: str, dt: float | None
) -> None:
    g = rl.perturbed_euclidean(rl.Grid.torus((20, 16)), 0.2, seed=1)
    ends = [
        rl.solve_flow(g, rl.RicciDeTurckFlow(), (0, 0.05), method, dt=dt, kernel=kernel)
        for kernel in ("plain", "fused")
    ]
    assert ends[0].nfev == ends[1].nfev
    assert tools.relative_gap(ends[1][-1].packed, ends[0][-1].packed) < 1e-12


@pytest.mark.parametrize(
    ("method", "steps", "bound"),
    [
        # A stage in one pass: its rate is never there.
        ("rkl2", "equal", 4.1),
        ("rkl2", "adapted", 4.4),
        ("rk4", "equal", 6.1),
        # Transforms are a component of 48^3 points and a plane: 4 % more than the field.
        ("etdrk4", "equal", 6.05),
        ("etdrk4", "adapted", 7.06),
    ],
)
def test_memory_of_a_flow(
    monkeypatch: pytest.MonkeyPatch, method: str, steps: str, bound: float
) -> None:
    """In packed copies of the metric, that of the caller not counted. With it: 6 were asked of RKL2
    and 8 of ETDRK4, at 96^3, where transforms are 2 % larger than the field (``make bench``). The
    rings of a kernel, a few megabytes, are not seen by tracemalloc."""
    # As small against the grid as the usual ones are against a grid of 96^3 points.
    monkeypatch.setattr("riemann_lne.stencils._TILE_POINTS_CPU", 2048)
    metric = rl.perturbed_euclidean(rl.Grid.torus((48, 48, 48)), 0.2, modes=1)
    flow = rl.RicciDeTurckFlow()
    radius = flow.spectral_radius(metric.packed, metric.grid, 4)
    end = {"rkl2": 20 / radius, "rk4": 1 / radius, "etdrk4": 0.02}[method]
    dt = end / 2 if steps == "equal" else None

    def call() -> None:
        options: dict[str, Any] = {"store": "last", "max_steps": 3, "kernel": "fused", "dt": dt}
        assert rl.solve_flow(metric, flow, (0, end), method, **options).nfev > 5

    call()  # what is kept from a first call on
    tracemalloc.start()
    try:
        call()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most / metric.packed.nbytes < bound


class TestMemoryOfResults:
    def test_it_is_used_again_once_nothing_refers_to_it(self) -> None:
        """Whoever holds a part, under any name, keeps all of it."""
        memory = ResultMemory(least=0)
        arrays = [memory.take((3, 5, 4), "float32") for _ in range(3)]
        places = [a.ctypes.data for a in arrays]
        assert len(set(places)) == 3
        assert all(place % 64 == 0 for place in places)
        holders: list[Any] = [arrays[0][1, ::2].T, arrays[1].data, arrays[2].view(np.int32)]
        arrays.clear()
        assert memory.take((3, 5, 4), "float32").ctypes.data not in places
        for k in (1, 0, 2):
            holders[k] = None
            kept = memory.take((3, 5, 4), "float32")
            assert kept.ctypes.data == places[k]
            holders[k] = kept

    def test_free_memory_of_other_sizes_is_given_back(self) -> None:
        memory = ResultMemory(least=0)
        first = memory.take((1000,), "float64")
        gone = weakref.ref(first.base)
        del first
        assert gone() is None
        kept = memory.take((10,), "float64")
        assert [m.size for _, m in memory._lent] == [10 * 8 + 64]
        del kept

    def test_none_is_held_once_no_array_is_in_use(self) -> None:
        memory = ResultMemory(least=0)
        first, second = (memory.take((10,), "float64") for _ in range(2))
        del first
        assert len(memory._lent) == 2
        del second
        assert not memory._lent

    def test_small_results_are_no_concern_of_it(self) -> None:
        memory = ResultMemory()
        memory.take((10, 10), "float64")
        assert not memory._lent

    @pytest.mark.parametrize("method", ["tsit5", "bs32", "rk4", "rkl2", "etdrk4"])
    def test_flows_are_the_same_with_it(self, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """All states are kept: none of them may be written over."""
        start = rl.perturbed_euclidean(rl.Grid.torus((16, 16)), 0.1)
        arguments = start, rl.RicciDeTurckFlow(), (0, 4e-3)
        options: dict[str, Any] = {
            "method": method,
            "dt": 1e-3,
            "kernel": "fused",
            "t_eval": [0, 1e-3, 2e-3, 3e-3, 4e-3],
        }
        plain = rl.solve_flow(*arguments, **options)
        monkeypatch.setattr(ResultMemory.__init__, "__defaults__", (0,))
        other = rl.solve_flow(*arguments, **options)
        assert len(plain) == len(other) == 5
        for k in range(5):
            np.testing.assert_array_equal(other[k].packed, plain[k].packed)
