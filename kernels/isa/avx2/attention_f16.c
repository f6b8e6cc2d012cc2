#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "attention.h"

TINI_REGION_AVX2

static void tini_avx2_widen_keys(tini_queries *s, uint32_t first, uint32_t count) {
    const size_t group_bytes = (size_t)s->head_dim * 32;
    for (uint32_t g = 0; g < 4; g++) {
        const uint8_t *keys = s->keys + g * group_bytes + first * 32;
        for (uint32_t d = 0; d < count; d++, keys += 32) {
            const int seen = 16 * g < s->high;
            float *wide = s->wide[d] + 16 * g;
            _mm256_storeu_ps(wide, seen ? tini_avx2_halves(keys) : _mm256_setzero_ps());
            _mm256_storeu_ps(wide + 8, seen ? tini_avx2_halves(keys + 16) : _mm256_setzero_ps());
        }
    }
}

static void tini_avx2_widen_values(tini_queries *s, uint32_t first, uint32_t count, uint32_t lanes) {
    for (uint32_t p = s->low; p < s->high; p++) {
        const uint8_t *values = s->values + ((size_t)p * s->head_dim + first) * 2;
        uint32_t d = 0;
        for (; d < count; d += 8)
            _mm256_storeu_ps(s->wide[p] + d, tini_avx2_halves(values + 2 * d));
        for (; d < lanes; d += 8)
            _mm256_storeu_ps(s->wide[p] + d, _mm256_setzero_ps());
    }
}

void tini_attention_f16_avx2(const tini_kv *kv, const tini_attention *a) {
    static const tini_f16_steps steps = {tini_product_avx2, tini_weigh_avx2, tini_avx2_widen_keys,
                                         tini_avx2_widen_values};
    tini_attention_f16_walk(kv, a, &steps);
}

TINI_REGION_END
#endif
