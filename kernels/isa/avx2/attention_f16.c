#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "attention.h"
#include "exp.h"

/* Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are two registers; outputs have one lane an element and sum over positions in order, of which none is added that
 * the query does not see. */

TINI_REGION_AVX2

/* Queries (queries.h). */

void tini_queries_take(tini_queries *s, const tini_kv *kv, const tini_attention *a, uint32_t from) {
    const uint32_t stride = (kv->head_dim + TINI_LANES - 1) & ~(uint32_t)(TINI_LANES - 1);
    uint32_t fit = TINI_OUTPUTS / stride, left = a->rows * a->heads - from;
    fit = fit < TINI_QUERIES ? fit : TINI_QUERIES;
    s->from = from;
    s->count = left < fit ? left : fit;
    s->head_dim = kv->head_dim;
    s->stride = stride;
    memset(s->acc, 0, (size_t)s->count * stride * sizeof(float));
    memset(s->lanes, 0, s->count * sizeof s->lanes[0]);
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t row = (from + i) / a->heads, head = (from + i) % a->heads;
        s->q[i] = a->q + row * a->q_stride + (size_t)head * s->head_dim;
        s->last[i] = a->position + row;
        s->first[i] = tini_attention_first(a, s->last[i]);
    }
    for (uint32_t i = 0; i < TINI_QUERIES; i++)
        s->maximum[i] = -TINI_INFINITY;
}

void tini_queries_tile(tini_queries *s, const tini_kv *kv, uint32_t base, size_t bytes) {
    s->low = TINI_KV_TILE;
    s->high = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t begin = s->first[i] > base ? s->first[i] - base : 0, end = 0;
        if (s->last[i] >= base)
            end = s->last[i] - base < TINI_KV_TILE ? s->last[i] - base + 1 : TINI_KV_TILE;
        if (begin >= end)
            begin = end = 0;
        else if (begin < s->low)
            s->low = begin;
        s->high = end > s->high ? end : s->high;
        s->begin[i] = begin;
        s->end[i] = end;
    }
    size_t place = base % kv->capacity, next = (place + TINI_KV_TILE) % kv->capacity;
    s->keys = (const uint8_t *)kv->keys + place * bytes;
    s->values = (const uint8_t *)kv->values + place * bytes;
    s->ahead = (const uint8_t *)kv->keys + next * bytes;
}

float tini_queries_cap(tini_queries *s, const tini_attention *a) {
    if (a->cap == 0.0f)
        return a->scale;
    for (uint32_t i = 0; i < s->count; i++) {
        float *scores = s->weights[i] + s->begin[i];
        tini_scale_row(scores, s->end[i] - s->begin[i], a->scale);
        tini_cap_row(scores, s->end[i] - s->begin[i], a->cap);
    }
    return 1.0f;
}

uint32_t tini_queries_panel(const tini_queries *s, uint32_t i) {
    uint32_t left = s->count - i;
    if (left > 8 || (left == 6 && s->count > TINI_FEW))
        return 6;
    return left > 4 ? (left + 1) / 2 : left;
}

/* The positions that all of the n queries from i on see: [*begin, *end), both TINI_KV_TILE when there is none. */
static void tini_queries_common(const tini_queries *s, uint32_t i, uint32_t n, uint32_t *begin, uint32_t *end) {
    uint32_t low = 0, high = TINI_KV_TILE;
    for (uint32_t k = i; k < i + n; k++) {
        low = s->begin[k] > low ? s->begin[k] : low;
        high = s->end[k] < high ? s->end[k] : high;
    }
    *begin = low < high ? low : TINI_KV_TILE;
    *end = low < high ? high : TINI_KV_TILE;
}

/* The product of a panel's query k over the positions [begin, end), if any; its factor is 1 from then on. */
static void tini_gather_one(const tini_product *panel, uint32_t k, float *factor, uint32_t begin, uint32_t end,
                            tini_product_fn *multiply) {
    if (begin >= end)
        return;
    tini_product one = *panel;
    one.out += k * one.out_stride;
    one.a += k;
    one.factor = factor;
    one.begin = begin;
    one.end = end;
    one.queries = 1;
    multiply(&one);
    *factor = 1.0f;
}

void tini_queries_gather(tini_queries *s, tini_product *m, const float (*weights)[TINI_KV_TILE], uint32_t first,
                         tini_product_fn *multiply) {
    for (uint32_t i = 0, n; i < s->count; i += n) {
        const float *a[TINI_PANEL];
        float factor[TINI_PANEL];
        n = tini_queries_panel(s, i);
        tini_queries_common(s, i, n, &m->begin, &m->end);
        m->out = s->acc + (size_t)i * s->stride + first;
        m->out_stride = s->stride;
        m->a = a;
        m->factor = factor;
        m->queries = n;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t end = s->end[i + k];
            a[k] = weights[i + k];
            factor[k] = s->alpha[i + k];
            tini_gather_one(m, k, &factor[k], s->begin[i + k], m->begin < end ? m->begin : end, multiply);
        }
        if (m->begin == m->end)
            continue;
        multiply(m);
        for (uint32_t k = 0; k < n; k++) {
            factor[k] = 1.0f;
            tini_gather_one(m, k, &factor[k], m->end, s->end[i + k], multiply);
        }
    }
}

