#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_NEON

/* The scalar's 16 partial sums are four registers; the last n % 16 elements go on from their lanes. */
void tini_rms_norm_neon(float *out, const float *x, const float *weight, uint32_t n, float eps) {
    float32x4_t sums[4];
    float lanes[16];
    uint32_t i = 0;
    for (uint32_t k = 0; k < 4; k++)
        sums[k] = vdupq_n_f32(0.0f);
    for (; i + 16 <= n; i += 16) {
        for (uint32_t k = 0; k < 4; k++) {
            float32x4_t v = vld1q_f32(x + i + 4 * k);
            sums[k] = vaddq_f32(sums[k], vmulq_f32(v, v));
        }
    }
    for (uint32_t k = 0; k < 4; k++)
        vst1q_f32(lanes + 4 * k, sums[k]);
    for (; i < n; i++)
        lanes[i % 16] = lanes[i % 16] + x[i] * x[i];
    float s = 1.0f / tini_sqrt(tini_sum16(lanes) / (float)n + eps);
    for (i = 0; i + 4 <= n; i += 4) {
        float32x4_t scaled = vmulq_n_f32(vld1q_f32(x + i), s);
        vst1q_f32(out + i, vmulq_f32(scaled, vld1q_f32(weight + i)));
    }
    for (; i < n; i++)
        out[i] = (x[i] * s) * weight[i];
}

TINI_REGION_END
#endif
