"""The generated C on another architecture: AArch64 with NEON, cross-compiled and emulated.

A program for AArch64 is made of the source of a kernel and the driver below, and run under
``qemu-aarch64``. It reads its arguments as bytes and writes the arrays of the kernel as bytes, so
that the values are judged here, against NumPy. Speed is not tested: an emulator has none.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import riemann_lne as rl
from riemann_lne.coefficients import half_width
from riemann_lne.flows.base import laplacian_bound
from riemann_lne.flows.laplacian import mean_inverse, mean_metric
from riemann_lne.integrators.semidiscrete import _HighModes
from riemann_lne.kernels.build import _FLAGS
from riemann_lne.kernels.cpu import DTYPES, ORDERS
from riemann_lne.kernels.emit_c import emit_c
from riemann_lne.kernels.emit_spectral import emit_spectral, filters, kinds_of, matrices
from riemann_lne.kernels.layout import bounded_part, offsets, with_ghosts
from riemann_lne.kernels.reductions import emit_reductions
from riemann_lne.kernels.trace import FORMULAS, formula, trace
from riemann_lne.kernels.units import unit_factors
from riemann_lne.kernels.weights import emit_weights
from riemann_lne.kernels.weights_loops import loops
from riemann_lne.lne.pieces import finished, power_terms, scale_terms, solve_terms
from riemann_lne.tensors import inverse_and_determinant, packed_size, squared_norm, table

pytestmark = pytest.mark.slow

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"

# In this calling convention numbers of 64 bits and addresses are passed alike, so that one type of
# function serves for all. Each argument begins with its kind. 0: a number; 1: an array, after its
# size in bytes; 2: several arrays, after their number. At the end all arrays are written back.
DRIVER = """
#include <stdio.h>
typedef int64_t (*any)(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t);
static int64_t number(void) {
    int64_t x;
    if (fread(&x, 8, 1, stdin) != 1) exit(3);
    return x;
}
static struct { int64_t bytes; void *data; } kept[256];
static int many = 0;
static void *array(void) {
    const int64_t bytes = number();
    void *data;
    if (posix_memalign(&data, 64, bytes + 64)) exit(4);
    if (fread(data, 1, bytes, stdin) != (size_t)bytes) exit(5);
    kept[many].bytes = bytes;
    kept[many++].data = data;
    return data;
}
int main(void) {
    static const any functions[] = {{functions}};
    const any function = functions[number()];
    int64_t x[12] = {0};
    const int64_t count = number();
    for (int64_t k = 0; k < count; k++) {
        const int64_t kind = number();
        if (kind == 0) x[k] = number();
        if (kind == 1) x[k] = (int64_t)array();
        if (kind == 2) {
            const int64_t length = number();
            void **all = malloc(8 * length + 8);
            for (int64_t m = 0; m < length; m++) all[m] = array();
            x[k] = (int64_t)all;
        }
    }
    const int64_t status = function(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[8], x[9],
                                    x[10], x[11]);
    fwrite(&status, 8, 1, stdout);
    for (int k = 0; k < many; k++) fwrite(kept[k].data, 1, kept[k].bytes, stdout);
    return 0;
}
"""

Argument = int | None | np.ndarray | Sequence[np.ndarray]


class Emulated:
    """The functions of a source; called with numbers, arrays, and lists of arrays."""

    def __init__(self, source: str, names: Sequence[str], folder: Path) -> None:
        self._names = names
        driver = DRIVER.replace("{functions}", ", ".join(f"(any)(void *){name}" for name in names))
        (folder / "program.c").write_text(f"#include <stdlib.h>\n{source}\n{driver}")
        self._program = folder / "program"
        flags = [flag for flag in _FLAGS if flag not in ("-shared", "-fPIC")]
        command = [COMPILER, *flags, "-static", "-o", "program", "program.c"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    def __call__(self, name: str, *arguments: Argument) -> int:
        """The function's value; arrays are changed where it wrote."""
        given: list[bytes] = [_words(self._names.index(name), len(arguments))]
        arrays: list[np.ndarray] = []
        for argument in arguments:
            if argument is None or isinstance(argument, (int, np.integer)):
                given.append(_words(0, argument or 0))
                continue
            alone = isinstance(argument, np.ndarray)
            several = [argument] if alone else list(argument)
            given.append(_words(1) if alone else _words(2, len(several)))
            for one in several:
                assert one.flags.c_contiguous
                given += [_words(one.nbytes), one.tobytes()]
            arrays += several
        done = subprocess.run(
            [EMULATOR, self._program], input=b"".join(given), capture_output=True, check=False
        )
        assert done.returncode == 0, (done.returncode, done.stderr)
        assert len(done.stdout) == 8 + sum(one.nbytes for one in arrays)
        place = 8
        for one in arrays:
            if one.flags.writeable:
                one[...] = np.frombuffer(done.stdout, one.dtype, one.size, place).reshape(one.shape)
            place += one.nbytes
        return int(np.frombuffer(done.stdout, np.int64, 1)[0])


