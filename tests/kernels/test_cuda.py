"""The CUDA source: its arithmetic on the CPU, its compilation where nvcc is, its runs on a GPU.

On the CPU the source is compiled as C++ with stand-ins for what CUDA adds to the language, and a
loop over all blocks and threads.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne import kernels
from riemann_lne.coefficients import half_width
from riemann_lne.errors import KernelUnavailableError
from riemann_lne.flows.base import Formula
from riemann_lne.jets import MetricJet
from riemann_lne.kernels import gpu
from riemann_lne.kernels.emit_cuda import THREADS, cuda_plan, emit_cuda
from riemann_lne.kernels.layout import bounded_part, offsets, with_ghosts
from riemann_lne.kernels.passes import Stored
from riemann_lne.kernels.trace import FORMULAS, formula, trace
from riemann_lne.kernels.units import unit_factors
from riemann_lne_benchmarks.cuda_sources import ARCHITECTURES, compiled, digest
from riemann_lne_benchmarks.cuda_sources import kinds as cuda_kinds
from riemann_lne_benchmarks.results import Record

RECORD = Path(__file__).parents[2] / "docs" / "benchmarks" / "cuda.json"

STAND_INS = """
struct Index { int x; };
static Index blockIdx, blockDim, threadIdx;
#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(threads)
static void atomicMin(long long *where, long long value) { if (value < *where) *where = value; }
"""
DRIVER = """
extern "C" void drive_{name}(int blocks, int threads, {parameters}) {
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++)
            {name}({arguments});
}
"""

# A user's formula, with the one operation that no formula of the library has.
SIZE = Formula("size", lambda n, g: [abs(MetricJet(g, n).scalar_curvature)], tensor=False)


def fast_and_slow(fast: list[Any], every: list[Any]) -> list[Any]:
    """The fast cases, and all others marked as slow."""
    slow = [case for case in every if case not in fast]
    return fast + [pytest.param(*case, marks=pytest.mark.slow) for case in slow]


class HostProgram:
    """A source's functions on the host, with a loop in place of each launch."""

    def __init__(self, source: str, folder: Path) -> None:
        compiler = shutil.which("g++") or shutil.which("clang++")
        if compiler is None:
            pytest.skip("no C++ compiler")
        functions = re.findall(r"^(run\w*)\((.*?)\) \{", source, re.DOTALL | re.MULTILINE)
        (parameters,) = {" ".join(parameters.split()) for _, parameters in functions}
        arguments = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
        driver = DRIVER.replace("{parameters}", parameters).replace("{arguments}", arguments)
        path = folder / "kernel.cpp"
        drivers = [driver.replace("{name}", name) for name, _ in functions]
        path.write_text("".join([STAND_INS, source, *drivers]))
        command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(folder / "kernel.so"), str(path)]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(folder / "kernel.so"))
        self.functions = {name: library[f"drive_{name}"] for name, _ in functions}

    def __call__(self, *arguments: Any) -> None:
        for function in self.functions.values():
            function(*arguments)


def evaluate(
    drive: Any, name: str | Formula, fields: list[np.ndarray], grid: rl.Grid, order: int
) -> tuple[np.ndarray, int]:
    dtype = fields[0].dtype.name
    tables, stride = offsets(grid.shape, bounded_part(grid, order), half_width(order))
    prepared = [np.ascontiguousarray(with_ghosts(f, grid, order)) for f in fields]
    joined = np.concatenate(tables).astype(np.int32)
    unit = unit_factors(grid.spacing, order, dtype, formula(name).tensor)
    result = np.full((len(trace(name, grid.ndim).outputs), *grid.shape), np.nan, dtype=dtype)
    kept = cuda_plan(name, grid.ndim, order).stored
    # A value that is read before it is stored is none.
    stored = np.full(kept * grid.size, np.nan, dtype=dtype)
    bad = ctypes.c_longlong(2**63 - 1)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*prepared, result, joined, unit)]
    drive(
        (grid.size + THREADS - 1) // THREADS, THREADS, *pointers, ctypes.byref(bad),
        ctypes.c_longlong(stride), ctypes.c_longlong(grid.size), *grid.shape,
        *([ctypes.c_void_p(stored.ctypes.data)] if kept else []),
    )  # fmt: skip
    return result, bad.value


