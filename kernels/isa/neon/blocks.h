/* Matmul with 8-bit activations on NEON without a dot product: SMULL and SMLAL make int16 products of two rows.
 *
 * Bits equal the scalar's, because every integer sum is exact and floats are one lane a row, as in the scalar loop:
 *
 *   q4   weights of 0..15 times activations: the eight groups of a block reach 8 * 15 * 127 = 15,240 in a lane, and
 *        30,480 once neighbours are added, which int16 holds. q4_0 then takes 8 times the activations' sum off.
 *   q8   two products reach 2 * 128 * 127 = 32,512, which int16 holds; they are then added up in int32. */
#ifndef TINI_NEON_BLOCKS_H
#define TINI_NEON_BLOCKS_H

#include "weights.h"

TINI_REGION_NEON

/* Groups 4i .. 4i + 3 of a block's activations, each four times. */
typedef struct tini_neon_x {
    int8x16_t q[8];
} tini_neon_x;

TINI_INLINE int8x16_t tini_neon_spread(int32x4_t four, const int lane) {
    switch (lane) {
    case 0:
        return vreinterpretq_s8_s32(vdupq_laneq_s32(four, 0));
    case 1:
        return vreinterpretq_s8_s32(vdupq_laneq_s32(four, 1));
    case 2:
        return vreinterpretq_s8_s32(vdupq_laneq_s32(four, 2));
    default:
        return vreinterpretq_s8_s32(vdupq_laneq_s32(four, 3));
    }
}

TINI_INLINE tini_neon_x tini_neon_load_x(const tini_q8 *x) {
    tini_neon_x spread;
    const int32x4_t low = vreinterpretq_s32_s8(vld1q_s8(x->q)),
                    high = vreinterpretq_s32_s8(vld1q_s8(x->q + 16));
    for (int i = 0; i < 8; i++)
        spread.q[i] = tini_neon_spread(i < 4 ? low : high, i % 4);
    return spread;
}

/* The four rows' sums of w * q. */
TINI_INLINE int32x4_t tini_neon_dot(const tini_neon_block *block, const tini_neon_x *x, int32_t offset,
                                    const int format) {
    const int8x16_t *w = block->w, *q = x->q;
    if (format == TINI_FORMAT_Q8_0) {
        int32x4_t low = vdupq_n_s32(0), high = vdupq_n_s32(0);
        for (int i = 0; i < 8; i += 2) {
            int16x8_t a = vmull_s8(vget_low_s8(w[i]), vget_low_s8(q[i]));
            int16x8_t b = vmull_high_s8(w[i], q[i]);
            a = vmlal_s8(a, vget_low_s8(w[i + 1]), vget_low_s8(q[i + 1]));
            b = vmlal_high_s8(b, w[i + 1], q[i + 1]);
            low = i ? vpadalq_s16(low, a) : vpaddlq_s16(a);
            high = i ? vpadalq_s16(high, b) : vpaddlq_s16(b);
        }
        return vpaddq_s32(low, high);
    }
    int16x8_t a = vmull_s8(vget_low_s8(w[0]), vget_low_s8(q[0])), b = vmull_high_s8(w[0], q[0]);
    for (int i = 1; i < 8; i++) {
        a = vmlal_s8(a, vget_low_s8(w[i]), vget_low_s8(q[i]));
        b = vmlal_high_s8(b, w[i], q[i]);
    }
    int32x4_t sum = vpaddlq_s16(vpaddq_s16(a, b));
    return format == TINI_FORMAT_Q4_0 ? vsubq_s32(sum, vdupq_n_s32(offset)) : sum;
}

/* Half tiles [first, first + halves) of a tile by `columns` rows of x, each weight loaded and unpacked once. */
TINI_INLINE void tini_neon_patch(const tini_matmul *m, uint32_t tile, uint32_t first, uint32_t t,
                                 const uint32_t halves, const uint32_t columns, const int format) {
    const uint32_t blocks = m->inputs / TINI_BLOCK;
    const size_t block_bytes = tini_neon_block_bytes(format);
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
        if (columns == 1)
            tini_neon_prefetch(w, block_bytes);
        TINI_NEON_UNROLL
        for (uint32_t k = 0; k < 2 * halves; k += 2) {
            const tini_neon_block low = tini_neon_load(w, 2 * first + k, format);
            const tini_neon_block high = tini_neon_load(w, 2 * first + k + 1, format);
            TINI_NEON_UNROLL
            for (uint32_t c = 0; c < columns; c++) {
                const tini_q8 *xb = x[c] + b;
                const tini_neon_x q = tini_neon_load_x(xb);
                const int32_t offset = (int32_t)(tini_neon_offset(format) * (uint32_t)xb->sum);
                float32x4_t s = vcvtq_f32_s32(tini_neon_dot(&low, &q, offset, format));
                acc[c][k] = tini_neon_add_block(acc[c][k], &low, s, xb, format);
                s = vcvtq_f32_s32(tini_neon_dot(&high, &q, offset, format));
                acc[c][k + 1] = tini_neon_add_block(acc[c][k + 1], &high, s, xb, format);
                TINI_NEON_FINISH(acc[c][k], acc[c][k + 1]);
            }
        }
    }
    TINI_NEON_UNROLL
    for (uint32_t k = 0; k < 2 * halves; k++) {
        TINI_NEON_UNROLL
        for (uint32_t c = 0; c < columns; c++)
            out[c] = acc[c][k];
        tini_neon_store_columns(m, tile * TINI_TILE + 8 * first + 4 * k, t, out, columns);
    }
}

TINI_INLINE void tini_neon_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 4 <= m->rows; t += 4)
            for (uint32_t half = 0; half < 2; half++)
                tini_neon_patch(m, tile, half, t, 1, 4, format);
        for (; t < m->rows; t++)
            tini_neon_patch(m, tile, 0, t, 2, 1, format);
    }
}

TINI_REGION_END

#endif
