#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/kernel.h"

TINI_REGION_AVX2

void tini_rope_avx2(float *x, const float *table, uint32_t heads, uint32_t head_dim, uint32_t half) {
    for (uint32_t head = 0; head < heads; head++, x += head_dim) {
        uint32_t i = 0;
        for (; i + 8 <= half; i += 8) {
            __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + half);
            __m256 cosine = _mm256_loadu_ps(table + i), sine = _mm256_loadu_ps(table + half + i);
            __m256 first = _mm256_sub_ps(_mm256_mul_ps(a, cosine), _mm256_mul_ps(b, sine));
            __m256 second = _mm256_add_ps(_mm256_mul_ps(b, cosine), _mm256_mul_ps(a, sine));
            _mm256_storeu_ps(x + i, first);
            _mm256_storeu_ps(x + i + half, second);
        }
        for (; i < half; i++) {
            float a = x[i], b = x[i + half], cosine = table[i], sine = table[half + i];
            x[i] = a * cosine - b * sine;
            x[i + half] = b * cosine + a * sine;
        }
    }
}

TINI_REGION_END
#endif
