"""Kernels with Fourier derivatives: products with small matrices, then the algebra of a point.

A derivative of a trigonometric polynomial along an axis is a product with a matrix of the axis'
length. Up to some hundred points that is quicker than transforms there and back, as it reads
memory in long runs and every product is a multiplication and an addition in one. Some rows of the
first axis are done at a time, so that all their derivatives are in the cache when the algebra of a
point reads them.

The 2/3 rule, P(rate - L y) + L y with the flow's linear part L and the filter P, needs no more than
one product along every axis: L y is made of the derivatives that are at hand.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from itertools import combinations_with_replacement

import numpy as np

from ..flows.base import Formula
from ..fourier import AxisSpectrum
from .emit import statements
from .emit_c import head
from .order import side_by_side
from .trace import Derivative, trace

LONGEST = 128
"""Points of the longest axis: from 192 on transforms are as quick."""

# Values of the derivatives that are made at a time, which should stay in the cache.
_AT_A_TIME = 1 << 16
# Rows whose sums are added up side by side; ``TALL`` in the source.
_TALL = 4

# Parts of the names of vector functions and types in the headers of x86 and ARM.
_INTRINSICS = {
    "float64": {"kind": "pd", "type": "d", "neon": "f64"},
    "float32": {"kind": "ps", "type": "", "neon": "f32"},
}

_PRODUCT = """\
/* sum + a x, rounded once. Said outright where that can be: where it is left to the compiler, it
   depends on the loop around it (GCC does without in some for Zen), and so would the last bits. */
#if BYTES == 64 && defined(__AVX512F__)
#define FUSED(a, x, sum) \\
    ((vec)_mm512_fmadd_{kind}(_mm512_set1_{kind}(a), (__m512{type})(x), (__m512{type})(sum)))
#elif BYTES == 32 && defined(__FMA__)
#define FUSED(a, x, sum) \\
    ((vec)_mm256_fmadd_{kind}(_mm256_set1_{kind}(a), (__m256{type})(x), (__m256{type})(sum)))
#elif BYTES == 16 && defined(__FMA__)
#define FUSED(a, x, sum) \\
    ((vec)_mm_fmadd_{kind}(_mm_set1_{kind}(a), (__m128{type})(x), (__m128{type})(sum)))
#elif BYTES == 16 && defined(__aarch64__)
#include <arm_neon.h>
#define FUSED(a, x, sum) ((vec)vfmaq_{neon}((sum), (x), vdupq_n_{neon}(a)))
#else
#define FUSED(a, x, sum) ((sum) + (a) * (x))
#endif

static inline void keep(real *to, vec x, int64_t count) {
    if (count >= LANES) *(uvec *)to = x;
    else for (int64_t k = 0; k < count; k++) to[k] = x[k];
}

enum { TALL = {tall}, WIDE = BYTES == 64 ? 4 : 2 };

/* A few rows and vectors of a product of matrices, whose sums stay in registers. */
static inline __attribute__((always_inline)) void tile(
    const int rows, const int vectors, int64_t inner, const real *a, int64_t lda, const real *b,
    int64_t ldb, real *out, int64_t ldo) {
    vec sum[TALL][WIDE];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) sum[r][v] = (vec){0};
    for (int64_t k = 0; k < inner; k++)
        for (int v = 0; v < vectors; v++) {
            const vec x = *(const uvec *)(b + k * ldb + v * LANES);
            for (int r = 0; r < rows; r++) sum[r][v] = FUSED(a[r * lda + k], x, sum[r][v]);
        }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) *(uvec *)(out + r * ldo + v * LANES) = sum[r][v];
}

static inline __attribute__((always_inline)) void strip(
    const int vectors, int64_t rows, int64_t inner, const real *a, int64_t lda, const real *b,
    int64_t ldb, real *out, int64_t ldo) {
    int64_t r = 0;
    for (; r + TALL <= rows; r += TALL)
        tile(TALL, vectors, inner, a + r * lda, lda, b, ldb, out + r * ldo, ldo);
    for (; r < rows; r++) tile(1, vectors, inner, a + r * lda, lda, b, ldb, out + r * ldo, ldo);
}

