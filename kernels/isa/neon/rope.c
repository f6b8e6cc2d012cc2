#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"

TINI_REGION_NEON

void tini_rope_neon(float *x, const float *table, uint32_t heads, uint32_t head_dim, uint32_t half) {
    for (uint32_t head = 0; head < heads; head++, x += head_dim) {
        uint32_t i = 0;
        for (; i + 4 <= half; i += 4) {
            float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + i + half);
            float32x4_t cosine = vld1q_f32(table + i), sine = vld1q_f32(table + half + i);
            float32x4_t first = vsubq_f32(vmulq_f32(a, cosine), vmulq_f32(b, sine));
            float32x4_t second = vaddq_f32(vmulq_f32(b, cosine), vmulq_f32(a, sine));
            vst1q_f32(x + i, first);
            vst1q_f32(x + i + half, second);
        }
        for (; i < half; i++) {
            float a = x[i], b = x[i + half], cosine = table[i], sine = table[half + i];
            x[i] = a * cosine - b * sine;
            x[i + half] = b * cosine + a * sine;
        }
    }
}

TINI_REGION_END
#endif