void tini_queries_finish(const tini_queries *s, const tini_attention *a) {
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t row = (s->from + i) / a->heads, head = (s->from + i) % a->heads;
        float *out = a->out + row * a->out_stride + (size_t)head * s->head_dim;
        const float *acc = s->acc + (size_t)i * s->stride;
        const __m256 inverse = _mm256_set1_ps(1.0f / tini_sum16(s->lanes[i]));
        for (uint32_t d = 0; d < s->head_dim; d += 8)
            _mm256_storeu_ps(out + d, _mm256_mul_ps(_mm256_loadu_ps(acc + d), inverse));
    }
}

/* All ones in the lanes of positions p .. p + 7 that are of [begin, end). */
TINI_INLINE __m256 tini_avx2_seen(uint32_t p, uint32_t begin, uint32_t end) {
    const __m256i lane =
        _mm256_add_epi32(_mm256_set1_epi32((int32_t)p), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)begin), lane);
    return _mm256_castsi256_ps(
        _mm256_andnot_si256(before, _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)end), lane)));
}

void tini_weigh_avx2(tini_queries *s, const tini_attention *a) {
    const float scale = tini_queries_cap(s, a);
    float highest[TINI_QUERIES];
    for (uint32_t i = 0; i < TINI_QUERIES; i++)
        highest[i] = s->maximum[i];
    for (uint32_t i = 0; i < s->count; i++) {
        __m256 high = _mm256_set1_ps(s->maximum[i]);
        TINI_UNROLL
        for (uint32_t p = 0; p < TINI_KV_TILE; p += 8) {
            __m256 score = _mm256_mul_ps(_mm256_loadu_ps(s->weights[i] + p), _mm256_set1_ps(scale));
            score = _mm256_blendv_ps(_mm256_set1_ps(-TINI_INFINITY), score,
                                     tini_avx2_seen(p, s->begin[i], s->end[i]));
            _mm256_storeu_ps(s->weights[i] + p, score);
            high = _mm256_max_ps(high, score);
        }
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(high), _mm256_extractf128_ps(high, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        highest[i] = _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    }
    for (uint32_t i = 0; i < s->count; i += 8) {
        __m256 now = _mm256_loadu_ps(highest + i), before = _mm256_loadu_ps(s->maximum + i);
        __m256 same = _mm256_cmp_ps(now, before, _CMP_EQ_OQ);
        __m256 alpha = tini_avx2_exp(_mm256_sub_ps(before, now));
        _mm256_storeu_ps(s->alpha + i, _mm256_blendv_ps(alpha, _mm256_set1_ps(1.0f), same));
        _mm256_storeu_ps(s->maximum + i, now);
    }
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->begin[i] == s->end[i])
            continue;
        const __m256 maximum = _mm256_set1_ps(s->maximum[i]), alpha = _mm256_set1_ps(s->alpha[i]);
        for (uint32_t half = 0; half < 16; half += 8) {
            __m256 lanes = _mm256_mul_ps(_mm256_loadu_ps(s->lanes[i] + half), alpha);
            TINI_UNROLL
            for (uint32_t p = half; p < TINI_KV_TILE + half; p += 16) {
                __m256 weight = tini_avx2_exp(_mm256_sub_ps(_mm256_loadu_ps(s->weights[i] + p), maximum));
                _mm256_storeu_ps(s->weights[i] + p, weight);
                lanes = _mm256_add_ps(lanes, weight);
            }
            _mm256_storeu_ps(s->lanes[i] + half, lanes);
        }
    }
}

