/* Scales for blocks of floats, found by trying sixteen at a time and keeping the one that leaves the least error.
 *
 * All is plain float32 arithmetic. A try's sums run over the block's inputs in order, and vectors hold tries, so that
 * their width changes no sum: the same weights give the same blocks on every machine. */
#ifndef TINI_FIT_H
#define TINI_FIT_H

#include "../core/base/math.h"
#include "../core/base/quants.h"
#include "../core/base/region.h"

#define TINI_TRIES 16u

typedef struct tini_line {
    float d, minimum; /* x ~ d q + minimum */
} tini_line;

/* The loops over inputs and tries, for one instruction set; tries.h states them. n: inputs; weight[n] >= 0: of the
 * inputs' squared errors. */
typedef struct tini_tries {
    float (*scales)(const float *x, const float *weight, const float *inverse, uint32_t n, float low,
                    float high);
    tini_line (*lines)(const float *x, const float *weight, float mean, const float *inverse, const float *from,
                       uint32_t n, float low, float high, int below);
    uint32_t (*points)(const float *x, const float *weight, const float *d, const float *from, uint32_t n,
                       float low, float high);
    float (*codes)(const float *x, const float *weight, const float *inverse, uint32_t n, int format);
    uint32_t (*code_points)(const float *x, const float *weight, const float *d, uint32_t n);
} tini_tries;

/* For the best set that this machine runs. */
const tini_tries *tini_tries_here(void);

/* The d of x ~ d q, q from low to -low - 1. weight: with a sum over 0. */
float tini_fit_scale(const tini_tries *tries, const float *x, const float *weight, uint32_t n, float low);

/* The d of x ~ d times one of the values of a format's codes. */
float tini_fit_codes(const tini_tries *tries, const float *x, const float *weight, uint32_t n, int format);

/* The d of x ~ d q, q one of -1, 0 and 1. */
float tini_fit_ternary(const tini_tries *tries, const float *x, const float *weight, uint32_t n);

/* x[n] becomes x less its weighted mean, which is returned. */
float tini_center(float *x, const float *weight, uint32_t n);

/* The line for x + mean, x as tini_center leaves it, q from 0 to high. below: the minimum is at most 0. */
tini_line tini_fit_line(const tini_tries *tries, const float *x, const float *weight, float mean, uint32_t n,
                        float high, int below);

TINI_REGION_SCALAR

/* The nearest of the whole numbers low .. high, ties to even; low for a NaN. */
TINI_INLINE float tini_level(float t, float low, float high) {
    t = t > low ? t : low;
    t = t < high ? t : high;
    return (t + TINI_ROUND_F32) - TINI_ROUND_F32;
}

TINI_INLINE float tini_bounded(float t, float low, float high) {
    return t < low ? low : t > high ? high : t;
}

/* 1 / d, or 0 where d is as good as 0: then every level is that of 0. */
TINI_INLINE float tini_inverse(float d) {
    return 1.0f / (d > 1e-30f || d < -1e-30f ? d : TINI_INFINITY);
}

TINI_INLINE float tini_half_round(float x) {
    return tini_f16_to_f32(tini_f32_to_f16(x));
}

TINI_INLINE int tini_half_overflows(float x) {
    return !(tini_abs(x) < 65520.0f);
}

/* The last code of a format that has some. */
TINI_INLINE uint8_t tini_last_code(const tini_kind *kind) {
    return (uint8_t)((1u << (kind->low + kind->high)) - 1);
}

/* Between a code's value and the next. */
TINI_INLINE float tini_code_middle(uint8_t code, const tini_kind *kind) {
    return 0.5f * (float)(tini_whole(code, kind) + tini_whole((uint8_t)(code + 1), kind));
}

/* The code whose value is nearest to t. */
TINI_INLINE uint8_t tini_nearest_code(float t, const tini_kind *kind) {
    uint8_t code = 0;
    for (uint8_t k = 0; k < tini_last_code(kind); k++)
        code = (uint8_t)(code + (t > tini_code_middle(k, kind)));
    return code;
}

/* That value. */
TINI_INLINE float tini_code_value(float t, const int format) {
    const tini_kind kind = tini_kind_of(format);
    float q = (float)tini_whole(0, &kind);
    TINI_UNROLL
    for (uint8_t k = 0; k < tini_last_code(&kind); k++)
        q += t > tini_code_middle(k, &kind)
                 ? (float)(tini_whole((uint8_t)(k + 1), &kind) - tini_whole(k, &kind))
                 : 0.0f;
    return q;
}

TINI_REGION_END

#endif
