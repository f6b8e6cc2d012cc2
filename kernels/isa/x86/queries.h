/* What the attention kernels of AVX2 and AVX-512 share: a block of queries that walk the tiles together.
 *
 * A tile's keys, and then its values, are widened once into `wide`, and each register of it that is loaded serves a panel of
 * up to six queries, of one row or of several. Where the queries of a panel see different positions, those that all see are
 * added together and the others query by query, before or after, so that each query adds its own in order and no
 * other. */
#ifndef TINI_X86_QUERIES_H
#define TINI_X86_QUERIES_H

#include <string.h>

#include "../../core/base/kernel.h"
#include "../../core/base/rows.h"

enum {
    TINI_QUERIES = 48,   /* of a block, at most */
    TINI_PANEL = 6,      /* queries of a panel, at most */
    TINI_FEW = 8,        /* queries for which widening a tile beforehand does not pay */
    TINI_WIDE = 64,      /* floats of a row of `wide` */
    TINI_LANES = 32,     /* a product's lanes come in multiples of this */
    TINI_OUTPUTS = 3072, /* floats of all the accumulators */
};

/* Query n of a call is row n / heads, head n % heads. Aligned, so that no register lies in two cache lines. */
typedef struct tini_queries {
    _Alignas(64) float wide[TINI_KV_TILE][TINI_WIDE]; /* [element][position] or [position][element] */
    float acc[TINI_OUTPUTS];                          /* [query][stride] */
    float weights[TINI_QUERIES][TINI_KV_TILE];        /* of this tile: scores, then exp(score - maximum) */
    float lanes[TINI_QUERIES][16];                    /* the partial sums of the weights */
    float maximum[TINI_QUERIES], alpha[TINI_QUERIES]; /* a query each */
    const float *q[TINI_QUERIES];                     /* [head_dim] */
    uint32_t first[TINI_QUERIES], last[TINI_QUERIES]; /* positions the query sees: from first up to last */
    uint32_t begin[TINI_QUERIES], end[TINI_QUERIES];  /* those of this tile, [begin, end) */
    uint32_t from, count, head_dim;
    uint32_t stride;                      /* head_dim, rounded up to a multiple of TINI_LANES */
    uint32_t low, high;                   /* positions of this tile that some query sees, [low, high) */
    const uint8_t *keys, *values, *ahead; /* this tile's, and the next one's keys */
} tini_queries;

/* What a product's rows are made of. */
enum {
    TINI_FLOATS, /* widened before */
    TINI_HALVES, /* float16, each 16 register_bytes after the 16 before */
    TINI_BYTES   /* int8; after each 16 rows, group_bytes of something else */
};

/* A product of `queries` queries: for i < queries and lane < lanes,
 *     out[i][lane] = (out[i][lane] * factor[i]) + the sum over k of [begin, end), in order, of a[i][k] * b[k][lane]
 * and beginning with 0 where there are no factors; a product of bytes has some. Row k of b is at b + k * row_bytes. Rows that are
 * not floats come from memory, for at most 4 queries: `ahead` is where to ask for what is needed next, in all as much as
 * the product reads. */
typedef struct tini_product {
    float *out;
    size_t out_stride;
    const float *const *a;
    const float *factor;
    const uint8_t *b, *ahead;
    size_t row_bytes, register_bytes, group_bytes;
    uint32_t begin, end;
    uint32_t queries, lanes; /* lanes: TINI_LANES or 2 * TINI_LANES, the latter if the rows are halves */
    int source;
} tini_product;

typedef void tini_product_fn(const tini_product *m);

/* Takes as many queries as fit, from query `from` on. */
void tini_queries_take(tini_queries *s, const tini_kv *kv, const tini_attention *a, uint32_t from);

/* Turns to the tile at position `base`. bytes: of one place's keys, and of its values. */
void tini_queries_tile(tini_queries *s, const tini_kv *kv, uint32_t base, size_t bytes);

/* Where scores have a cap, scales and caps those of this tile that are seen. Returns what is still to be scaled by. */
float tini_queries_cap(tini_queries *s, const tini_attention *a);

/* How many of the queries from i on make the next panel: 6, 4, 3, 2 or 1, and no 6 in a block of few. */
uint32_t tini_queries_panel(const tini_queries *s, uint32_t i);

/* acc[first .. first + m->lanes) of all queries: times alpha, then + weights * values. `m` holds b, its strides, lanes and
 * what is ahead; weights are [query][TINI_KV_TILE]. */
void tini_queries_gather(tini_queries *s, tini_product *m, const float (*weights)[TINI_KV_TILE], uint32_t first,
                         tini_product_fn *multiply);

/* out = acc * (1 / the sum of the weights). */
void tini_queries_finish(const tini_queries *s, const tini_attention *a);

#endif
