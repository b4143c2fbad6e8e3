"""Kernels against the plain version, on metrics that are rough from point to point."""

from __future__ import annotations

import ctypes
import dataclasses
import os
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import riemann_lne as rl
import riemann_lne.testing as kit
from riemann_lne import kernels
from riemann_lne.errors import (
    DTypeError,
    GridTooSmallError,
    InvalidArgumentError,
    KernelUnavailableError,
    NotPositiveDefiniteError,
    ShapeError,
)
from riemann_lne.flows.base import Formula
from riemann_lne.jets import MetricJet
from riemann_lne.kernels import cpu
from riemann_lne.kernels.build import find_compiler
from riemann_lne.kernels.emit_c import emit_c
from riemann_lne.kernels.trace import FORMULAS, formula, trace
from riemann_lne.kernels.units import units

pytestmark = pytest.mark.usefixtures("compiler")

# Asked for in double precision. In single precision the same number of units in the last place.
TOLERANCE = {"float64": 1e-12, "float32": 1e-12 * 2.0**29}


def rough_grids(n: int, order: int) -> st.SearchStrategy[rl.Grid]:
    """Grids from the least on, each axis closed or bounded, some ends reflecting."""

    def mirrored(grid: rl.Grid) -> st.SearchStrategy[rl.Grid]:
        ends = [(a, side) for a in range(n) if not grid.periodic[a] for side in (0, 1)]
        return st.sets(st.sampled_from(ends)).map(grid.with_mirrors) if ends else st.just(grid)

    most = {2: 40_000, 3: 3000, 4: 10_000}[n]
    every = kit.grids(n, n, min_points=order + 2, max_points=most)
    return (every | kit.grids(n, n, "torus", order + 1, most)).flatmap(mirrored)