def _words(*numbers: int) -> bytes:
    return np.array(numbers, dtype=np.int64).tobytes()


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Emulated]:
    """``Emulated`` in a folder of its own; or the test is skipped with what is missing."""
    missing = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
    if missing:
        pytest.skip(
            f"{' and '.join(missing)} not found (Debian: gcc-aarch64-linux-gnu, "
            "libc6-dev-arm64-cross, qemu-user)"
        )

    def make(source: str, *names: str) -> Emulated:
        return Emulated(source, names, tmp_path_factory.mktemp("aarch64"))

    return make


def limit(dtype: str) -> float:
    """The limit of this machine's kernels: 1e-12, and as many last digits in float32."""
    return {"float64": 1e-12, "float32": 1e-12 * 2.0**29}[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("name", FORMULAS)
def test_kernels(
    tools: SimpleNamespace,
    emulated: Callable[..., Emulated],
    name: str,
    n: int,
    order: int,
    dtype: str,
) -> None:
    run = emulated(emit_c(name, n, order, dtype), "run")
    least = order + 2
    shape = {2: (9, 2 * least + 7), 3: (least, least + 1, 13), 4: (least, least, least, 9)}[n]
    for periodic in (True, False):
        wraps = (periodic,) * (n - 1) + (not periodic,)
        grid = rl.Grid(shape, (0.0,) * n, tuple(1.0 + a for a in range(n)), wraps)
        fields = [tools.random_packed(grid, k, dtype) for k in range(formula(name).fields)]
        plain = tools.plain(name, fields, grid, order)
        prepared = [np.ascontiguousarray(with_ghosts(f, grid, order)) for f in fields]
        tables, stride = offsets(shape, bounded_part(grid, order), half_width(order))
        unit = unit_factors(grid.spacing, order, dtype, formula(name).tensor)
        term = np.random.default_rng(1).uniform(-1, 1, plain.shape).astype(dtype)
        result = np.full((len(trace(name, n).outputs), *shape), np.nan, dtype=dtype)
        sizes = np.array(shape, dtype=np.int64)
        common = (list(tables), sizes, stride, unit, 0, shape[0])

        assert run("run", prepared, result, *common, 0, [], None, 0) == -1
        assert tools.relative_gap(result, plain) <= limit(dtype)

        factors = np.array([0.5, -2.0], dtype=dtype)
        assert run("run", prepared, result, *common, 1, [term], factors, 1) == -1
        assert tools.relative_gap(result, 0.5 * plain - 2.0 * term) <= limit(dtype)

        fields[0][0].flat[grid.size // 2] = -1.0
        prepared[0] = np.ascontiguousarray(with_ghosts(fields[0], grid, order))
        assert run("run", prepared, result, *common, 0, [], None, 0) >= 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3, 4])
