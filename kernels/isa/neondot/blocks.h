/* Matmul with 8-bit activations by SDOT: a register holds four inputs of four rows, and one register of activations
 * serves four groups of four inputs, chosen by lane.
 *
 * Bits equal the scalar's, because SDOT adds exact products into int32 (and floats: ../neon/weights.h). */
#ifndef TINI_NEONDOT_BLOCKS_H
#define TINI_NEONDOT_BLOCKS_H

#include "../neon/store.h"
#include "../neon/weights.h"
#include "../neon/widen.h"
#include "../scalar/words.h"

/* Rows of x at once, by tiles; and blocks of 32 inputs that are laid out for them at a time. */
enum { TINI_NEONDOT_COLUMNS = 12, TINI_NEONDOT_TILES = 8, TINI_NEONDOT_BLOCKS = 16 };

TINI_REGION_NEONDOT

TINI_INLINE int32x4_t tini_neondot_four(int32x4_t sum, const int8x16_t w[4], int8x16_t q) {
    sum = vdotq_laneq_s32(sum, w[0], q, 0);
    sum = vdotq_laneq_s32(sum, w[1], q, 1);
    sum = vdotq_laneq_s32(sum, w[2], q, 2);
    return vdotq_laneq_s32(sum, w[3], q, 3);
}

/* acc + this sub-block's part of four outputs. begin: what the sum starts from, or both of its halves. */
TINI_INLINE float32x4_t tini_neondot_add_block(float32x4_t acc, const tini_neon_block *block, int32x4_t begin,
                                               const int8x16_t q[2], const tini_neon_column x,
                                               const int format) {
    int32x4_t sum = tini_neondot_four(begin, block->w, q[0]);
    if (!tini_scales_by_half(format))
        return tini_neon_add(acc, block, tini_neondot_four(sum, block->w + 4, q[1]), x, format);
    return tini_neon_add_split(acc, block, sum, tini_neondot_four(begin, block->w + 4, q[1]), x, format);
}

/* 32 inputs of the rows of x, as a panel reads them: every load is whole registers from one address. */
typedef struct tini_neondot_x {
    int8_t q[TINI_NEONDOT_COLUMNS][TINI_BLOCK];
    int32_t begin[TINI_NEONDOT_COLUMNS][4];
    float scale[TINI_NEONDOT_COLUMNS], least[2][TINI_NEONDOT_COLUMNS];
} tini_neondot_x;

TINI_NOINLINE void tini_neondot_lay(tini_neondot_x *to, const tini_matmul *m, uint32_t t, uint32_t columns,
                                    uint32_t first, uint32_t blocks, int format) {
    const uint32_t offset = tini_neon_offset(format), minimum = tini_kind_of(format).halves == 4;
    for (uint32_t b = 0; b < blocks; b++, to++) {
        const uint8_t *row = (const uint8_t *)(tini_row_q8(m, t) + first + b);
        TINI_NEON_ROLLED
        for (uint32_t c = 0; c < columns; c++, row += m->x_stride) {
            const tini_q8 *x = (const tini_q8 *)(const void *)row;
            const int8x16_t low = vld1q_s8(x->q), high = vld1q_s8(x->q + 16);
            vst1q_s8(to->q[c], low);
            vst1q_s8(to->q[c] + 16, high);
            vst1q_s32(to->begin[c], vdupq_n_s32((int32_t)tini_neon_begin(x, offset)));
            to->scale[c] = x->scale;
            if (minimum) {
                const tini_neon_column column = tini_neon_column_of(x, format);
                to->least[0][c] = column.least[0];
                to->least[1][c] = column.least[1];
            }
        }
    }
}

/* Adds `blocks` blocks of a tile's four rows from w on, by `columns` rows of x, to the sums: weights are unpacked once and stay
 * in registers, activations stream. */
TINI_INLINE void tini_neondot_panel(float32x4_t *sums, const uint8_t *w, const tini_neondot_x *x,
                                    const tini_neon_smalls *smalls, uint32_t blocks, uint32_t quarter,
                                    const uint32_t columns, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    float32x4_t acc[TINI_NEONDOT_COLUMNS];
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < columns; c++)
        acc[c] = sums[c];
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        const tini_neon_smalls *small = tini_neon_has_smalls(format) ? smalls + b : NULL;
        TINI_NEON_ROLLED
        for (uint32_t s = 0; s < subs; s++, x++) {
            const tini_neon_block block = tini_neon_load_as(w, s, quarter, format, 0, small);
            float32x4_t scale, least[2];
            TINI_NEON_UNROLL
            for (uint32_t c = 0; c < columns; c++) {
                if (c % 4 == 0) {
                    scale = vld1q_f32(x->scale + c);
                    least[0] = vld1q_f32(x->least[0] + c);
                    least[1] = vld1q_f32(x->least[1] + c);
                }
                const int8x16_t q[2] = {vld1q_s8(x->q[c]), vld1q_s8(x->q[c] + 16)};
                const tini_neon_column column = {scale[c % 4], {least[0][c % 4], least[1][c % 4]}};
                acc[c] = tini_neondot_add_block(acc[c], &block, vld1q_s32(x->begin[c]), q, column, format);
                if (c % 2)
                    TINI_NEON_FINISH(acc[c - 1], acc[c]);
            }
        }
    }
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < columns; c++)
        sums[c] = acc[c];
}

