/* Matmul with float activations on AVX2: a register holds one input of eight rows, half a tile.
 *
 * Bits equal the scalar's: a lane is a row, and each input is one multiply and one add, in order. Weights widen
 * exactly. */
#ifndef TINI_AVX2_FLOATS_H
#define TINI_AVX2_FLOATS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/formats.h"
#include "../scalar/tile.h"
#include "store.h"

TINI_REGION_AVX2

TINI_INLINE __m256 tini_avx2_weights(const uint8_t *p, const int format) {
    if (format == TINI_FORMAT_F32)
        return _mm256_loadu_ps((const float *)(const void *)p);
    if (format == TINI_FORMAT_F16)
        return tini_avx2_halves(p);
    __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

/* `tiles` tiles by `columns` rows of x: enough chains of additions to hide one's latency. */
TINI_INLINE void tini_avx2_float_patch(const tini_matmul *m, uint32_t tile, uint32_t t, const uint32_t tiles,
                                       const uint32_t columns, const int format) {
    const size_t half_bytes = TINI_TILE / 2 * (format == TINI_FORMAT_F32 ? 4 : 2);
    const size_t tile_bytes = m->inputs * 2 * half_bytes;
    const uint8_t *w = m->weights + tile * tile_bytes;
    const float *x[4];
    __m256 acc[8];
    for (uint32_t k = 0; k < 2 * tiles * columns; k++)
        acc[k] = _mm256_setzero_ps();
    for (uint32_t c = 0; c < columns; c++)
        x[c] = tini_row_f32(m, t + c);
    for (uint32_t i = 0; i < m->inputs; i++, w += 2 * half_bytes) {
        for (uint32_t k = 0; k < 2 * tiles; k++) {
            __m256 weights = tini_avx2_weights(w + k / 2 * tile_bytes + k % 2 * half_bytes, format);
            for (uint32_t c = 0; c < columns; c++) {
                __m256 product = _mm256_mul_ps(weights, _mm256_set1_ps(x[c][i]));
                acc[k * columns + c] = _mm256_add_ps(acc[k * columns + c], product);
            }
        }
    }
    __m256 y[8];
    for (uint32_t k = 0; k < 2 * tiles; k++)
        for (uint32_t c = 0; c < columns; c++)
            y[c * 2 * tiles + k] = acc[k * columns + c];
    tini_avx2_store(m, 2 * tile, t, y, 2 * tiles, columns);
}

TINI_INLINE void tini_avx2_matmul_f32(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                      const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; m->rows == 1 && tile + 4 <= tile_end; tile += 4)
        tini_avx2_float_patch(m, tile, 0, 4, 1, format);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 4 <= m->rows; t += 4)
            tini_avx2_float_patch(m, tile, t, 1, 4, format);
        for (; t < m->rows; t++)
            tini_avx2_float_patch(m, tile, t, 1, 1, format);
    }
}

TINI_REGION_END

#endif
