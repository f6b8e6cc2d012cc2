/* Small loops over a row, the same on every machine: no multiply is fused with an add. */
#ifndef TINI_ROWS_H
#define TINI_ROWS_H

#include "math.h"

TINI_REGION_SCALAR

/* x *= factor; a factor of 0 stands for 1. */
TINI_INLINE void tini_scale_row(float *x, uint32_t n, float factor) {
    if (factor == 0.0f || factor == 1.0f)
        return;
    for (uint32_t i = 0; i < n; i++)
        x[i] = x[i] * factor;
}

/* x = tini_soft_cap(x, cap); a cap of 0 is none. */
TINI_INLINE void tini_cap_row(float *x, uint32_t n, float cap) {
    if (cap == 0.0f)
        return;
    for (uint32_t i = 0; i < n; i++)
        x[i] = tini_soft_cap(x[i], cap);
}

/* out = x + scale * y; out may be either. */
TINI_INLINE void tini_add_row(float *out, const float *x, const float *y, uint32_t n, float scale) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = x[i] + scale * y[i];
}

/* out = x * y; out may be either. */
TINI_INLINE void tini_mul_row(float *out, const float *x, const float *y, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = x[i] * y[i];
}

TINI_REGION_END

#endif
