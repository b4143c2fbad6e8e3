"""What sizes steps, in one compiled pass: the values of the array code, and where flows take it."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import riemann_lne as rl
from riemann_lne import kernels
from riemann_lne.flows import laplacian_spectral_radius
from riemann_lne.flows.base import nyquist_symbols
from riemann_lne.integrators.methods.blockwise import Combination, combination
from riemann_lne.integrators.semidiscrete import SemiDiscreteFlow, in_tolerances, scaled_error
from riemann_lne.kernels import reductions as module
from riemann_lne.kernels.fused import choose, fused_flow
from riemann_lne.kernels.reductions import reductions
from riemann_lne.tensors import pack

pytestmark = pytest.mark.usefixtures("compiler")

FLOWS = [
    rl.RicciDeTurckFlow(),
    rl.RicciFlow(),
    rl.RicciDeTurckFlow(background=rl.perturbed_euclidean(rl.Grid.torus((10, 11)), 0.1)),
]


@settings(deadline=None, max_examples=80)
@given(
    data=st.data(),
    n=st.sampled_from([2, 3, 4]),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 2**16),
)
def test_largest_values_are_those_of_the_array_code(
    tools: SimpleNamespace, data: Any, n: int, dtype: str, seed: int
) -> None:
    """Rows and grids shorter and longer than a vector, any number of terms, several threads."""
    shape = tuple(data.draw(st.integers(2, {2: 40, 3: 11, 4: 5}[n])) for _ in range(n))
    spacing = tuple(data.draw(st.floats(0.1, 3.0)) for _ in range(n))
    lengths = tuple(h * m for h, m in zip(spacing, shape, strict=True))
    grid = rl.Grid(shape, (0.0,) * n, lengths, (True,) * n)
    g = tools.random_packed(grid, seed, dtype)
    draw = np.random.default_rng(seed)
    factors = data.draw(st.lists(st.floats(-2, 2), min_size=1, max_size=4))
    terms = [(c, draw.normal(size=g.shape).astype(dtype)) for c in factors]
    threads = data.draw(st.sampled_from([1, 3]))
    chosen = reductions(n, dtype)
    expected = scaled_error(Combination(terms), g, n, 0.0, 1.0)
    square = chosen.largest_square(terms, g, threads)
    size = scaled_error(Combination([(abs(c), np.abs(a)) for c, a in terms]), g, n, 0.0, 1.0)
    tolerance = 200 * np.finfo(dtype).eps
    assert abs(in_tolerances(square, n, 0.0, 1.0) - expected) <= tolerance * (size + 1e-30)
    bound = laplacian_spectral_radius(g, grid, 4)
    found = chosen.largest_bound(g, nyquist_symbols(grid, 4), threads)
    assert math.isclose(found, bound, rel_tol=tolerance)


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(1, 700),
    dtype=st.sampled_from(["float64", "float32"]),
    factors=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=8),
    place=st.sampled_from(["new", "first", "last", "other", "strided"]),
)
def test_sums_are_those_of_the_array_code(
    size: int, dtype: str, factors: list[float], place: str
) -> None:
    """Of any length and number of terms, in a new array, over a term, and over other arrays."""
    draw = np.random.default_rng(size)
    terms = [(c, draw.normal(size=(2, size)).astype(dtype)) for c in factors]
    out = {
        "new": None,
        "first": terms[0][1],
        "last": terms[-1][1],
        "other": np.full((2, size), math.nan, dtype),
        "strided": np.zeros((2, 2 * size), dtype)[:, ::2],
    }[place]
    expected = combination(terms)
    scale = combination([(abs(c), np.abs(a)) for c, a in terms])
    found = reductions(2, dtype).combination(terms, out)
    assert np.all(abs(found - expected) <= 10 * np.finfo(dtype).eps * scale)
    assert found is not out
    assert out is None or np.shares_memory(found, out)


def test_a_large_sum_has_the_same_bits_with_any_number_of_threads() -> None:
    """It is written past the caches; ends that are no multiple of a vector are not."""
    size = kernels.layout.PAST_CACHES // 8 + 5
    terms = [(0.3, np.arange(size) / 7), (-1.7, np.ones(size)), (0.1, np.arange(size)[::-1] / 3)]
    chosen = reductions(2, "float64")
    one = chosen.combination(terms, threads=1)
    assert np.allclose(one, combination(terms), rtol=1e-14, atol=1e-9)
    for threads in (2, 3):
        np.testing.assert_array_equal(chosen.combination(terms, threads=threads), one)
    whole = np.zeros(size + 1)  # no vector of it lies on a border
    np.testing.assert_array_equal(chosen.combination(terms, whole[1:]), one)
    assert whole[0] == 0


@pytest.mark.parametrize("method", ["tsit5", "bs32", "rk4", "rkl2"])
def test_stages_beside_a_kernel_are_compiled_sums(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """No array code runs in a step, and the end is that of array code to rounding."""
    start = rl.perturbed_euclidean(rl.Grid.torus((16, 16)), 0.1)
    span, options = (0, 2e-3), {"method": method, "dt": 1e-3, "store": "last"}
    plain = rl.solve_flow(start, rl.RicciDeTurckFlow(), span, kernel="plain", **options)

    def refuse(*_: object) -> None:
        raise AssertionError("array code")

    monkeypatch.setattr("riemann_lne.integrators.semidiscrete.combination", refuse)
    fused = rl.solve_flow(start, rl.RicciDeTurckFlow(), span, kernel="fused", **options)
    np.testing.assert_allclose(fused[-1].packed, plain[-1].packed, rtol=0, atol=1e-13)


@pytest.mark.parametrize("place", [0, 7, 100, -1])
def test_what_is_not_a_number_is_not_lost(tools: SimpleNamespace, place: int) -> None:
    grid = rl.Grid.torus((13, 17))
    g = tools.random_packed(grid, 0)
    e = np.ones_like(g)
    e.reshape(3, -1)[1, place] = math.nan
    chosen = reductions(2, "float64")
    assert math.isnan(chosen.largest_square([(1.0, e)], g))
    assert not math.isnan(chosen.largest_square([(1.0, np.ones_like(g))], g))
    g.reshape(3, -1)[0, place] = math.nan
    assert math.isnan(chosen.largest_bound(g, nyquist_symbols(grid, 4)))
    assert math.isnan(chosen.largest_square([(1.0, np.ones_like(g))], g))


def test_the_result_does_not_depend_on_threads(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEAST_POINTS", 1)
    grid = rl.Grid.torus((37, 41))
    g, e = tools.random_packed(grid, 0), tools.random_packed(grid, 1)
    chosen = reductions(2, "float64")
    values = {chosen.largest_square([(0.5, e)], g, threads) for threads in (1, 2, 5, 100)}
    values |= {chosen.largest_square([(0.5, e[:, ::-1][:, ::-1])], g)}  # not contiguous
    assert len(values) == 1


@pytest.mark.parametrize("flow", FLOWS, ids=["deturck", "ricci", "background"])
def test_fused_flows_size_their_steps_by_them(flow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = rl.Grid.torus((10, 11))
    packed = rl.perturbed_euclidean(grid, amplitude=0.2).packed
    calls: list[str] = []
    for name in ("largest_square", "largest_bound", "is_metric"):
        usual = getattr(module.Reductions, name)

        def watched(
            self: Any, *given: Any, usual: Any = usual, name: str = name, **more: Any
        ) -> Any:
            calls.append(name)
            return usual(self, *given, **more)

        monkeypatch.setattr(module.Reductions, name, watched)
    sizes = []
    for chosen in (flow, fused_flow(flow, grid, 4, packed)):
        system = SemiDiscreteFlow(chosen, grid, 4, "held", packed, (0.0, 1.0))
        error = Combination([(0.5, packed), (-0.1, packed[:, ::-1])])
        sizes.append(
            [
                system.spectral_radius(0.0, packed),
                system.scaled_size(error, packed, packed, 1e-3, 1e-6),
                system.scaled_size(packed, packed, packed, 1e-3, 1e-6),
                float(system.admissible(packed)),
                float(system.admissible(-packed)),
            ]
        )
    assert calls == ["largest_bound", *["largest_square"] * 2, *["is_metric"] * 2]
    assert sizes[0][3:] == [1.0, 0.0]
    np.testing.assert_allclose(sizes[1], sizes[0], rtol=1e-13)


def test_checkpoints_tell_other_reductions_apart() -> None:
    grid = rl.Grid.torus((10, 11))
    packed = rl.perturbed_euclidean(grid, amplitude=0.2).packed
    # what a checkpoint notes of the kernel
    flow, name = choose("fused", rl.ScaledFlow(rl.RicciDeTurckFlow(), 0.1), grid, 4, packed)
    inner: Any = flow
    assert reductions(2, "float64").identity in name
    assert inner.flow.kernel.identity in name


def test_steps_are_those_of_the_plain_version(tools: SimpleNamespace) -> None:
    g = rl.perturbed_euclidean(rl.Grid.torus((24, 24)), amplitude=0.2)
    ends = [
        rl.solve_flow(g, rl.RicciDeTurckFlow(), (0.0, 0.05), method, kernel=kernel)
        for kernel in ("plain", "fused")
        for method in ("tsit5", "rkl2")
    ]
    for plain, fused in zip(ends[:2], ends[2:], strict=True):
        np.testing.assert_allclose(fused.t, plain.t, rtol=1e-8)
        gap = np.abs(fused.metrics[-1].packed - plain.metrics[-1].packed).max()
        assert gap <= 1e-10


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_state_that_is_no_metric_is_seen(tools: SimpleNamespace, n: int, dtype: str) -> None:
    grid = rl.Grid.torus({2: (13, 17), 3: (6, 5, 7), 4: (4, 5, 3, 4)}[n])
    good, chosen = tools.random_packed(grid, 0, dtype), reductions(n, dtype)
    assert chosen.is_metric(good)
    assert chosen.is_metric(1e-3 * good)
    eye = (np.arange(n)[:, None] == np.arange(n))[..., *(None,) * n] * np.ones(grid.shape)
    for place in (0, 5, -1):
        for value in (math.nan, math.inf, -math.inf):
            for component in range(len(good)):
                bad = good.copy()
                bad.reshape(len(good), -1)[component, place] = value
                assert not chosen.is_metric(bad)
        # one negative direction, on the diagonal or not: each leading minor is looked at
        for axis in range(n):
            bad = eye.copy()
            bad.reshape(n, n, -1)[axis, axis, place] = -0.1
            assert not chosen.is_metric(pack(bad).astype(dtype))
        bad = eye.copy()
        bad.reshape(n, n, -1)[0, n - 1, place] = bad.reshape(n, n, -1)[n - 1, 0, place] = 1.1
        assert not chosen.is_metric(pack(bad).astype(dtype))
        assert chosen.is_metric(pack(eye).astype(dtype))
