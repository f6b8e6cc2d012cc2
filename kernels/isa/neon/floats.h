/* Matmul with float activations on NEON: four registers hold one input of a tile's 16 rows.
 *
 * Bits equal the scalar's: a lane is a row, and each input is one multiply and one add, in order. Weights widen
 * exactly. */
#ifndef TINI_NEON_FLOATS_H
#define TINI_NEON_FLOATS_H

#include <arm_neon.h>

#include "../../core/base/kernel.h"
#include "../../core/base/formats.h"
#include "../scalar/tile.h"
#include "store.h"

TINI_REGION_NEON

TINI_INLINE float32x4_t tini_neon_weights(const uint8_t *p, uint32_t quarter, const int format) {
    if (format == TINI_FORMAT_F32)
        return vld1q_f32((const float *)(const void *)(p + 16 * quarter));
    if (format == TINI_FORMAT_F16)
        return tini_neon_halves(p + 8 * quarter);
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16((const uint16_t *)(const void *)(p + 8 * quarter)), 16));
}

/* One tile by `columns` rows of x. */
TINI_INLINE void tini_neon_float_patch(const tini_matmul *m, uint32_t tile, uint32_t t, const uint32_t columns,
                                       const int format) {
    const size_t input_bytes = TINI_TILE * (format == TINI_FORMAT_F32 ? 4 : 2);
    const uint8_t *w = m->weights + tile * m->inputs * input_bytes;
    const float *x[4];
    float32x4_t acc[4][4];
    for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_f32(m, t + c);
        for (uint32_t k = 0; k < 4; k++)
            acc[c][k] = vdupq_n_f32(0.0f);
    }
    for (uint32_t i = 0; i < m->inputs; i++, w += input_bytes) {
        for (uint32_t k = 0; k < 4; k++) {
            float32x4_t weights = tini_neon_weights(w, k, format);
            for (uint32_t c = 0; c < columns; c++)
                acc[c][k] = vaddq_f32(acc[c][k], vmulq_n_f32(weights, x[c][i]));
        }
    }
    TINI_NEON_UNROLL
    for (uint32_t c = 0; c < columns; c++) {
        const float32x4_t out[4] = {acc[c][0], acc[c][1], acc[c][2], acc[c][3]};
        tini_neon_store_tile(m, tile, t + c, out);
    }
}

TINI_INLINE void tini_neon_matmul_f32(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                      const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 4 <= m->rows; t += 4)
            tini_neon_float_patch(m, tile, t, 4, format);
        for (; t < m->rows; t++)
            tini_neon_float_patch(m, tile, t, 1, format);
    }
}

TINI_REGION_END

#endif
