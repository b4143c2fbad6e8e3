"""The CUDA source of a kernel: one thread a point, neighbours through the cache.

The algebra and the differences are those of the C source, from the same tree; a thread reads what
the ring holds there from global memory, which neighbouring threads share in the first-level cache.
Nothing in it waits for the host: whether the metric was one is left in a number on the device.
"""

from __future__ import annotations

from ..flows.base import Formula
from .emit import first_difference, second_difference, statements
from .trace import Derivative, trace
from .units import units

THREADS = 128
"""Threads of a block."""

_SOURCE = """\
typedef {real} real;

/* A load that the compiler neither merges with others nor moves far from its use: values that many
   differences share would otherwise be held in registers all along, which do not suffice. The
   first-level cache has them. */
static __device__ __forceinline__ real load(const real *p) {
#ifdef __CUDACC__
    real value;
    asm volatile("ld.global.nc.{suffix} %0, [%1];" : "={letter}"(value) : "l"(p));
    return value;
#else
    return *p;
#endif
}

/* Points are counted over the grid; ``offsets`` holds the tables of the axes one after the other.
   ``bad`` becomes the lowest number of a point at which the metric is none. */
extern "C" __global__ void __launch_bounds__({threads})
run({fields}real *__restrict__ result, const int *__restrict__ offsets,
    const real *__restrict__ units, long long *bad, long long stride, long long points{sizes}) {
    const long long point = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (point >= points) return;
{indices}
{scales}
{lines}
{stores}
    if (!({good})) atomicMin(bad, point);
}
"""


def emit_cuda(name: str | Formula, n: int, order: int = 4, dtype: str = "float64") -> str:
    """CUDA source of the kernel of a formula, as NVRTC and nvcc take it.

    Arguments as those of ``compile_kernel``.

    Examples
    --------
    >>> 'extern "C" __global__' in emit_cuda("ricci", 3)
    True
    """
    program = trace(name, n, units(order).ratio)
    width = order // 2
    before = program.components // program.fields
    count = before + len(program.outputs)
    lines, names = statements(program.nodes, _Loads(n, width), "real", " " * 4)
    text = _SOURCE
    for key, value in {
        "real": {"float64": "double", "float32": "float"}[dtype],
        "suffix": {"float64": "f64", "float32": "f32"}[dtype],
        "letter": {"float64": "d", "float32": "f"}[dtype],
        "threads": str(THREADS),
        "fields": "".join(f"const real *__restrict__ f{k}, " for k in range(program.fields)),
        "sizes": "".join(f", int n{a}" for a in range(n)),
        "indices": "\n".join(_indices(n, width)),
        "scales": "\n".join(f"    const real u{k} = units[{k}];" for k in range(count)),
        "lines": "\n".join(lines),
        "stores": "\n".join(
            f"    result[{k} * points + point] = u{before + k} * {names[o.number]};"
            for k, o in enumerate(program.outputs)
        ),
        "good": " && ".join(f"{names[m.number]} > (real)0" for m in program.minors),
    }.items():
        text = text.replace("{" + key + "}", value)
    return text


def _shifted(axis: int, shift: int) -> str:
    return f"x{axis}_{'m' if shift < 0 else ''}{abs(shift)}"


def _indices(n: int, width: int) -> list[str]:
    """The point's index along every axis, and where its neighbours along it lie."""
    lines, left, table = [], "point", "offsets"
    for axis in reversed(range(n)):
        lines.append(f"    const int i{axis} = (int)({left} % n{axis});")
        if axis:
            lines.append(f"    const long long p{axis} = {left} / n{axis};")
            left = f"p{axis}"
    for axis in range(n):
        lines.append(f"    const int *const o{axis} = {table} + i{axis};")
        table += f" + n{axis} + {2 * width}"
        lines += [
            f"    const int {_shifted(axis, k)} = o{axis}[{k + width}];"
            for k in range(-width, width + 1)
        ]
    return lines


class _Loads:
    """Expressions of the inputs: differences of values in global memory, in the kernel's units."""

    def __init__(self, n: int, width: int) -> None:
        self._n, self._width = n, width

    def _value(self, d: Derivative, shifts: dict[int, int]) -> str:
        place = " + ".join(_shifted(a, shifts.get(a, 0)) for a in range(self._n))
        return f"load(f{d.field} + {d.component} * stride + ({place}))"

    def __call__(self, d: Derivative) -> str:
        return f"u{d.component} * ({self._difference(d)})"

    def _difference(self, d: Derivative) -> str:
        if not d.axes:
            return self._value(d, {})
        a, b = d.axes[0], d.axes[-1]
        if len(d.axes) == 1:
            return self._first(d, a, {})
        if a == b:
            return second_difference(lambda j: self._value(d, {a: j}), self._width)
        return first_difference(lambda k: f"({self._first(d, a, {b: k})})", self._width)

    def _first(self, d: Derivative, a: int, shifts: dict[int, int]) -> str:
        return first_difference(lambda j: self._value(d, {**shifts, a: j}), self._width)
