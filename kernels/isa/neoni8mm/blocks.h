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

/* Pairs of rows of x at once, by tiles; and blocks of 32 inputs that are laid out for them at a time. */
enum { TINI_NEONI8MM_PAIRS = 6, TINI_NEONI8MM_TILES = 8, TINI_NEONI8MM_BLOCKS = 16 };

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
    const tini_neon_block four = tini_neon_load_as(p, s, quarter, format, 1, NULL);
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

/* 32 inputs of the rows of x: of each pair, eight of the one and eight of the other, four times; [a, b, a, b] of the others. */
typedef struct tini_neoni8mm_x {
    int8_t q[TINI_NEONI8MM_PAIRS][4][16];
    int32_t begin[TINI_NEONI8MM_PAIRS][4];
    float scale[TINI_NEONI8MM_PAIRS][4];
} tini_neoni8mm_x;

TINI_NOINLINE void tini_neoni8mm_lay(tini_neoni8mm_x *to, const tini_matmul *m, uint32_t t, uint32_t pairs,
                                     uint32_t first, uint32_t blocks, uint32_t offset) {
    TINI_NEON_ROLLED
    for (uint32_t c = 0; c < 2 * pairs; c++) {
        const tini_q8 *x = tini_row_q8(m, t + c) + first;
        const uint32_t pair = c / 2, side = c % 2;
        TINI_NEON_ROLLED
        for (uint32_t b = 0; b < blocks; b++, x++) {
            TINI_NEON_UNROLL
            for (uint32_t k = 0; k < 4; k++)
                vst1_s8(to[b].q[pair][k] + 8 * side, vld1_s8(x->q + 8 * k));
            to[b].begin[pair][side] = to[b].begin[pair][side + 2] = (int32_t)tini_neon_begin(x, offset);
            to[b].scale[pair][side] = to[b].scale[pair][side + 2] = x->scale;
        }
    }
}

/* Adds the part of a sub-block to the outputs of its four rows in the two columns of a pair. */
TINI_INLINE void tini_neoni8mm_add_block(float32x4_t acc[2], const tini_neoni8mm_block *block,
                                         const tini_neoni8mm_x *x, uint32_t pair, const int format) {
    const float32x4_t scale = vld1q_f32(x->scale[pair]);
    int8x16_t q[4];
    for (int k = 0; k < 4; k++)
        q[k] = vld1q_s8(x->q[pair][k]);
    for (int rows = 0; rows < 2; rows++) {
        int32x4_t sum = vld1q_s32(x->begin[pair]);
        TINI_NEON_ANEW();
        for (int k = 0; k < 4; k++) {
            if (tini_kind_of(format).offset == 128)
                sum = vusmmlaq_s32(sum, vreinterpretq_u8_s8(block->w[rows][k]), q[k]);
            else
                sum = vmmlaq_s32(sum, block->w[rows][k], q[k]);
        }
        acc[rows] = vaddq_f32(acc[rows], vmulq_f32(tini_neon_exact(sum), vmulq_f32(block->d[rows], scale)));
    }
}

/* Adds `blocks` blocks of a tile's four rows from w on, by 2 * `pairs` rows of x, to the sums. */
TINI_INLINE void tini_neoni8mm_panel(float32x4_t (*sums)[2], const uint8_t *w, const tini_neoni8mm_x *x,
                                     uint32_t blocks, uint32_t quarter, const uint32_t pairs,
                                     const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    float32x4_t acc[TINI_NEONI8MM_PAIRS][2];
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < pairs; c++) {
        acc[c][0] = sums[c][0];
        acc[c][1] = sums[c][1];
    }
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        TINI_NEON_ROLLED
        for (uint32_t s = 0; s < subs; s++, x++) {
            const tini_neoni8mm_block block = tini_neoni8mm_load(w, s, quarter, format);
            TINI_NEON_UNROLL
            for (uint32_t c = 0; c < pairs; c++) {
                tini_neoni8mm_add_block(acc[c], &block, x, c, format);
                TINI_NEON_FINISH(acc[c][0], acc[c][1]);
            }
        }
    }
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < pairs; c++) {
        sums[c][0] = acc[c][0];
        sums[c][1] = acc[c][1];
    }
}

