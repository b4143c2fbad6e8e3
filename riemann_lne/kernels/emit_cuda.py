"""The CUDA source of a kernel: one thread a point, neighbours through the cache.

The algebra and the differences are those of the C source, from the same tree. In place of a ring
of rows a thread reads global memory, which neighbouring threads share in the first-level cache. A
formula that is too large for the registers of a thread becomes several functions, see ``passes``.
Nothing in it waits for the host: a number on the device tells where the metric is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple

from ..coefficients import half_width
from ..flows.base import Formula
from .emit import first_difference, second_difference, statements
from .passes import Pass, Stored, passes, total_cost
from .trace import Derivative, Program, trace
from .units import units

THREADS = 128
"""Threads of a block."""

# Most operations and loads of a function: nvcc 13 keeps nearly all of its values in registers. With
# 1485 of them 1.3 kB a thread went to memory. From about 2200 on nothing was kept: 18 to 40 kB. The
# first limit is that of a formula in one function. Beyond it mixed differences, of 16 loads each in
# order 4, become calls, which cost as much as four operations, and the second limit is that of each
# function.
_AT_ONCE = 1450
_LIMIT = 1300
_CALL = 4

_HEAD = """\
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
{helpers}
/* Points are counted over the grid; ``offsets`` holds the tables of the axes one after the other.
   ``bad`` becomes the lowest number of a point at which the metric is none. */
"""

_FUNCTION = """\
extern "C" __global__ void __launch_bounds__({threads})
{name}({fields}real *__restrict__ result, const int *__restrict__ offsets,
    const real *__restrict__ units, long long *bad, long long stride, long long points{more}) {
    const long long point = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (point >= points) return;
{indices}
{scales}
{lines}
{stores}
{check}}
"""

_MIXED = """
/* Mixed difference at a place, from the offsets of its neighbours along two axes. As a call: where
   it stands in a formula dozens of times, the compiler would run out of registers. */
