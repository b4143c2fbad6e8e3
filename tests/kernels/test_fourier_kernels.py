"""Kernels with Fourier derivatives against the array code, whose derivatives are transforms.

Looked at: all formulas in 2-D to 4-D; axes of even, odd and very few points; both precisions;
backgrounds; updates; threads and slabs; shorter vectors; the 2/3 rule, whose filters are products
too; flows, events of a flow, checkpoints; what there is no kernel for.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import kernels
from riemann_lne.errors import (
    InvalidArgumentError,
    KernelUnavailableError,
    ShapeError,
)
from riemann_lne.flows.laplacian import laplacian_symbol, mean_inverse, mean_metric
from riemann_lne.fourier import irfftn, rfftn
from riemann_lne.integrators.semidiscrete import _HighModes
from riemann_lne.kernels import cpu, emit_spectral
from riemann_lne.kernels.build import find_compiler
from riemann_lne.kernels.trace import FORMULAS, formula

pytestmark = pytest.mark.usefixtures("compiler")

SHAPES = [(12, 13), (7, 40), (2, 9), (33, 8), (8, 9, 10), (5, 4, 17), (16, 3, 2), (5, 6, 4, 3)]


def torus(shape: tuple[int, ...]) -> rl.Grid:
    return rl.Grid.torus(shape, tuple(1.0 + 0.3 * a for a in range(len(shape))))


@pytest.mark.parametrize(
    ("shape", "name"),
    # In 4-D one with a background builds for ten seconds.
    [(s, n) for s in SHAPES for n in FORMULAS if len(s) < 4 or formula(n).fields == 1],
)
def test_they_agree_with_the_array_code(
    tools: SimpleNamespace, shape: tuple[int, ...], name: str
) -> None:
    grid = torus(shape)
    kernel = kernels.compile_kernel(name, grid.ndim, "fourier")
    fields = [tools.random_packed(grid, k) for k in range(formula(name).fields)]
    copies = [f.copy() for f in fields]
    result, good = kernel.evaluate(fields[0], grid, *fields[1:])
    assert good
    assert all(np.array_equal(a, b) for a, b in zip(fields, copies, strict=True))
    assert tools.relative_gap(result, tools.plain(name, fields, grid, "fourier")) < 1e-12


@pytest.mark.parametrize("shape", [(12, 33), (8, 9, 10)])
def test_in_single_precision(tools: SimpleNamespace, shape: tuple[int, ...]) -> None:
    grid = torus(shape)
    g = tools.random_packed(grid, 0, "float32")
    result = kernels.compile_kernel("ricci_deturck", grid.ndim, "fourier", "float32")(g, grid)
    assert result.dtype == np.float32
    wide = tools.plain("ricci_deturck", [g.astype(float)], grid, "fourier")
    assert tools.relative_gap(result, wide) < 1e-4


@pytest.mark.parametrize("flag", ["-mno-avx512f", "-mno-avx"])
@pytest.mark.parametrize("shape", [(12, 13), (2, 9), (8, 9, 10)])
def test_on_processors_with_shorter_vectors(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, flag: str, shape: tuple[int, ...]
) -> None:
    words = find_compiler(os.environ.get("CC")).command
    monkeypatch.setenv("CC", f"{words[0]} {flag}")
    grid = torus(shape)
    try:
        kernel = cpu.FourierKernel("ricci_deturck", grid.ndim, "float64")
    except KernelUnavailableError as error:
        pytest.skip(str(error))  # a processor of another kind
    g = tools.random_packed(grid, 1)
    assert (
        tools.relative_gap(kernel(g, grid), tools.plain("ricci_deturck", [g], grid, "fourier"))
        < 1e-12
    )


@pytest.mark.parametrize("shape", [(37, 11), (19, 6, 7)])
def test_threads_and_slabs_change_no_bit(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    grid = torus(shape)
    g, kernel = tools.random_packed(grid, 2), kernels.compile_kernel("ricci", grid.ndim, "fourier")
    results = [kernel(g, grid, threads=1)]
    # Without what is known of the grid already.
    monkeypatch.setattr(cpu, "_fourier_place", cpu._FourierPlace)
    for rows in (1, 3, 4, 64):
        monkeypatch.setattr(cpu, "rows_at_a_time", lambda components, shape, rows=rows: rows)
        results += [kernel(g, grid, threads=threads) for threads in (1, 2, 5)]
    assert all(np.array_equal(results[0], r) for r in results[1:])


def test_a_derivative_is_as_good_as_one_by_transforms() -> None:
    """Against closed forms: rounding of the function, times the square of the largest wave number.

    Measured: up to 2.5 times the error of transforms for first and 4 times for second derivatives.
    """
    length = 3.7
    k = 2 * np.pi / length
    for size in (33, 64, 128, 256):
        x = length * np.arange(size, dtype=np.longdouble) / size
        f = 2 + np.exp(np.sin(k * x))
        exact = (
            k * np.cos(k * x) * np.exp(np.sin(k * x)),
            k**2 * (np.cos(k * x) ** 2 - np.sin(k * x)) * np.exp(np.sin(k * x)),
        )
        given = emit_spectral.matrices(size, length, "float64")
        for power, matrix in enumerate(given[::2], start=1):
            value = exact[power - 1].astype(float)
            error = np.max(np.abs(matrix @ f.astype(float) - value)) / np.max(np.abs(value))
            assert error < 20 * np.finfo(float).eps * (size / 4) ** power
        np.testing.assert_array_equal(given[1], given[0].T)
        np.testing.assert_array_equal(given[3], given[2].T)


def test_an_update_adds_up(tools: SimpleNamespace) -> None:
    grid = torus((12, 13))
    g, other = tools.random_packed(grid, 0), tools.random_packed(grid, 1)
    kernel = kernels.compile_kernel("ricci_deturck", 2, "fourier")
    expected = 0.25 * kernel(g, grid) + 2.0 * other - 0.5 * g
    result = kernel.update(g, grid, 0.25, [(2.0, other), (-0.5, g)])
    assert tools.relative_gap(result, expected) < 1e-14
    out = other.copy()
    again = kernel.update(g, grid, 0.25, [(2.0, out), (-0.5, g)], out=out)
    np.testing.assert_array_equal(again, result)
    assert np.shares_memory(again, out)
    with pytest.raises(ShapeError, match="a term has shape"):
        kernel.update(g, grid, 1.0, [(1.0, other[:2])])


@pytest.mark.parametrize("shape", [*SHAPES, (12, 12)])
def test_the_two_thirds_rule_is_that_of_transforms(
    tools: SimpleNamespace, shape: tuple[int, ...]
) -> None:
    grid = torus(shape)
    g, kernel = tools.random_packed(grid, 4), kernels.compile_kernel("ricci", len(shape), "fourier")
    mean = mean_metric(g, grid)
    expected = _HighModes(grid, g)(kernel(g, grid), g)
    linear = np.empty_like(g)
    given = g.copy()
    result = kernel.without_high_modes(g, grid, mean_inverse(mean, grid.ndim), linear=linear)
    assert tools.relative_gap(result, expected) < 1e-13
    np.testing.assert_array_equal(g, given)
    symbol = laplacian_symbol(mean, grid, "fourier")
    assert tools.relative_gap(linear, irfftn(rfftn(g, grid.ndim) * symbol, shape)) < 1e-12


def test_the_two_thirds_rule_in_single_precision_and_threads(tools: SimpleNamespace) -> None:
    grid = torus((19, 6, 7))
    for name, least in (("float64", 1e-13), ("float32", 1e-4)):
        g = tools.random_packed(grid, 4, name)
        kernel = kernels.compile_kernel("ricci_deturck", 3, "fourier", name)
        inverse = mean_inverse(mean_metric(g, grid), 3)
        results = [kernel.without_high_modes(g, grid, inverse, threads=k) for k in (1, 2, 7)]
        assert results[0].dtype == g.dtype
        assert all(np.array_equal(results[0], r) for r in results[1:])
        wide = g.astype(float)
        rate = tools.plain("ricci_deturck", [wide], grid, "fourier")
        assert tools.relative_gap(results[0], _HighModes(grid, wide)(rate, wide)) < least


def test_wrong_arguments_of_the_two_thirds_rule_are_errors(tools: SimpleNamespace) -> None:
    grid = torus((9, 10))
    g, kernel = tools.random_packed(grid, 0), kernels.compile_kernel("ricci", 2, "fourier")
    place = np.empty_like(g)
    with pytest.raises(ShapeError, match=r"inverse has shape \(3, 3\); give \(2, 2\)"):
        kernel.without_high_modes(g, grid, np.eye(3))
    with pytest.raises(InvalidArgumentError, match="overlaps out; give an array"):
        kernel.without_high_modes(g, grid, np.eye(2), out=place, linear=place)


def test_filters_keep_the_lower_modes_and_nothing_else() -> None:
    for size in (1, 2, 3, 6, 9, 20, 33, 128):
        x = 2 * np.pi * np.arange(size) / size
        first, other = emit_spectral.filters(size, "float64")
        np.testing.assert_array_equal(first, other.T)
        for m in range(size // 2 + 1):
            for wave in (np.cos(m * x), np.sin(m * x)):
                kept = wave if 3 * m < size else 0 * wave
                np.testing.assert_allclose(first @ wave, kept, rtol=0, atol=4e-15 * size)


def test_a_flow_takes_the_rule_of_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a kernel no transform is made; the flow is that of the plain version."""
    grid = torus((24, 20))
    start = rl.perturbed_euclidean(grid, 0.05)
    ends = {}
    for kernel in ("plain", "fused"):
        if kernel == "fused":
            monkeypatch.setattr(_HighModes, "__call__", None)
        flow = rl.solve_flow(
            start, rl.RicciDeTurckFlow(), (0, 0.01), order="fourier", kernel=kernel, rtol=1e-8
        )
        ends[kernel] = flow.metrics[-1].packed
    np.testing.assert_allclose(ends["fused"], ends["plain"], rtol=0, atol=1e-13)


