#include "../../core/region.h"
#if TIN_HAVE_AVX512VNNI
#include "exp.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

void tini_sigmoid_mul_avx512vnni(float *out, const float *gate, const float *up, uint32_t n) {
    const __m512 sign = _mm512_set1_ps(-0.0f), one = _mm512_set1_ps(1.0f);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = tini_avx512_first(n - i);
        __m512 g = _mm512_maskz_loadu_ps(lanes, gate + i);
        __m512 factor = _mm512_div_ps(one, _mm512_add_ps(one, tini_avx512_exp(_mm512_xor_ps(g, sign))));
        _mm512_mask_storeu_ps(out + i, lanes, _mm512_mul_ps(factor, _mm512_maskz_loadu_ps(lanes, up + i)));
    }
}

TINI_REGION_END
#endif
