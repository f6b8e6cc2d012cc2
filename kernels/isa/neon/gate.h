/* What the gates share on NEON: the scalar's operations in its order, four values at a time. */
#ifndef TINI_NEON_GATE_H
#define TINI_NEON_GATE_H

#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_NEON

/* Whole registers; returns how many values those are. act: TINI_ACT_*, a constant. */
TINI_INLINE uint32_t tini_neon_gate(float *out, const float *gate, const float *up, uint32_t n, const int act) {
    const float32x4_t one = vdupq_n_f32(1.0f), a = vdupq_n_f32(TINI_GELU_A), b = vdupq_n_f32(TINI_GELU_B);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t g = vld1q_f32(gate + i), x = g;
        if (act == TINI_ACT_GELU)
            x = vmulq_f32(g, vaddq_f32(a, vmulq_f32(b, vmulq_f32(g, g))));
        float32x4_t factor = act == TINI_ACT_GELU_ERF ? vmulq_f32(g, tini_neon_normal(g))
                                                      : vdivq_f32(act == TINI_ACT_SIGMOID ? one : g,
                                                                  vaddq_f32(one, tini_neon_exp(vnegq_f32(x))));
        vst1q_f32(out + i, vmulq_f32(factor, vld1q_f32(up + i)));
    }
    return i;
}

TINI_REGION_END

#endif
