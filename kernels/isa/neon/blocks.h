/* Matmul with 8-bit activations on NEON without a dot product: SMULL and SMLAL make int16 products of two rows.
 *
 * Bits equal the scalar's, because every integer sum is exact (and floats: weights.h). In an int16 lane,
 *
 *   8 bits    two products reach 2 * 128 * 127 = 32,512; they are then added up in int32
 *   5 bits    the eight groups of a sub-block reach 8 * 31 * 127 = 31,496
 *   4 bits    they reach 15,240, and 30,480 once neighbours are added, which int16 holds too
 *   split     the four groups of half a sub-block, weights within 32, reach 16,256, neighbours added 32,512 */
#ifndef TINI_NEON_BLOCKS_H
#define TINI_NEON_BLOCKS_H

#include "../scalar/words.h"
#include "store.h"
#include "weights.h"
#include "widen.h"

TINI_REGION_NEON

/* Groups of a sub-block's activations, each four times. */
typedef struct tini_neon_x {
    int8x16_t q[8];
} tini_neon_x;

TINI_INLINE tini_neon_x tini_neon_load_x(const tini_q8 *x) {
    const int32x4_t a = vreinterpretq_s32_s8(vld1q_s8(x->q)), b = vreinterpretq_s32_s8(vld1q_s8(x->q + 16));
    return (tini_neon_x){
        {vreinterpretq_s8_s32(vdupq_laneq_s32(a, 0)), vreinterpretq_s8_s32(vdupq_laneq_s32(a, 1)),
         vreinterpretq_s8_s32(vdupq_laneq_s32(a, 2)), vreinterpretq_s8_s32(vdupq_laneq_s32(a, 3)),
         vreinterpretq_s8_s32(vdupq_laneq_s32(b, 0)), vreinterpretq_s8_s32(vdupq_laneq_s32(b, 1)),
         vreinterpretq_s8_s32(vdupq_laneq_s32(b, 2)), vreinterpretq_s8_s32(vdupq_laneq_s32(b, 3))}};
}

/* The sums of `groups` groups in int16: a of rows 0 and 1, b of rows 2 and 3, four lanes a row. */
TINI_INLINE void tini_neon_products(int16x8_t *a, int16x8_t *b, const int8x16_t *w, const int8x16_t *q,
                                    const int groups) {
    *a = vmull_s8(vget_low_s8(w[0]), vget_low_s8(q[0]));
    *b = vmull_high_s8(w[0], q[0]);
    for (int g = 1; g < groups; g++) {
        *a = vmlal_s8(*a, vget_low_s8(w[g]), vget_low_s8(q[g]));
        *b = vmlal_high_s8(*b, w[g], q[g]);
    }
}

/* How many groups' products an int16 lane holds. */
TINI_INLINE int tini_neon_chain(const int format, const int groups) {
    return tini_kind_of(format).offset == 128 ? 2 : groups;
}

/* Whether it holds twice as many. */
TINI_INLINE int tini_neon_sums_fit(const int format) {
    const tini_kind kind = tini_kind_of(format);
    return kind.offset != 128 && (tini_scales_by_half(format) || kind.low + kind.high <= 4);
}

/* begin + the four rows' sums of w * q, over groups [0, groups). */
TINI_INLINE int32x4_t tini_neon_dot(const int8x16_t *w, const int8x16_t *q, uint32_t begin, const int groups,
                                    const int format) {
    const int chain = tini_neon_chain(format, groups);
    int16x8_t a, b;
    if (tini_neon_sums_fit(format)) {
        tini_neon_products(&a, &b, w, q, groups);
        return vpadalq_s16(vdupq_n_s32((int32_t)begin), vpaddq_s16(a, b));
    }
    int32x4_t low = vreinterpretq_s32_u64(vdupq_n_u64(begin)), high = low; /* [begin, 0, begin, 0] */
    for (int g = 0; g < groups; g += chain) {
        tini_neon_products(&a, &b, w + g, q + g, chain);
        low = vpadalq_s16(low, a);
        high = vpadalq_s16(high, b);
    }
    return vpaddq_s32(low, high);
}

