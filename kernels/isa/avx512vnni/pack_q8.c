#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "rows.h"

TINI_REGION_AVX512VNNI

/* A lane is a row. Both conversions round to nearest even, as the scalar's. */
void tini_pack_q8_avx512vnni(uint8_t *block, const float *x, size_t stride) {
    __m512 amax = _mm512_setzero_ps();
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        amax = _mm512_max_ps(amax, _mm512_abs_ps(_mm512_loadu_ps(x + i * stride)));
    const __m512 wanted = _mm512_min_ps(_mm512_div_ps(amax, _mm512_set1_ps(127.0f)), _mm512_set1_ps(65504.0f));
    const __m256i half = _mm512_cvtps_ph(wanted, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256((__m256i *)(void *)block, half);
    const __m512 d = _mm512_cvtph_ps(half), limit = _mm512_set1_ps(127.0f), least = _mm512_set1_ps(-127.0f);
    const __mmask16 some = _mm512_cmp_ps_mask(d, _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(some, _mm512_set1_ps(1.0f), d);
    const __m512i low = _mm512_set1_epi32(0xff);
    for (uint32_t i = 0; i < TINI_BLOCK; i += 4) {
        __m512i four = _mm512_setzero_si512();
        TINI_UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            __m512 y = _mm512_mul_ps(_mm512_loadu_ps(x + (i + k) * stride), inverse);
            y = _mm512_max_ps(_mm512_min_ps(y, limit), least);
            __m512i q = _mm512_and_si512(_mm512_cvtps_epi32(y), low);
            four = _mm512_or_si512(four, _mm512_slli_epi32(q, 8 * k));
        }
        _mm512_storeu_si512(block + 2 * TINI_TILE + 16 * i,
                            _mm512_xor_si512(four, _mm512_set1_epi8((char)0x80)));
    }
}

TINI_REGION_END
#endif
