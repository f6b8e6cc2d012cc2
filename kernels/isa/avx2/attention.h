/* What the attention kernels share on AVX2.
 *
 * Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are two registers; outputs have one lane an element and sum over positions in order, of which none is added that
 * the query does not see. */
#ifndef TINI_AVX2_ATTENTION_H
#define TINI_AVX2_ATTENTION_H

#include "../x86/attention.h"
#include "rows.h"

TINI_REGION_AVX2

/* Eight int8 values as floats, exactly. */
TINI_INLINE __m256 tini_avx2_int8(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

tini_product_fn tini_product_avx2;
tini_weigh_fn tini_weigh_avx2;

TINI_REGION_END

#endif
