#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_AVX2

static float tini_avx2_highest(__m256 x) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

static int32_t tini_avx2_sum_of_lanes(__m256i x) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 1)));
}

/* The conversion rounds to nearest even, as tini_nearest does, and no |q| exceeds 127, so packing does not clip. */
void tini_quantize_q8_avx2(tini_q8 *out, const float *x, uint32_t n) {
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    /* What packing inside 128-bit halves leaves, put back in order. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (uint32_t b = 0; b < n / TINI_BLOCK; b++, x += TINI_BLOCK) {
        __m256 v[4], high = _mm256_setzero_ps();
        for (int k = 0; k < 4; k++) {
            v[k] = _mm256_loadu_ps(x + 8 * k);
            high = _mm256_max_ps(high, _mm256_and_ps(v[k], magnitude));
        }
        float amax = tini_avx2_highest(high);
        if (!(amax >= 1e-30f)) {
            out[b] = (tini_q8){.scale = 0.0f};
            continue;
        }
        const __m256 inverse = _mm256_set1_ps(127.0f / amax);
        __m256i q[4], sum = _mm256_setzero_si256();
        for (int k = 0; k < 4; k++) {
            q[k] = _mm256_cvtps_epi32(_mm256_mul_ps(v[k], inverse));
            sum = _mm256_add_epi32(sum, q[k]);
        }
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
        out[b].scale = amax / 127.0f;
        out[b].sum = tini_avx2_sum_of_lanes(sum);
        _mm256_storeu_si256((__m256i *)(void *)out[b].q, _mm256_permutevar8x32_epi32(bytes, order));
    }
}

TINI_REGION_END
#endif
