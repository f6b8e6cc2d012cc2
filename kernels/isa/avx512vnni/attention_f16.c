#include "../../core/region.h"
#if TIN_HAVE_AVX512VNNI
#include "attention.h"

/* Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are one register; outputs have one lane an element and sum over positions in order, of which none is added that
 * the query does not see. */

TINI_REGION_AVX512VNNI

/* Widens elements [first, first + count) of the tile's keys [group][head_dim][16]. */
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

/* Widens elements [first, first + count) of the tile's values [position][head_dim]. */
static void tini_avx512_widen_values(tini_queries *s, uint32_t first, uint32_t count) {
    for (uint32_t p = s->low; p < s->high; p++) {
        const uint8_t *values = s->values + ((size_t)p * s->head_dim + first) * 2;
        uint32_t d = 0;
        for (; d + 16 <= count; d += 16)
            _mm512_storeu_ps(s->wide[p] + d, tini_avx512_halves(values + 2 * d));
        if (d < count)
            _mm512_storeu_ps(s->wide[p] + d, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(
                                                 tini_avx512_first(count - d), values + 2 * d)));
    }
}

static void tini_avx512_panel_f16(const tini_product *m, uint32_t queries, uint32_t lanes) {
    tini_avx512_panel(m, queries, lanes, TIN_KV_F16);
}

static void tini_avx512_scores_f16(tini_queries *s) {
    const float ones[TINI_PANEL] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
    for (uint32_t d = 0; d < s->head_dim; d += TINI_WIDE) {
        tini_product m = {.out_stride = TINI_KV_TILE,
                          .factor = d ? ones : NULL,
                          .b = (const uint8_t *)s->wide,
                          .row_bytes = sizeof s->wide[0],
                          .end = s->head_dim - d < TINI_WIDE ? s->head_dim - d : TINI_WIDE,
                          .ahead = s->values + 128 * d};
        if (s->count <= TINI_FEW) {
            m.b = s->keys + 32 * d;
            m.source = TINI_HALVES;
            m.row_bytes = 32;
            m.register_bytes = (size_t)s->head_dim * 32;
        } else {
            tini_avx512_widen_keys(s, d, m.end);
        }
        for (uint32_t i = 0, n; i < s->count; i += n) {
            const float *q[TINI_PANEL];
            n = tini_queries_panel(s, i);
            for (uint32_t k = 0; k < n; k++)
                q[k] = s->q[i + k] + d;
            m.out = s->weights[i];
            m.a = q;
            tini_avx512_panel_f16(&m, n, TINI_KV_TILE);
        }
    }
}

static void tini_avx512_outputs_f16(tini_queries *s) {
    for (uint32_t d = 0; d < s->head_dim; d += TINI_WIDE) {
        uint32_t lanes = s->head_dim - d < TINI_WIDE ? s->head_dim - d : TINI_WIDE;
        tini_product m = {
            .b = (const uint8_t *)s->wide, .row_bytes = sizeof s->wide[0], .ahead = s->ahead + 128 * d};
        if (s->count <= TINI_FEW && lanes == TINI_WIDE) {
            m.b = s->values + 2 * d;
            m.source = TINI_HALVES;
            m.row_bytes = (size_t)s->head_dim * 2;
            m.register_bytes = 32;
        } else {
            tini_avx512_widen_values(s, d, lanes);
        }
        tini_gather(s, &m, (const float (*)[TINI_KV_TILE])s->weights, d, lanes, tini_avx512_panel_f16);
    }
}

void tini_attention_f16_avx512vnni(const tini_kv *kv, const tini_attention *a) {
    const size_t bytes = (size_t)kv->head_dim * 2;
    tini_queries s;
    for (uint32_t from = 0; from < a->rows * a->heads; from += s.count) {
        tini_queries_take(&s, kv, a, from);
        for (uint32_t base = s.first[0] - s.first[0] % TINI_KV_TILE; base <= s.last[s.count - 1];
             base += TINI_KV_TILE) {
            tini_queries_tile(&s, kv, base, bytes, bytes);
            tini_avx512_scores_f16(&s);
            tini_avx512_weigh(&s, a->scale);
            tini_avx512_outputs_f16(&s);
        }
        tini_queries_finish(&s, a);
    }
}

TINI_REGION_END
#endif
