/* Ops of an encoder's attention by integers: packing all rows' keys and values, and the products with them. */
#include "op.h"
#include "../base/math.h"

#include <string.h>

TINI_REGION_SCALAR

/* Rows that attention takes at once: as many as its stack has room for. */
#if defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
enum { TINI_WHOLE_ROWS = 2 };
#else
enum { TINI_WHOLE_ROWS = 32 };
#endif

static uint32_t parts(uint32_t count, uint32_t of) {
    return (count + of - 1) / of;
}

static const tini_cache *cache_of(const tini_run *r) {
    return &r->pass->program->caches[r->op->cache];
}

static tini_kv kv_of(const tini_run *r, uint32_t head) {
    return tini_caches_at(r->pass->blocks[0].caches, r->op->cache, head);
}

/* Positions of the tile that begins at `base`. */
static uint32_t tile_count(const tini_run *r, uint32_t base) {
    return r->end - base < TINI_WHOLE_TILE ? r->end - base : TINI_WHOLE_TILE;
}

/* Where a tile of values begins; keys at a multiple of 16 positions. */
static uint8_t *at(void *base, const tini_kv *kv, uint32_t position) {
    return (uint8_t *)base + position * tini_kv_place_bytes(TIN_KV_Q8, kv->head_dim);
}

/* Packs a block of x[rows][stride], of which lane's input i is x[lane * across + i * down]; past `lanes` and `inputs` there
 * is 0. */
static void pack(const tini_run *r, uint8_t *block, const float *x, size_t across, size_t down, uint32_t lanes,
                 uint32_t inputs) {
    if (across == 1 && lanes >= TINI_TILE && inputs >= TINI_BLOCK) {
        r->pass->kernels->pack_q8(block, x, down);
        return;
    }
    float whole[TINI_BLOCK * TINI_TILE] = {0};
    lanes = lanes < TINI_TILE ? lanes : TINI_TILE;
    inputs = inputs < TINI_BLOCK ? inputs : TINI_BLOCK;
    for (uint32_t lane = 0; lane < lanes; lane++)
        for (uint32_t i = 0; i < inputs; i++)
            whole[i * TINI_TILE + lane] = x[lane * across + i * down];
    r->pass->kernels->pack_q8(block, whole, TINI_TILE);
}

/* An item is 32 positions of one head. */
static uint32_t items_kv_whole(const tini_run *r) {
    return parts(r->end, TINI_BLOCK) * cache_of(r)->heads;
}

static uint64_t work_kv_whole(const tini_run *r) {
    return (uint64_t)TINI_BLOCK * 8 * cache_of(r)->head_dim;
}

static void run_kv_whole(const tini_run *r, uint32_t item, uint32_t end) {
    const size_t width = tini_value_width(r, r->op->in[0]);
    const uint32_t head_dim = cache_of(r)->head_dim, blocks = parts(r->end, TINI_BLOCK);
    for (; item < end; item++) {
        const uint32_t head = item / blocks, first = item % blocks * TINI_BLOCK, count = r->end - first;
        const tini_kv kv = kv_of(r, head);
        const float *key = (const float *)tini_value_at(r, r->op->in[0], first) + head * head_dim,
                    *value = (const float *)tini_value_at(r, r->op->in[1], first) + head * head_dim;
        for (uint32_t p = 0; p < TINI_BLOCK && p < count; p += TINI_TILE)
            for (uint32_t d = 0; d < head_dim; d += TINI_BLOCK)
                pack(r, at(kv.keys, &kv, first + p) + d / TINI_BLOCK * TINI_PACKED_Q8, key + p * width + d,
                     width, 1, count - p, head_dim - d);
        const uint32_t base = first - first % TINI_WHOLE_TILE, row = parts(tile_count(r, base), TINI_BLOCK);
        uint8_t *block = at(kv.values, &kv, base) + (first - base) / TINI_BLOCK * TINI_PACKED_Q8;
        for (uint32_t e = 0; e < head_dim; e += TINI_TILE, block += row * TINI_PACKED_Q8)
            pack(r, block, value + e, 1, width, head_dim - e, count);
    }
}

const tini_op_functions tini_functions_kv_whole = {items_kv_whole, work_kv_whole, run_kv_whole};

/* An item is some rows of one head; those of one head follow each other. */
static uint32_t items_attention_whole(const tini_run *r) {
    return parts(r->end, TINI_WHOLE_ROWS) * r->op->u[0];
}

static uint64_t work_attention_whole(const tini_run *r) {
    return (uint64_t)TINI_WHOLE_ROWS * cache_of(r)->head_dim * r->end;
}