/* out = a b, of rows x inner and inner x columns values, whose rows lie lda, ldb, ldo apart. Every
   value is summed up in the same order, wherever it stands. */
static NOINLINE void product(int64_t rows, int64_t columns, int64_t inner, const real *a,
                             int64_t lda, const real *b, int64_t ldb, real *out, int64_t ldo) {
    int64_t c = 0;
    for (; c + WIDE * LANES <= columns; c += WIDE * LANES)
        strip(WIDE, rows, inner, a, lda, b + c, ldb, out + c, ldo);
    for (; c < columns && columns >= LANES; c += LANES) {
        /* The last vector ends with the row: what two of them have in common is the same. */
        if (c > columns - LANES) c = columns - LANES;
        strip(1, rows, inner, a, lda, b + c, ldb, out + c, ldo);
    }
    /* Rows that are shorter than a vector: in vectors as well, with the same operations. */
    for (int64_t r = 0; r < rows && c < columns; r++) {
        vec sum = {0};
        for (int64_t k = 0; k < inner; k++)
            sum = FUSED(a[r * lda + k], some(b + k * ldb, columns), sum);
        keep(out + r * ldo, sum, columns);
    }
}

/* The derivative of from (outer, size, inner) along the middle axis, by a matrix that its transpose
   follows. */
void along(const real *matrix, int64_t outer, int64_t size, int64_t inner,
                  const real *from, real *to) {
    if (inner == 1) {
        product(outer, size, size, from, size, matrix + size * size, size, to, size);
        return;
    }
    for (int64_t o = 0; o < outer; o++)
        product(size, inner, size, matrix, size, from + o * size * inner, inner,
                to + o * size * inner, inner);
}
"""

_RUN = """\
/* The algebra at count points, in whole vectors; of each, so many lanes are points. One function,
   compiled once: which operations are fused does not depend on where a point stands. */
static NOINLINE int64_t vectors(const real *const *fields, const real *derivatives, real *result,
                                int64_t points, int64_t length, int64_t count,
                                const real *weights, real *linear, int64_t lanes) {
    ivec wrong = {0};
    for (int64_t z = 0; z < count; z += LANES) {
        const real *const at = derivatives + z;
{values}
{body}
        for (int64_t k = 0; k < lanes; k++) wrong[k] |= bad[k];
        vec o[] = {{outputs}};
        for (int c = 0; weights && c < {components}; c++) {
            const real *const d = at + c * {kinds} * length;
            vec sum = {0};
            for (int k = 0; k < {kinds}; k++)
                sum = FUSED(weights[k], *(const uvec *)(d + k * length), sum);
            *(uvec *)(linear + z + c * points) = sum;
            o[c] -= sum;
        }
        for (int c = 0; c < {results}; c++) *(uvec *)(result + z + c * points) = o[c];
    }
    int64_t any = 0;
    for (int64_t k = 0; k < LANES; k++) any |= wrong[k];
    return any ? 0 : -1;
}

/* The result at count points from the fields and their derivatives; arrays of values lie points
   apart, those of derivatives length, with room for a vector behind them. With weights of the
   derivatives, a linear operator, linear is what it makes of the metric, and the result is less
   that. Returns whether the metric is one at all of the points (-1) or not (0). */
int64_t algebra(const real *const *fields, const real *derivatives, real *result, int64_t points,
                int64_t length, int64_t count, const real *weights, real *linear) {
    enum { FIELDS = {fields}, COMPONENTS = {components}, RESULTS = {results} };
    const int64_t whole = count / LANES * LANES, left = count - whole;
    int64_t good = vectors(fields, derivatives, result, points, length, whole, weights, linear,
                           LANES);
    if (!left) return good;
    /* The rest, from copies with room for a vector. */
    real values[FIELDS][COMPONENTS * LANES], results[RESULTS * LANES], more[COMPONENTS * LANES];
    const real *from[FIELDS];
    memset(values, 0, sizeof values);
    for (int f = 0; f < FIELDS; f++) {
        from[f] = values[f];
        for (int c = 0; c < COMPONENTS; c++)
            memcpy(values[f] + c * LANES, fields[f] + c * points + whole, left * sizeof(real));
    }
    good &= vectors(from, derivatives + whole, results, LANES, length, LANES, weights, more, left);
    for (int c = 0; c < RESULTS; c++) {
        memcpy(result + c * points + whole, results + c * LANES, left * sizeof(real));
        if (weights)
            memcpy(linear + c * points + whole, more + c * LANES, left * sizeof(real));
    }
    return good;
}

