/* What the vector attention kernels share: a block of queries that walk the tiles together.
 *
 * A tile's keys, and then its values, are widened once into `wide`, and each register of it that is loaded serves a panel of
 * up to six queries, of one row or of several. Where the queries of a panel see different positions, those that all see are
 * added together and the others query by query, before or after, so that each query adds its own in order and no
 * other. */
#ifndef TINI_SCALAR_ATTENTION_H
#define TINI_SCALAR_ATTENTION_H

#include "../../core/kernel.h"
#include "../../core/math.h"

enum {
    TINI_QUERIES = 24,   /* of a block, at most */
    TINI_PANEL = 6,      /* queries of a panel, at most */
    TINI_FEW = 8,        /* queries for which widening a tile beforehand does not pay */
    TINI_WIDE = 64,      /* floats of a row of `wide` */
    TINI_OUTPUTS = 3072, /* floats of all the accumulators */
};

/* Query n of a call is row n / heads, head n % heads. */
typedef struct tini_queries {
    float wide[TINI_KV_TILE][TINI_WIDE];              /* [element][position] or [position][element] */
    float acc[TINI_OUTPUTS];                          /* [query][head_dim] */
    float weights[TINI_QUERIES][TINI_KV_TILE];        /* of this tile: scores, then exp(score - maximum) */
    float lanes[TINI_QUERIES][16];                    /* the partial sums of the weights */
    float maximum[32], alpha[32];                     /* a query each */
    const float *q[TINI_QUERIES];                     /* [head_dim] */
    uint32_t first[TINI_QUERIES], last[TINI_QUERIES]; /* positions the query sees: from first up to last */
    uint32_t begin[TINI_QUERIES], end[TINI_QUERIES];  /* those of this tile, [begin, end) */
    uint32_t from, count, head_dim;
    uint32_t low, high;                   /* positions of this tile that some query sees, [low, high) */
    const uint8_t *keys, *values, *ahead; /* this tile's, and the next one's keys */
} tini_queries;

/* What a product's rows are made of. */
enum {
    TINI_FLOATS, /* widened before */
    TINI_HALVES, /* float16, each 16 register_bytes after the 16 before */
    TINI_BYTES   /* int8; after each 16 rows, group_bytes of something else */
};

/* One panel's product: for i < queries and a row of lanes,
 *     out[i][lane] = (out[i][lane] * factor[i]) + the sum over k of [begin, end), in order, of a[i][k] * b[k][lane]
 * and beginning with 0 where there are no factors. Row k of b is at b + k * row_bytes. Rows that are not floats come from memory:
 * `ahead` is where to ask for what is needed next, in all as much as the product reads. */
typedef struct tini_product {
    float *out;
    size_t out_stride;
    const float *const *a;
    const float *factor;
    const uint8_t *b, *ahead;
    size_t row_bytes, register_bytes, group_bytes;
    uint32_t begin, end;
    int source;
} tini_product;

TINI_REGION_SCALAR

/* Takes as many queries as fit, from query `from` on. */
TINI_INLINE void tini_queries_take(tini_queries *s, const tini_kv *kv, const tini_attention *a, uint32_t from) {
    uint32_t fit = TINI_OUTPUTS / kv->head_dim, left = a->rows * a->heads - from;
    fit = fit < TINI_QUERIES ? fit : TINI_QUERIES;
    s->from = from;
    s->count = left < fit ? left : fit;
    s->head_dim = kv->head_dim;
    memset(s->acc, 0, (size_t)s->count * s->head_dim * sizeof(float));
    memset(s->lanes, 0, s->count * sizeof s->lanes[0]);
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t row = (from + i) / a->heads, head = (from + i) % a->heads;
        s->q[i] = a->q + row * a->q_stride + (size_t)head * s->head_dim;
        s->last[i] = a->position + row;
        s->first[i] = tini_attention_first(a, s->last[i]);
    }
    for (uint32_t i = 0; i < 32; i++)
        s->maximum[i] = -TINI_INFINITY;
}