static void quantize_queries(const tini_run *r, tini_q8 *query, const float *q, size_t stride, uint32_t rows) {
    const uint32_t head_dim = cache_of(r)->head_dim, blocks = parts(head_dim, TINI_BLOCK);
    float whole[TINI_HEAD_DIM];
    memset(whole, 0, blocks * TINI_BLOCK * sizeof *whole);
    for (uint32_t k = 0; k < rows; k++, q += stride, query += blocks) {
        memcpy(whole, q, head_dim * sizeof *whole);
        r->pass->kernels->quantize_q8(query, whole, blocks * TINI_BLOCK);
    }
}

/* x = x * factor, whatever that is. */
static void times(float *x, uint32_t n, float factor) {
    for (uint32_t i = 0; i < n; i++)
        x[i] = x[i] * factor;
}

/* Rows [row, row + rows) of a query head: of each tile of positions in order, with acc the output so far,
 *
 *     scores = matmul_q8_0 of keys and the queries by quantize_q8, weights = softmax_q8 of the scores
 *     acc    = matmul_q8_0 of values and weights, + acc * alpha but for the first tile
 *
 * and at last out = acc * (1 / the sum of the weights). */
static void attend(const tini_run *r, uint32_t head, uint32_t row, uint32_t rows) {
    const tini_op *op = r->op;
    const tini_kernels *kernels = r->pass->kernels;
    const uint32_t head_dim = cache_of(r)->head_dim, blocks = parts(head_dim, TINI_BLOCK);
    const size_t width = tini_value_width(r, op->out[0]);
    const tini_kv kv = kv_of(r, head / (op->u[0] / cache_of(r)->heads));
    float *out = (float *)tini_value_at(r, op->out[0], row) + head * head_dim;
    _Alignas(64) float scores[TINI_WHOLE_ROWS * TINI_WHOLE_TILE];
    tini_q8 query[TINI_WHOLE_ROWS * TINI_HEAD_DIM / TINI_BLOCK],
        weights[TINI_WHOLE_ROWS * TINI_WHOLE_TILE / TINI_BLOCK];
    float maximum[TINI_WHOLE_ROWS], sum[TINI_WHOLE_ROWS], alpha[TINI_WHOLE_ROWS];
    quantize_queries(r, query, (const float *)tini_value_at(r, op->in[0], row) + head * head_dim, width, rows);
    for (uint32_t k = 0; k < rows; k++)
        maximum[k] = -TINI_INFINITY, sum[k] = 0.0f;
    for (uint32_t base = 0; base < r->end; base += TINI_WHOLE_TILE) {
        const uint32_t count = tile_count(r, base), inputs = parts(count, TINI_BLOCK) * TINI_BLOCK;
        const tini_matmul dots = {.weights = at(kv.keys, &kv, base),
                                  .x = query,
                                  .out = scores,
                                  .x_stride = blocks * sizeof *query,
                                  .out_stride = TINI_WHOLE_TILE,
                                  .rows = rows,
                                  .inputs = blocks * TINI_BLOCK,
                                  .outputs = count};
        kernels->matmul_q8_0(&dots, 0, parts(count, TINI_TILE));
        const tini_softmax softmax = {scores, weights, maximum, sum, alpha, rows, count, op->f[0]};
        kernels->softmax_q8(&softmax);
        for (uint32_t k = 0; base && k < rows; k++)
            times(out + k * width, head_dim, alpha[k]);
        const tini_matmul sums = {.weights = at(kv.values, &kv, base),
                                  .x = weights,
                                  .out = out,
                                  .residual = base ? out : NULL,
                                  .x_stride = TINI_WHOLE_TILE / TINI_BLOCK * sizeof *weights,
                                  .out_stride = width,
                                  .residual_stride = width,
                                  .rows = rows,
                                  .inputs = inputs,
                                  .outputs = head_dim};
        kernels->matmul_q8_0(&sums, 0, parts(head_dim, TINI_TILE));
    }
    for (uint32_t k = 0; k < rows; k++)
        times(out + k * width, head_dim, 1.0f / sum[k]);
}

static void run_attention_whole(const tini_run *r, uint32_t item, uint32_t end) {
    const uint32_t groups = parts(r->end, TINI_WHOLE_ROWS);
    for (; item < end; item++) {
        const uint32_t row = item % groups * TINI_WHOLE_ROWS, left = r->end - row;
        attend(r, item / groups, row, left < TINI_WHOLE_ROWS ? left : TINI_WHOLE_ROWS);
    }
}

const tini_op_functions tini_functions_attention_whole = {items_attention_whole, work_attention_whole,
                                                          run_attention_whole};

TINI_REGION_END