TINI_INLINE float32x4_t tini_neon_add_block(float32x4_t acc, const tini_neon_block *block, const tini_neon_x *q,
                                            const tini_q8 *x, const int format) {
    const uint32_t begin = tini_neon_begin(x, tini_neon_offset(format));
    const tini_neon_column column = tini_neon_column_of(x, format);
    if (!tini_scales_by_half(format))
        return tini_neon_add(acc, block, tini_neon_dot(block->w, q->q, begin, 8, format), column, format);
    int32x4_t first = tini_neon_dot(block->w, q->q, begin, 4, format);
    int32x4_t last = tini_neon_dot(block->w + 4, q->q + 4, begin, 4, format);
    return tini_neon_add_split(acc, block, first, last, column, format);
}

/* Half tiles [first, first + halves) of a tile by `columns` rows of x, each weight loaded and unpacked once. */
TINI_INLINE void tini_neon_patch(const tini_matmul *m, uint32_t tile, uint32_t first, uint32_t t,
                                 const uint32_t halves, const uint32_t columns, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    const tini_q8 *x[4];
    float32x4_t acc[4][4], out[4];
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_q8(m, t + c);
        for (uint32_t k = 0; k < 2 * halves; k++)
            acc[c][k] = vdupq_n_f32(0.0f);
    }
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        TINI_NEON_ROLLED
        for (uint32_t s = 0; s < subs; s++) {
            if (columns == 1)
                tini_neon_prefetch(w + block_bytes / subs * s, block_bytes / subs);
            TINI_NEON_UNROLL
            for (uint32_t k = 0; k < 2 * halves; k += 2) {
                const tini_neon_block low = tini_neon_load(w, s, 2 * first + k, format);
                const tini_neon_block high = tini_neon_load(w, s, 2 * first + k + 1, format);
                TINI_NEON_UNROLL
                for (uint32_t c = 0; c < columns; c++) {
                    const tini_q8 *xb = x[c] + b * subs + s;
                    const tini_neon_x q = tini_neon_load_x(xb);
                    acc[c][k] = tini_neon_add_block(acc[c][k], &low, &q, xb, format);
                    acc[c][k + 1] = tini_neon_add_block(acc[c][k + 1], &high, &q, xb, format);
                    TINI_NEON_FINISH(acc[c][k], acc[c][k + 1]);
                }
            }
        }
    }
    if (columns == 1 && halves == 2) {
        for (uint32_t k = 0; k < 4; k++)
            out[k] = acc[0][k];
        tini_neon_store_tile(m, tile, t, out);
        return;
    }
    TINI_NEON_UNROLL
    for (uint32_t k = 0; k < 2 * halves; k++) {
        TINI_NEON_UNROLL
        for (uint32_t c = 0; c < columns; c++)
            out[c] = acc[c][k];
        tini_neon_store(m, tile * TINI_TILE + 8 * first + 4 * k, 0, t, 1, out, columns);
    }
}

TINI_NOINLINE void tini_neon_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end);

TINI_INLINE void tini_neon_matmul_q8(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    if (tini_kind_of(format).words) {
        tini_words_matmul(m, tile, tile_end, format, tini_neon_widen, tini_neon_matmul_wide);
        return;
    }
    const uint32_t alone = format == TINI_FORMAT_WIDE ? 1 : 2; /* halves of a tile at once, of one row of x */
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 4 <= m->rows; t += 4)
            for (uint32_t half = 0; half < 2; half++)
                tini_neon_patch(m, tile, half, t, 1, 4, format);
        for (; t < m->rows; t++)
            for (uint32_t half = 0; half < 2; half += alone)
                tini_neon_patch(m, tile, half, t, alone, 1, format);
    }
}

TINI_NOINLINE void tini_neon_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    tini_neon_matmul_q8(m, tile, tile_end, TINI_FORMAT_WIDE);
}

TINI_REGION_END

#endif
