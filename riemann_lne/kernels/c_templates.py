"""The parts of the C source that are the same for all formulas; see ``emit_c``."""

HEAD = """\
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

typedef {real} real;
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES {shortest}
#endif
typedef {integer} lane_t;

#define LANES ((int64_t)(BYTES / sizeof(real)))
#define NOINLINE __attribute__((noinline))
#define AT(type, p) (*(const type *)(p))

/* Vectors come in two lengths, and what is made of them under two names, as vec_64 and vec_32. */
#define NAME_(name, bytes) name##_##bytes
#define NAME(name, bytes) NAME_(name, bytes)
#define vec NAME(vec, BYTES)
#define uvec NAME(uvec, BYTES)
#define ivec NAME(ivec, BYTES)
#define stream NAME(stream, BYTES)
#define some NAME(some, BYTES)
#define absolute NAME(absolute, BYTES)
"""

VECTORS = """\
typedef real vec __attribute__((vector_size(BYTES), may_alias));
/* The same at any address. */
typedef real uvec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));
typedef lane_t ivec __attribute__((vector_size(BYTES), may_alias));

/* A store of whole cache lines that goes past the caches: a line that is not there need not be
   read first. Others see it after a fence. */
static inline void stream(real *to, vec x) {
#if BYTES == 64 && defined(__AVX512F__)
    _mm512_stream_si512((__m512i *)to, (__m512i)x);
#elif BYTES == 32 && defined(__AVX__)
    _mm256_stream_si256((__m256i *)to, (__m256i)x);
#elif BYTES == 16 && defined(__SSE2__)
    _mm_stream_si128((__m128i *)to, (__m128i)x);
#else
    *(vec *)to = x;
#endif
}

/* The first values from an address; what lies beyond them may not be there. */
static inline vec some(const real *from, int64_t count) {
    if (count >= LANES) return *(const uvec *)from;
    vec x = {0};
    for (int64_t k = 0; k < count; k++) x[k] = from[k];
    return x;
}

static inline vec absolute(vec x) {
    const vec negative = (real)-0.0 - (vec){0};
    return (vec)((ivec)x & ~(ivec)negative);
}
"""

FENCE = """\
static inline void fence(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}
"""

SHIFTS = """\
/* The vector that begins k values after lo does in lo and hi side by side, k a number. */
#undef ALL
#if BYTES / {size} == 2
#define ALL(k) TWO(k)
#elif BYTES / {size} == 4
#define ALL(k) FOUR(k)
#elif BYTES / {size} == 8
#define ALL(k) EIGHT(k)
#else
#define ALL(k) EIGHT(k), EIGHT((k) + 8)
#endif
#undef JOINED
#if BYTES == 64 && defined(__AVX512F__)
#define JOINED(lo, hi, k) ((vec)_mm512_alignr_epi{bits}((__m512i)(hi), (__m512i)(lo), k))
#elif defined(__clang__)
#define JOINED(lo, hi, k) __builtin_shufflevector(lo, hi, ALL(k))
#else
#define JOINED(lo, hi, k) __builtin_shuffle(lo, hi, (ivec){ALL(k)})
#endif

/* The vector k values after p or before it. A load over the border of a cache line takes twice as
   long; with vectors as long as a line that is each of them. Shuffles in their place are quicker
   but in 4-D. */
#undef AFTER
#undef BEFORE
#if {shuffle} && BYTES == 64 && defined(__AVX512F__)
#define AFTER(p, k) JOINED(AT(vec, p), AT(vec, (p) + LANES), k)
#define BEFORE(p, k) JOINED(AT(vec, (p) - LANES), AT(vec, p), LANES - k)
#else
#define AFTER(p, k) AT(uvec, (p) + k)
#define BEFORE(p, k) AT(uvec, (p) - k)
#endif
"""

