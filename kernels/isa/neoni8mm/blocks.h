/* Matmul with 8-bit activations by SMMLA: two rows' eight inputs times two columns' eight inputs, added into four
 * int32. Two groups of four inputs, zipped by 32-bit lanes, are eight inputs of two rows. A single column goes by dot
 * product. Bytes of 8 bits stay unsigned: USMMLA and USDOT take them. Formats with a minimum are not here (set.h).
 *
 * Bits equal the scalar's: integer sums are exact (those of 8 bits reach 32 * 255 * 127 = 1,036,320, below 2^22), and lanes hold
 * (row, column) pairs, each with its own product of scales, multiply and add (../neon/weights.h). */
#ifndef TINI_NEONI8MM_BLOCKS_H
#define TINI_NEONI8MM_BLOCKS_H

#include "../neon/store.h"
#include "../neon/weights.h"

enum { TINI_NEONI8MM_PAIRS = 6 };

TINI_REGION_NEONI8MM

TINI_INLINE uint32_t tini_neoni8mm_offset(const int format) {
    return tini_kind_of(format).offset == 128 ? 128 : tini_neon_offset(format);
}

/* Four rows of a sub-block: rows 2i and 2i + 1 in pair i, their inputs 8k .. 8k + 7 in w[i][k]. */
typedef struct tini_neoni8mm_block {
    int8x16_t w[2][4];
    float32x4_t d[2]; /* [row 0, row 0, row 1, row 1] */
} tini_neoni8mm_block;

TINI_INLINE tini_neoni8mm_block tini_neoni8mm_load(const uint8_t *p, uint32_t s, uint32_t quarter,
                                                   const int format) {
    const tini_neon_block four = tini_neon_load_as(p, s, quarter, format, 1);
    tini_neoni8mm_block block;
    for (int k = 0; k < 4; k++) {
        int32x4_t a = vreinterpretq_s32_s8(four.w[2 * k]), b = vreinterpretq_s32_s8(four.w[2 * k + 1]);
        block.w[0][k] = vreinterpretq_s8_s32(vzip1q_s32(a, b));
        block.w[1][k] = vreinterpretq_s8_s32(vzip2q_s32(a, b));
    }
    block.d[0] = vzip1q_f32(four.d, four.d);
    block.d[1] = vzip2q_f32(four.d, four.d);
    return block;
}

/* [a, b, a, b], by way of a general register. */
TINI_INLINE int32x4_t tini_neoni8mm_both(uint32_t a, uint32_t b) {
    uint64_t both = a | (uint64_t)b << 32;
    TINI_NEON_HIDE(both);
    return vreinterpretq_s32_u64(vdupq_n_u64(both));
}

/* Adds the part of a sub-block to the outputs of its four rows in the columns of x and y. */
TINI_INLINE void tini_neoni8mm_add_block(float32x4_t acc[2], const tini_neoni8mm_block *block, const tini_q8 *x,
                                         const tini_q8 *y, const int format) {
    int8x16_t q[4];
    for (int k = 0; k < 4; k += 2) {
        int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(x->q + 8 * k));
        int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(y->q + 8 * k));
        q[k] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
        q[k + 1] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
    }
    const uint32_t offset = tini_neoni8mm_offset(format);
    const int32x4_t begin = tini_neoni8mm_both(tini_neon_begin(x, offset), tini_neon_begin(y, offset));
    const float32x4_t scale =
        vreinterpretq_f32_s32(tini_neoni8mm_both(tini_bits(x->scale), tini_bits(y->scale)));
    for (int pair = 0; pair < 2; pair++) {
        int32x4_t sum = begin;
        for (int k = 0; k < 4; k++) {
            if (tini_kind_of(format).offset == 128)
                sum = vusmmlaq_s32(sum, vreinterpretq_u8_s8(block->w[pair][k]), q[k]);
            else
                sum = vmmlaq_s32(sum, block->w[pair][k], q[k]);
        }
        acc[pair] = vaddq_f32(acc[pair], vmulq_f32(tini_neon_exact(sum), vmulq_f32(block->d[pair], scale)));
    }
}

