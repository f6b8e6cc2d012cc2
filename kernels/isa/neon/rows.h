/* The NEON vocabulary: loads, and storing a matmul's outputs. */
#ifndef TINI_NEON_ROWS_H
#define TINI_NEON_ROWS_H

#include <arm_neon.h>

#include "../../core/kernel.h"

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

TINI_REGION_END

#endif
