#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../scalar/kv_q8.h"

TINI_REGION_AVX2

/* The conversion rounds to nearest even, as tini_nearest does, and no |q| exceeds 127, so packing does not clip. */
TINI_INLINE __m256i tini_avx2_kv_quantize(const float *x, uint8_t *scale) {
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    /* What packing inside 128-bit halves leaves, put back in order. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256 v[4], high = _mm256_setzero_ps();
    for (int k = 0; k < 4; k++) {
        v[k] = _mm256_loadu_ps(x + 8 * k);
        high = _mm256_max_ps(high, _mm256_and_ps(v[k], magnitude));
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(high), _mm256_extractf128_ps(high, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    uint16_t half;
    const __m256 inverse =
        _mm256_set1_ps(tini_kv_scale(_mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four))), &half));
    tini_store_u16(scale, half);
    __m256i q[4];
    for (int k = 0; k < 4; k++) {
        __m256 y = _mm256_min_ps(_mm256_mul_ps(v[k], inverse), _mm256_set1_ps(127.0f));
        q[k] = _mm256_cvtps_epi32(_mm256_max_ps(y, _mm256_set1_ps(-127.0f)));
    }
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    return _mm256_permutevar8x32_epi32(bytes, order);
}

void tini_kv_append_q8_avx2(const tini_kv *kv, uint32_t position, const float *key, const float *value) {
    tini_kv_place to = tini_kv_place_q8(kv, position % kv->capacity);
    for (uint32_t d = 0; d < kv->head_dim; d += TINI_BLOCK) {
        uint8_t q[TINI_BLOCK];
        __m256i bytes = tini_avx2_kv_quantize(key + d, to.key);
        _mm256_storeu_si256((__m256i *)(void *)q, _mm256_xor_si256(bytes, _mm256_set1_epi8((char)0x80)));
        for (uint32_t i = 0; i < 8; i++)
            memcpy(to.key_q + 64 * i, q + 4 * i, 4);
        _mm256_storeu_si256((__m256i *)(void *)to.value_q, tini_avx2_kv_quantize(value + d, to.value));
        tini_kv_next_q8(&to);
    }
}

TINI_REGION_END
#endif
