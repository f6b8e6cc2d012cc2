#include "../../core/region.h"
#if TIN_HAVE_NEON
#include "../../core/kernel.h"
#include "exp.h"

TINI_REGION_NEON

void tini_gelu_mul_neon(float *out, const float *gate, const float *up, uint32_t n) {
    const float32x4_t one = vdupq_n_f32(1.0f), a = vdupq_n_f32(TINI_GELU_A), b = vdupq_n_f32(TINI_GELU_B);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t g = vld1q_f32(gate + i);
        float32x4_t x = vmulq_f32(g, vaddq_f32(a, vmulq_f32(b, vmulq_f32(g, g))));
        float32x4_t gelu = vdivq_f32(g, vaddq_f32(one, tini_neon_exp(vnegq_f32(x))));
        vst1q_f32(out + i, vmulq_f32(gelu, vld1q_f32(up + i)));
    }
    tini_gelu_mul_scalar(out + i, gate + i, up + i, n - i);
}

TINI_REGION_END
#endif