/* The product of queries [i, i + queries) for lanes [first, first + 16). */
TINI_INLINE void tini_avx2_multiply(const tini_product *m, uint32_t i, uint32_t first, const uint32_t queries,
                                    const int source) {
    const float *a[TINI_PANEL];
    __m256 sum[TINI_PANEL][2];
    float *out = m->out + i * m->out_stride + first;
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++)
        a[k] = m->a[i + k];
    if (source == TINI_BYTES || m->factor) {
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            const __m256 factor = _mm256_broadcast_ss(m->factor + i + k);
            TINI_UNROLL
            for (uint32_t r = 0; r < 2; r++)
                sum[k][r] = _mm256_mul_ps(_mm256_loadu_ps(out + k * m->out_stride + 8 * r), factor);
        }
    } else {
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++)
            sum[k][0] = sum[k][1] = _mm256_setzero_ps();
    }
    const uint8_t *b = m->b + m->begin * m->row_bytes, *ahead = m->ahead;
    if (source == TINI_FLOATS)
        b += 4 * first;
    else if (source == TINI_HALVES)
        b += first / 16 * m->register_bytes, ahead += 128 * first;
    else
        b += first + m->begin / 16 * m->group_bytes, ahead += 34 * first;
    for (size_t p = m->begin; p < m->end; p++, b += m->row_bytes) {
        __m256 row[2];
        TINI_UNROLL
        for (uint32_t r = 0; r < 2; r++)
            row[r] = source == TINI_FLOATS   ? _mm256_loadu_ps((const float *)(const void *)b + 8 * r)
                     : source == TINI_HALVES ? tini_avx2_halves(b + 16 * r)
                                             : tini_avx2_int8(b + 8 * r);
        if (source == TINI_HALVES)
            _mm_prefetch((const char *)ahead + 32 * p, _MM_HINT_T0);
        if (source == TINI_BYTES) {
            _mm_prefetch((const char *)ahead + 17 * p, _MM_HINT_T0);
            b += p % 16 == 15 ? m->group_bytes : 0;
        }
        TINI_UNROLL
        for (uint32_t k = 0; k < queries; k++) {
            __m256 element = _mm256_broadcast_ss(a[k] + p);
            TINI_UNROLL
            for (uint32_t r = 0; r < 2; r++)
                sum[k][r] = _mm256_add_ps(sum[k][r], _mm256_mul_ps(element, row[r]));
        }
    }
    TINI_UNROLL
    for (uint32_t k = 0; k < queries; k++) {
        TINI_UNROLL
        for (uint32_t r = 0; r < 2; r++)
            _mm256_storeu_ps(out + k * m->out_stride + 8 * r, sum[k][r]);
    }
}

static void tini_avx2_widened(const tini_product *m) {
    for (uint32_t i = 0, n; i < m->queries; i += n) {
        uint32_t left = m->queries - i;
        n = left == 6 || left == 4 ? left : left >= 3 ? 3 : 1;
        for (uint32_t first = 0; first < m->lanes; first += 16)
            if (n == 6)
                tini_avx2_multiply(m, i, first, 6, TINI_FLOATS);
            else if (n == 4)
                tini_avx2_multiply(m, i, first, 4, TINI_FLOATS);
            else if (n == 3)
                tini_avx2_multiply(m, i, first, 3, TINI_FLOATS);
            else
                tini_avx2_multiply(m, i, first, 1, TINI_FLOATS);
    }
}

TINI_INLINE void tini_avx2_memory(const tini_product *m, uint32_t first, const int source) {
    switch (m->queries) {
    case 4:
        tini_avx2_multiply(m, 0, first, 4, source);
        break;
    case 3:
        tini_avx2_multiply(m, 0, first, 3, source);
        break;
    case 2:
        tini_avx2_multiply(m, 0, first, 2, source);
        break;
    default:
        tini_avx2_multiply(m, 0, first, 1, source);
    }
}

void tini_product_avx2(const tini_product *m) {
    if (m->source == TINI_FLOATS)
        tini_avx2_widened(m);
    else
        for (uint32_t first = 0; first < m->lanes; first += 16)
            if (m->source == TINI_HALVES)
                tini_avx2_memory(m, first, TINI_HALVES);
            else
                tini_avx2_memory(m, first, TINI_BYTES);
}

/* Widens elements [first, first + count) of the tile's keys [group][head_dim][16]. */
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

/* Widens elements [first, first + count) of the tile's values [position][head_dim], and 0 up to `lanes`. */
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

static void tini_avx2_scores_f16(tini_queries *s) {
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
            tini_avx2_widen_keys(s, d, m.end);
        }
        for (uint32_t i = 0, n; i < s->count; i += n) {
            const float *q[TINI_PANEL];
            n = m.queries = tini_queries_panel(s, i);
            for (uint32_t k = 0; k < n; k++)
                q[k] = s->q[i + k] + d;
            m.out = s->weights[i];
            m.a = q;
            tini_product_avx2(&m);
        }
    }
}

static void tini_avx2_outputs_f16(tini_queries *s) {
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
            tini_avx2_widen_values(s, d, count, m.lanes);
        }
        tini_queries_gather(s, &m, (const float (*)[TINI_KV_TILE])s->weights, d, tini_product_avx2);
    }
}

void tini_attention_f16_avx2(const tini_kv *kv, const tini_attention *a) {
    const size_t bytes = (size_t)kv->head_dim * 2;
    tini_queries s;
    for (uint32_t from = 0; from < a->rows * a->heads; from += s.count) {
        tini_queries_take(&s, kv, a, from);
        for (uint32_t base = s.first[0] - s.first[0] % TINI_KV_TILE; base <= s.last[s.count - 1];
             base += TINI_KV_TILE) {
            tini_queries_tile(&s, kv, base, bytes);
            tini_avx2_scores_f16(&s);
            tini_weigh_avx2(&s, a);
            tini_avx2_outputs_f16(&s);
        }
        tini_queries_finish(&s, a);
    }
}

TINI_REGION_END
#endif
