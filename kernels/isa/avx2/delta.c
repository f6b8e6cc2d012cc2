#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "../../core/base/kernel.h"

#include <immintrin.h>

TINI_REGION_AVX2

TINI_INLINE __m256 sum_four_avx2(const __m256 part[8], int half) {
    return _mm256_add_ps(_mm256_add_ps(part[half], part[2 + half]),
                         _mm256_add_ps(part[4 + half], part[6 + half]));
}

/* Two registers hold a tile's 16 columns, and eight their partial sums: part[2 j + half] is the scalar's sum j. */
TINI_INLINE void delta_row_avx2(const tini_delta *d, const float *from, float *to, uint32_t row,
                                uint32_t column) {
    const float *q = d->q + row * d->qk_stride, *k = d->k + row * d->qk_stride;
    const float *v = d->v + row * d->v_stride + column;
    float *out = d->out + row * d->out_stride + column;
    const __m256 decay = _mm256_set1_ps(d->decay[row]), beta = _mm256_set1_ps(d->beta[row]);
    __m256 part[8], e[2];
    TINI_UNROLL
    for (int j = 0; j < 8; j++)
        part[j] = _mm256_setzero_ps();
    for (uint32_t i = 0; !d->plain && i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 8; j++) {
            __m256 s = _mm256_loadu_ps(from + i * TINI_TILE + 8 * j);
            part[j] = _mm256_add_ps(part[j], _mm256_mul_ps(s, _mm256_broadcast_ss(k + i + j / 2)));
        }
    }
    TINI_UNROLL
    for (int half = 0; half < 2; half++) {
        __m256 m = _mm256_mul_ps(sum_four_avx2(part, half), decay);
        e[half] = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(v + 8 * half), m), beta);
    }
    TINI_UNROLL
    for (int j = 0; j < 8; j++)
        part[j] = _mm256_setzero_ps();
    for (uint32_t i = 0; i < d->inputs; i += 4) {
        TINI_UNROLL
        for (uint32_t j = 0; j < 8; j++) {
            __m256 s = _mm256_mul_ps(_mm256_loadu_ps(from + i * TINI_TILE + 8 * j), decay);
            s = _mm256_add_ps(s, _mm256_mul_ps(_mm256_broadcast_ss(k + i + j / 2), e[j % 2]));
            _mm256_storeu_ps(to + i * TINI_TILE + 8 * j, s);
            part[j] = _mm256_add_ps(part[j], _mm256_mul_ps(s, _mm256_broadcast_ss(q + i + j / 2)));
        }
    }
    TINI_UNROLL
    for (int half = 0; half < 2; half++) {
        __m256 y = _mm256_mul_ps(sum_four_avx2(part, half), _mm256_set1_ps(d->scale));
        if (d->plain)
            y = _mm256_add_ps(y, _mm256_mul_ps(_mm256_loadu_ps(v + 8 * half), _mm256_set1_ps(d->skip)));
        _mm256_storeu_ps(out + 8 * half, y);
    }
}

/* Lanes are columns of the state, which have nothing to do with each other: the scalar's steps in its order. */
void tini_delta_avx2(const tini_delta *d, uint32_t tile_begin, uint32_t tile_end) {
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        size_t at = (size_t)tile * d->inputs * TINI_TILE;
        for (uint32_t row = 0; row < d->rows; row++)
            delta_row_avx2(d, (row ? d->to : d->from) + at, d->to + at, row, tile * TINI_TILE);
    }
}

TINI_REGION_END
#endif
