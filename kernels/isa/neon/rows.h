/* The NEON vocabulary: loads, and storing a matmul's outputs. */
#ifndef TINI_NEON_ROWS_H
#define TINI_NEON_ROWS_H

#include <arm_neon.h>

#include "../../core/kernel.h"

/* For loops over registers, which the compiler must unroll whole; and for one over memory, which it need not. */
#if defined(__clang__)
#define TINI_NEON_UNROLL TINI_PRAGMA(clang loop unroll(full))
#define TINI_NEON_ROLLED TINI_PRAGMA(clang loop unroll(disable))
#else
#define TINI_NEON_UNROLL TINI_PRAGMA(GCC unroll 16)
#define TINI_NEON_ROLLED TINI_PRAGMA(GCC unroll 1)
#endif

/* Keeps a value in a general register: broadcasting it from there costs the vector pipes nothing on most cores. */
#define TINI_NEON_HIDE(x) __asm__ volatile("" : "+r"(x))
/* No load after it is begun before the two values are there: keeps the compiler from starting more work than there are
 * registers for. */
#define TINI_NEON_FINISH(a, b) __asm__ volatile("" : "+w"(a), "+w"(b)::"memory")

TINI_REGION_NEON

/* Four float16 values, widened exactly. */
TINI_INLINE float32x4_t tini_neon_halves(const void *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)p)));
}

/* As tini_tile_store, for the four outputs from `first` on. Touches no memory past the outputs. */
TINI_INLINE void tini_neon_store(const tini_matmul *m, uint32_t first, uint32_t t, float32x4_t y) {
    if (first >= m->outputs)
        return;
    float *out = m->out + t * m->out_stride + first;
    const float *bias = m->bias ? m->bias + first : NULL;
    const float *residual = m->residual ? m->residual + t * m->residual_stride + first : NULL;
    if (m->outputs - first >= 4) {
        if (bias)
            y = vaddq_f32(y, vld1q_f32(bias));
        if (residual)
            y = vaddq_f32(y, vld1q_f32(residual));
        vst1q_f32(out, y);
        return;
    }
    float lanes[4];
    vst1q_f32(lanes, y);
    for (uint32_t lane = 0; lane < m->outputs - first; lane++) {
        if (bias)
            lanes[lane] = lanes[lane] + bias[lane];
        if (residual)
            lanes[lane] = lanes[lane] + residual[lane];
        out[lane] = lanes[lane];
    }
}

/* Stores lanes[columns], four outputs each from `first` on, to rows t, t + 1, ... of out. */
TINI_INLINE void tini_neon_store_columns(const tini_matmul *m, uint32_t first, uint32_t t,
                                         const float32x4_t *lanes, uint32_t columns) {
    TINI_NEON_ROLLED
    for (uint32_t c = 0; c < columns; c++)
        tini_neon_store(m, first, t + c, lanes[c]);
}

TINI_REGION_END

#endif
