#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_NEON

/* The scalar's 16 partial sums are four registers; the last n % 16 elements go on from their lanes. */
TINI_INLINE float tini_neon_sum(const float *x, uint32_t n, float mean, const int squares) {
    const float32x4_t m = vdupq_n_f32(mean);
    float32x4_t sums[4];
    float lanes[16];
    uint32_t i = 0;
    for (uint32_t k = 0; k < 4; k++)
        sums[k] = vdupq_n_f32(0.0f);
    for (; i + 16 <= n; i += 16) {
        for (uint32_t k = 0; k < 4; k++) {
            float32x4_t v = vld1q_f32(x + i + 4 * k);
            if (squares) {
                v = vsubq_f32(v, m);
                v = vmulq_f32(v, v);
            }
            sums[k] = vaddq_f32(sums[k], v);
        }
    }
    for (uint32_t k = 0; k < 4; k++)
        vst1q_f32(lanes + 4 * k, sums[k]);
    for (; i < n; i++) {
        float d = squares ? x[i] - mean : x[i];
        lanes[i % 16] = lanes[i % 16] + (squares ? d * d : d);
    }
    return tini_sum16(lanes);
}

void tini_layer_norm_neon(float *out, const float *x, const float *weight, const float *bias, uint32_t n,
                          float eps) {
    float mean = tini_neon_sum(x, n, 0.0f, 0) / (float)n;
    float s = 1.0f / tini_sqrt(tini_neon_sum(x, n, mean, 1) / (float)n + eps);
    const float32x4_t scale = vdupq_n_f32(s), m = vdupq_n_f32(mean);
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t y = vmulq_f32(vsubq_f32(vld1q_f32(x + i), m), scale);
        y = vmulq_f32(y, vld1q_f32(weight + i));
        vst1q_f32(out + i, vaddq_f32(y, vld1q_f32(bias + i)));
    }
    for (; i < n; i++)
        out[i] = ((x[i] - mean) * s) * weight[i] + bias[i];
}

TINI_REGION_END
#endif
