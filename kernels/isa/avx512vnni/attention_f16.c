#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "attention.h"
#include "exp.h"

/* Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are one register; outputs have one lane an element and sum over positions in order, of which none is added that
 * the query does not see. */

TINI_REGION_AVX512VNNI

/* The positions [begin, end) of a tile as bits. */
TINI_INLINE uint64_t tini_avx512_seen(uint32_t begin, uint32_t end) {
    return begin >= end ? 0 : ~(uint64_t)0 << begin & ~(uint64_t)0 >> (TINI_KV_TILE - end);
}

void tini_weigh_avx512vnni(tini_queries *s, const tini_attention *a) {
    const float scale = tini_queries_cap(s, a);
    float highest[TINI_QUERIES];
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t seen = tini_avx512_seen(s->begin[i], s->end[i]);
        __m512 high = _mm512_set1_ps(s->maximum[i]);
        TINI_UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            __m512 score = _mm512_mul_ps(_mm512_loadu_ps(s->weights[i] + 16 * k), _mm512_set1_ps(scale));
            _mm512_storeu_ps(s->weights[i] + 16 * k, score);
            high = _mm512_mask_max_ps(high, (__mmask16)(seen >> 16 * k), high, score);
        }
        highest[i] = _mm512_reduce_max_ps(high);
    }
    for (uint32_t i = 0; i < s->count; i += 16) {
        __mmask16 queries = tini_avx512_first(s->count - i);
        __m512 now = _mm512_maskz_loadu_ps(queries, highest + i), before = _mm512_loadu_ps(s->maximum + i);
        __mmask16 higher = _mm512_cmp_ps_mask(now, before, _CMP_NEQ_UQ);
        __m512 alpha = tini_avx512_exp(_mm512_sub_ps(before, now));
        _mm512_storeu_ps(s->alpha + i, _mm512_mask_mov_ps(_mm512_set1_ps(1.0f), higher, alpha));
        _mm512_mask_storeu_ps(s->maximum + i, queries, now);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t seen = tini_avx512_seen(s->begin[i], s->end[i]);
        const __m512 maximum = _mm512_set1_ps(s->maximum[i]);
        __m512 lanes = _mm512_mul_ps(_mm512_loadu_ps(s->lanes[i]), _mm512_set1_ps(s->alpha[i]));
        TINI_UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            float *weights = s->weights[i] + 16 * k;
            __m512 weight = tini_avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(weights), maximum));
            weight = _mm512_maskz_mov_ps((__mmask16)(seen >> 16 * k), weight);
            _mm512_storeu_ps(weights, weight);
            lanes = _mm512_add_ps(lanes, weight);
        }
        _mm512_storeu_ps(s->lanes[i], lanes);
    }
}

/* The product of queries [i, i + queries) for lanes [first, first + 16 * registers). */
TINI_INLINE void tini_avx512_multiply(const tini_product *m, uint32_t i, uint32_t first, const uint32_t queries,
                                      const uint32_t registers, const int source) {
    const float *a[TINI_PANEL];
    __m512 sum[TINI_PANEL][4];
    float *out = m->out + i * m->out_stride + first;
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        a[k] = m->a[i + k];
    if (source == TINI_BYTES || m->factor) {
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            const __m512 factor = _mm512_set1_ps(m->factor[i + k]);
            TINI_UNROLL
            for (uint32_t r = 0; r < registers; r++)
                sum[k][r] = _mm512_mul_ps(_mm512_loadu_ps(out + k * m->out_stride + 16 * r), factor);
        }
    } else {
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            TINI_UNROLL
            for (uint32_t r = 0; r < registers; r++)
                sum[k][r] = _mm512_setzero_ps();
        }
    }
    const uint8_t *b = m->b + m->begin * m->row_bytes + first * 4, *ahead = m->ahead;
    if (source == TINI_BYTES)
        b += m->begin / 16 * m->group_bytes;
    for (size_t p = m->begin; p < m->end; p++, b += m->row_bytes) {
        __m512 row[4];
        TINI_UNROLL
        for (uint32_t r = 0; r < registers; r++)
            row[r] = source == TINI_FLOATS  ? _mm512_loadu_ps(b + 64 * r)
                     : source == TINI_BYTES ? tini_avx512_int8(b + 16 * r)
                                            : tini_avx512_halves(b + r * m->register_bytes);
        if (source == TINI_HALVES) {
            _mm_prefetch((const char *)ahead + 128 * p, _MM_HINT_T0);
            _mm_prefetch((const char *)ahead + 128 * p + 64, _MM_HINT_T0);
        }
        if (source == TINI_BYTES) {
            _mm_prefetch((const char *)ahead + 34 * p, _MM_HINT_T0);
            b += p % 16 == 15 ? m->group_bytes : 0;
        }
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            const __m512 element = _mm512_set1_ps(a[k][p]);
            TINI_UNROLL
            for (uint32_t r = 0; r < registers; r++)
                sum[k][r] = _mm512_add_ps(sum[k][r], _mm512_mul_ps(element, row[r]));
        }
    }
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++) {
        TINI_UNROLL
        for (uint32_t r = 0; r < registers; r++)
            _mm512_storeu_ps(out + k * m->out_stride + 16 * r, sum[k][r]);
    }
}