RING = """\
#define compute NAME(compute_row, BYTES)
#define differences NAME(differences_of_row, BYTES)
#define update NAME(update_row, BYTES)

/* Numbers from k on. */
#define TWO(k) (k), (k) + 1
#define FOUR(k) TWO(k), TWO((k) + 2)
#define EIGHT(k) FOUR(k), FOUR((k) + 4)

/* Whether differences along the last two axes are computed before the algebra of a part of a row,
   which is quicker with 16 registers; and one of them: from its place there, or computed here. */
#if (defined(__x86_64__) || defined(__i386__)) && !defined(__AVX512VL__)
#define APART 1
#define INNER(place, value) AT(vec, from + (place) * LANES)
#else
#define APART 0
#define INNER(place, value) (value)
#endif

/* Point 0 of a block lies START after the beginning of its arrays, on a cache line. */
#define START ((int64_t)(64 / sizeof(real)))
#define LENGTH (BLOCK + 3 * START)
#define PAGE 4096

/* The halo of an array that closes on itself after so many points, from its own ends. */
static inline void wrap(real *d, int64_t points) {
    memcpy(d - WIDTH, d + points - WIDTH, WIDTH * sizeof(real));
    memcpy(d + points, d, WIDTH * sizeof(real));
}
"""

DIFFERENCES = """\
#if APART
/* The differences along the last two axes of a part of a row, those of a vector side by side. */
static NOINLINE void differences(real *restrict values{rows}, int64_t size) {
{loops}
}
#endif

"""

SHORT = """\
/* The same with vectors half as long, for the ends of rows. */
#if BYTES >= 32 && BYTES / 2 / {size} >= WIDTH
#if BYTES == 64
#define SHORT 32
#else
#define SHORT 16
#endif
#pragma push_macro("BYTES")
#undef BYTES
#define BYTES SHORT
{functions}
#pragma pop_macro("BYTES")
#endif

/* A row of the result, or of an update with it; what is left at its end in a short vector, if that
   is enough. */
static int row(real *result, int64_t place, int64_t points{rows}, int64_t size, const real *units,
               int64_t direct, const real *const *fields, int64_t stride, int64_t ahead,
               const real *const *terms, const real *factors, int64_t count) {
    int64_t whole = size;
    int good = 1;
#ifdef SHORT
    if (size % LANES <= (int64_t)(SHORT / sizeof(real))) whole -= size % LANES;
    if (whole < size)
        good = (factors ? NAME(update_row, SHORT) : NAME(compute_row, SHORT))(
            result, place + whole, points{rest}, size - whole, units, direct, fields, stride,
            ahead + whole, terms, factors, count);
#endif
    if (whole)
        good &= (factors ? update : compute)(
            result, place, points{all}, whole, units, direct, fields, stride, ahead, terms,
            factors, count);
    return good;
}
"""

ACROSS = """\
/* Derivatives along the second axis, of one row, from a ring of planes. */
static NOINLINE void second_axis(real *restrict slot{rows}, int64_t size, int64_t wraps) {
    for (int c = 0; c < {components}; c++) {
        real *const d = slot + (int64_t)c * {kinds} * LENGTH + START;
        const int64_t from = (int64_t)c * {planes} * LENGTH + START;
        if (!wraps)
            for (int64_t z = -START; z < 0; z += LANES) {
{halo}
            }
        for (int64_t z = 0; z < size + (wraps ? 0 : WIDTH); z += LANES) {
{vectors}
        }
        if (wraps) wrap(d + {first} * LENGTH, wraps);
    }
}
"""

FILL = """\
/* One row of the ring, part by part. The first and the last vector of a part overlap others. */
static NOINLINE void fill(real *restrict slot, const real *const *fields, int64_t stride{arguments},
                 int64_t row, const int64_t *parts, int64_t count, int64_t wraps,
                 const real *units{next}) {
    for (int c = 0; c < {components}; c++) {
        real *const d = slot + (int64_t)c * {kinds} * LENGTH + START;
        const real *const from = fields[c / {per}] + (c % {per}) * stride + row;
        const real scale = units[c % {per}];
        for (int64_t part = 0; part < count; part++) {
            const int64_t begin = parts[3 * part + 1], end = parts[3 * part + 2];
            const int64_t first = parts[3 * part] - begin;
{pointers}
            if (end - begin < LANES) {
                for (int64_t z = begin; z < end; z++) {
{scalars}
                }
                continue;
            }
            int64_t z = begin;
            for (;;) {
{vectors}
{prefetch}
                if (z + LANES >= end) break;
                /* On to the next border of a cache line, or to the end. */
                z = (z + LANES) & -LANES;
                if (z + LANES > end) z = end - LANES;
            }
        }
    }
    if (!wraps) return;
    for (int64_t m = 0; m < {arrays}; m++) wrap(slot + m * LENGTH + START, wraps);
}
"""

