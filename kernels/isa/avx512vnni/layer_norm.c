#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../../core/base/math.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

/* The scalar's 16 partial sums are one register. A lane past the end keeps its sum. */
TINI_INLINE float tini_avx512_sum(const float *x, uint32_t n, float mean, const int squares) {
    __m512 sum = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 present = tini_avx512_first(n - i);
        __m512 v = _mm512_maskz_loadu_ps(present, x + i);
        if (squares) {
            v = _mm512_sub_ps(v, _mm512_set1_ps(mean));
            v = _mm512_mul_ps(v, v);
        }
        sum = _mm512_mask_add_ps(sum, present, sum, v);
    }
    float lanes[16];
    _mm512_storeu_ps(lanes, sum);
    return tini_sum16(lanes);
}

void tini_layer_norm_avx512vnni(float *out, const float *x, const float *weight, const float *bias, uint32_t n,
                                float eps) {
    float mean = tini_avx512_sum(x, n, 0.0f, 0) / (float)n;
    const __m512 scale = _mm512_set1_ps(1.0f / tini_sqrt(tini_avx512_sum(x, n, mean, 1) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 present = tini_avx512_first(n - i);
        __m512 y = _mm512_sub_ps(_mm512_maskz_loadu_ps(present, x + i), _mm512_set1_ps(mean));
        y = _mm512_mul_ps(_mm512_mul_ps(y, scale), _mm512_maskz_loadu_ps(present, weight + i));
        _mm512_mask_storeu_ps(out + i, present, _mm512_add_ps(y, _mm512_maskz_loadu_ps(present, bias + i)));
    }
}

TINI_REGION_END
#endif
