#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../../core/base/kernel.h"

#include <immintrin.h>

TINI_REGION_AVX512VNNI

TINI_INLINE __m512 sum_four_avx512vnni(const __m512 part[4]) {
    return _mm512_add_ps(_mm512_add_ps(part[0], part[1]), _mm512_add_ps(part[2], part[3]));
}

/* A register holds a tile's 16 columns, part[j] the scalar's sum j: four additions under way, which is as fast as there are
 * products to add. (Two tiles at once are slower: what is stored to one and read from the other is 4096 bytes apart.) */
TINI_INLINE void delta_row_avx512vnni(const tini_delta *d, const float *from, float *to, uint32_t row,
                                      uint32_t column) {
    const float *q = d->q + row * d->qk_stride, *k = d->k + row * d->qk_stride;
    const __m512 decay = _mm512_set1_ps(d->decay[row]), beta = _mm512_set1_ps(d->beta[row]);
    __m512 part[4];
    TINI_UNROLL
    for (int j = 0; j < 4; j++)
        part[j] = _mm512_setzero_ps();
    for (uint32_t i = 0; !d->plain && i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 4; j++) {
            __m512 s = _mm512_loadu_ps(from + (i + j) * TINI_TILE);
            part[j] = _mm512_add_ps(part[j], _mm512_mul_ps(s, _mm512_set1_ps(k[i + j])));
        }
    }
    __m512 v = _mm512_loadu_ps(d->v + row * d->v_stride + column);
    const __m512 e = _mm512_mul_ps(_mm512_sub_ps(v, _mm512_mul_ps(sum_four_avx512vnni(part), decay)), beta);
    TINI_UNROLL
    for (int j = 0; j < 4; j++)
        part[j] = _mm512_setzero_ps();
    for (uint32_t i = 0; i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 4; j++) {
            __m512 s = _mm512_mul_ps(_mm512_loadu_ps(from + (i + j) * TINI_TILE), decay);
            s = _mm512_add_ps(s, _mm512_mul_ps(_mm512_set1_ps(k[i + j]), e));
            _mm512_storeu_ps(to + (i + j) * TINI_TILE, s);
            part[j] = _mm512_add_ps(part[j], _mm512_mul_ps(s, _mm512_set1_ps(q[i + j])));
        }
    }
    __m512 y = _mm512_mul_ps(sum_four_avx512vnni(part), _mm512_set1_ps(d->scale));
    if (d->plain)
        y = _mm512_add_ps(y, _mm512_mul_ps(v, _mm512_set1_ps(d->skip)));
    _mm512_storeu_ps(d->out + row * d->out_stride + column, y);
}

/* Lanes are columns of the state, which have nothing to do with each other: the scalar's steps in its order. */
void tini_delta_avx512vnni(const tini_delta *d, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        size_t at = (size_t)tile * d->inputs * TINI_TILE;
        for (uint32_t row = 0; row < d->rows; row++)
            delta_row_avx512vnni(d, (row ? d->to : d->from) + at, d->to + at, row, tile * TINI_TILE);
    }
}

TINI_REGION_END
#endif