/* Four rows of a tile by 2 * `pairs` rows of x. */
TINI_INLINE void tini_neoni8mm_panel(const tini_matmul *m, uint32_t tile, uint32_t quarter, uint32_t t,
                                     const uint32_t pairs, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    const tini_q8 *x[2 * TINI_NEONI8MM_PAIRS];
    float32x4_t acc[TINI_NEONI8MM_PAIRS][2], out[2 * TINI_NEONI8MM_PAIRS];
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < pairs; c++) {
        x[2 * c] = tini_row_q8(m, t + 2 * c);
        x[2 * c + 1] = tini_row_q8(m, t + 2 * c + 1);
        acc[c][0] = acc[c][1] = vdupq_n_f32(0.0f);
    }
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        TINI_NEON_ROLLED
        for (uint32_t s = 0; s < subs; s++) {
            const tini_neoni8mm_block block = tini_neoni8mm_load(w, s, quarter, format);
            const uint32_t at = b * subs + s;
            TINI_NEON_UNROLL
            for (uint32_t c = 0; c < pairs; c++) {
                tini_neoni8mm_add_block(acc[c], &block, x[2 * c] + at, x[2 * c + 1] + at, format);
                TINI_NEON_FINISH(acc[c][0], acc[c][1]);
            }
        }
    }
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < pairs; c++) {
        out[2 * c] = vuzp1q_f32(acc[c][0], acc[c][1]);
        out[2 * c + 1] = vuzp2q_f32(acc[c][0], acc[c][1]);
    }
    tini_neon_store(m, tile * TINI_TILE + 4 * quarter, 0, t, 1, out, 2 * pairs);
}

TINI_INLINE int32x4_t tini_neoni8mm_four(int32x4_t sum, const int8x16_t w[4], int8x16_t q, const int format) {
    if (tini_kind_of(format).offset == 128) {
        sum = vusdotq_laneq_s32(sum, vreinterpretq_u8_s8(w[0]), q, 0);
        sum = vusdotq_laneq_s32(sum, vreinterpretq_u8_s8(w[1]), q, 1);
        sum = vusdotq_laneq_s32(sum, vreinterpretq_u8_s8(w[2]), q, 2);
        return vusdotq_laneq_s32(sum, vreinterpretq_u8_s8(w[3]), q, 3);
    }
    sum = vdotq_laneq_s32(sum, w[0], q, 0);
    sum = vdotq_laneq_s32(sum, w[1], q, 1);
    sum = vdotq_laneq_s32(sum, w[2], q, 2);
    return vdotq_laneq_s32(sum, w[3], q, 3);
}

/* A tile by one row of x: weights stream. */
TINI_INLINE void tini_neoni8mm_stream(const tini_matmul *m, uint32_t tile, uint32_t t, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    const tini_q8 *x = tini_row_q8(m, t);
    float32x4_t acc[4];
    for (uint32_t k = 0; k < 4; k++)
        acc[k] = vdupq_n_f32(0.0f);
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        TINI_NEON_ROLLED
        for (uint32_t s = 0; s < subs; s++, x++) {
            tini_neon_prefetch(w + block_bytes / subs * s, block_bytes / subs);
            TINI_NEON_UNROLL
            for (uint32_t k = 0; k < 4; k++) {
                const tini_neon_block block = tini_neon_load_as(w, s, k, format, 1);
                int32x4_t sum = vdupq_n_s32((int32_t)tini_neon_begin(x, tini_neoni8mm_offset(format)));
                sum = tini_neoni8mm_four(sum, block.w, vld1q_s8(x->q), format);
                sum = tini_neoni8mm_four(sum, block.w + 4, vld1q_s8(x->q + 16), format);
                acc[k] = tini_neon_add(acc[k], &block, sum, x, format);
                if (k % 2)
                    TINI_NEON_FINISH(acc[k - 1], acc[k]);
            }
        }
    }
    const float32x4_t out[4] = {acc[0], acc[1], acc[2], acc[3]};
    tini_neon_store(m, tile * TINI_TILE, 4, t, 0, out, 4);
}

TINI_INLINE void tini_neoni8mm_matmul_q8(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                         const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 2 * TINI_NEONI8MM_PAIRS <= m->rows; t += 2 * TINI_NEONI8MM_PAIRS)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neoni8mm_panel(m, tile, quarter, t, TINI_NEONI8MM_PAIRS, format);
        for (; t + 4 <= m->rows; t += 4)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neoni8mm_panel(m, tile, quarter, t, 2, format);
        for (; t < m->rows; t++)
            tini_neoni8mm_stream(m, tile, t, format);
    }
}

TINI_REGION_END

#endif