/* Up to TINI_NEONDOT_TILES tiles by `columns` rows of x, which are laid out once for all of them. */
TINI_INLINE void tini_neondot_tiles(const tini_matmul *m, uint32_t tile, uint32_t tiles, uint32_t t,
                                    const uint32_t columns, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    tini_neondot_x x[TINI_NEONDOT_BLOCKS];
    float32x4_t sums[4 * TINI_NEONDOT_TILES][TINI_NEONDOT_COLUMNS];
    tini_neon_smalls smalls[TINI_NEONDOT_BLOCKS * TINI_BLOCK / TINI_QUANTS];
    memset(sums, 0, 4 * tiles * sizeof *sums);
    for (uint32_t b = 0, n; b < blocks; b += n) {
        n = blocks - b < TINI_NEONDOT_BLOCKS / subs ? blocks - b : TINI_NEONDOT_BLOCKS / subs;
        tini_neondot_lay(x, m, t, columns, b * subs, n * subs, format);
        for (uint32_t k = 0; k < tiles; k++) {
            const uint8_t *w = m->weights + ((size_t)(tile + k) * blocks + b) * block_bytes;
            for (uint32_t i = 0; tini_neon_has_smalls(format) && i < n; i++)
                tini_neon_small_tile(smalls[i], w + i * block_bytes);
            TINI_NEON_ROLLED
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neondot_panel(sums[4 * k + quarter], w, x, smalls, n, quarter, columns, format);
        }
    }
    for (uint32_t k = 0; k < 4 * tiles; k++)
        tini_neon_store(m, tile * TINI_TILE + 4 * k, 0, t, 1, sums[k], columns);
}

/* A tile by one row of x: weights stream. */
TINI_INLINE void tini_neondot_stream(const tini_matmul *m, uint32_t tile, uint32_t t, const int format) {
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
    tini_neon_smalls smalls;
    const tini_neon_smalls *small = tini_neon_has_smalls(format) ? &smalls : NULL;
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        if (tini_neon_has_smalls(format))
            tini_neon_small_tile(smalls, w);
        TINI_NEON_ROLLED
        for (uint32_t s = 0; s < subs; s++, quants += sizeof(tini_q8)) {
            const tini_q8 *x = (const tini_q8 *)(const void *)(quants - offsetof(tini_q8, q));
            const int8x16_t q[2] = {vld1q_s8(quants), vld1q_s8(quants + 16)};
            const tini_neon_column column = tini_neon_column_of(x, format);
            if (tini_neon_offset(format))
                begin = tini_neon_begin(x, tini_neon_offset(format));
            tini_neon_prefetch(w + block_bytes / subs * s, block_bytes / subs);
            TINI_NEON_UNROLL
            for (uint32_t k = 0; k < 4; k += 2) {
                const tini_neon_block two[2] = {tini_neon_load_as(w, s, k, format, 0, small),
                                                tini_neon_load_as(w, s, k + 1, format, 0, small)};
                TINI_NEON_ANEW(); /* neighbours are loaded by twos */
                TINI_NEON_UNROLL
                for (uint32_t i = 0; i < 2; i++) {
                    const int32x4_t four = vdupq_n_s32((int32_t)begin);
                    acc[k + i] = tini_neondot_add_block(acc[k + i], &two[i], four, q, column, format);
                    TINI_NEON_HIDE(begin);
                }
                TINI_NEON_FINISH(acc[k], acc[k + 1]);
            }
        }
    }
    const float32x4_t out[4] = {acc[0], acc[1], acc[2], acc[3]};
    tini_neon_store_tile(m, tile, t, out);
}

TINI_NOINLINE void tini_neondot_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end);

TINI_INLINE void tini_neondot_matmul_q8(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                        const int format) {
    if (tini_kind_of(format).words) {
        tini_words_matmul(m, tile, tile_end, format, tini_neon_widen, tini_neondot_matmul_wide);
        return;
    }
    tile_end = tini_tile_limit(m, tile_end);
    for (uint32_t n; tile < tile_end; tile += n) {
        n = tile_end - tile < TINI_NEONDOT_TILES ? tile_end - tile : TINI_NEONDOT_TILES;
        uint32_t t = 0;
        for (; format != TINI_FORMAT_WIDE && t + TINI_NEONDOT_COLUMNS <= m->rows; t += TINI_NEONDOT_COLUMNS)
            tini_neondot_tiles(m, tile, n, t, TINI_NEONDOT_COLUMNS, format);
        for (; tini_neon_takes_eight(format) && t + 8 <= m->rows; t += 8)
            tini_neondot_tiles(m, tile, n, t, 8, format);
        for (; t + 4 <= m->rows; t += 4)
            tini_neondot_tiles(m, tile, n, t, 4, format);
        for (; t < m->rows; t++) {
            for (uint32_t k = 0; k < n; k++) {
                if (format == TINI_FORMAT_WIDE)
                    tini_neondot_tiles(m, tile + k, 1, t, 1, format);
                else
                    tini_neondot_stream(m, tile + k, t, format);
            }
        }
    }
}

TINI_NOINLINE void tini_neondot_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    tini_neondot_matmul_q8(m, tile, tile_end, TINI_FORMAT_WIDE);
}

TINI_REGION_END

#endif
