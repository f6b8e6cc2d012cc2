/* Matmul with 8-bit activations by SDOT: a register holds four inputs of four rows, and one register of activations
 * serves four groups of four inputs, chosen by lane.
 *
 * Bits equal the scalar's: SDOT adds exact products into int32, and floats are one lane a row: per block one product
 * of scales, one multiply, one add, as in the scalar loop. The integer sum is kept inside a float's mantissa: it starts
 * from the bits of 1.5 * 2^23 (less the weights' offset times the sum of the activations), stays within 2^22 of them
 * (32 * 128 * 127 = 520,192), and is then a float less 1.5 * 2^23. A conversion would take four times as long. */
#ifndef TINI_NEONDOT_BLOCKS_H
#define TINI_NEONDOT_BLOCKS_H

#include "../neon/weights.h"

enum { TINI_NEONDOT_COLUMNS = 12 };

TINI_REGION_NEONDOT

/* The float whose low bits a sum is added to, as an integer. */
TINI_INLINE int32x4_t tini_neondot_begin(const tini_q8 *x, const int format) {
    uint32_t begin = 0x4b400000u - tini_neon_offset(format) * (uint32_t)x->sum;
    TINI_NEON_HIDE(begin);
    return vdupq_n_s32((int32_t)begin);
}

TINI_INLINE int32x4_t tini_neondot_four(int32x4_t sum, const int8x16_t w[4], int8x16_t q) {
    sum = vdotq_laneq_s32(sum, w[0], q, 0);
    sum = vdotq_laneq_s32(sum, w[1], q, 1);
    sum = vdotq_laneq_s32(sum, w[2], q, 2);
    return vdotq_laneq_s32(sum, w[3], q, 3);
}

/* acc + this block's part of four outputs. */
TINI_INLINE float32x4_t tini_neondot_add_block(float32x4_t acc, const tini_neon_block *block, const tini_q8 *x,
                                               const int format) {
    int32x4_t sum = tini_neondot_begin(x, format);
    sum = tini_neondot_four(sum, block->w, vld1q_s8(x->q));
    sum = tini_neondot_four(sum, block->w + 4, vld1q_s8(x->q + 16));
    float32x4_t exact = vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(TINI_ROUND_F32));
    return tini_neon_add_block(acc, block, exact, x, format);
}

/* Four rows of a tile by `columns` rows of x: weights are unpacked once and stay in registers, activations stream. */
TINI_INLINE void tini_neondot_panel(const tini_matmul *m, uint32_t tile, uint32_t quarter, uint32_t t,
                                    const uint32_t columns, const int format) {
    const uint32_t blocks = m->inputs / TINI_BLOCK;
    const size_t block_bytes = tini_neon_block_bytes(format);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    const tini_q8 *x[TINI_NEONDOT_COLUMNS];
    float32x4_t acc[TINI_NEONDOT_COLUMNS], out[TINI_NEONDOT_COLUMNS];
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_q8(m, t + c);
        acc[c] = vdupq_n_f32(0.0f);
    }
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        const tini_neon_block block = tini_neon_load(w, quarter, format);
        TINI_NEON_UNROLL
        for (uint32_t c = 0; c < columns; c++) {
            acc[c] = tini_neondot_add_block(acc[c], &block, x[c] + b, format);
            if (c % 2)
                TINI_NEON_FINISH(acc[c - 1], acc[c]);
        }
    }
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < columns; c++)
        out[c] = acc[c];
    tini_neon_store_columns(m, tile * TINI_TILE + 4 * quarter, t, out, columns);
}

/* A tile by one row of x: weights stream. */
TINI_INLINE void tini_neondot_stream(const tini_matmul *m, uint32_t tile, uint32_t t, const int format) {
    const uint32_t blocks = m->inputs / TINI_BLOCK;
    const size_t block_bytes = tini_neon_block_bytes(format);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    const tini_q8 *x = tini_row_q8(m, t);
    float32x4_t acc[4];
    for (uint32_t k = 0; k < 4; k++)
        acc[k] = vdupq_n_f32(0.0f);
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        tini_neon_prefetch(w, block_bytes);
        for (uint32_t k = 0; k < 4; k++) {
            const tini_neon_block block = tini_neon_load(w, k, format);
            acc[k] = tini_neondot_add_block(acc[k], &block, x + b, format);
        }
    }
    for (uint32_t k = 0; k < 4; k++)
        tini_neon_store(m, tile * TINI_TILE + 4 * k, t, acc[k]);
}

TINI_INLINE void tini_neondot_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + TINI_NEONDOT_COLUMNS <= m->rows; t += TINI_NEONDOT_COLUMNS)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neondot_panel(m, tile, quarter, t, TINI_NEONDOT_COLUMNS, format);
        for (; t + 4 <= m->rows; t += 4)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neondot_panel(m, tile, quarter, t, 4, format);
        for (; t < m->rows; t++)
            tini_neondot_stream(m, tile, t, format);
    }
}

TINI_REGION_END

#endif
