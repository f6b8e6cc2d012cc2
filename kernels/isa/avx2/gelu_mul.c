#include "../../core/region.h"
#if TIN_HAVE_AVX2
#include "../../core/kernel.h"
#include "exp.h"

TINI_REGION_AVX2

void tini_gelu_mul_avx2(float *out, const float *gate, const float *up, uint32_t n) {
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    const __m256 a = _mm256_set1_ps(TINI_GELU_A), b = _mm256_set1_ps(TINI_GELU_B);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 g = _mm256_loadu_ps(gate + i);
        __m256 x = _mm256_mul_ps(g, _mm256_add_ps(a, _mm256_mul_ps(b, _mm256_mul_ps(g, g))));
        __m256 gelu = _mm256_div_ps(g, _mm256_add_ps(one, tini_avx2_exp(_mm256_xor_ps(x, sign))));
        _mm256_storeu_ps(out + i, _mm256_mul_ps(gelu, _mm256_loadu_ps(up + i)));
    }
    tini_gelu_mul_scalar(out + i, gate + i, up + i, n - i);
}

TINI_REGION_END
#endif