/* The rows from begin to end of the result. The matrices of an axis are those of the first and
   second derivative, each followed by its transpose; weights and linear as algebra has them.
   Returns what algebra does, -2 without memory. */
int64_t run(const real *const *fields, real *result, const real *const *matrices,
            const int64_t *sizes, int64_t begin, int64_t end, int64_t rows, const real *weights,
            real *linear) {
    enum { AXES = {axes}, COMPONENTS = {components}, ARRAYS = {arrays}, KINDS = {kinds} };
    int64_t row = 1;
    for (int a = 1; a < AXES; a++) row *= sizes[a];
    const int64_t points = sizes[0] * row;
    /* Arrays begin with a cache line, and none in the same set of the cache as the one before. */
    const int64_t length = (rows * row + LANES + 63) / 64 * 64 + 16;
    real *const memory = aligned_alloc(64, (size_t)(ARRAYS * length) * sizeof(real) / 64 * 64 + 64);
    if (!memory) return -2;
    int64_t state = -1;
    for (int64_t first = begin; first < end; first += rows) {
        const int64_t here = first + rows < end ? rows : end - first, count = here * row;
        for (int f = 0; f < {fields}; f++)
            for (int c = 0; c < COMPONENTS; c++) {
                const real *const whole = fields[f] + c * points, *const from = whole + first * row;
                real *const d = memory + (f * COMPONENTS + c) * KINDS * length;
{derivatives}
            }
        const real *from[{fields}];
        for (int f = 0; f < {fields}; f++) from[f] = fields[f] + first * row;
        const int64_t good = algebra(from, memory, result + first * row, points, length, count,
                                     weights, linear ? linear + first * row : 0);
        if (good == 0) state = 0;
    }
    free(memory);
    return state;
}

/* Some components of a result, multiplied along every axis by a matrix (which its transpose
   follows), plus linear. Returns -1, -2 without memory. */