RUN = """\
/* Result over the slab from start to stop of the first axis, written past the caches if that is
   wanted and rows begin and end with cache lines. With factors (else null) it is that of the
   formula times the first of them, plus the others times the given number of terms, arrays like the
   result, which may be one of them. Returns -1 if all is well, -2 without memory, else the place
   of the first block of a row in which the metric is none. */
int64_t run(const real *const *fields, real *result, const int64_t *const *offsets,
            const int64_t *sizes, int64_t stride, const real *units, int64_t start, int64_t stop,
            int64_t past, const real *const *terms, const real *factors, int64_t more) {
    const int64_t last = sizes[{last}], points = {points};
    const int64_t direct = past && (uintptr_t)result % BYTES == 0 && last % LANES == 0;
{memory}
    void *memory = 0;
    const size_t bytes = total * sizeof(real) + PAGE;
    if (posix_memalign(&memory, 64, bytes)) return -2;
    /* What lies beyond the ends of rows is computed with, but never kept. */
    memset(memory, 0, bytes);
    /* A load waits for a store before it whose address ends like its own. The ring begins where
       that happens least: of a page, a quarter after the results. */
    const uintptr_t lag = (uintptr_t)result + PAGE / 4 - (uintptr_t)memory;
    real *const ring = (real *)((char *)memory + (lag % PAGE & -(uintptr_t)64));
    int64_t bad = -1;
    const int64_t blocks = (last + BLOCK - 1) / BLOCK;
    const int64_t size = ((last + blocks - 1) / blocks + START - 1) / START * START;
    for (int64_t z0 = 0; z0 < last; z0 += size) {
        const int64_t here = last - z0 < size ? last - z0 : size;
        const int64_t *const columns = offsets[{last}] + z0 + WIDTH;
        /* Points of a row as it lies in memory, ghost points included. */
        const int64_t ghosts = offsets[{last}][last + 2 * WIDTH - 1] >= last ? 2 * WIDTH : 0;
        const int64_t length = last + ghosts;
        /* A block that closes on itself has its halo from its own ends. */
        const int64_t wraps = here == last && columns[-1] == columns[last - 1] ? last : 0;
        const int64_t halo = wraps ? 0 : WIDTH;
        /* Parts of the block and its halo that lie together in memory. */
        int64_t parts[3 * (2 * WIDTH + 2)], count = 0;
        for (int64_t k = -halo; k < here + halo;) {
            int64_t end = k + 1;
            while (end < here + halo && columns[end] == columns[k] + end - k) end++;
            int64_t from = k, to = end;
            /* The few points of a halo as a whole vector, where the row has that many. */
            if (end <= 0 && end - k < LANES && columns[end - 1] >= LANES - 1) from = end - LANES;
            if (k >= here && end - k < LANES && columns[k] + LANES <= length) to = k + LANES;
            parts[3 * count] = columns[from < k ? end - 1 : k] - (from < k ? LANES - 1 : 0);
            parts[3 * count + 1] = from;
            parts[3 * count + 2] = to;
            count++;
            k = end;
        }
{rows}
    }
    fence();
    free(memory);
    return bad;
}
"""

# Two and three dimensions: a ring of rows.
MEMORY_OF_ROWS = """\
    const int64_t slot = {near} * LENGTH, total = {ring} * slot;"""