def check(
    tools: SimpleNamespace,
    name: str,
    grid: rl.Grid,
    order: int,
    dtype: str,
    seed: int,
    threads: int,
) -> None:
    kernel = kernels.compile_kernel(name, grid.ndim, order, dtype)
    fields = [tools.random_packed(grid, seed + k, dtype) for k in range(formula(name).fields)]
    copies = [f.copy() for f in fields]
    result, good = kernel.evaluate(fields[0], grid, *fields[1:], threads=threads)
    assert good
    assert all(np.array_equal(a, b) for a, b in zip(fields, copies, strict=True))
    assert result.dtype == dtype
    gap = tools.relative_gap(result, tools.plain(name, fields, grid, order))
    assert gap <= TOLERANCE[dtype], (grid, gap)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("name", FORMULAS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_kernels_agree_with_the_plain_version(
    tools: SimpleNamespace, name: str, n: int, order: int, data: st.DataObject
) -> None:
    grid = data.draw(rough_grids(n, order))
    check(
        tools,
        name,
        grid,
        order,
        "float64",
        data.draw(st.integers(0, 99)),
        data.draw(st.integers(1, 5)),
    )


@pytest.mark.parametrize(("name", "order"), [("ricci_deturck", 4), ("scalar_curvature", 2)])
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_in_four_dimensions(
    tools: SimpleNamespace, name: str, order: int, data: st.DataObject
) -> None:
    check(tools, name, data.draw(rough_grids(4, order)), order, "float64", 1, 2)


@pytest.mark.parametrize(("name", "n"), [("ricci_deturck", 2), ("ricci_deturck", 3), ("ricci", 3)])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_in_single_precision(
    tools: SimpleNamespace, name: str, n: int, data: st.DataObject
) -> None:
    check(tools, name, data.draw(rough_grids(n, 4)), 4, "float32", 2, 2)


@pytest.mark.parametrize("flag", ["-mno-avx512f", "-mno-avx"])
@pytest.mark.parametrize(
    ("name", "n", "order", "dtype"),
    [
        ("ricci_deturck", 2, 4, "float64"),
        ("ricci_deturck", 2, 6, "float64"),
        ("ricci_deturck", 3, 2, "float64"),
        ("ricci_deturck", 2, 6, "float32"),
        # Two fields, and components that need other differences than others.
        ("ricci_deturck_background", 2, 4, "float64"),
        pytest.param("scalar_curvature", 4, 2, "float64", marks=pytest.mark.slow),
    ],
)
def test_on_processors_with_shorter_vectors(
    tools: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    flag: str,
    name: str,
    n: int,
    order: int,
    dtype: str,
) -> None:
    words = find_compiler(os.environ.get("CC")).command
    monkeypatch.setenv("CC", f"{words[0]} {flag}")
    try:
        kernel = cpu.Kernel(name, n, order, dtype)
    except KernelUnavailableError as error:
        pytest.skip(str(error))  # a processor of another kind
    # Rows of less than a vector and a half, and of several parts.
    for points in (*range(order + 2, 40, 5), 250):
        shape, upper = (5, 8, 9, points)[4 - n :], (0.7, 1.0, 1.5, 0.5)[4 - n :]
        grid = rl.Grid(shape, (0.0,) * n, upper, (points % 2 == 0,) * n)
        fields = [
            tools.random_packed(grid, points + k, dtype) for k in range(kernel.formula.fields)
        ]
        result = kernel(fields[0], grid, *fields[1:])
        gap = tools.relative_gap(result, tools.plain(name, fields, grid, order))
        assert gap <= TOLERANCE[dtype], (grid, gap)
        if points % 2 == 0:  # in a vector of another length, or at the border of another part
            moved = [np.ascontiguousarray(np.roll(f, 3, axis=-1)) for f in fields]
            again = kernel(moved[0], grid, *moved[1:])
            assert np.array_equal(again, np.roll(result, 3, axis=-1)), grid


def test_an_absolute_value(tools: SimpleNamespace) -> None:
    """The operation that a user's formula may have, and none of the library's has."""
    size = Formula("size", lambda n, g: [abs(MetricJet(g, n).scalar_curvature)], tensor=False)
    grid = rl.Grid.torus((9, 31), (1.0, 2.0))
    packed = tools.random_packed(grid, 0)
    wanted = tools.plain("scalar_curvature", [packed], grid, 4)
    assert np.min(wanted) < 0 < np.max(wanted)
    kernel = kernels.compile_kernel(size, 2, 4)
    assert tools.relative_gap(kernel(packed, grid), np.abs(wanted)) <= TOLERANCE["float64"]


def test_results_do_not_depend_on_where_they_go(tools: SimpleNamespace) -> None:
    grid = rl.Grid.torus((12, 64))
    packed = tools.random_packed(grid, 3)
    kernel = kernels.compile_kernel("ricci_deturck", 2, 4)
    wanted = kernel(packed, grid)
    room = np.empty(packed.size + 1024)
    for first in (0, 1, 7, 8, 100, 511, 512, 700):  # the ring's place follows the result's
        out = room[first : first + packed.size].reshape(packed.shape)
        assert np.array_equal(kernel(packed, grid, out=out), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("name", FORMULAS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_kernel_agrees(
    tools: SimpleNamespace, name: str, n: int, order: int, dtype: str, data: st.DataObject
) -> None:
    check(
        tools, name, data.draw(rough_grids(n, order)), order, dtype, data.draw(st.integers(0, 9)), 3
    )


@pytest.mark.parametrize("size", [5, 15, 16, 17, 31, 32, 33, 40, 47, 64, 67])
@pytest.mark.parametrize("periodic", [True, False])
def test_rows_of_every_length_against_blocks(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, size: int, periodic: bool
) -> None:
    """Blocks of 16 points: rows shorter than one, of a whole number of them, with a rest."""
    small = cpu.emit_c
    monkeypatch.setattr(
        cpu, "emit_c", lambda name, n, order, dtype: small(name, n, order, dtype, 16)
    )
    kernel = cpu.Kernel("ricci_deturck", 2, 4, "float64")
    grid = rl.Grid((7, max(size, 6)), (0.0, 0.0), (1.0, 1.3), (True, periodic))
    packed = tools.random_packed(grid, size)
    result, good = kernel.evaluate(packed, grid)
    assert good
    assert tools.relative_gap(result, tools.plain("ricci_deturck", [packed], grid, 4)) <= 1e-12


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_ends_of_rows_of_every_length(tools: SimpleNamespace, n: int, dtype: str) -> None:
    """Long vectors, then a long or a short one; a place that is no metric is found in either."""
    kernel = kernels.compile_kernel("ricci_deturck", n, 4, dtype)
    first = (5, 5, 6)[3 - (n - 1) :]
    for size in range(5, 36 if n < 4 else 22):
        for periodic in (True, False) if size > 5 else (True,):
            shape, wraps = (*first, size), (*(True,) * (n - 1), periodic)
            grid = rl.Grid(shape, (0.0,) * n, (1.0,) * (n - 1) + (1.7,), wraps)
            packed = tools.random_packed(grid, size, dtype)
            result, good = kernel.evaluate(packed, grid)
            assert good, grid
            wanted = tools.plain("ricci_deturck", [packed], grid, 4)
            assert tools.relative_gap(result, wanted) <= TOLERANCE[dtype], grid
            updated = kernel.update(packed, grid, 1e-3, [(1.0, packed)])
            gap = np.abs(updated - (packed + 1e-3 * wanted)).max()
            assert gap <= 1e-3 * TOLERANCE[dtype] * np.abs(wanted).max() + np.finfo(dtype).eps * 4
        packed[(0, *(0,) * (n - 1), size - 1)] = -1.0
        assert not kernel.evaluate(packed, grid)[1], grid


@pytest.mark.parametrize("periodic", [True, False])
def test_planes_that_are_cut_and_rows_of_several_blocks(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, periodic: bool
) -> None:
    """In 4-D planes have at most 32 rows at a time; blocks here 16 points."""
    small = cpu.emit_c
    monkeypatch.setattr(
        cpu, "emit_c", lambda name, n, order, dtype: small(name, n, order, dtype, 16)
    )
    kernel = cpu.Kernel("ricci_deturck", 4, 2, "float64")
    grid = rl.Grid((4, 5, 35, 21), (0.0,) * 4, (1.0,) * 4, (True, True, periodic, periodic))
    packed = tools.random_packed(grid, 3)
    result, good = kernel.evaluate(packed, grid)
    assert good
    assert tools.relative_gap(result, tools.plain("ricci_deturck", [packed], grid, 2)) <= 1e-12


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(9, 160), (6, 7, 32), (6, 7, 33), (5, 5, 6, 16)])
def test_results_written_past_the_caches_are_the_same(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: str
) -> None:
    grid = rl.Grid.torus(shape)
    packed = tools.random_packed(grid, 0, dtype)
    kernel = kernels.compile_kernel("ricci_deturck", len(shape), 4, dtype)
    wanted = kernel(packed, grid)
    assert wanted.ctypes.data % 64 == 0
    monkeypatch.setattr(cpu, "PAST_CACHES", 0)
    assert np.array_equal(kernel(packed, grid, threads=2), wanted)
    # An array that does not begin with a cache line is written in the ordinary way.
    for skip in (1, 2, 8):
        out = np.full(wanted.size + 16, np.nan, dtype=dtype)
        inside = out[skip : skip + wanted.size].reshape(wanted.shape)
        assert np.array_equal(kernel(packed, grid, out=inside), wanted)
        assert np.isnan(out[:skip]).all()
        assert np.isnan(out[skip + wanted.size :]).all()


@pytest.mark.parametrize("n", [2, 3])
def test_results_do_not_depend_on_the_number_of_threads(tools: SimpleNamespace, n: int) -> None:
    grid = rl.Grid.torus({2: (67, 150), 3: (13, 9, 35)}[n])
    packed = tools.random_packed(grid, 0)
    kernel = kernels.compile_kernel("ricci_deturck", n)
    one = kernel(packed, grid, threads=1)
    for threads in (2, 3, 16):
        assert np.array_equal(one, kernel(packed, grid, threads=threads))


def test_what_lies_around_the_arrays_is_neither_read_nor_written(tools: SimpleNamespace) -> None:
    """Results are the same, and the surroundings untouched, whatever lies there."""
    grid = rl.Grid.torus((6, 7, 11))
    kernel = kernels.compile_kernel("ricci_deturck", 3)
    size = 6 * grid.size
    packed = tools.random_packed(grid, 0)
    wanted = kernel(packed, grid)
    for filling in (np.nan, 1e300):
        store = np.full((2, size + 400), filling)
        inside = store[:, 200 : 200 + size].reshape(2, *packed.shape)
        inside[0] = packed
        before = store.copy()
        kernel(inside[0], grid, out=inside[1])
        assert np.array_equal(inside[1], wanted)
        inside[1] = before[1, 200 : 200 + size].reshape(packed.shape)
        assert np.array_equal(store, before, equal_nan=True)


def twisted(components: np.ndarray, how: str) -> np.ndarray:
    """The same numbers in an array of an awkward kind."""
    if how == "read-only":
        components = components.copy()
        components.setflags(write=False)
        return components
    if how == "foreign byte order":
        return components.astype(components.dtype.newbyteorder("S"))
    if how == "Fortran order":
        return np.asfortranarray(components)
    wide = np.repeat(components, 2, axis=-1)
    return wide[..., ::-2][..., ::-1]


@pytest.mark.parametrize("how", ["read-only", "foreign byte order", "Fortran order", "strided"])
def test_awkward_arrays_give_the_same(how: str) -> None:
    grid = rl.Grid.torus((12, 10))
    components = rl.perturbed_euclidean(grid, 0.3).components
    given = twisted(components, how)
    assert np.array_equal(given, components)
    wanted = kernels.ricci_deturck(components, grid)
    assert np.array_equal(kernels.ricci_deturck(given, grid), wanted)


def test_the_checked_functions_are_twins_of_those_of_curvature() -> None:
    grid = rl.Grid.torus((9, 8, 7), (1.0, 2.0, 3.0))
    g, bar = (rl.perturbed_euclidean(grid, 0.4, seed=s) for s in (1, 2))
    for fused, wanted in [
        (kernels.ricci(g.components, grid), g.ricci()),
        (kernels.scalar_curvature(g.components, grid), g.scalar_curvature()),
        (
            kernels.ricci_deturck(g.components, grid, background=bar.components),
            rl.tensors.unpack(rl.RicciDeTurckFlow(bar).rhs(0.0, g.packed, grid, 4), 3),
        ),
    ]:
        assert fused.shape == wanted.shape
        assert np.max(np.abs(fused - wanted)) <= 1e-12 * np.max(np.abs(wanted))


def test_the_exact_solution() -> None:
    """Against mathematics, not against the plain version: Ric of the sausage is -g'/2."""
    sausage = rl.exact.periodic_sausage(ndim=2)
    errors = []
    for size in (64, 128):
        grid = sausage.grid(size)
        g = sausage.field(1.0, grid)
        step = 1e-4
        rate = (
            sausage.field(1 + step, grid).components - sausage.field(1 - step, grid).components
        ) / (2 * step)
        errors.append(float(np.max(np.abs(kernels.ricci(g.components, grid, 4) + rate / 2))))
    assert 3.8 < np.log2(errors[0] / errors[1]) < 4.2


def test_a_metric_that_degenerates_is_noticed_in_the_kernel(tools: SimpleNamespace) -> None:
    grid = rl.Grid.torus((9, 7, 35))
    kernel = kernels.compile_kernel("ricci_deturck", 3)
    for place in ((0, 0, 0), (8, 6, 34), (4, 3, 17), (2, 6, 0)):
        for wrong in (-1.0, np.nan):
            packed = tools.random_packed(grid, 0)
            packed[(0, *place)] = wrong
            for threads in (1, 3):
                result, good = kernel.evaluate(packed, grid, threads=threads)
                assert not good
                assert result.shape == packed.shape
    assert kernel.evaluate(tools.random_packed(grid, 0), grid)[1]


def test_the_checked_functions_name_the_place(tools: SimpleNamespace) -> None:
    grid = rl.Grid.torus((12, 14))
    components = np.array(rl.perturbed_euclidean(grid, 0.1).components)
    components[0, 0, 5, 6] = -2.0
    with pytest.raises(NotPositiveDefiniteError, match=r"grid index \(5, 6\)") as caught:
        kernels.ricci_deturck(components, grid)
    assert caught.value.index == (5, 6)


GRID = rl.Grid.torus((8, 9))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k, g: k(g.astype(np.float32), GRID), DTypeError, "takes float64"),
        (lambda k, g: k(g[:, :-1], GRID), ShapeError, r"packed components need \(3, 8, 9\)"),
        (lambda k, g: k(g.tolist(), GRID), DTypeError, "take NumPy arrays"),
        (lambda k, g: k(g, GRID, g), InvalidArgumentError, "takes no background"),
        (lambda k, g: k(g, GRID, out=g), InvalidArgumentError, "overlaps"),
        (lambda k, g: k(g, GRID, out=g[:2].copy()), InvalidArgumentError, "out must be"),
        (lambda k, g: k(g, GRID, threads=0), InvalidArgumentError, "at least 1"),
        (lambda k, g: k(g, rl.Grid.torus((8, 9, 9))), ShapeError, "for grids of 2 axes"),
        (lambda k, g: k(g[:, :4], rl.Grid.torus((4, 9))), GridTooSmallError, "axis 0 has 4 points"),
    ],
)
def test_wrong_arguments_are_refused(
    tools: SimpleNamespace, call: Any, error: type[Exception], message: str
) -> None:
    kernel = kernels.compile_kernel("ricci_deturck", 2)
    with pytest.raises(error, match=message):
        call(kernel, tools.random_packed(GRID, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1, 4), "2 to 4 axes"), ((2, 8), "order 2, 4, 6 and 'fourier', not 8"),
     ((2, "Fourier"), "not 'Fourier'"), ((2, 4, "float16"), "float64 and float32")],
)  # fmt: skip
def test_kernels_that_do_not_exist_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(KernelUnavailableError, match=message):
        kernels.compile_kernel("ricci", *arguments)