def test_reductions(
    tools: SimpleNamespace, emulated: Callable[..., Emulated], n: int, dtype: str
) -> None:
    names = ("largest_square", "largest_bound", "metric_or_nan", "combination")
    call = emulated(emit_reductions(n, dtype), *names)
    grid = rl.Grid.torus((7,) * n)
    metric = tools.random_packed(grid, 0, dtype)
    draw = np.random.default_rng(0)
    terms = [draw.uniform(-1, 1, metric.shape).astype(dtype) for _ in range(2)]
    factors = np.array([0.5, -2.0], dtype=dtype)
    error = 0.5 * terms[0] - 2.0 * terms[1]
    inverse, _ = inverse_and_determinant(table(metric, n), n)
    symbols = draw.uniform(1, 2, packed_size(n)).astype(dtype)

    def largest(name: str, g: np.ndarray, those: list[np.ndarray], numbers: np.ndarray) -> Any:
        result = np.zeros(1, dtype=dtype)
        call(name, g, those, len(those), numbers, grid.size, 0, grid.size, result)
        return result[0]

    expected = {
        "largest_square": np.max(squared_norm(table(error, n), inverse, n)),
        "largest_bound": np.max(laplacian_bound(table(metric, n), n, list(symbols))),
    }
    for name, those, numbers in (
        ("largest_square", terms, factors),
        ("largest_bound", [], symbols),
    ):
        found = largest(name, metric, those, numbers)
        assert abs(found - expected[name]) <= limit(dtype) * abs(expected[name])
    assert largest("metric_or_nan", metric, [], factors) == 0
    for wrong in (-1.0, np.inf, np.nan):
        bad = metric.copy()
        bad[0].flat[3] = wrong
        assert np.isnan(largest("metric_or_nan", bad, [], factors))
    result = np.zeros_like(metric)
    call("combination", terms, factors, 2, 0, metric.size, 1, result)
    assert tools.relative_gap(result, error) <= limit(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loops_on_weights(emulated: Callable[..., Emulated], dtype: str) -> None:
    call = emulated(emit_weights(dtype), *loops())
    draw = np.random.default_rng(0)
    x, v = (draw.normal(0, 1, 37).astype(dtype) for _ in range(2))
    tau, c = 1.3, -0.7
    z = x.astype(float) * tau
    t, wide = np.tanh(z), v.astype(float)
    sizes = np.array([x.size], dtype=np.int64)
    # Terms are changed by what comes after them.
    expected = {
        "powers": [term.sum() for term in power_terms(z.copy())],
        "scale": [term.sum() for term in scale_terms(z.copy(), t.copy())],
        "solve": [term.sum() for term in solve_terms(t.copy(), wide)],
    }
    for name, sums in expected.items():
        out = np.zeros(len(sums))
        arrays = [x, v][: len(loops()[name].arrays)]
        call(name, 1, arrays, sizes, np.array([tau]), out)
        assert np.max(np.abs(out - sums)) <= 1e-13 * np.max(np.abs(sums))
    call("finish", 1, [x, v], sizes, np.array([tau, c]), np.zeros(0))
    wanted = finished(t.copy(), wide, c).astype(dtype)
    assert np.max(np.abs(v - wanted)) <= 4 * np.finfo(dtype).eps * np.max(np.abs(wanted))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(12, 13), (7, 3), (8, 9, 10)])
def test_fourier_kernels_and_the_two_thirds_rule(
    tools: SimpleNamespace,
    emulated: Callable[..., Emulated],
    shape: tuple[int, ...],
    dtype: str,
) -> None:
    n, grid = len(shape), rl.Grid.torus(shape, tuple(1.0 + 0.3 * a for a in range(len(shape))))
    program = emulated(emit_spectral("ricci_deturck", n, dtype), "run", "filter")
    g = tools.random_packed(grid, 0, dtype)
    sizes, lengths = np.array(shape, dtype=np.int64), zip(shape, grid.lengths, strict=True)
    tables = [matrices(size, length, dtype) for size, length in lengths]
    exact = {"float64": 1e-12, "float32": 1e-4}[dtype]
    wide = g.astype(float)
    rate = tools.plain("ricci_deturck", [wide], grid, "fourier")
    found = []
    for rows in (1, 4, 64):
        result = np.zeros_like(g)
        arguments = [g], result, tables, sizes, 0, shape[0], rows
        assert program("run", *arguments, None, None) == -1
        assert tools.relative_gap(result, rate) < exact
        found.append(result)
    assert all(np.array_equal(found[0], other) for other in found[1:])

    inverse = mean_inverse(mean_metric(g, grid), n)
    weights = np.array(
        [
            0.0 if len(axes) == 1 else (1 + (axes[0] != axes[1])) * inverse[axes]
            for axes in kinds_of(n)
        ],
        dtype=dtype,
    )
    result, linear = np.zeros_like(g), np.zeros_like(g)
    assert program("run", [g], result, tables, sizes, 0, shape[0], 4, weights, linear) == -1
    kept = [filters(size, dtype) for size in shape]
    assert program("filter", result, linear, kept, sizes, 0, len(g)) == -1
    assert tools.relative_gap(result, _HighModes(grid, wide)(rate.copy(), wide)) < exact
