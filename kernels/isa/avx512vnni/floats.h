/* Matmul with float activations on AVX-512: a register holds one input of a tile's 16 rows.
 *
 * Bits equal the scalar's: a lane is a row, and each input is one multiply and one add, in order. Weights widen
 * exactly. */
#ifndef TINI_AVX512VNNI_FLOATS_H
#define TINI_AVX512VNNI_FLOATS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/formats.h"
#include "../scalar/tile.h"
#include "store.h"

TINI_REGION_AVX512VNNI

TINI_INLINE __m512 tini_avx512_weights(const uint8_t *p, const int format) {
    if (format == TINI_FORMAT_F32)
        return _mm512_loadu_ps(p);
    if (format == TINI_FORMAT_F16)
        return tini_avx512_halves(p);
    __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* `tiles` tiles by `columns` rows of x: enough chains of additions to hide one's latency. */
TINI_INLINE void tini_avx512_float_patch(const tini_matmul *m, uint32_t tile, uint32_t t, const uint32_t tiles,
                                         const uint32_t columns, const int format) {
    const size_t input_bytes = TINI_TILE * (format == TINI_FORMAT_F32 ? 4 : 2);
    const size_t tile_bytes = m->inputs * input_bytes;
    const uint8_t *w = m->weights + tile * tile_bytes;
    const float *x[8];
    __m512 acc[8];
    for (uint32_t k = 0; k < tiles * columns; k++)
        acc[k] = _mm512_setzero_ps();
    for (uint32_t c = 0; c < columns; c++)
        x[c] = tini_row_f32(m, t + c);
    for (uint32_t i = 0; i < m->inputs; i++, w += input_bytes) {
        for (uint32_t k = 0; k < tiles; k++) {
            __m512 weights = tini_avx512_weights(w + k * tile_bytes, format);
            for (uint32_t c = 0; c < columns; c++) {
                __m512 product = _mm512_mul_ps(weights, _mm512_set1_ps(x[c][i]));
                acc[k * columns + c] = _mm512_add_ps(acc[k * columns + c], product);
            }
        }
    }
    __m512 y[8];
    for (uint32_t k = 0; k < tiles; k++)
        for (uint32_t c = 0; c < columns; c++)
            y[c * tiles + k] = acc[k * columns + c];
    tini_avx512_store(m, tile, t, y, tiles, columns);
}

TINI_INLINE void tini_avx512_matmul_f32(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                        const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; m->rows == 1 && tile + 4 <= tile_end; tile += 4)
        tini_avx512_float_patch(m, tile, 0, 4, 1, format);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 8 <= m->rows; t += 8)
            tini_avx512_float_patch(m, tile, t, 1, 8, format);
        for (; t + 4 <= m->rows; t += 4)
            tini_avx512_float_patch(m, tile, t, 1, 4, format);
        for (; t < m->rows; t++)
            tini_avx512_float_patch(m, tile, t, 1, 1, format);
    }
}

TINI_REGION_END

#endif
