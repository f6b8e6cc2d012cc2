/* What the vector attention kernels share: a block of queries that walk the tiles together. */
#ifndef TINI_SCALAR_ATTENTION_H
#define TINI_SCALAR_ATTENTION_H

#include "../../core/kernel.h"
#include "../../core/math.h"

enum {
    TINI_BLOCK_QUERIES = 12, /* queries that share a tile while it is in the first cache */
    TINI_PANEL_QUERIES = 6   /* queries that share a loaded key or value */
};

/* Query n of a call is row n / heads, head n % heads. */
typedef struct tini_block {
    float q[TINI_BLOCK_QUERIES][TINI_HEAD_DIM];
    float acc[TINI_BLOCK_QUERIES][TINI_HEAD_DIM];
    float weights[TINI_BLOCK_QUERIES][TINI_KV_TILE]; /* of this tile: scores, then exp(score - maximum) */
    float lanes[TINI_BLOCK_QUERIES][16];             /* the partial sums of the weights */
    float maximum[16], alpha[16];
    uint32_t first[TINI_BLOCK_QUERIES], position[TINI_BLOCK_QUERIES];
    uint32_t begin[TINI_BLOCK_QUERIES], end[TINI_BLOCK_QUERIES]; /* positions of this tile that the query sees */
    uint32_t query, count, head_dim;
    uint32_t base, last;                    /* the first tile's first position, the last position seen */
    uint32_t lowest, highest;               /* positions of this tile that any query sees */
    const uint8_t *keys, *values, *ahead;   /* this tile's, and the next one's keys */
} tini_block;

TINI_REGION_SCALAR

/* Takes queries from `query` on. */
TINI_INLINE void tini_block_begin(tini_block *b, const tini_kv *kv, const tini_attention *a, uint32_t query) {
    uint32_t left = a->rows * a->heads - query;
    b->query = query;
    b->count = left < TINI_BLOCK_QUERIES ? left : TINI_BLOCK_QUERIES;
    b->head_dim = kv->head_dim;
    for (uint32_t h = 0; h < b->count; h++) {
        uint32_t row = (query + h) / a->heads, head = (query + h) % a->heads;
        memcpy(b->q[h], a->q + row * a->q_stride + (size_t)head * b->head_dim, b->head_dim * sizeof(float));
        memset(b->acc[h], 0, b->head_dim * sizeof(float));
        memset(b->lanes[h], 0, sizeof b->lanes[h]);
        b->position[h] = a->position + row;
        b->first[h] = tini_attention_first(a, b->position[h]);
    }
    for (uint32_t h = 0; h < 16; h++)
        b->maximum[h] = -TINI_INFINITY;
    b->base = b->first[0] - b->first[0] % TINI_KV_TILE;
    b->last = b->position[b->count - 1];
}

/* Turns to the tile at position `base`; key_bytes and value_bytes are of one place. */
TINI_INLINE void tini_block_tile(tini_block *b, const tini_kv *kv, uint32_t base, size_t key_bytes,
                                 size_t value_bytes) {
    b->lowest = TINI_KV_TILE;
    b->highest = 0;
    for (uint32_t h = 0; h < b->count; h++) {
        uint32_t first = b->first[h], position = b->position[h];
        uint32_t begin = first > base ? first - base : 0;
        uint32_t end = position < base ? 0 : position - base < TINI_KV_TILE ? position - base + 1 : TINI_KV_TILE;
        if (begin >= end)
            begin = end = 0;
        b->begin[h] = begin;
        b->end[h] = end;
        if (begin < end) {
            b->lowest = begin < b->lowest ? begin : b->lowest;
            b->highest = end > b->highest ? end : b->highest;
        }
    }
    size_t place = base % kv->capacity, next = base + TINI_KV_TILE > b->last ? place : (base + TINI_KV_TILE) % kv->capacity;
    b->keys = (const uint8_t *)kv->keys + place * key_bytes;
    b->values = (const uint8_t *)kv->values + place * value_bytes;
    b->ahead = (const uint8_t *)kv->keys + next * key_bytes;
}

/* How many of `left` queries the next panel takes: 6, 4, 3, 2 or 1. */
TINI_INLINE uint32_t tini_block_panel(uint32_t left) {
    if (left == 7 || left == 8)
        return 4;
    return left >= 6 ? 6 : left == 5 ? 3 : left;
}

/* out = acc * (1 / sum of the weights). */
TINI_INLINE void tini_block_end(const tini_block *b, const tini_attention *a) {
    for (uint32_t h = 0; h < b->count; h++) {
        uint32_t row = (b->query + h) / a->heads, head = (b->query + h) % a->heads;
        float *out = a->out + row * a->out_stride + (size_t)head * b->head_dim;
        float inverse = 1.0f / tini_sum16(b->lanes[h]);
        for (uint32_t d = 0; d < b->head_dim; d++)
            out[d] = b->acc[h][d] * inverse;
    }
}

TINI_REGION_END

#endif
