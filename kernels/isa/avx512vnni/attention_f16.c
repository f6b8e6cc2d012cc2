#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "attention.h"

TINI_REGION_AVX512VNNI

static void tini_avx512_widen_keys(tini_queries *s, uint32_t first, uint32_t count) {
    const uint8_t *keys = s->keys + first * 32;
    const size_t group_bytes = (size_t)s->head_dim * 32;
    for (uint32_t d = 0; d < count; d++, keys += 32)
        for (uint32_t g = 0; g < 4; g++) {
            __m512 key = _mm512_setzero_ps();
            if (16 * g < s->high)
                key = tini_avx512_halves(keys + g * group_bytes);
            _mm512_storeu_ps(s->wide[d] + 16 * g, key);
        }
}

static void tini_avx512_widen_values(tini_queries *s, uint32_t first, uint32_t count, uint32_t lanes) {
    for (uint32_t p = s->low; p < s->high; p++) {
        const uint8_t *values = s->values + ((size_t)p * s->head_dim + first) * 2;
        uint32_t d = 0;
        for (; d + 16 <= count; d += 16)
            _mm512_storeu_ps(s->wide[p] + d, tini_avx512_halves(values + 2 * d));
        for (; d < lanes; d += 16) {
            __mmask16 there = d < count ? tini_avx512_first(count - d) : 0;
            _mm512_storeu_ps(s->wide[p] + d, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(there, values + 2 * d)));
        }
    }
}

void tini_attention_f16_avx512vnni(const tini_kv *kv, const tini_attention *a) {
    static const tini_f16_steps steps = {tini_product_avx512vnni, tini_weigh_avx512vnni, tini_avx512_widen_keys,
                                         tini_avx512_widen_values};
    tini_attention_f16_walk(kv, a, &steps);
}

TINI_REGION_END
#endif
