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

enum { TINI_NEONDOT_COLUMNS = 12 };

TINI_REGION_NEONDOT

TINI_INLINE int32x4_t tini_neondot_four(int32x4_t sum, const int8x16_t w[4], int8x16_t q) {
    sum = vdotq_laneq_s32(sum, w[0], q, 0);
    sum = vdotq_laneq_s32(sum, w[1], q, 1);
    sum = vdotq_laneq_s32(sum, w[2], q, 2);
    return vdotq_laneq_s32(sum, w[3], q, 3);
}

/* acc + this sub-block's part of four outputs. */
TINI_INLINE float32x4_t tini_neondot_add_block(float32x4_t acc, const tini_neon_block *block, const tini_q8 *x,
                                               const int format) {
    int32x4_t begin = vdupq_n_s32((int32_t)tini_neon_begin(x, tini_neon_offset(format)));
    int32x4_t sum = tini_neondot_four(begin, block->w, vld1q_s8(x->q));
    if (!tini_scales_by_half(format))
        return tini_neon_add(acc, block, tini_neondot_four(sum, block->w + 4, vld1q_s8(x->q + 16)), x, format);
    begin = vdupq_n_s32((int32_t)tini_neon_begin(x, 0));
    int32x4_t last = tini_neondot_four(begin, block->w + 4, vld1q_s8(x->q + 16));
    return tini_neon_add_split(acc, block, sum, last, x, format);
}

/* Four rows of a tile by `columns` rows of x: weights are unpacked once and stay in registers, activations stream. */
TINI_INLINE void tini_neondot_panel(const tini_matmul *m, uint32_t tile, uint32_t quarter, uint32_t t,
                                    const uint32_t columns, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    const tini_q8 *x[TINI_NEONDOT_COLUMNS];
    float32x4_t acc[TINI_NEONDOT_COLUMNS], out[TINI_NEONDOT_COLUMNS];
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_q8(m, t + c);
        acc[c] = vdupq_n_f32(0.0f);
    }
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        TINI_NEON_ROLLED
        for (uint32_t s = 0; s < subs; s++) {
            const tini_neon_block block = tini_neon_load(w, s, quarter, format);
            TINI_NEON_UNROLL
            for (uint32_t c = 0; c < columns; c++) {
                acc[c] = tini_neondot_add_block(acc[c], &block, x[c] + b * subs + s, format);
                if (c % 2)
                    TINI_NEON_FINISH(acc[c - 1], acc[c]);
            }
        }
    }
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < columns; c++)
        out[c] = acc[c];
    tini_neon_store(m, tile * TINI_TILE + 4 * quarter, 0, t, 1, out, columns);
}

/* A tile by one row of x: weights stream. */
TINI_INLINE void tini_neondot_stream(const tini_matmul *m, uint32_t tile, uint32_t t, const int format) {
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
                const tini_neon_block block = tini_neon_load(w, s, k, format);
                acc[k] = tini_neondot_add_block(acc[k], &block, x, format);
                if (k % 2)
                    TINI_NEON_FINISH(acc[k - 1], acc[k]);
            }
        }
    }
    const float32x4_t out[4] = {acc[0], acc[1], acc[2], acc[3]};
    tini_neon_store(m, tile * TINI_TILE, 4, t, 0, out, 4);
}

TINI_NOINLINE void tini_neondot_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end);

TINI_INLINE void tini_neondot_matmul_q8(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                        const int format) {
    if (tini_kind_of(format).words) {
        tini_words_matmul(m, tile, tile_end, format, tini_neon_widen, tini_neondot_matmul_wide);
        return;
    }
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; format != TINI_FORMAT_WIDE && t + TINI_NEONDOT_COLUMNS <= m->rows; t += TINI_NEONDOT_COLUMNS)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neondot_panel(m, tile, quarter, t, TINI_NEONDOT_COLUMNS, format);
        for (; t + 4 <= m->rows; t += 4)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neondot_panel(m, tile, quarter, t, 4, format);
        for (; format != TINI_FORMAT_WIDE && t < m->rows; t++)
            tini_neondot_stream(m, tile, t, format);
        for (; format == TINI_FORMAT_WIDE && t < m->rows; t++)
            for (uint32_t quarter = 0; quarter < 4; quarter++)
                tini_neondot_panel(m, tile, quarter, t, 1, format);
    }
}

TINI_NOINLINE void tini_neondot_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    tini_neondot_matmul_q8(m, tile, tile_end, TINI_FORMAT_WIDE);
}

TINI_REGION_END

#endif
