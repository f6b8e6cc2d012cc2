#include "../../core/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../../core/kernel.h"

#include <immintrin.h>

TINI_REGION_AVX512VNNI

/* Where the next of `tiles` tiles of a state begins, in floats. */
#define NEXT_TILE ((size_t)d->inputs * TINI_TILE)

TINI_INLINE __m512 sum_four_avx512vnni(const __m512 part[4]) {
    return _mm512_add_ps(_mm512_add_ps(part[0], part[1]), _mm512_add_ps(part[2], part[3]));
}

/* A register holds a tile's 16 columns, part[n][j] the scalar's sum j of tile n: two tiles at once keep eight additions
 * under way. */
TINI_INLINE void delta_row_avx512vnni(const tini_delta *d, const float *from, float *to, uint32_t row,
                                      uint32_t column, const int tiles) {
    const float *q = d->q + row * d->qk_stride, *k = d->k + row * d->qk_stride;
    const float *v = d->v + row * d->v_stride + column;
    float *out = d->out + row * d->out_stride + column;
    const __m512 decay = _mm512_set1_ps(d->decay[row]), beta = _mm512_set1_ps(d->beta[row]);
    __m512 part[2][4], e[2];
    for (int n = 0; n < tiles; n++)
        for (int j = 0; j < 4; j++)
            part[n][j] = _mm512_setzero_ps();
    for (uint32_t i = 0; i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 4; j++) {
            const __m512 key = _mm512_set1_ps(k[i + j]);
            for (int n = 0; n < tiles; n++) {
                __m512 s = _mm512_loadu_ps(from + n * NEXT_TILE + (i + j) * TINI_TILE);
                part[n][j] = _mm512_add_ps(part[n][j], _mm512_mul_ps(s, key));
            }
        }
    }
    for (int n = 0; n < tiles; n++) {
        __m512 m = _mm512_mul_ps(sum_four_avx512vnni(part[n]), decay);
        e[n] = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(v + n * TINI_TILE), m), beta);
        for (int j = 0; j < 4; j++)
            part[n][j] = _mm512_setzero_ps();
    }
    for (uint32_t i = 0; i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 4; j++) {
            const __m512 key = _mm512_set1_ps(k[i + j]), query = _mm512_set1_ps(q[i + j]);
            for (int n = 0; n < tiles; n++) {
                size_t at = n * NEXT_TILE + (i + j) * TINI_TILE;
                __m512 s = _mm512_mul_ps(_mm512_loadu_ps(from + at), decay);
                s = _mm512_add_ps(s, _mm512_mul_ps(key, e[n]));
                _mm512_storeu_ps(to + at, s);
                part[n][j] = _mm512_add_ps(part[n][j], _mm512_mul_ps(s, query));
            }
        }
    }
    for (int n = 0; n < tiles; n++)
        _mm512_storeu_ps(out + n * TINI_TILE,
                         _mm512_mul_ps(sum_four_avx512vnni(part[n]), _mm512_set1_ps(d->scale)));
}

TINI_INLINE void delta_tiles_avx512vnni(const tini_delta *d, uint32_t tile, const int tiles) {
    size_t at = tile * NEXT_TILE;
    for (uint32_t row = 0; row < d->rows; row++)
        delta_row_avx512vnni(d, (row ? d->to : d->from) + at, d->to + at, row, tile * TINI_TILE, tiles);
}

/* Lanes are columns of the state, which have nothing to do with each other: the scalar's steps in its order. */
void tini_delta_avx512vnni(const tini_delta *d, uint32_t tile_begin, uint32_t tile_end) {
    uint32_t tile = tile_begin;
    for (; tile + 2 <= tile_end; tile += 2)
        delta_tiles_avx512vnni(d, tile, 2);
    if (tile < tile_end)
        delta_tiles_avx512vnni(d, tile, 1);
}

#undef NEXT_TILE
TINI_REGION_END
#endif
