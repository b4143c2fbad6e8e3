"""Fourier transforms: the same values from every library, for any number of threads."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.fft

import riemann_lne as rl
from riemann_lne import fourier
from riemann_lne.arrays import writes
from riemann_lne.errors import InvalidArgumentError
from riemann_lne.fourier import AxisSpectrum, Transform, irfftn, irfftn_into, rfftn, rfftn_into
from riemann_lne.stencils import gradient, hessian

# One above and one below the size from which components are transformed one by one.
SHAPES = [(8, 9, 10), (40, 30, 31)]


@pytest.mark.parametrize("shape", SHAPES)
def test_transforms_agree_with_numpy_and_go_back(backend: Any, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=(2, *shape))
    for dtype, complex_dtype, tolerance in (
        ("float64", "complex128", 1e-14),
        ("float32", "complex64", 2e-6),
    ):
        f = backend.array(values, dtype)
        hat = rfftn(f, 3)
        assert hat.dtype == backend.dtype(complex_dtype)
        expected = np.fft.rfftn(values, axes=(1, 2, 3))
        gap = np.max(np.abs(backend.numpy(hat) - expected))
        assert gap < tolerance * np.max(np.abs(expected))
        back = irfftn(hat, shape)
        assert back.dtype == f.dtype
        assert np.max(np.abs(backend.numpy(back) - values)) < 10 * tolerance
        one = irfftn(hat[0, ...], shape)
        gap = np.max(np.abs(backend.numpy(one) - backend.numpy(back[0, ...])))
        assert gap < tolerance * 10  # some libraries order the sums of a stack in another way


@pytest.mark.parametrize("shape", [*SHAPES, (7, 6), (300, 400), (9,)])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_transforms_into_memory_that_is_there(
    backend: Any, shape: tuple[int, ...], threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RIEMANN_LNE_THREADS", threads)
    values = np.random.default_rng(0).normal(size=shape)
    f = backend.array(values)
    if not writes(f):
        pytest.skip("arrays of this library cannot be written to")
    expected = rfftn(f, len(shape))
    hat, back = 0.0 * expected, 0.0 * f
    rfftn_into(hat, f, f.ndim)
    tolerance = 1e-14 * np.max(np.abs(backend.numpy(expected)))
    assert np.max(np.abs(backend.numpy(hat) - backend.numpy(expected))) < tolerance
    irfftn_into(back, hat, back.ndim)
    assert np.max(np.abs(backend.numpy(back) - values)) < 1e-13


def test_transforms_into_memory_take_little(monkeypatch: pytest.MonkeyPatch) -> None:
    f = np.random.default_rng(0).normal(size=(64, 64, 64))
    hat = rfftn(f, 3)
    monkeypatch.setattr(fourier, "_PLANE_POINTS", 2 * 64**2)
    tracemalloc.start()
    try:
        rfftn_into(hat, f, f.ndim)
        irfftn_into(f, hat, f.ndim)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 0.1 * f.nbytes


@pytest.mark.parametrize("shape", [(28, 28), (15, 13), (9, 10, 11), (5, 6, 4, 3)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_all_components_at_once_are_those_one_by_one(shape: tuple[int, ...], dtype: str) -> None:
    """To the last bit: the step of ETDRK4 takes either way, by the size of the grid."""
    transform = Transform(shape)
    f = np.random.default_rng(0).normal(size=(6, *shape)).astype(dtype)
    kind = np.complex128 if dtype == "float64" else np.complex64
    hat, other = (np.empty((6, *transform.spectrum), kind) for _ in range(2))
    back, again = np.empty_like(f), np.empty_like(f)
    transform.forth(hat, f)
    for c in range(6):
        transform.forth(other[c], f[c])
    np.testing.assert_array_equal(hat, other)
    transform.back(back, hat)
    for c in range(6):
        transform.back(again[c], other[c])
    np.testing.assert_array_equal(back, again)
    assert np.max(np.abs(back - f)) < (1e-13 if dtype == "float64" else 1e-5)


def test_components_are_taken_at_once_on_small_grids_alone() -> None:
    assert Transform((28, 28)).parts(3) == [slice(0, 3)]
    assert list(Transform((96, 96, 96)).parts(6)) == [0, 1, 2, 3, 4, 5]


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    f = np.random.default_rng(0).normal(size=(3, 36, 35, 34))
    results = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("RIEMANN_LNE_THREADS", threads)
        hat = rfftn(f, 3)
        results.append((hat, irfftn(hat, f.shape[1:]), AxisSpectrum(f, 2, 1.0).derivative(2)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert np.array_equal(a, b)


def test_threads_come_from_scipy_then_the_environment_then_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RIEMANN_LNE_THREADS", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    with scipy.fft.set_workers(2):
        assert fourier.workers() == 2
    assert fourier.workers() == 3
    monkeypatch.delenv("RIEMANN_LNE_THREADS")
    assert fourier.workers() == 5
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert fourier.workers() >= 1
    for wrong in ("0", "-2", "many"):
        monkeypatch.setenv("RIEMANN_LNE_THREADS", wrong)
        with pytest.raises(InvalidArgumentError, match=r"RIEMANN_LNE_THREADS.*number of threads"):
            fourier.workers()


def test_the_threads_asked_for_are_those_scipy_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    plain = scipy.fft.rfftn

    def watched(f: Any, **options: Any) -> Any:
        asked.append(options["workers"])
        return plain(f, **options)

    monkeypatch.setattr(scipy.fft, "rfftn", watched)
    monkeypatch.setenv("RIEMANN_LNE_THREADS", "2")
    rfftn(np.ones((2, 64, 64, 64)), 3)
    rfftn(np.ones((2, 8, 8)), 2)  # done before threads have started
    assert asked == [2, 1]


@pytest.mark.parametrize("shape", [(11,), (10, 9), (9, 10, 8)])
def test_derivatives_of_every_resolved_wave_are_exact(shape: tuple[int, ...]) -> None:
    """exp(i k x) along every axis and across them, the highest mode below Nyquist included."""
    n = len(shape)
    lengths = (2.0, 3.0, 5.0)[:n]
    grid = rl.Grid.torus(shape, lengths)
    x = grid.coordinates()
    m = [(size - 1) // 2 for size in shape]
    k = [2 * np.pi * a / length for a, length in zip(m, lengths, strict=True)]
    phase = sum(a * b for a, b in zip(k, x, strict=True))
    f = np.cos(phase)
    first, second = gradient(f, grid, "fourier"), hessian(f, grid, "fourier")
    for a in range(n):
        # Rounding of the field, amplified by the largest wave number.
        assert np.max(np.abs(first[a] + k[a] * np.sin(phase))) < 1e-14 * max(k) * 10
        for b in range(n):
            assert np.max(np.abs(second[a, b] + k[a] * k[b] * f)) < 1e-14 * max(k) ** 2 * 10


def test_the_highest_mode_of_an_even_grid_has_a_second_derivative_only() -> None:
    f = (-1.0) ** np.arange(8) * np.ones((3, 1))
    spectrum = AxisSpectrum(f, 1, 2 * np.pi)
    assert np.max(np.abs(spectrum.derivative(1))) < 1e-14
    assert np.allclose(spectrum.derivative(2), -16 * f, rtol=1e-14)