static __device__ __noinline__ real mixed(const real *p, const int *a, const int *b) {
    return {difference};
}
"""


_ABSOLUTE = """
static __device__ __forceinline__ real absolute(real x) { return x < (real)0 ? -x : x; }
"""


class CudaPlan(NamedTuple):
    """The functions of a CUDA source.

    Attributes
    ----------
    passes : tuple of Pass
        The computations of each, in the order in which they are launched.
    calls : bool
        Whether mixed differences are calls of a function.
    """

    passes: tuple[Pass, ...]
    calls: bool

    @property
    def functions(self) -> tuple[str, ...]:
        """Names of the functions: ``run``, or ``run_0``, ``run_1`` and so on."""
        if len(self.passes) == 1:
            return ("run",)
        return tuple(f"run_{k}" for k in range(len(self.passes)))

    @property
    def stored(self) -> int:
        """Number of values a point that functions store for later ones."""
        return sum(len(one.stored) for one in self.passes)


@lru_cache(maxsize=64)
def cuda_plan(name: str | Formula, n: int, order: int = 4, whole: bool = False) -> CudaPlan:
    """The functions of the CUDA source of a formula; arguments as those of ``emit_cuda``."""
    program, w = trace(name, n, units(order).ratio), half_width(order)

    def cost(d: Derivative, mixed: int) -> int:
        """Loads and operations of a difference."""
        if len(d.axes) < 2:
            return 4 * w if d.axes else 1
        return 5 * w if d.axes[0] == d.axes[1] else mixed

    in_place = partial(cost, mixed=8 * w * w)
    needed = total_cost(program, in_place)
    if whole or needed <= _AT_ONCE:
        return CudaPlan(tuple(passes(program, in_place, max(needed, _AT_ONCE))), calls=False)
    return CudaPlan(tuple(passes(program, partial(cost, mixed=_CALL), _LIMIT)), calls=True)


def emit_cuda(
    name: str | Formula, n: int, order: int = 4, dtype: str = "float64", *, whole: bool = False
) -> str:
    """CUDA source of the kernel of a formula, as NVRTC and nvcc take it.

    Large formulas become several functions, which are launched one after the other with the same
    arguments; see ``cuda_plan``.

    Parameters
    ----------
    name, n, order, dtype
        Those of ``compile_kernel``.
    whole : bool
        One function, however large the formula is, with all differences in place: to measure how
        much the cut is worth.

    Examples
    --------
    >>> 'extern "C" __global__' in emit_cuda("ricci", 3)
    True
    """
    program, plan = trace(name, n, units(order).ratio), cuda_plan(name, n, order, whole)
    width = half_width(order)
    helpers = _filled(_MIXED, {"difference": _mixed(width)}) if plan.calls else ""
    if any(node.operation == "abs" for node in program.nodes):
        helpers += _ABSOLUTE
    text = _filled(
        _HEAD,
        {
            "real": {"float64": "double", "float32": "float"}[dtype],
            "suffix": {"float64": "f64", "float32": "f32"}[dtype],
            "letter": {"float64": "d", "float32": "f"}[dtype],
            "helpers": helpers,
        },
    )
    common = {
        "threads": str(THREADS),
        "fields": "".join(f"const real *__restrict__ f{k}, " for k in range(program.fields)),
        "more": "".join(f", int n{a}" for a in range(n))
        + (",\n    real *__restrict__ stored" if plan.stored else ""),
        "indices": "\n".join(_indices(n, width)),
    }
    loads = _Loads(n, width, plan.calls)
    functions = [
        _filled(_FUNCTION, {"name": function, **common, **_body(program, one, loads)})
        for function, one in zip(plan.functions, plan.passes, strict=True)
    ]
    return text + "\n".join(functions)


def _body(program: Program, one: Pass, loads: _Loads) -> dict[str, str]:
    """The statements of a pass."""
    per = program.components // program.fields
    lines, names = statements(one.nodes, loads, "real", " " * 4)
    factors = [*range(per), *(per + k for k, _ in one.outputs)]
    stores = [f"stored[{k} * points + point] = {names[node.number]};" for k, node in one.stored]
    stores += [
        f"result[{k} * points + point] = u{per + k} * {names[node.number]};"
        for k, node in one.outputs
    ]
    good = " && ".join(f"{names[m.number]} > (real)0" for m in one.minors)
    return {
        "scales": "\n".join(f"    const real u{k} = units[{k}];" for k in factors),
        "lines": "\n".join(lines),
        "stores": "\n".join(f"    {store}" for store in stores),
        "check": f"    if (!({good})) atomicMin(bad, point);\n" if good else "",
    }


def _filled(template: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        template = template.replace("{" + key + "}", value)
    return template


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


def _mixed(width: int) -> str:
    """The difference of differences, from tables of offsets."""

    def first(k: int) -> str:
        return first_difference(lambda j: f"load(p + (a[{j + width}] + b[{k + width}]))", width)

    return first_difference(lambda k: f"({first(k)})", width)


class _Loads:
    """Expressions of the inputs: differences of values in global memory, in the kernel's units."""

    def __init__(self, n: int, width: int, calls: bool) -> None:
        self._n, self._width, self._calls = n, width, calls

    def _value(self, d: Derivative, shifts: dict[int, int]) -> str:
        place = " + ".join(_shifted(a, shifts.get(a, 0)) for a in range(self._n))
        return f"load(f{d.field} + {d.component} * stride + ({place}))"

    def __call__(self, d: Derivative | Stored) -> str:
        if isinstance(d, Stored):
            return f"stored[{d.place} * points + point]"
        return f"u{d.component} * ({self._difference(d)})"

    def _difference(self, d: Derivative) -> str:
        if not d.axes:
            return self._value(d, {})
        a, b = d.axes[0], d.axes[-1]
        if len(d.axes) == 1:
            return self._first(d, a, {})
        if a == b:
            return second_difference(lambda j: self._value(d, {a: j}), self._width)
        if self._calls:
            rest = " + ".join(_shifted(c, 0) for c in range(self._n) if c not in (a, b)) or "0"
            return f"mixed(f{d.field} + {d.component} * stride + ({rest}), o{a}, o{b})"
        return first_difference(lambda k: f"({self._first(d, a, {b: k})})", self._width)

    def _first(self, d: Derivative, a: int, shifts: dict[int, int]) -> str:
        return first_difference(lambda j: self._value(d, {**shifts, a: j}), self._width)
