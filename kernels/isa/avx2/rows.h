/* The AVX2 vocabulary: loads, and storing a matmul's outputs. */
#ifndef TINI_AVX2_ROWS_H
#define TINI_AVX2_ROWS_H

#include <immintrin.h>

#include "../../core/kernel.h"

TINI_REGION_AVX2

TINI_INLINE __m256i tini_avx2_bytes(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Eight float16 values, widened exactly. */
TINI_INLINE __m256 tini_avx2_halves(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* All ones in the first `count` lanes. */
TINI_INLINE __m256i tini_avx2_first(uint32_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* As tini_tile_store, for the eight outputs of half tile `unit`. Touches no memory past the outputs. */
TINI_INLINE void tini_avx2_store(const tini_matmul *m, uint32_t unit, uint32_t t, __m256 y) {
    uint32_t first = unit * 8;
    if (first >= m->outputs)
        return;
    const __m256i lanes = tini_avx2_first(m->outputs - first < 8 ? m->outputs - first : 8);
    if (m->bias)
        y = _mm256_add_ps(y, _mm256_maskload_ps(m->bias + first, lanes));
    if (m->residual)
        y = _mm256_add_ps(y, _mm256_maskload_ps(m->residual + t * m->residual_stride + first, lanes));
    _mm256_maskstore_ps(m->out + t * m->out_stride + first, lanes, y);
}

TINI_REGION_END

#endif
