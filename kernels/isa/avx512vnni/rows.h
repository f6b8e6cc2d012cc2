/* The AVX-512 vocabulary: loads. */
#ifndef TINI_AVX512VNNI_ROWS_H
#define TINI_AVX512VNNI_ROWS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"

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

TINI_REGION_END

#endif