/* Turns to the tile at position `base`. key_bytes and value_bytes: of one place. */
TINI_INLINE void tini_queries_tile(tini_queries *s, const tini_kv *kv, uint32_t base, size_t key_bytes,
                                   size_t value_bytes) {
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
    s->keys = (const uint8_t *)kv->keys + place * key_bytes;
    s->values = (const uint8_t *)kv->values + place * value_bytes;
    s->ahead = (const uint8_t *)kv->keys + next * key_bytes;
}

/* How many of the queries from i on make the next panel: 6, 4, 3, 2 or 1, and no 6 in a block of few. */
TINI_INLINE uint32_t tini_queries_panel(const tini_queries *s, uint32_t i) {
    uint32_t left = s->count - i;
    if (left > 8 || (left == 6 && s->count > TINI_FEW))
        return 6;
    return left > 4 ? (left + 1) / 2 : left;
}

/* The positions that all of the n queries from i on see: [*begin, *end), both TINI_KV_TILE when there is none. */
TINI_INLINE void tini_queries_common(const tini_queries *s, uint32_t i, uint32_t n, uint32_t *begin,
                                     uint32_t *end) {
    uint32_t low = 0, high = TINI_KV_TILE;
    for (uint32_t k = i; k < i + n; k++) {
        low = s->begin[k] > low ? s->begin[k] : low;
        high = s->end[k] < high ? s->end[k] : high;
    }
    *begin = low < high ? low : TINI_KV_TILE;
    *end = low < high ? high : TINI_KV_TILE;
}

/* The product for `lanes` lanes: 32 for a q8 cache, else at most 64, and all 64 of float16. */
typedef void tini_panel_fn(const tini_product *m, uint32_t queries, uint32_t lanes);

/* The product over the positions that the query sees of [begin, end), if any; its factor is 1 from then on. */
static void tini_gather_one(const tini_product *panel, uint32_t k, float *factor, uint32_t begin, uint32_t end,
                            uint32_t lanes, tini_panel_fn *multiply) {
    if (begin >= end)
        return;
    tini_product one = *panel;
    one.out += k * one.out_stride;
    one.a += k;
    one.factor = factor;
    one.begin = begin;
    one.end = end;
    multiply(&one, 1, lanes);
    *factor = 1.0f;
}

/* acc[first .. first + lanes) of all queries: times alpha, then + weights * values. `values` holds b, its strides and what
 * is ahead; weights are [query][TINI_KV_TILE]. */
TINI_INLINE void tini_gather(tini_queries *s, const tini_product *values, const float (*weights)[TINI_KV_TILE],
                             uint32_t first, uint32_t lanes, tini_panel_fn *multiply) {
    for (uint32_t i = 0, n; i < s->count; i += n) {
        const float *a[TINI_PANEL];
        float factor[TINI_PANEL];
        tini_product m = *values;
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
            tini_gather_one(&m, k, &factor[k], s->begin[i + k], m.begin < end ? m.begin : end, lanes, multiply);
        }
        if (m.begin == m.end)
            continue;
        multiply(&m, n, lanes);
        for (uint32_t k = 0; k < n; k++) {
            factor[k] = 1.0f;
            tini_gather_one(&m, k, &factor[k], m.end, s->end[i + k], lanes, multiply);
        }
    }
}

/* out = acc * (1 / the sum of the weights). */
TINI_INLINE void tini_queries_finish(const tini_queries *s, const tini_attention *a) {
    for (uint32_t i = 0; i < s->count; i++) {
        uint32_t row = (s->from + i) / a->heads, head = (s->from + i) % a->heads;
        float *out = a->out + row * a->out_stride + (size_t)head * s->head_dim;
        const float *acc = s->acc + (size_t)i * s->head_dim;
        float inverse = 1.0f / tini_sum16(s->lanes[i]);
        for (uint32_t d = 0; d < s->head_dim; d++)
            out[d] = acc[d] * inverse;
    }
}

TINI_REGION_END

#endif