def test_what_is_no_metric_is_noticed(tools: SimpleNamespace) -> None:
    grid = torus((9, 10))
    kernel = kernels.compile_kernel("ricci", 2, "fourier")
    for place in ((0, 0), (4, 7), (8, 9)):
        g = tools.random_packed(grid, 3)
        g[0, place[0], place[1]] = -1.0
        assert not kernel.evaluate(g, grid)[1]


def test_no_memory_is_an_error_of_python(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, kernel = torus((9, 10)), cpu.FourierKernel("ricci", 2, "float64")
    monkeypatch.setattr(kernel, "_run", lambda *_: -2)
    with pytest.raises(MemoryError, match="rows of a kernel"):
        kernel(tools.random_packed(grid, 0), grid)


def test_where_there_is_none(tools: SimpleNamespace) -> None:
    kernel = kernels.compile_kernel("ricci", 2, "fourier")
    long = torus((4, emit_spectral.LONGEST + 1))
    with pytest.raises(InvalidArgumentError, match="up to 128 points, not 129; use the plain"):
        kernel(tools.random_packed(long, 0), long)
    box = rl.Grid.box(0, 1, (9, 9))
    with pytest.raises(InvalidArgumentError, match="every axis periodic"):
        kernel(tools.random_packed(box, 0), box)
    with pytest.raises(KernelUnavailableError, match=r"up to 128 points.*use kernel='plain'"):
        rl.solve_flow(
            rl.flat_metric(long), rl.RicciDeTurckFlow(), (0, 1), order="fourier", kernel="fused"
        )


GRID = rl.Grid.torus((12, 13))
FLOWS = {
    "Ricci": rl.RicciFlow(),
    "DeTurck": rl.RicciDeTurckFlow(),
    "background": rl.RicciDeTurckFlow(rl.perturbed_euclidean(GRID, 0.2, seed=9)),
    "gauge": rl.RicciFlow(gauge="deturck"),
    "normalised": rl.NormalizedRicciFlow(rl.ScaledFlow(rl.RicciFlow(), 0.1)),
}


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("method", ["rkl2", "tsit5"])
def test_flows_run_on_them(tools: SimpleNamespace, name: str, method: str) -> None:
    g = rl.perturbed_euclidean(GRID, 0.2, seed=1)
    ends: list[Any] = [
        rl.solve_flow(g, FLOWS[name], (0, 0.05), method, dt=0.01, order="fourier", kernel=kernel)
        for kernel in ("plain", "fused")
    ]
    assert [e.parameters["kernel"].split()[0] for e in ends] == ["plain", "fused"]
    assert tools.relative_gap(ends[1][-1].packed, ends[0][-1].packed) < 1e-11


@pytest.mark.parametrize("method", ["etdrk4", "rkl2"])
def test_a_run_reaches_the_exact_solution(method: str) -> None:
    """The order in time decides: 4 and 2."""
    solution = rl.exact.periodic_sausage((1, 1))
    grid = solution.grid(40)
    end = rl.solve_flow(
        solution.field(1.0, grid), rl.RicciDeTurckFlow(), (1.0, 1.2), method, [1.2],
        rtol=1e-9, atol=1e-9, order="fourier", kernel="fused",
    )  # fmt: skip
    error = np.max(np.abs(end[-1].packed - solution.field(1.2, grid).packed))
    assert error < (1e-9 if method == "etdrk4" else 1e-6)


def test_a_checkpoint_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    g = rl.perturbed_euclidean(GRID, 0.2, seed=1)

    def run(end: float, **options: Any) -> Any:
        return rl.solve_flow(
            g, rl.RicciDeTurckFlow(), (0, 0.05), "tsit5", dt=0.01, order="fourier",
            kernel="fused", max_steps=round(end / 0.01), **options,
        )  # fmt: skip

    file = tmp_path / "run.ckpt"
    whole = run(0.05)
    assert not run(0.02, checkpoint=file).success
    np.testing.assert_array_equal(
        run(0.05, checkpoint=file, resume=True)[-1].packed, whole[-1].packed
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", [5, 20, 33])
def test_a_derivative_has_the_same_bits_in_a_part_of_the_columns(size: int, dtype: str) -> None:
    """Processes bring an axis together for a part of the others, down to a single column."""
    kernel: Any = kernels.compile_kernel("ricci", 2, "fourier", dtype)
    table = emit_spectral.matrices(size, 1.3, dtype)
    f = np.random.default_rng(size).normal(size=(size, 40)).astype(dtype)
    (whole,) = kernel._derivative(f, 0, table)
    for begin in (0, 1, 7, 24):
        for width in (1, 2, 3, 7, 8, 9, 15, 16):
            part = f[:, begin : begin + width]
            (found,) = kernel._derivative(part, 0, table)
            np.testing.assert_array_equal(found, whole[:, begin : begin + width])
            (across,) = kernel._derivative(np.ascontiguousarray(part.T), 1, table)
            np.testing.assert_array_equal(across.T, found)