/* Up to TINI_NEONI8MM_TILES tiles by 2 * `pairs` rows of x, which are laid out once for all of them. */
TINI_INLINE void tini_neoni8mm_tiles(const tini_matmul *m, uint32_t tile, uint32_t tiles, uint32_t t,
                                     const uint32_t pairs, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    tini_neoni8mm_x x[TINI_NEONI8MM_BLOCKS];
    float32x4_t sums[4 * TINI_NEONI8MM_TILES][TINI_NEONI8MM_PAIRS][2], out[2 * TINI_NEONI8MM_PAIRS];
    memset(sums, 0, 4 * tiles * sizeof *sums);
    for (uint32_t b = 0, n; b < blocks; b += n) {
        n = blocks - b < TINI_NEONI8MM_BLOCKS / subs ? blocks - b : TINI_NEONI8MM_BLOCKS / subs;
        tini_neoni8mm_lay(x, m, t, pairs, b * subs, n * subs, tini_neoni8mm_offset(format));
        for (uint32_t k = 0; k < 4 * tiles; k++) {
            const uint8_t *w = m->weights + ((size_t)(tile + k / 4) * blocks + b) * block_bytes;
            tini_neoni8mm_panel(sums[k], w, x, n, k % 4, pairs, format);
        }
    }
    for (uint32_t k = 0; k < 4 * tiles; k++) {
        for (uint32_t c = 0; c < pairs; c++) {
            out[2 * c] = vuzp1q_f32(sums[k][c][0], sums[k][c][1]);
            out[2 * c + 1] = vuzp2q_f32(sums[k][c][0], sums[k][c][1]);
        }
        tini_neon_store(m, tile * TINI_TILE + 4 * k, 0, t, 1, out, 2 * pairs);
    }
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
    const int8_t *quants = tini_row_q8(m, t)->q; /* whence both registers are loaded by one instruction */
    uint32_t begin = tini_neon_begin(tini_row_q8(m, t), 0);
    TINI_NEON_HIDE(quants);
    float32x4_t acc[4];
    for (uint32_t k = 0; k < 4; k++)
        acc[k] = vdupq_n_f32(0.0f);
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        TINI_NEON_ROLLED
        for (uint32_t s = 0; s < subs; s++, quants += sizeof(tini_q8)) {
            const tini_q8 *x = (const tini_q8 *)(const void *)(quants - offsetof(tini_q8, q));
            const int8x16_t q[2] = {vld1q_s8(quants), vld1q_s8(quants + 16)};
            const tini_neon_column column = tini_neon_column_of(x, format);
            if (tini_neoni8mm_offset(format))
                begin = tini_neon_begin(x, tini_neoni8mm_offset(format));
            tini_neon_prefetch(w + block_bytes / subs * s, block_bytes / subs);
            TINI_NEON_UNROLL
            for (uint32_t k = 0; k < 4; k += 2) {
                const tini_neon_block two[2] = {tini_neon_load_as(w, s, k, format, 1, NULL),
                                                tini_neon_load_as(w, s, k + 1, format, 1, NULL)};
                TINI_NEON_ANEW(); /* neighbours are loaded by twos */
                TINI_NEON_UNROLL
                for (uint32_t i = 0; i < 2; i++) {
                    int32x4_t sum = tini_neoni8mm_four(vdupq_n_s32((int32_t)begin), two[i].w, q[0], format);
                    sum = tini_neoni8mm_four(sum, two[i].w + 4, q[1], format);
                    acc[k + i] = tini_neon_add(acc[k + i], &two[i], sum, column, format);
                    TINI_NEON_HIDE(begin);
                }
                TINI_NEON_FINISH(acc[k], acc[k + 1]);
            }
        }
    }
    const float32x4_t out[4] = {acc[0], acc[1], acc[2], acc[3]};
    tini_neon_store_tile(m, tile, t, out);
}

TINI_INLINE void tini_neoni8mm_matmul_q8(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                         const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (uint32_t n; tile < tile_end; tile += n) {
        n = tile_end - tile < TINI_NEONI8MM_TILES ? tile_end - tile : TINI_NEONI8MM_TILES;
        uint32_t t = 0;
        for (; t + 2 * TINI_NEONI8MM_PAIRS <= m->rows; t += 2 * TINI_NEONI8MM_PAIRS)
            tini_neoni8mm_tiles(m, tile, n, t, TINI_NEONI8MM_PAIRS, format);
        for (; tini_neon_takes_eight(format) && t + 8 <= m->rows; t += 8)
            tini_neoni8mm_tiles(m, tile, n, t, 4, format);
        for (; t + 4 <= m->rows; t += 4)
            tini_neoni8mm_tiles(m, tile, n, t, 2, format);
        for (; t < m->rows; t++) {
            for (uint32_t k = 0; k < n; k++)
                tini_neoni8mm_stream(m, tile + k, t, format);
        }
    }
}

TINI_REGION_END

#endif
