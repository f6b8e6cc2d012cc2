#include "queries.h"
#if TIN_HAVE_AVX2
#include "../avx2/rows.h"

TINI_REGION_AVX2

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
        s->last[i] = tini_attention_last(a, a->position + row);
        s->first[i] = tini_attention_first(a, a->position + row);
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

TINI_REGION_END
#endif
