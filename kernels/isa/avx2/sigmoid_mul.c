#include "../../core/region.h"
#if TIN_HAVE_AVX2
#include "../../core/kernel.h"
#include "exp.h"

TINI_REGION_AVX2

void tini_sigmoid_mul_avx2(float *out, const float *gate, const float *up, uint32_t n) {
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 g = _mm256_loadu_ps(gate + i);
        __m256 factor = _mm256_div_ps(one, _mm256_add_ps(one, tini_avx2_exp(_mm256_xor_ps(g, sign))));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(factor, _mm256_loadu_ps(up + i)));
    }
    tini_sigmoid_mul_scalar(out + i, gate + i, up + i, n - i);
}

TINI_REGION_END
#endif
