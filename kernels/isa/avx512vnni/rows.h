/* The AVX-512 vocabulary: loads, and storing a matmul's outputs. */
#ifndef TINI_AVX512VNNI_ROWS_H
#define TINI_AVX512VNNI_ROWS_H

#include <immintrin.h>

#include "../../core/kernel.h"

TINI_REGION_AVX512VNNI

/* 16 float16 values, widened exactly. */
TINI_INLINE __m512 tini_avx512_halves(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

/* 16 int8 values as floats, exactly. */
TINI_INLINE __m512 tini_avx512_int8(const void *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* The first `count` lanes, or all 16. */
TINI_INLINE __mmask16 tini_avx512_first(uint32_t count) {
    return count < 16 ? (__mmask16)((1u << count) - 1) : (__mmask16)0xffff;
}

/* As tini_tile_store. Touches no memory past the outputs. */
TINI_INLINE void tini_avx512_store(const tini_matmul *m, uint32_t tile, uint32_t t, __m512 y) {
    uint32_t first = tile * TINI_TILE;
    __mmask16 lanes = tini_avx512_first(m->outputs - first);
    if (m->bias)
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, m->bias + first));
    if (m->residual)
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(lanes, m->residual + t * m->residual_stride + first));
    _mm512_mask_storeu_ps(m->out + t * m->out_stride + first, lanes, y);
}

TINI_REGION_END

#endif
