/* The AVX2 vocabulary: loads. */
#ifndef TINI_AVX2_ROWS_H
#define TINI_AVX2_ROWS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"

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

TINI_REGION_END

#endif
