"""The compiled loops on weights against the array code that they are made of."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riemann_lne.errors import (
    DTypeError,
    InvalidArgumentError,
    KernelUnavailableError,
    UnknownNameError,
)
from riemann_lne.kernels import weights
from riemann_lne.kernels.weights import Pieces, Span, WeightKernel, weight_kernel
from riemann_lne.kernels.weights_loops import loops
from riemann_lne.lne.pieces import PieceSums
from riemann_lne.lne.shifted import ShiftedLNEMetric

pytestmark = pytest.mark.usefixtures("compiler")

LONGEST = weights._LONGEST_PIECE


def made(shape: tuple[int, ...], dtype: str, seed: int = 0, size: float = 1.0) -> np.ndarray:
    return (size * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def cut(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Pieces:
    spans = [Span((x.ctypes.data, v.ctypes.data), *x.shape) for x, v in pairs]
    return Pieces.cut(spans, pairs[0][0].itemsize)


def plain(name: str, x: np.ndarray, v: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """In double precision, whatever x and v have."""
    sums = PieceSums(tau)
    x, v = x.astype(float), v.astype(float)
    return np.stack(getattr(sums, name)(*((x, v) if name == "solve" else (x,))), axis=-1)


@given(
    rows=st.integers(1, 5),
    columns=st.one_of(
        st.integers(1, 70), st.integers(8_000, 8_400), st.integers(LONGEST - 9, LONGEST + 9)
    ),
    dtype=st.sampled_from(weights.DTYPES),
    size=st.sampled_from([1e-12, 1e-3, 1.0, 40.0]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_sums_and_last_pass_are_the_plain_ones(
    rows: int, columns: int, dtype: str, size: float, seed: int
) -> None:
    x, v = made((rows, columns), dtype, seed, size), made((rows, columns), dtype, seed + 1)
    tau = np.random.default_rng(seed).uniform(0.1, 2.0, rows)
    kernel, pieces = weight_kernel(dtype), cut([(x, v)])
    for name in ("powers", "scale", "solve"):
        expected = plain(name, x, v, tau)
        found = kernel.sums(name, pieces, tau)
        scale = np.abs(expected)
        # Where terms cancel, what is lost belongs to their size.
        z = tau[:, None] * x
        if name == "solve":
            scale[:, 1] = np.sum(np.abs(np.tanh(z) * v), axis=-1)
        elif name == "scale":
            scale[:, 1] = np.sum(z * np.tanh(z), axis=-1)
        assert np.all(np.abs(found - expected) <= 1e-12 * scale)
    c = np.random.default_rng(seed).standard_normal(rows)
    wanted = PieceSums(tau).finish(x.astype(float), v.astype(float), c).astype(dtype)
    kernel.write("finish", pieces, tau, c)
    np.testing.assert_allclose(v, wanted, rtol=0, atol=4 * np.finfo(dtype).eps * np.abs(v).max())


@given(
    rows=st.integers(1, 4),
    columns=st.one_of(st.integers(1, 70), st.integers(LONGEST - 9, LONGEST + 9)),
    dtype=st.sampled_from(weights.DTYPES),
    gain=st.sampled_from([0.0, 0.01, 1.0]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_loops_with_a_running_curvature_are_the_metric_with_a_shift(
    rows: int, columns: int, dtype: str, gain: float, seed: int
) -> None:
    """Negative curvature counts as none; the running mean moves towards v^2."""
    x, v, curvature = (made((rows, columns), dtype, seed + k) for k in range(3))
    rng = np.random.default_rng(seed)
    tau, factor, constant, size = (rng.uniform(0.1, 2.0, rows) for _ in range(4))
    c = rng.standard_normal(rows)
    kernel, pieces = weight_kernel(dtype), pieces_of([x, v, curvature])
    wide = [a.astype(float) for a in (x, v)]
    positive = np.maximum(curvature.astype(float), 0.0)
    metric = ShiftedLNEMetric(tau, positive * factor[:, None] + constant[:, None])
    total = kernel.sums("shifted_total", pieces)
    np.testing.assert_allclose(total[:, 0], positive.sum(-1), rtol=1e-12, atol=1e-14)
    sums = kernel.sums("shifted_solve", pieces, tau, factor, constant)
    size_of_terms = np.abs(wide[0] * wide[1]).sum(-1)
    for k, expected in enumerate(metric.solve_sums(*wide)):
        assert np.all(np.abs(sums[:, k] - expected) <= 1e-12 * (expected + size_of_terms))
    new = size[:, None] * metric.finish(*wide, c)
    change = new - wide[1]
    numbers = (tau, factor, constant, c, size)
    found = kernel.sums("shifted_change", pieces, *numbers)
    expected = np.stack([(a * b).sum(-1) for a, b in ((wide[1], wide[1]), (wide[1], change))], -1)
    largest = (change * change).sum(-1)
    np.testing.assert_allclose(found[:, 2], largest, rtol=1e-12, atol=0)
    scale = expected[:, :1] + largest[:, None]
    assert np.all(np.abs(found[:, :2] - expected) <= 1e-12 * scale)
    moved = curvature + gain * (wide[1] ** 2 - curvature)
    kernel.write("shifted_finish", pieces, *numbers, np.full(rows, gain))
    epsilon = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(v, new, rtol=0, atol=epsilon * np.abs(new).max())
    np.testing.assert_allclose(curvature, moved, rtol=0, atol=epsilon * np.abs(moved).max())


def pieces_of(arrays: list[np.ndarray]) -> Pieces:
    addresses = tuple(a.ctypes.data for a in arrays)
    return Pieces.cut([Span(addresses, *arrays[0].shape)], arrays[0].itemsize)


@pytest.mark.parametrize("flag", ["", "-mno-avx512f", "-mno-avx"])
def test_tanh_on_vectors_of_every_length(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = next(c for c in ("cc", "gcc", "clang") if shutil.which(c))
    monkeypatch.setenv("CC", f"{compiler} {flag}")
    try:
        kernel = WeightKernel("float64")
    except KernelUnavailableError as error:
        pytest.skip(str(error))
    sizes = (1e-300, 1e-12, 1e-3, 0.1, 1.0, 10.0, 1e3)
    z = np.concatenate([made((4001,), "float64", k, size) for k, size in enumerate(sizes)])
    z = np.concatenate([z, [0.0, -0.0, 5e-324, -5e-324, 18.7, 20.0, 1e300, math.inf, -math.inf]])
    v = np.zeros_like(z)
    kernel.write("finish", cut([(z[None], v[None])]), np.ones(1), np.ones(1))
    expected = np.tanh(z.astype(np.longdouble))
    assert np.all(np.abs(v - expected) <= 4 * np.spacing(np.abs(expected).astype(float)))
    assert v[-2:].tolist() == [1.0, -1.0]
    v[:] = 0.0
    z[5] = math.nan
    kernel.write("finish", cut([(z[None], v[None])]), np.ones(1), np.ones(1))
    assert np.flatnonzero(np.isnan(v)).tolist() == [5]


@pytest.mark.parametrize("dtype", weights.DTYPES)
def test_what_is_not_finite_is_seen_in_its_row_alone(dtype: str) -> None:
    x, v = made((3, 100), dtype), made((3, 100), dtype, 1)
    v[1, 42], x[2, 7] = math.inf, math.nan
    finite = np.isfinite(weight_kernel(dtype).sums("solve", cut([(x, v)]), np.ones(3)))
    assert finite[:, 0].tolist() == [True, True, False]
    assert finite[:, 2].tolist() == [True, False, True]


def test_nothing_beside_the_rows_is_written_or_added() -> None:
    for columns in (1, 7, 8, 9, 100):
        room = made((columns + 40,), "float64", 2)
        x, before = made((1, columns), "float64"), room.copy()
        v = room[21 : 21 + columns].reshape(1, -1)  # not on the border of a vector
        kernel, pieces = weight_kernel("float64"), cut([(x, v)])
        assert kernel.sums("solve", pieces, np.ones(1))[0, 2] == pytest.approx(np.sum(v * v))
        kernel.write("finish", pieces, np.ones(1), np.ones(1))
        changed = np.flatnonzero(room != before)
        assert changed.min() >= 21
        assert changed.max() < 21 + columns
        assert len(changed) == columns


def test_rows_of_several_arrays_and_of_none() -> None:
    pairs = [(made((r, n), "float32", r), made((r, n), "float32", n)) for r, n in ((2, 5), (1, 90))]
    empty = np.empty((1, 0), "float32"), np.empty((1, 0), "float32")
    pieces = cut([pairs[0], empty, pairs[1], empty])
    tau = np.array([0.5, 1.0, 9.0, 2.0, 9.0])
    found = weight_kernel("float32").sums("scale", pieces, tau)
    expected = np.zeros((5, 2))
    for place, (x, v) in ((slice(0, 2), pairs[0]), (slice(3, 4), pairs[1])):
        expected[place] = plain("scale", x, v, tau[place])
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    nothing = Pieces.cut([], 4)
    assert weight_kernel("float32").sums("powers", nothing, np.ones(0)).shape == (0, 3)


def test_the_bits_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_LEAST_FOR_THREADS", 1)
    x, v = made((3, 3 * LONGEST + 17), "float32"), made((3, 3 * LONGEST + 17), "float32", 1)
    kernel, tau = weight_kernel("float32"), np.array([0.1, 0.2, 0.3])
    results = []
    for threads in (1, 2, 5, 40):
        new = v.copy()
        pieces = cut([(x, new)])
        shares = pieces.shares(threads)
        assert len(shares) == min(threads, len(pieces.sizes))
        assert sum(s.stop - s.start for s in shares) == len(pieces.sizes)
        sums = kernel.sums("solve", pieces, tau, threads=threads)
        kernel.write("finish", pieces, tau, sums[:, 1], threads=threads)
        results.append((sums.tobytes(), new.tobytes()))
    assert len(set(results)) == 1


def test_long_sums_lose_nothing() -> None:
    # one sum of these from front to back is off by 1e-11, as equal terms are all rounded one way
    n = 3_000_000
    v = np.full((1, n), 0.1)
    found = weight_kernel("float64").sums("solve", cut([(v, v)]), np.ones(1))[0, 2]
    assert found == pytest.approx(n * (0.1 * 0.1), rel=2e-13)


def test_other_types_and_names_are_refused() -> None:
    with pytest.raises(DTypeError, match="float32 and float64, not float16"):
        weight_kernel("float16")
    for name in loops():  # each where it belongs
        method = "sums" if loops()[name].written else "write"
        with pytest.raises(UnknownNameError, match=name):
            getattr(weight_kernel("float64"), method)(name, Pieces.cut([], 8), np.ones(0))
    x = made((1, 9), "float64")
    with pytest.raises(InvalidArgumentError, match=r"arrays x, v .*got 1 arrays"):
        weight_kernel("float64").sums("solve", pieces_of([x]), np.ones(1))
    with pytest.raises(InvalidArgumentError, match="numbers tau; got 2 arrays and 2 numbers"):
        weight_kernel("float64").sums("solve", pieces_of([x, x]), np.ones(1), np.ones(1))
    with pytest.raises(UnknownNameError, match="cubes"):
        weight_kernel("float64").sums("cubes", Pieces.cut([], 8), np.ones(0))
