/* The walks of attention on AVX2 and AVX-512: over blocks of queries, over tiles, over the elements that are widened at
 * once. What registers do is each set's own, and given as steps. */
#ifndef TINI_X86_ATTENTION_H
#define TINI_X86_ATTENTION_H

#include "queries.h"

/* Turns the scores of a tile, not yet times the scale, into weights, and sets alpha. A masked position weighs 0, which leaves
 * a partial sum unchanged. A query without a visible position has alpha = 1 and stays unchanged. The largest score does not
 * depend on the order of comparisons, and which zero it is does not matter to exp. */
typedef void tini_weigh_fn(tini_queries *s, const tini_attention *a);

/* Float16 caches. */
typedef struct tini_f16_steps {
    tini_product_fn *multiply;
    tini_weigh_fn *weigh;
    /* Widens elements [first, first + count) of the tile's keys [group][head_dim][16]. */
    void (*widen_keys)(tini_queries *s, uint32_t first, uint32_t count);
    /* Widens elements [first, first + count) of the tile's values [position][head_dim], and 0 up to `lanes`. */
    void (*widen_values)(tini_queries *s, uint32_t first, uint32_t count, uint32_t lanes);
} tini_f16_steps;

void tini_attention_f16_walk(const tini_kv *kv, const tini_attention *a, const tini_f16_steps *steps);

/* Int8 caches: the queries as int8 too. */
typedef struct tini_q8_queries {
    tini_queries s;
    tini_q8 q[TINI_OUTPUTS / TINI_BLOCK];      /* [block][query of count] */
    float weights[TINI_QUERIES][TINI_KV_TILE]; /* times the scales of a block of values */
    size_t group_bytes;
} tini_q8_queries;

typedef struct tini_q8_steps {
    tini_product_fn *multiply;
    tini_weigh_fn *weigh;
    /* Scores of the tile: s.weights. */
    void (*scores)(tini_q8_queries *t);
    /* weights = s.weights times the scales of a block of values; scales: those of the tile's first group. */
    void (*scale)(tini_q8_queries *t, const uint8_t *scales);
    /* Widens the 32 values of each position of the tile, at values + p * row_bytes + p / 16 * skip for position p. */
    void (*widen)(tini_queries *s, const uint8_t *values, size_t row_bytes, size_t skip);
} tini_q8_steps;

void tini_attention_q8_walk(const tini_kv *kv, const tini_attention *a, const tini_q8_steps *steps);

#endif
