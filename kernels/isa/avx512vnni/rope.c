#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "rows.h"

TINI_REGION_AVX512VNNI

void tini_rope_avx512vnni(float *x, const float *table, uint32_t heads, uint32_t head_dim, uint32_t half) {
    for (uint32_t i = 0; i < half; i += 16) {
        __mmask16 lanes = tini_avx512_first(half - i);
        const __m512 cosine = _mm512_maskz_loadu_ps(lanes, table + i);
        const __m512 sine = _mm512_maskz_loadu_ps(lanes, table + half + i);
        for (uint32_t head = 0; head < heads; head++) {
            float *low = x + (size_t)head * head_dim + i, *high = low + half;
            __m512 a = _mm512_maskz_loadu_ps(lanes, low), b = _mm512_maskz_loadu_ps(lanes, high);
            __m512 first = _mm512_sub_ps(_mm512_mul_ps(a, cosine), _mm512_mul_ps(b, sine));
            __m512 second = _mm512_add_ps(_mm512_mul_ps(b, cosine), _mm512_mul_ps(a, sine));
            _mm512_mask_storeu_ps(low, lanes, first);
            _mm512_mask_storeu_ps(high, lanes, second);
        }
    }
}

TINI_REGION_END
#endif
