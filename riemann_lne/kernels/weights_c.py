"""The parts of the C source for weights that are the same for all loops; see ``weights``."""

HEAD = """\
#include <stdint.h>

typedef {real} real;
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES ((int64_t)(BYTES / sizeof(double)))
typedef double vec __attribute__((vector_size(BYTES), may_alias));
typedef int64_t ivec __attribute__((vector_size(BYTES), may_alias));
/* As many values as they lie in memory, at any address. */
typedef real part __attribute__((vector_size(BYTES / sizeof(double) * sizeof(real)),
                                 aligned(sizeof(real)), may_alias));

/* The first values from an address; for what lies beyond zeros, which add nothing to any sum. */
static inline vec some(const real *from, int64_t count) {
    if (count >= LANES) return __builtin_convertvector(*(const part *)from, vec);
    vec x = {0};
    for (int64_t k = 0; k < count; k++) x[k] = from[k];
    return x;
}

static inline vec positive(vec x) { return (vec)((ivec)x & (x > 0.0)); }

static inline void keep(real *to, vec x, int64_t count) {
    if (count >= LANES) *(part *)to = __builtin_convertvector(x, part);
    else for (int64_t k = 0; k < count; k++) to[k] = x[k];
}
"""

TANH = """\
/* tanh to a few units in the last place, of small values too. With y = -2 |z| = k log 2 + f its
   size is -m/(2 + m), m = e^y - 1 = 2^k (e^f - 1) + (2^k - 1). Where y is small, k is 0: nothing
   cancels. */
static inline vec tanh_of(vec z) {
    const ivec sign = (ivec)z & INT64_MIN;
    vec y = -2.0 * (vec)((ivec)z ^ sign);
    /* Beyond this tanh is 1. A NaN stays. */
    const ivec beyond = y < -40.0;
    y = (vec)(((ivec)y & ~beyond) | ((ivec)(-40.0 - (vec){0}) & beyond));
    /* A number of this size has its units in the lowest bit: adding it rounds. */
    const double units = 0x1.8p52;
    const vec shifted = y * {log2e} + units;
    const vec k = shifted - units;
    const vec f = y - k * {log2};
    const vec power = (vec)(((ivec)shifted << 52) + ((int64_t)1023 << 52));
{series}
    const vec m = power * (p * f) + (power - 1.0);
    const vec t = m / (m + 2.0);
    return (vec)(((ivec)t & INT64_MAX) | sign);
}
"""

LOOP = """\
void {name}(int64_t pieces, real *const *arrays, const int64_t *sizes, const double *numbers,
            double *out) {
    for (int64_t piece = 0; piece < pieces; piece++) {
        real *const *from = arrays + {arrays} * piece;
        const double *number = numbers + {numbers} * piece;
        const int64_t end = sizes[piece];
{before}
        for (int64_t i = 0; i < end; i += LANES) {
{body}
        }
{after}
    }
}
"""

ADD_UP = """\
        for (int64_t j = 0; j < {count}; j++) {
            double total = 0;
            for (int64_t k = 0; k < LANES; k++) total += sum[j][k];
            out[{count} * piece + j] = total;
        }"""
