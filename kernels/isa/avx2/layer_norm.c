#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_AVX2

/* The scalar's 16 partial sums are two registers; the last n % 16 elements go on from their lanes. */
TINI_INLINE float tini_avx2_sum(const float *x, uint32_t n, float mean, const int squares) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps(), m = _mm256_set1_ps(mean);
    float lanes[16];
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        if (squares) {
            a = _mm256_sub_ps(a, m), b = _mm256_sub_ps(b, m);
            a = _mm256_mul_ps(a, a), b = _mm256_mul_ps(b, b);
        }
        low = _mm256_add_ps(low, a);
        high = _mm256_add_ps(high, b);
    }
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (; i < n; i++) {
        float d = squares ? x[i] - mean : x[i];
        lanes[i % 16] = lanes[i % 16] + (squares ? d * d : d);
    }
    return tini_sum16(lanes);
}

void tini_layer_norm_avx2(float *out, const float *x, const float *weight, const float *bias, uint32_t n,
                          float eps) {
    float mean = tini_avx2_sum(x, n, 0.0f, 0) / (float)n;
    float s = 1.0f / tini_sqrt(tini_avx2_sum(x, n, mean, 1) / (float)n + eps);
    const __m256 scale = _mm256_set1_ps(s), m = _mm256_set1_ps(mean);
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 y = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), m), scale);
        y = _mm256_mul_ps(y, _mm256_loadu_ps(weight + i));
        _mm256_storeu_ps(out + i, _mm256_add_ps(y, _mm256_loadu_ps(bias + i)));
    }
    for (; i < n; i++)
        out[i] = ((x[i] - mean) * s) * weight[i] + bias[i];
}

TINI_REGION_END
#endif
