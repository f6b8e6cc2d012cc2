#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_AVX2

/* The scalar's 16 partial sums are two registers; the last n % 16 elements go on from their lanes. */
void tini_rms_norm_avx2(float *out, const float *x, const float *weight, uint32_t n, float eps) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    float lanes[16];
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        low = _mm256_add_ps(low, _mm256_mul_ps(a, a));
        high = _mm256_add_ps(high, _mm256_mul_ps(b, b));
    }
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (; i < n; i++)
        lanes[i % 16] = lanes[i % 16] + x[i] * x[i];
    float s = 1.0f / tini_sqrt(tini_sum16(lanes) / (float)n + eps);
    const __m256 scale = _mm256_set1_ps(s);
    for (i = 0; i + 8 <= n; i += 8) {
        __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), scale);
        _mm256_storeu_ps(out + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
    }
    for (; i < n; i++)
        out[i] = (x[i] * s) * weight[i];
}

TINI_REGION_END
#endif
