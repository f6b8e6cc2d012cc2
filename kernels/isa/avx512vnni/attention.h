/* What the attention kernels share on AVX-512. */
#ifndef TINI_AVX512VNNI_ATTENTION_H
#define TINI_AVX512VNNI_ATTENTION_H

#include "../scalar/attention.h"
#include "exp.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

/* One panel's product: for i < queries and a row of lanes,
 *     out[i][lane] = (out[i][lane] * factor[i]) + the sum over k of [begin, end), in order, of a[i][k] * b[k][lane]
 * and beginning with 0 where there are no factors. Row k of b is at b + k * row_bytes: floats; or, in whole registers only,
 * float16, 16 of them register_bytes after the 16 before. Such rows come from memory: `ahead` is where to ask for what is needed
 * next, 128 bytes a step. */
typedef struct tini_avx512_product {
    float *out;
    size_t out_stride;
    const float *const *a;
    const float *factor;
    const uint8_t *b, *ahead;
    size_t row_bytes, register_bytes;
    uint32_t begin, end;
} tini_avx512_product;

TINI_INLINE void tini_avx512_multiply(const tini_avx512_product *m, uint32_t first, __mmask16 lanes,
                                      const uint32_t queries, const uint32_t registers, const int halves) {
    const float *a[TINI_PANEL];
    __m512 sum[TINI_PANEL][4];
    float *out = m->out + first;
    for (uint32_t i = 0; i < queries; i++) {
        a[i] = m->a[i];
        for (uint32_t r = 0; r < registers; r++) {
            sum[i][r] = _mm512_setzero_ps();
            if (m->factor)
                sum[i][r] = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, out + i * m->out_stride + 16 * r),
                                          _mm512_set1_ps(m->factor[i]));
        }
    }
    const uint8_t *b = m->b + m->begin * m->row_bytes + first * 4, *ahead = m->ahead + 128 * m->begin;
    for (size_t k = m->begin; k < m->end; k++, b += m->row_bytes) {
        __m512 row[4];
        for (uint32_t r = 0; r < registers; r++)
            row[r] = halves ? tini_avx512_halves(b + r * m->register_bytes) : _mm512_loadu_ps(b + 64 * r);
        if (halves) {
            _mm_prefetch((const char *)ahead, _MM_HINT_T0);
            _mm_prefetch((const char *)ahead + 64, _MM_HINT_T0);
            ahead += 128;
        }
        for (uint32_t i = 0; i < queries; i++) {
            __m512 element = _mm512_set1_ps(a[i][k]);
            for (uint32_t r = 0; r < registers; r++)
                sum[i][r] = _mm512_add_ps(sum[i][r], _mm512_mul_ps(element, row[r]));
        }
    }
    for (uint32_t i = 0; i < queries; i++)
        for (uint32_t r = 0; r < registers; r++)
            _mm512_mask_storeu_ps(out + i * m->out_stride + 16 * r, lanes, sum[i][r]);
}

TINI_INLINE void tini_avx512_lanes(const tini_avx512_product *m, uint32_t lanes, const uint32_t queries) {
    if (m->register_bytes && queries <= 4) {
        tini_avx512_multiply(m, 0, 0xffff, queries, 4, 1);
        return;
    }
    if (lanes == 64) {
        tini_avx512_multiply(m, 0, 0xffff, queries, 4, 0);
        return;
    }
    for (uint32_t first = 0; first < lanes; first += 16)
        tini_avx512_multiply(m, first, tini_avx512_first(lanes - first), queries, 1, 0);
}

/* For `lanes` lanes, at most 64. */
static void tini_avx512_panel(const tini_avx512_product *m, uint32_t queries, uint32_t lanes) {
    switch (queries) {
    case 6:
        tini_avx512_lanes(m, lanes, 6);
        break;
    case 4:
        tini_avx512_lanes(m, lanes, 4);
        break;
    case 3:
        tini_avx512_lanes(m, lanes, 3);
        break;
    case 2:
        tini_avx512_lanes(m, lanes, 2);
        break;
    default:
        tini_avx512_lanes(m, lanes, 1);
    }
}

/* The positions [begin, end) of a tile as bits. */
TINI_INLINE uint64_t tini_avx512_seen(uint32_t begin, uint32_t end) {
    return begin >= end ? 0 : ~(uint64_t)0 << begin & ~(uint64_t)0 >> (TINI_KV_TILE - end);
}

/* Turns the scores of a tile, not yet times `scale`, into weights, and sets alpha. A position that is not seen weighs 0, which
 * leaves a partial sum as it was; a query that sees none has alpha = 1 and stays as it was. The largest score does not
 * depend on the order of comparisons, and which zero it is does not matter to exp. */
static void tini_avx512_weigh(tini_queries *s, float scale) {
    float highest[32];
    for (uint32_t i = 0; i < s->count; i++) {
        uint64_t seen = tini_avx512_seen(s->begin[i], s->end[i]);
        __m512 high = _mm512_set1_ps(s->maximum[i]);
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

/* The product over the positions that the query sees of [begin, end), if any; its factor is 1 from then on. */
static void tini_avx512_gather_one(const tini_avx512_product *panel, uint32_t k, float *factor, uint32_t begin,
                                   uint32_t end, uint32_t lanes) {
    if (begin >= end)
        return;
    tini_avx512_product one = *panel;
    one.out += k * one.out_stride;
    one.a += k;
    one.factor = factor;
    one.begin = begin;
    one.end = end;
    tini_avx512_panel(&one, 1, lanes);
    *factor = 1.0f;
}

/* acc[first .. first + lanes) of all queries: times alpha, then + weights * values. `values` holds b, its strides and what
 * is ahead; weights are [query][TINI_KV_TILE]. */
static void tini_avx512_gather(tini_queries *s, const tini_avx512_product *values,
                               const float (*weights)[TINI_KV_TILE], uint32_t first, uint32_t lanes) {
    for (uint32_t i = 0, n; i < s->count; i += n) {
        const float *a[TINI_PANEL];
        float factor[TINI_PANEL];
        tini_avx512_product m = *values;
        n = tini_queries_panel(s, i);
        tini_queries_common(s, i, n, &m.begin, &m.end);
        m.out = s->acc + (size_t)i * s->head_dim + first;
        m.out_stride = s->head_dim;
        m.a = a;
        m.factor = factor;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t end = s->end[i + k];
            a[k] = weights[i + k];
            factor[k] = s->alpha[i + k];
            tini_avx512_gather_one(&m, k, &factor[k], s->begin[i + k], m.begin < end ? m.begin : end, lanes);
        }
        if (m.begin == m.end)
            continue;
        tini_avx512_panel(&m, n, lanes);
        for (uint32_t k = 0; k < n; k++) {
            factor[k] = 1.0f;
            tini_avx512_gather_one(&m, k, &factor[k], m.end, s->end[i + k], lanes);
        }
    }
}

TINI_REGION_END

#endif
