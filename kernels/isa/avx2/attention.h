/* What the attention kernels share on AVX2; the functions stand in attention_f16.c. */
#ifndef TINI_AVX2_ATTENTION_H
#define TINI_AVX2_ATTENTION_H

#include "queries.h"
#include "rows.h"

TINI_REGION_AVX2

/* Eight int8 values as floats, exactly. */
TINI_INLINE __m256 tini_avx2_int8(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

/* A tini_product_fn. */
void tini_product_avx2(const tini_product *m);

/* Turns the scores of a tile, not yet times the scale, into weights, and sets alpha. A position that is not seen weighs 0, which
 * leaves a partial sum as it was; a query that sees none has alpha = 1 and stays as it was. The largest score does not
 * depend on the order of comparisons, and which zero it is does not matter to exp. */
void tini_weigh_avx2(tini_queries *s, const tini_attention *a);

TINI_REGION_END

#endif
