/* What the matmuls with 8-bit activations share on ARM64: four rows of a tile's block, unpacked, and the floats
 * around their integer sums. */
#ifndef TINI_NEON_WEIGHTS_H
#define TINI_NEON_WEIGHTS_H

#include <arm_neon.h>

#include "../../core/kernel.h"
#include "../../core/program.h"
#include "../scalar/tile.h"
#include "rows.h"

TINI_REGION_NEON

typedef struct tini_neon_block {
    int8x16_t w[8]; /* inputs 4i .. 4i + 3 of each of the four rows, plus tini_neon_offset */
    float32x4_t d, minimum;
} tini_neon_block;

TINI_INLINE size_t tini_neon_block_bytes(const int format) {
    return TINI_TILE * (format == TINI_FORMAT_Q8_0 ? 34 : format == TINI_FORMAT_Q4_0 ? 18 : 20);
}

/* What unpacked weights exceed the format's by: sum of w * q is the unpacked sum less offset times the sum of q. */
TINI_INLINE uint32_t tini_neon_offset(const int format) {
    return format == TINI_FORMAT_Q4_0 ? 8 : 0;
}

/* p: the tile's block; rows 4 * quarter .. 4 * quarter + 3. */
TINI_INLINE tini_neon_block tini_neon_load(const uint8_t *p, uint32_t quarter, const int format) {
    tini_neon_block block = {.d = tini_neon_halves(p + 8 * quarter), .minimum = vdupq_n_f32(0.0f)};
    p += 2 * TINI_TILE;
    if (format == TINI_FORMAT_Q4_1) {
        block.minimum = tini_neon_halves(p + 8 * quarter);
        p += 2 * TINI_TILE;
    }
    p += 16 * quarter;
    if (format == TINI_FORMAT_Q8_0) {
        const uint8x16_t top = vdupq_n_u8(0x80);
        for (int i = 0; i < 8; i++)
            block.w[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p + 64 * i), top));
    } else {
        const uint8x16_t nibble = vdupq_n_u8(15);
        for (int i = 0; i < 4; i++) {
            uint8x16_t pair = vld1q_u8(p + 64 * i);
            block.w[i] = vreinterpretq_s8_u8(vandq_u8(pair, nibble));
            block.w[i + 4] = vreinterpretq_s8_u8(vshrq_n_u8(pair, 4));
        }
    }
    return block;
}

/* acc + this block's part of four outputs; sum: of w * q, as floats. */
TINI_INLINE float32x4_t tini_neon_add_block(float32x4_t acc, const tini_neon_block *block, float32x4_t sum,
                                            const tini_q8 *x, const int format) {
    acc = vaddq_f32(acc, vmulq_f32(sum, vmulq_n_f32(block->d, x->scale)));
    if (format == TINI_FORMAT_Q4_1)
        acc = vaddq_f32(acc, vmulq_n_f32(block->minimum, x->scale * (float)x->sum));
    return acc;
}

/* Asks for the block that follows in some hundred cycles. */
TINI_INLINE void tini_neon_prefetch(const uint8_t *w, size_t block_bytes) {
    for (size_t k = 0; k < block_bytes; k += 64)
        __builtin_prefetch(w + 1536 + k, 0, 0);
}

TINI_REGION_END

#endif
