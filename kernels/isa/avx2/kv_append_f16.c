#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_AVX2

TINI_INLINE __m128i tini_avx2_to_halves(const float *x) {
    return _mm256_cvtps_ph(_mm256_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT);
}

void tini_kv_append_f16_avx2(const tini_kv *kv, uint32_t position, const float *key, const float *value) {
    uint32_t place = position % kv->capacity, head_dim = kv->head_dim;
    uint16_t *keys =
        (uint16_t *)kv->keys + (size_t)(place / TINI_TILE) * head_dim * TINI_TILE + place % TINI_TILE;
    uint16_t *values = (uint16_t *)kv->values + (size_t)place * head_dim;
    uint32_t d = 0;
    for (; d + 8 <= head_dim; d += 8) {
        uint16_t halves[8];
        _mm_storeu_si128((__m128i *)(void *)halves, tini_avx2_to_halves(key + d));
        for (uint32_t k = 0; k < 8; k++)
            keys[(d + k) * TINI_TILE] = halves[k];
        _mm_storeu_si128((__m128i *)(void *)(values + d), tini_avx2_to_halves(value + d));
    }
    for (; d < head_dim; d++) {
        keys[d * TINI_TILE] = tini_f32_to_f16(key[d]);
        values[d] = tini_f32_to_f16(value[d]);
    }
}

TINI_REGION_END
#endif
