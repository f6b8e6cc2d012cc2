#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../../core/base/math.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

/* The scalar's 16 partial sums are one register. A lane past the end adds +0, which no sum of squares notices. */
void tini_rms_norm_avx512vnni(float *out, const float *x, const float *weight, uint32_t n, float eps) {
    __m512 sum = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(tini_avx512_first(n - i), x + i);
        sum = _mm512_add_ps(sum, _mm512_mul_ps(v, v));
    }
    float lanes[16];
    _mm512_storeu_ps(lanes, sum);
    const __m512 scale = _mm512_set1_ps(1.0f / tini_sqrt(tini_sum16(lanes) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 present = tini_avx512_first(n - i);
        __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(present, x + i), scale);
        _mm512_mask_storeu_ps(out + i, present,
                              _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(present, weight + i)));
    }
}

TINI_REGION_END
#endif
