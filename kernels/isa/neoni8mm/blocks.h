/* Matmul with 8-bit activations by SMMLA: two rows' eight inputs times two columns' eight inputs, added into four
 * int32. Two groups of four inputs, zipped by 32-bit lanes, are eight inputs of two rows.
 *
 * Bits equal the scalar's, as in neondot/blocks.h: the integer sum is exact, inside a float's mantissa; lanes hold (row,
 * column) pairs, each with its own product of scales, multiply and add a block. A single column goes by SDOT. */
#ifndef TINI_NEONI8MM_BLOCKS_H
#define TINI_NEONI8MM_BLOCKS_H

#include "../neondot/blocks.h"

TINI_REGION_NEONI8MM

/* Four rows of a block: rows 2i and 2i + 1 in pair i, their inputs 8k .. 8k + 7 in w[i][k]. */
typedef struct tini_neoni8mm_block {
    int8x16_t w[2][4];
    float32x4_t d[2], minimum[2]; /* [row 0, row 0, row 1, row 1] */
} tini_neoni8mm_block;

TINI_INLINE tini_neoni8mm_block tini_neoni8mm_load(const uint8_t *p, uint32_t quarter, const int format) {
    const tini_neon_block four = tini_neon_load(p, quarter, format);
    tini_neoni8mm_block block;
    for (int k = 0; k < 4; k++) {
        int32x4_t a = vreinterpretq_s32_s8(four.w[2 * k]), b = vreinterpretq_s32_s8(four.w[2 * k + 1]);
        block.w[0][k] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
        block.w[1][k] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
    }
    block.d[0] = vzip1q_f32(four.d, four.d);
    block.d[1] = vzip2q_f32(four.d, four.d);
    block.minimum[0] = vzip1q_f32(four.minimum, four.minimum);
    block.minimum[1] = vzip2q_f32(four.minimum, four.minimum);
    return block;
}

/* [a, b, a, b] */
TINI_INLINE float32x4_t tini_neoni8mm_both(float a, float b) {
    float32x2_t both = vset_lane_f32(b, vdup_n_f32(a), 1);
    return vcombine_f32(both, both);
}

/* Adds the part of a block to the outputs of its four rows in the columns of x and y. */
TINI_INLINE void tini_neoni8mm_add_block(float32x4_t acc[2], const tini_neoni8mm_block *block, const tini_q8 *x,
                                         const tini_q8 *y, const int format) {
    int8x16_t q[4];
    for (int k = 0; k < 4; k += 2) {
        int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(x->q + 8 * k)),
                  b = vreinterpretq_s64_s8(vld1q_s8(y->q + 8 * k));
        q[k] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
        q[k + 1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
    }
    int32x2_t begins = vset_lane_s32(vgetq_lane_s32(tini_neondot_begin(y, format), 0),
                                     vget_low_s32(tini_neondot_begin(x, format)), 1);
    const int32x4_t begin = vcombine_s32(begins, begins);
    const float32x4_t scale = tini_neoni8mm_both(x->scale, y->scale);
    for (int pair = 0; pair < 2; pair++) {
        int32x4_t sum = begin;
        for (int k = 0; k < 4; k++)
            sum = vmmlaq_s32(sum, block->w[pair][k], q[k]);
        float32x4_t exact = vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(TINI_ROUND_F32));
        acc[pair] = vaddq_f32(acc[pair], vmulq_f32(exact, vmulq_f32(block->d[pair], scale)));
        if (format == TINI_FORMAT_Q4_1) {
            float32x4_t total = tini_neoni8mm_both(x->scale * (float)x->sum, y->scale * (float)y->sum);
            acc[pair] = vaddq_f32(acc[pair], vmulq_f32(block->minimum[pair], total));
        }
    }
}

/* Four rows of a tile by 2 * `pairs` rows of x. */
TINI_INLINE void tini_neoni8mm_panel(const tini_matmul *m, uint32_t tile, uint32_t quarter, uint32_t t,
                                     const uint32_t pairs, const int format) {
    const uint32_t blocks = m->inputs / TINI_BLOCK, first = tile * TINI_TILE + 4 * quarter;
    const size_t block_bytes = tini_neon_block_bytes(format);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    float32x4_t acc[4][2];
    for (uint32_t c = 0; c < pairs; c++)
        acc[c][0] = acc[c][1] = vdupq_n_f32(0.0f);
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        const tini_neoni8mm_block block = tini_neoni8mm_load(w, quarter, format);
        for (uint32_t c = 0; c < pairs; c++)
            tini_neoni8mm_add_block(acc[c], &block, tini_row_q8(m, t + 2 * c) + b,
                                    tini_row_q8(m, t + 2 * c + 1) + b, format);
    }
    for (uint32_t c = 0; c < pairs; c++) {
        tini_neon_store(m, first, t + 2 * c, vuzp1q_f32(acc[c][0], acc[c][1]));
        tini_neon_store(m, first, t + 2 * c + 1, vuzp2q_f32(acc[c][0], acc[c][1]));
    }
}

TINI_INLINE void tini_neoni8mm_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                      const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 8 <= m->rows; t += 8)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neoni8mm_panel(m, tile, quarter, t, 4, format);
        for (; t + 2 <= m->rows; t += 2)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neoni8mm_panel(m, tile, quarter, t, 1, format);
        for (; t < m->rows; t++)
            tini_neondot_stream(m, tile, t, format);
    }
}

TINI_REGION_END

#endif
