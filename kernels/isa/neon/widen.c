#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/memory.h"
#include "../../core/base/quants.h"
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

TINI_REGION_END
#endif