@pytest.mark.parametrize(
    ("name", "n", "order", "dtype"),
    fast_and_slow(
        [(name, 2, 4, "float64") for name in FORMULAS]
        + [("ricci_deturck", 3, 2, "float64"), ("ricci_deturck", 3, 6, "float64")]
        + [("ricci_deturck", 3, 4, "float32"), ("ricci", 4, 2, "float64")]
        # Of several functions, with calls for mixed differences, and values stored between them.
        + [("scalar_curvature", 4, 2, "float32"), (SIZE, 2, 2, "float64")],
        [(name, n, k, "float64") for name in FORMULAS for n in (3, 4) for k in (2, 4, 6)],
    ),
)
def test_the_arithmetic(
    tools: SimpleNamespace, tmp_path: Path, name: str | Formula, n: int, order: int, dtype: str
) -> None:
    drive = HostProgram(emit_cuda(name, n, order, dtype), tmp_path)
    least = order + 1  # and one more where an axis is bounded
    shape = {2: (9, 31), 3: (8, 9, 11), 4: (least, least + 1, least + 1, least + 2)}[n]
    for grid in (
        rl.Grid.torus(shape, tuple(1.0 + a for a in range(n))),
        rl.Grid(shape, (0.0,) * n, (1.0,) * n, tuple(a == 0 for a in range(n))),
    ):
        fields = [tools.random_packed(grid, k, dtype) for k in range(formula(name).fields)]
        result, bad = evaluate(drive, name, fields, grid, order)
        assert bad == 2**63 - 1
        # The rounding of both, asked for in units of the double precision.
        limit = {"float64": 1e-12, "float32": 1e-12 * 2.0**29}[dtype]
        assert tools.relative_gap(result, tools.plain(name, fields, grid, order)) <= limit


def test_large_formulas_are_cut() -> None:
    """Each component is computed once, minors too; values are stored first, and read later."""
    for name, n, order, functions, stored in (
        ("ricci_deturck", 3, 4, 1, 0),
        ("ricci_deturck_background", 3, 4, 4, 9),
        ("scalar_curvature", 4, 4, 6, 6),
        ("ricci", 4, 6, 3, 18),  # three values more are used in the function that computes them
    ):
        plan = cuda_plan(name, n, order)
        assert (len(plan.functions), plan.stored) == (functions, stored)
        assert emit_cuda(name, n, order).count("__global__") == functions
        components = [k for one in plan.passes for k, _ in one.outputs]
        assert sorted(components) == list(range(len(trace(name, n).outputs)))
        assert [bool(one.minors) for one in plan.passes] == [True, *(False,) * (functions - 1)]
        known: set[int] = set()
        read: set[int] = set()
        for one in plan.passes:
            keys = [node.value for node in one.nodes if node.operation == "input"]
            places = {key.place for key in keys if isinstance(key, Stored)}
            assert places <= known
            known |= {place for place, _ in one.stored}
            read |= places
        assert read == known == set(range(stored))


def test_the_first_place_without_a_metric(tools: SimpleNamespace, tmp_path: Path) -> None:
    drive = HostProgram(emit_cuda("ricci", 2), tmp_path)
    grid = rl.Grid.torus((9, 31))
    for wrong in (-1.0, np.nan):
        packed = tools.random_packed(grid, 0)
        packed[2, 4, 7] = packed[0, 6, 1] = wrong
        assert evaluate(drive, "ricci", [packed], grid, 4)[1] == 4 * 31 + 7


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize(
    ("name", "n", "order", "dtype"),
    fast_and_slow(
        [
            ("ricci_deturck", 2, 4, "float64"),
            ("ricci_deturck", 3, 4, "float64"),
            ("ricci", 3, 4, "float32"),
        ],
        [
            (name, n, *kind)
            for name in FORMULAS
            for n in (2, 3, 4)
            for kind in ((4, "float64"), (6, "float64"))
            # All others are in the record. With a background in 4-D there are 40 to 60 functions.
            if n < 4 or (name != "ricci_deturck_background" and kind[0] == 4)
        ],
    ),
)
def test_nvcc_compiles_it(
    tmp_path: Path, name: str, n: int, order: int, dtype: str, architecture: str
) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("nvcc is not installed")
    found = compiled(emit_cuda(name, n, order, dtype), architecture)
    plan = cuda_plan(name, n, order)
    assert len(found.spilled) == len(found.registers) == len(plan.functions)
    assert all(0 < registers <= 255 for registers in found.registers)
    # The first-level cache has room for 2 kB of each thread.
    assert max(found.spilled) < (512 if order <= 4 else 1024)
    assert found.called < 128


def recorded(n: int) -> list[Any]:
    return [row for row in Record.read(RECORD).rows("cuda") if row.parameters["n"] == n]


