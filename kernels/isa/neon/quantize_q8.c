#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"

TINI_REGION_NEON

/* The conversion rounds to nearest even, as tini_nearest does, and no |q| exceeds 127, so narrowing is exact. */
void tini_quantize_q8_neon(tini_q8 *out, const float *x, uint32_t n) {
    for (uint32_t b = 0; b < n / TINI_BLOCK; b++, x += TINI_BLOCK) {
        float32x4_t v[8], high = vdupq_n_f32(0.0f);
        for (uint32_t k = 0; k < 8; k++) {
            v[k] = vld1q_f32(x + 4 * k);
            high = vmaxq_f32(high, vabsq_f32(v[k]));
        }
        float amax = vmaxvq_f32(high);
        if (!(amax >= 1e-30f)) {
            out[b] = (tini_q8){.scale = 0.0f};
            continue;
        }
        const float inverse = 127.0f / amax;
        int32x4_t sum = vdupq_n_s32(0);
        out[b].scale = amax / 127.0f;
        for (uint32_t k = 0; k < 8; k += 4) {
            int32x4_t q[4];
            for (uint32_t j = 0; j < 4; j++) {
                q[j] = vcvtnq_s32_f32(vmulq_n_f32(v[k + j], inverse));
                sum = vaddq_s32(sum, q[j]);
            }
            int16x8_t low = vcombine_s16(vmovn_s32(q[0]), vmovn_s32(q[1]));
            int16x8_t upper = vcombine_s16(vmovn_s32(q[2]), vmovn_s32(q[3]));
            vst1q_s8(out[b].q + 4 * k, vcombine_s8(vmovn_s16(low), vmovn_s16(upper)));
        }
        out[b].sum = vaddvq_s32(sum);
    }
}

TINI_REGION_END
#endif
