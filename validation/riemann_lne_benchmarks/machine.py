"""Limits of the machine: passes over memory, and multiply-add instructions."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .environment import cache_bytes
from .instructions import compiler
from .versions import NoKernelError, Problem, Task

_SOURCE = r"""
#if defined(__AVX512F__)
#define BYTES 64
#else
#define BYTES 32
#endif
#define LOOP(NAME, REAL) \
REAL NAME(long count) { \
    typedef REAL vec __attribute__((vector_size(BYTES))); \
    enum { LANES = BYTES / sizeof(REAL), CHAINS = 12 }; \
    vec x[CHAINS], factor, term; \
    for (int i = 0; i < LANES; i++) { \
        factor[i] = (REAL)0.999; term[i] = (REAL)1e-3; \
        for (int c = 0; c < CHAINS; c++) x[c][i] = (REAL)c; \
    } \
    for (long k = 0; k < count; k++) \
        for (int c = 0; c < CHAINS; c++) x[c] = x[c] * factor + term; \
    REAL sum = 0; \
    for (int c = 0; c < CHAINS; c++) for (int i = 0; i < LANES; i++) sum += x[c][i]; \
    return sum; \
} \
long NAME##_flops(void) { return 2L * 12 * BYTES / sizeof(REAL); }
LOOP(multiply_add_float64, double)
LOOP(multiply_add_float32, float)
void triad(double *restrict a, const double *restrict b, const double *restrict c, long n) {
    for (long i = 0; i < n; i++) a[i] = b[i] + 0.5 * c[i];
}
"""
_ROUNDS_OF_LOOP = 4_000_000


@cache
def _library() -> ctypes.CDLL:
    """The loops above, compiled for this machine."""
    words = compiler()
    if words is None:
        raise NoKernelError("no C compiler (cc, gcc or clang) was found to build the loop with")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "loops.c", Path(folder) / "loops.so"
        source.write_text(_SOURCE, encoding="utf-8")
        options = ["-O3", "-march=native", "-ffp-contract=fast", "-funroll-loops"]
        command = [*words, *options, "-shared", "-fPIC", "-o", str(target), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoKernelError(f"{words[0]} could not build the loop: {done.stderr.strip()[:200]}")
        return ctypes.CDLL(str(target))  # stays loaded when the file is gone


def _in_threads(call: Callable[..., Any], parts: list[tuple[Any, ...]]) -> Callable[[], None]:
    """The call on every part at a time; foreign code runs without Python's lock."""
    if len(parts) == 1:
        return lambda: call(*parts[0])
    pool = ThreadPoolExecutor(len(parts))

    def run() -> None:
        for future in [pool.submit(call, *part) for part in parts]:
            future.result()

    return run


def elements_beyond_the_cache(arrays: int) -> int:
    """Length of each of some arrays of doubles that together are 8 times the largest cache."""
    return max(2**24, 8 * cache_bytes() // (8 * arrays))


def copy(problem: Problem) -> Task:
    """Copy b = a with NumPy; 16 bytes an entry."""
    n, threads = int(problem["n"]), int(problem["threads"])
    a, b = np.ones(n), np.zeros(n)
    parts = [(b[at], a[at]) for at in _split(n, threads)]
    return Task(_in_threads(np.copyto, parts))


def triad(problem: Problem) -> Task:
    """Triad a = b + c / 2 in C; 24 bytes an entry, as the STREAM benchmark counts."""
    n, threads = int(problem["n"]), int(problem["threads"])
    a, b, c = np.zeros(n), np.ones(n), np.ones(n)
    function = _library().triad
    function.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_long]
    function.restype = None
    parts = [
        (*(x[at].ctypes.data for x in (a, b, c)), at.stop - at.start) for at in _split(n, threads)
    ]
    run = _in_threads(function, parts)

    def call() -> np.ndarray:
        run()
        return a  # the arrays live as long as the task

    _keep(call, a, b, c)
    return Task(call)


def multiply_add(problem: Problem) -> Task:
    """A loop of multiply-adds in registers."""
    dtype, threads = problem["dtype"], int(problem["threads"])
    library = _library()
    function = library[f"multiply_add_{dtype}"]
    function.argtypes = [ctypes.c_long]
    function.restype = ctypes.c_double if dtype == "float64" else ctypes.c_float
    each = library[f"multiply_add_{dtype}_flops"]
    each.restype = ctypes.c_long
    flops = each() * _ROUNDS_OF_LOOP * threads
    run = _in_threads(function, [(_ROUNDS_OF_LOOP,)] * threads)
    return Task(run, lambda value: np.zeros(1), lambda value: {"flops": flops})


def matmul(problem: Problem) -> Task:
    """Product of two square matrices with BLAS."""
    n = int(problem["n"])
    a = np.random.default_rng(0).normal(size=(n, n)).astype(problem["dtype"])
    out = np.empty_like(a)
    return Task(partial(np.matmul, a, a, out=out), np.asarray, lambda value: {"flops": 2 * n**3})


def _split(n: int, parts: int) -> list[slice]:
    ends = [n * k // parts for k in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


def _keep(function: Callable[[], Any], *objects: Any) -> None:
    """Tie objects to a function: C holds their addresses only."""
    function.keeps = objects  # type: ignore[attr-defined]