static void tini_avx512_widened(const tini_product *m) {
    for (uint32_t i = 0, n; i < m->queries; i += n) {
        uint32_t left = m->queries - i;
        n = left == 6 || left == 4 ? left : left >= 3 ? 3 : 1;
        if (n == 6 && m->lanes == 64) {
            tini_avx512_multiply(m, i, 0, 6, 4, TINI_FLOATS);
            continue;
        }
        for (uint32_t first = 0; first < m->lanes; first += 32)
            if (n == 6)
                tini_avx512_multiply(m, i, first, 6, 2, TINI_FLOATS);
            else if (n == 4)
                tini_avx512_multiply(m, i, first, 4, 2, TINI_FLOATS);
            else if (n == 3)
                tini_avx512_multiply(m, i, first, 3, 2, TINI_FLOATS);
            else
                tini_avx512_multiply(m, i, first, 1, 2, TINI_FLOATS);
    }
}

TINI_INLINE void tini_avx512_memory(const tini_product *m, const uint32_t registers, const int source) {
    switch (m->queries) {
    case 4:
        tini_avx512_multiply(m, 0, 0, 4, registers, source);
        break;
    case 3:
        tini_avx512_multiply(m, 0, 0, 3, registers, source);
        break;
    case 2:
        tini_avx512_multiply(m, 0, 0, 2, registers, source);
        break;
    default:
        tini_avx512_multiply(m, 0, 0, 1, registers, source);
    }
}

void tini_product_avx512vnni(const tini_product *m) {
    if (m->source == TINI_HALVES)
        tini_avx512_memory(m, 4, TINI_HALVES);
    else if (m->source == TINI_BYTES)
        tini_avx512_memory(m, 2, TINI_BYTES);
    else
        tini_avx512_widened(m);
}

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

/* Widens elements [first, first + count) of the tile's values [position][head_dim], and 0 up to `lanes`. */
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

static void tini_avx512_scores_f16(tini_queries *s) {
    const float ones[TINI_PANEL] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
    for (uint32_t d = 0; d < s->head_dim; d += TINI_WIDE) {
        tini_product m = {.out_stride = TINI_KV_TILE,
                          .factor = d ? ones : NULL,
                          .lanes = TINI_KV_TILE,
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
            n = m.queries = tini_queries_panel(s, i);
            for (uint32_t k = 0; k < n; k++)
                q[k] = s->q[i + k] + d;
            m.out = s->weights[i];
            m.a = q;
            tini_product_avx512vnni(&m);
        }
    }
}

static void tini_avx512_outputs_f16(tini_queries *s) {
    for (uint32_t d = 0; d < s->head_dim; d += TINI_WIDE) {
        uint32_t count = s->head_dim - d < TINI_WIDE ? s->head_dim - d : TINI_WIDE;
        tini_product m = {.b = (const uint8_t *)s->wide,
                          .row_bytes = sizeof s->wide[0],
                          .lanes = count > TINI_LANES ? 2 * TINI_LANES : TINI_LANES,
                          .ahead = s->ahead + 128 * d};
        if (s->count <= TINI_FEW && count == TINI_WIDE) {
            m.b = s->values + 2 * d;
            m.source = TINI_HALVES;
            m.row_bytes = (size_t)s->head_dim * 2;
            m.register_bytes = 32;
        } else {
            tini_avx512_widen_values(s, d, count, m.lanes);
        }
        tini_queries_gather(s, &m, (const float (*)[TINI_KV_TILE])s->weights, d, tini_product_avx512vnni);
    }
}

void tini_attention_f16_avx512vnni(const tini_kv *kv, const tini_attention *a) {
    const size_t bytes = (size_t)kv->head_dim * 2;
    tini_queries s;
    for (uint32_t from = 0; from < a->rows * a->heads; from += s.count) {
        tini_queries_take(&s, kv, a, from);
        for (uint32_t base = s.first[0] - s.first[0] % TINI_KV_TILE; base <= s.last[s.count - 1];
             base += TINI_KV_TILE) {
            tini_queries_tile(&s, kv, base, bytes);
            tini_avx512_scores_f16(&s);
            tini_weigh_avx512vnni(&s, a);
            tini_avx512_outputs_f16(&s);
        }
        tini_queries_finish(&s, a);
    }
}

TINI_REGION_END
#endif