@pytest.mark.parametrize("n", [2, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_the_record_is_of_these_sources(n: int) -> None:
    """A change of a source is recorded anew: riemann-lne bench --only cuda cuda-whole."""
    wanted = {kind for kind in cuda_kinds(quick=False) if kind[1] == n}
    rows = recorded(n)
    assert {tuple(row.parameters[k] for k in ("name", "n", "order", "dtype")) for row in rows} == (
        wanted
    )
    for row in rows:
        name, order, dtype = (row.parameters[k] for k in ("name", "order", "dtype"))
        assert row.parameters["digest"] == digest(emit_cuda(name, n, order, dtype)), row.what


@pytest.mark.parametrize("n", [2, 3, 4])
def test_what_is_spilled_finds_room_in_the_first_level_cache(n: int) -> None:
    for row in recorded(n):
        for architecture in ARCHITECTURES:
            figures = row.figures
            assert figures[f"spilled, {architecture}"] < (
                512 if row.parameters["order"] <= 4 else 1024
            )
            assert figures[f"spilled in calls, {architecture}"] < 128
            if n == 2 and row.parameters["order"] <= 4:
                assert figures[f"spilled, {architecture}"] == 0


def test_without_cupy_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KernelUnavailableError, match="NumPy and CuPy, not list"):
        kernels.fused_flow(rl.RicciDeTurckFlow(), rl.Grid.torus((8, 8)), 4, [])


class HostModule(HostProgram):
    """Stands for ``cupy.RawModule``."""

    folder: Path

    def __init__(self, code: str, options: tuple[str, ...]) -> None:
        super().__init__(code, self.folder)

    def get_function(self, name: str) -> Any:
        def launch(blocks: tuple[int], threads: tuple[int], arguments: tuple[Any, ...]) -> None:
            kinds = {np.dtype(np.int32): ctypes.c_int, np.dtype(np.int64): ctypes.c_longlong}
            self.functions[name](
                *blocks,
                *threads,
                *(
                    ctypes.c_void_p(a.ctypes.data)
                    if isinstance(a, np.ndarray)
                    else kinds[a.dtype](a)
                    for a in arguments
                ),
            )

        return launch


def test_launches_with_arrays_of_the_host(
    tools: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NumPy under CuPy's name: all functions are launched, with the memory for what is stored."""
    cupy = SimpleNamespace(
        **{name: getattr(np, name) for name in ("asarray", "ascontiguousarray", "full", "int64")},
        # The class by which arrays of CuPy are known: NumPy's arrays are none of them.
        ndarray=type("ndarray", (), {}),
        empty=lambda shape, dtype: np.full(shape, np.nan, dtype=dtype),
        RawModule=type("Module", (HostModule,), {"folder": tmp_path}),
        cuda=SimpleNamespace(Device=lambda: SimpleNamespace(id=-1)),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    kernel = gpu.DeviceKernel("ricci_deturck_background", 3, 2, "float64")
    assert len(kernel._functions) > 1
    grid = rl.Grid.torus((5, 6, 7))
    fields = [tools.random_packed(grid, k) for k in range(2)]
    result, bad = kernel.evaluate(fields[0], grid, fields[1])
    assert int(bad) >= grid.size
    assert tools.relative_gap(result, tools.plain(kernel.name, fields, grid, 2)) <= 1e-12
    gpu._tables.cache_clear()


@pytest.mark.gpu
@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("name", FORMULAS)
def test_on_a_gpu(tools: SimpleNamespace, name: str, n: int, order: int) -> None:
    cupy = pytest.importorskip("cupy")
    kernel = gpu.device_kernel(name, n, order, "float64", cupy.cuda.Device().id)
    for periodic in (True, False):
        grid = rl.Grid((11,) * n, (0.0,) * n, (1.0,) * n, (periodic,) * n)
        fields = [tools.random_packed(grid, k) for k in range(formula(name).fields)]
        result, bad = kernel.evaluate(cupy.asarray(fields[0]), grid, *map(cupy.asarray, fields[1:]))
        assert int(bad) >= grid.size
        assert tools.relative_gap(result.get(), tools.plain(name, fields, grid, order)) <= 1e-12


@pytest.mark.gpu
def test_a_flow_on_a_gpu(tools: SimpleNamespace) -> None:
    cupy = pytest.importorskip("cupy")
    g = rl.perturbed_euclidean(rl.Grid.torus((64, 64)), 0.2)
    there = rl.MetricField(g.grid, cupy.asarray(g.components))
    ends = [
        rl.solve_flow(
            start, rl.RicciDeTurckFlow(), (0, 0.01), "rk4", dt=0.001, order=2, kernel=kernel
        )
        for start, kernel in ((g, "plain"), (there, "fused"))
    ]
    assert ends[1].parameters["kernel"].startswith("fused")
    assert tools.relative_gap(ends[1][-1].packed.get(), ends[0][-1].packed) < 1e-12
