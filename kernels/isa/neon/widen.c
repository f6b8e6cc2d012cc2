#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/memory.h"
#include "../../core/base/quants.h"
#include "weights.h"
#include "widen.h"

TINI_REGION_NEON

typedef uint32_t tini_neon_words __attribute__((vector_size(16)));

TINI_INLINE void tini_neon_store_bytes(uint8_t *to, tini_neon_words words) {
    const uint16x4_t halves = vmovn_u32((uint32x4_t)words);
    vst1_lane_u32((uint32_t *)(void *)to, vreinterpret_u32_u8(vmovn_u16(vcombine_u16(halves, halves))), 0);
}

TINI_INLINE void tini_neon_look_up(uint16_t *points, const uint16_t *places, uint32_t count,
                                   const tini_grid *grid) {
    for (uint32_t i = 0; i < count; i += 8, points += 8, places += 8)
        TINI_UNROLL for (uint32_t k = 0; k < 8; k++) points[k] = grid->points[places[k]];
}

TINI_INLINE tini_neon_words tini_neon_values(tini_neon_words levels, const uint8_t *table) {
    return (tini_neon_words)vqtbl1q_u8(vld1q_u8(table), (uint8x16_t)levels);
}

TINI_INLINE tini_neon_words tini_neon_negate(tini_neon_words values, tini_neon_words signs, const uint32_t g) {
    const tini_neon_words words = {0, 0x04040404, 0x08080808, 0x0c0c0c0c};
    const uint8x16_t bytes = (uint8x16_t)(words + g / 2 * 0x01010101u);
    const uint8x16_t bits = vreinterpretq_u8_u32(vdupq_n_u32(g % 2 ? 0x80402010u : 0x08040201u));
    const uint8x16_t minus = vtstq_u8(vqtbl1q_u8((uint8x16_t)signs, bytes), bits);
    return (tini_neon_words)vsubq_u8(veorq_u8((uint8x16_t)values, minus), minus);
}

#define TINI_WIDEN_SET(name) tini_neon_##name
#define TINI_WORDS tini_neon_words
#define TINI_SELECT(mask, a, b) (((a) & (mask)) | ((b) & ~(mask)))
#define TINI_VALUES(levels, table, format) tini_neon_values(levels, table)
#define TINI_NEGATE tini_neon_negate
#include "../scalar/widen.h"
#undef TINI_WIDEN_SET
#undef TINI_WORDS
#undef TINI_SELECT
#undef TINI_VALUES
#undef TINI_NEGATE

/* Four bytes of sixteen as floats. */
TINI_INLINE float32x4_t tini_neon_quarter(uint8x16_t bytes, uint32_t quarter) {
    const uint32x4_t words = {0xffffff00, 0xffffff01, 0xffffff02, 0xffffff03};
    const uint8x16_t places = vreinterpretq_u8_u32(vaddq_u32(words, vdupq_n_u32(4 * quarter)));
    return vcvtq_f32_u32(vreinterpretq_u32_u8(vqtbl1q_u8(bytes, places)));
}

void tini_neon_small_tile(tini_neon_smalls to, const uint8_t *p) {
    const uint8x16_t six = vdupq_n_u8(0x3f), four = vdupq_n_u8(0x0f), two = vdupq_n_u8(0x30);
    float32x4_t d[4], least[4];
    for (uint32_t k = 0; k < 4; k++) {
        d[k] = tini_neon_halves(p + 8 * k);
        least[k] = vnegq_f32(tini_neon_halves(p + 2 * TINI_TILE + 8 * k));
    }
    p += 4 * TINI_TILE;
    TINI_NEON_ROLLED
    for (uint32_t s = 0; s < 8; s++, p += TINI_TILE) {
        uint8x16_t scale = vld1q_u8(p), minimum = vld1q_u8(p + 4 * TINI_TILE);
        if (s < 4) {
            scale = vandq_u8(scale, six);
            minimum = vandq_u8(minimum, six);
        } else {
            const uint8x16_t high = vandq_u8(vshrq_n_u8(scale, 2), two), both = minimum;
            minimum = vorrq_u8(vshrq_n_u8(both, 4), high);
            scale = vorrq_u8(vandq_u8(both, four), vandq_u8(vshrq_n_u8(vld1q_u8(p - 4 * TINI_TILE), 2), two));
        }
        TINI_NEON_UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            to[s][0][k] = vmulq_f32(d[k], tini_neon_quarter(scale, k));
            to[s][1][k] = vmulq_f32(least[k], tini_neon_quarter(minimum, k));
        }
    }
}

TINI_REGION_END
#endif
