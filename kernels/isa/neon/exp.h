/* tini_exp on four lanes: the same operations in the same order. */
#ifndef TINI_NEON_EXP_H
#define TINI_NEON_EXP_H

#include <arm_neon.h>

#include "../../core/base/math.h"

TINI_REGION_NEON

TINI_INLINE float32x4_t tini_neon_step(float32x4_t p, float32x4_t r, float coefficient) {
    return vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(coefficient));
}

TINI_INLINE float32x4_t tini_neon_exp(float32x4_t x) {
    const float32x4_t rounder = vdupq_n_f32(TINI_ROUND_F32);
    float32x4_t shifted = vaddq_f32(vmulq_f32(x, vdupq_n_f32(TINI_EXP_LOG2E)), rounder);
    float32x4_t n = vsubq_f32(shifted, rounder);
    float32x4_t r = vsubq_f32(x, vmulq_f32(n, vdupq_n_f32(TINI_EXP_LN2_HIGH)));
    r = vsubq_f32(r, vmulq_f32(n, vdupq_n_f32(TINI_EXP_LN2_LOW)));
    float32x4_t p = tini_neon_step(vdupq_n_f32(TINI_EXP_P4), r, TINI_EXP_P3);
    p = tini_neon_step(p, r, TINI_EXP_P2);
    p = tini_neon_step(p, r, TINI_EXP_P1);
    p = tini_neon_step(p, r, TINI_EXP_P0);
    float32x4_t y = vaddq_f32(vmulq_f32(p, vmulq_f32(r, r)), r);
    y = vaddq_f32(y, vdupq_n_f32(1.0f));
    /* The shift drops all but the low bits of `shifted`, which are n's. */
    int32x4_t exponent = vaddq_s32(vreinterpretq_s32_f32(shifted), vdupq_n_s32(127));
    y = vmulq_f32(y, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
    y = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(TINI_EXP_HIGHEST)), vdupq_n_f32(TINI_INFINITY), y);
    return vbslq_f32(vcltq_f32(x, vdupq_n_f32(TINI_EXP_LOWEST)), vdupq_n_f32(0.0f), y);
}

#define TINI_LANES float32x4_t
#define TINI_LANES_NORMAL tini_neon_normal
#define TINI_LANES_EXP tini_neon_exp
#include "../../core/base/normal_lanes.h"

TINI_REGION_END

#endif