ROWS = """\
        const int64_t *const rows = offsets[{row}] + WIDTH;
{loop}
        for (int64_t y = {begin} - WIDTH; y < {end} + WIDTH; y++) {
            const int64_t turn = y - {begin} + WIDTH;
            fill(ring + turn % {ring} * slot, fields, stride{outer}, rows[y], parts, count, wraps,
                 units);
            if (turn < {ring} - 1) continue;
            const real *p[{ring}];
            for (int64_t k = 0; k < {ring}; k++) p[k] = ring + (turn + 1 + k) % {ring} * slot;
            const int64_t place = {place} + z0;
            const int64_t ahead = rows[y + 1 < {end} + WIDTH ? y + 1 : y] + columns[0]{newest};
            if (!row(result, place, points, {p}, here, units, direct, fields, stride, ahead, terms,
                     factors, more) && bad < 0)
                bad = place;
        }"""

# Four dimensions: a ring of planes of the last two axes with the derivatives along the first one,
# and from it a ring of rows with those along the second one, mixed ones included.
MEMORY_OF_PLANES = """\
    const int64_t slot = {far} * LENGTH, line = {near} * LENGTH;
    /* Planes of many rows are cut, so that a ring of them takes no more than a few megabytes. */
    const int64_t cuts = (sizes[{row}] + 31) / 32, height = (sizes[{row}] + cuts - 1) / cuts;
    const int64_t plane = (height + 2 * WIDTH) * line;
    const int64_t total = {ring} * (slot + plane);"""

PLANES = """\
        const int64_t *const rows = offsets[{row}] + WIDTH, *const sheets = offsets[1] + WIDTH;
        real *const planes = ring + {ring} * slot;
        for (int64_t y0 = 0; y0 < sizes[{row}]; y0 += height)
        for (int64_t i0 = start; i0 < stop; i0++)
        for (int64_t i1 = -WIDTH; i1 < sizes[1] + WIDTH; i1++) {
            const int64_t y1 = y0 + height < sizes[{row}] ? y0 + height : sizes[{row}];
            /* A plane that closes on itself needs no halo of rows: they are at its other end. */
            const int64_t period = y1 - y0 == sizes[{row}] && rows[-1] == rows[y1 - 1] ? y1 : 0;
            const int64_t margin = period ? 0 : WIDTH;
            real *const newest = planes + (i1 + WIDTH) % {ring} * plane;
            for (int64_t y = y0 - margin; y < y1 + margin; y++) {
                const int64_t next = rows[y + 1 < y1 + margin ? y + 1 : y] - rows[y];
                fill(newest + (y - y0 + margin) * line, fields, stride, offsets[0] + i0 + WIDTH,
                     rows[y] + sheets[i1], parts, count, wraps, units, next);
            }
            if (i1 < WIDTH) continue;
            for (int64_t y = y0 - WIDTH; y < y1 + WIDTH; y++) {
                const int64_t turn = y - y0 + WIDTH;
                const int64_t from = (period ? (y + period) % period : turn) * line;
                const real *q[{ring}];
                for (int64_t k = 0; k < {ring}; k++)
                    q[k] = planes + (i1 - WIDTH + k) % {ring} * plane + from;
                second_axis(ring + turn % {ring} * slot, {q}, here, wraps);
                if (turn < {ring} - 1) continue;
                const real *p[{ring}];
                const real *const centre = planes + i1 % {ring} * plane;
                for (int64_t k = 0; k < {ring}; k++) {
                    const int64_t row = y - 2 * WIDTH + k;
                    p[k] = ring + (turn + 1 + k) % {ring} * slot;
                    q[k] = centre + (period ? (row + period) % period : row - y0 + WIDTH) * line;
                }
                const int64_t place = ((i0 * sizes[1] + i1 - WIDTH) * sizes[2] + y - WIDTH)
                    * sizes[3] + z0;
                const int64_t ahead = rows[y - WIDTH] + columns[0]{newest}
                    + sheets[i1 + 1 < sizes[1] + WIDTH ? i1 + 1 : i1];
                if (!row(result, place, points, {p}, {q}, here, units, direct, fields, stride,
                         ahead, terms, factors, more) && bad < 0)
                    bad = place;
            }
        }"""