def test_no_memory_is_an_error_of_python(
    tools: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the compiled code says when it gets none; and an output that cannot be had."""
    kernel = cpu.Kernel("ricci", 2, 2, "float64")
    monkeypatch.setattr(kernel, "_run", lambda *_: -2)
    with pytest.raises(MemoryError, match="no memory for the rows"):
        kernel(tools.random_packed(GRID, 0), GRID)
    huge = rl.Grid.torus((2**20, 2**20))
    view = np.broadcast_to(np.float64(1.0), (3, *huge.shape))
    with pytest.raises(MemoryError):
        kernels.compile_kernel("ricci", 2, 2)(view, huge)


def test_the_counts_of_work_are_those_of_the_source() -> None:
    kernel = kernels.compile_kernel("ricci_deturck", 2, 4)
    program = trace("ricci_deturck", 2, units(4).ratio)
    algebra = sum(x.operation in ("add", "sub", "mul", "div") for x in program.nodes)
    # Order 4: 4 operations for a first difference (8 a - b), 6 for a second one; 3 components.
    assert kernel.flops_per_point == algebra + 3 * (3 * 4 + 2 * 6)
    assert kernel.bytes_per_point == 2 * 3 * 8
    assert dataclasses.is_dataclass(program)
    assert emit_c("ricci_deturck", 2, 4, "float64") == kernel.source
    assert isinstance(kernel._library.handle, ctypes.CDLL)
