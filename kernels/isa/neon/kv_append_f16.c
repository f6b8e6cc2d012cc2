#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"

TINI_REGION_NEON

/* FCVTN rounds to nearest even and makes infinities and denormals as tini_f32_to_f16 does; head_dim is a multiple
 * of 8. */
void tini_kv_append_f16_neon(const tini_kv *kv, uint32_t position, const float *key, const float *value) {
    uint32_t place = position % kv->capacity, head_dim = kv->head_dim;
    uint16_t *keys =
        (uint16_t *)kv->keys + (size_t)(place / TINI_TILE) * head_dim * TINI_TILE + place % TINI_TILE;
    uint16_t *values = (uint16_t *)kv->values + (size_t)place * head_dim;
    for (uint32_t d = 0; d < head_dim; d += 4) {
        uint16x4_t k = vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(key + d)));
        vst1_lane_u16(keys + (size_t)(d + 0) * TINI_TILE, k, 0);
        vst1_lane_u16(keys + (size_t)(d + 1) * TINI_TILE, k, 1);
        vst1_lane_u16(keys + (size_t)(d + 2) * TINI_TILE, k, 2);
        vst1_lane_u16(keys + (size_t)(d + 3) * TINI_TILE, k, 3);
        vst1_u16(values + d, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(value + d))));
    }
}

TINI_REGION_END
#endif
