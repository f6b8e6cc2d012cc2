#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../scalar/kv_q8.h"

TINI_REGION_NEON

/* The conversion rounds to nearest even, as tini_nearest does. */
TINI_INLINE uint16_t tini_neon_kv_quantize(int8x16_t q[2], const float *x) {
    float32x4_t v[8], high = vdupq_n_f32(0.0f);
    for (uint32_t k = 0; k < 8; k++) {
        v[k] = vld1q_f32(x + 4 * k);
        high = vmaxq_f32(high, vabsq_f32(v[k]));
    }
    uint16_t half;
    const float inverse = tini_kv_scale(vmaxvq_f32(high), &half);
    int16x4_t narrow[8];
    for (uint32_t k = 0; k < 8; k++) {
        float32x4_t y = vminq_f32(vmulq_n_f32(v[k], inverse), vdupq_n_f32(127.0f));
        narrow[k] = vmovn_s32(vcvtnq_s32_f32(vmaxq_f32(y, vdupq_n_f32(-127.0f))));
    }
    for (uint32_t k = 0; k < 2; k++)
        q[k] = vcombine_s8(vmovn_s16(vcombine_s16(narrow[4 * k], narrow[4 * k + 1])),
                           vmovn_s16(vcombine_s16(narrow[4 * k + 2], narrow[4 * k + 3])));
    return half;
}

void tini_kv_append_q8_neon(const tini_kv *kv, uint32_t position, const float *key, const float *value) {
    tini_kv_place to = tini_kv_place_q8(kv, position % kv->capacity);
    int8x16_t q[2];
    for (uint32_t d = 0; d < kv->head_dim; d += TINI_BLOCK) {
        tini_store_u16(to.key, tini_neon_kv_quantize(q, key + d));
        for (uint32_t k = 0; k < 2; k++) {
            uint8_t bytes[16];
            vst1q_u8(bytes, veorq_u8(vreinterpretq_u8_s8(q[k]), vdupq_n_u8(0x80)));
            for (uint32_t i = 0; i < 4; i++)
                memcpy(to.key_q + 64 * (4 * k + i), bytes + 4 * i, 4);
        }
        tini_store_u16(to.value, tini_neon_kv_quantize(q, value + d));
        vst1q_s8((int8_t *)to.value_q, q[0]);
        vst1q_s8((int8_t *)to.value_q + 16, q[1]);
        tini_kv_next_q8(&to);
    }
}

TINI_REGION_END
#endif