int64_t filter(real *result, const real *linear, const real *const *matrices, const int64_t *sizes,
               int64_t begin, int64_t end) {
    enum { AXES = {axes} };
    int64_t points = 1;
    for (int a = 0; a < AXES; a++) points *= sizes[a];
    real *const memory = aligned_alloc(64, (size_t)points * sizeof(real) / 64 * 64 + 64);
    if (!memory) return -2;
    for (int64_t c = begin; c < end; c++) {
        real *const whole = result + c * points;
        real *from = whole, *to = memory;
        int64_t outer = 1;
        for (int a = 0; a < AXES; a++) {
            along(matrices[a], outer, sizes[a], points / outer / sizes[a], from, to);
            outer *= sizes[a];
            real *const last = from;
            from = to, to = last;
        }
        for (int64_t z = 0; z < points; z++) whole[z] = from[z] + linear[c * points + z];
    }
    free(memory);
    return -1;
}
"""


@cache
def kinds_of(n: int) -> tuple[tuple[int, ...], ...]:
    """Axes of all first and second derivatives."""
    return (*((a,) for a in range(n)), *combinations_with_replacement(range(n), 2))


def emit_spectral(name: str | Formula, n: int, dtype: str) -> str:
    """C source with ``run``, ``filter``, ``along`` and ``algebra``: see ``cpu.FourierKernel``."""
    program, kinds = trace(name, n), kinds_of(n)
    per = program.components // program.fields

    def load(d: Derivative) -> str:
        if not d.axes:
            return f"*(const uvec *)(values{d.field} + {d.component} * points)"
        place = (d.field * per + d.component) * len(kinds) + kinds.index(d.axes)
        return f"*(const uvec *)(at + {place} * length)"

    quotients = [node for node in program.nodes if node.operation == "div"]
    order, outputs = side_by_side(program.tape, (*program.minors, *quotients), program.outputs)
    lines, names = statements(order, load, "vec", " " * 8)
    good = " & ".join(f"({names[minor.number]} > (real)0)" for minor in program.minors)
    places = [
        f"        const real *const values{f} = fields[{f}] + z;" for f in range(program.fields)
    ]
    values = {
        "axes": n,
        "components": per,
        "fields": program.fields,
        "kinds": len(kinds),
        "arrays": program.components * len(kinds),
        "derivatives": "\n".join(_derivatives(n, kinds)),
        "values": "\n".join(places),
        "body": "\n".join([*lines, f"        const ivec bad = ~({good});"]),
        "outputs": ", ".join(f"{names[output.number]} + (vec){{0}}" for output in outputs),
        "results": len(outputs),
    }
    run = _RUN
    for key, value in values.items():
        run = run.replace("{" + key + "}", str(value))
    product = _PRODUCT.replace("{tall}", str(_TALL))
    for key, value in _INTRINSICS[dtype].items():
        product = product.replace("{" + key + "}", value)
    return "\n".join([head(dtype), product, run])


def _derivatives(n: int, kinds: tuple[tuple[int, ...], ...]) -> list[str]:
    """Statements for all derivatives of a component, mixed ones from first ones."""
    lines = []
    for place, kind in enumerate(kinds):
        to = f"d + {place} * length"
        second = f" + {2 * len(kind) - 2} * sizes[{kind[-1]}] * sizes[{kind[-1]}]"
        if kind[-1] == 0:  # a few rows of the result from all rows of the field
            lines.append(
                f"product(here, row, sizes[0], matrices[0]{second} + first * sizes[0], sizes[0], "
                f"whole, row, {to}, row);"
            )
            continue
        mixed = len(kind) == 2 and kind[0] != kind[1]
        start = f"d + {kinds.index(kind[:1])} * length" if mixed else "from"
        matrix = f"matrices[{kind[-1]}]{'' if mixed else second}"
        axis = kind[-1]
        outer = "*".join(["here", *(f"sizes[{a}]" for a in range(1, axis))])
        inner = "*".join([f"sizes[{a}]" for a in range(axis + 1, n)]) or "1"
        lines.append(f"along({matrix}, {outer}, sizes[{axis}], {inner}, {start}, {to});")
    return [" " * 16 + line for line in lines]


@lru_cache(maxsize=64)
def matrices(size: int, length: float, dtype: str) -> np.ndarray:
    """The matrices of the first and the second derivative, each followed by its transpose.

    (4, size, size), in 1 / length and 1 / length^2: the derivatives of the functions that are 1 at
    a point and 0 at the others.
    """
    spectrum = AxisSpectrum(np.eye(size), 0, length)
    first, second = spectrum.derivative(1), spectrum.derivative(2)
    return np.array([first, first.T, second, second.T], dtype=dtype)


@lru_cache(maxsize=64)
def filters(size: int, dtype: str) -> np.ndarray:
    """The matrix that leaves out the upper third of the modes, followed by its transpose.

    (2, size, size). Kept are the modes |m| < size / 3: the 2/3 rule.
    """
    kept = np.arange(1, math.ceil(size / 3))
    # Whole turns are taken off before the cosine: its argument is exact where it can be.
    turns = np.multiply.outer(np.arange(size), kept) % size / size
    row = (1 + 2 * np.sum(np.cos(2 * np.pi * turns), axis=1)) / size
    places = np.arange(size)
    matrix = row[np.abs(places[:, None] - places)]
    return np.array([matrix, matrix], dtype=dtype)


def rows_at_a_time(components: int, shape: tuple[int, ...]) -> int:
    """Rows of the first axis whose derivatives are made at a time."""
    arrays = components * len(kinds_of(len(shape)))
    rows = _AT_A_TIME // (arrays * int(np.prod(shape[1:])))
    return max(_TALL, rows - rows % _TALL)
