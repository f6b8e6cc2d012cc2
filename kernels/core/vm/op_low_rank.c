#include "op_low_rank.h"
#include "../base/memory.h"
#include "op_matmul.h"

TINI_REGION_REFERENCE

/* Ranks of an item: what q8 has in a block, so that an item can round its own. */
enum { RANKS = TINI_BLOCK };

/* Bytes that are asked for at once. */
enum { MOST_ASKED = 1 << 16 };

/* One product A x: of a group's rows that the op computes, with one adapter's factors of one of the op's matrices. */
typedef struct product {
    const tini_factors *factors;
    const tin_adapter *adapter;
    float scale;
    uint32_t row, rows; /* of the pass */
    uint32_t width;     /* of t */
    float *low;         /* [rows][width] */
    tini_q8 *low_q8;    /* [rows][width / TINI_BLOCK], where B reads them */
} product;

/* Goes on to the next product of the op with matrix `k`, or any (TINI_NONE): group, adapter and matrix count up in this
 * order of turns; 0 past the last. */
typedef struct products {
    const tini_run *r;
    uint32_t only, group, adapter, k, before; /* before: widths of the group's products so far */
} products;

static int next_product(products *at, product *out) {
    const tini_pass *pass = at->r->pass;
    for (; at->group < pass->group_count; at->group++, at->adapter = at->k = at->before = 0) {
        const tini_shared_rows *g = &pass->groups[at->group];
        uint32_t begin = g->row > at->r->begin ? g->row : at->r->begin;
        uint32_t end = g->row + g->rows < at->r->end ? g->row + g->rows : at->r->end;
        for (; begin < end && at->adapter < g->adapters->count; at->adapter++, at->k = 0)
            while (at->k < 3) {
                const tini_applied *a = &g->adapters->at[at->adapter];
                uint32_t k = at->k++;
                const tini_factors *f = tini_factors_of(a->adapter, at->r->op->tensor[k]);
                if (!f)
                    continue;
                size_t place = 3 * (size_t)begin * pass->rank + (size_t)at->before * (end - begin);
                at->before += tini_factors_width(f);
                if (at->only != TINI_NONE && at->only != k)
                    continue;
                *out = (product){
                    .factors = f,
                    .adapter = a->adapter,
                    .scale = f->scale * a->scale,
                    .row = begin,
                    .rows = end - begin,
                    .width = tini_factors_width(f),
                    .low = pass->low + place,
                    .low_q8 = pass->low_q8 + place / TINI_BLOCK,
                };
                return 1;
            }
    }
    return 0;
}

static const uint8_t *a_of(const product *p) {
    return p->adapter->data + p->factors->a;
}

static const uint8_t *b_of(const product *p) {
    return p->adapter->data + p->factors->b;
}

static uint32_t product_items(const product *p) {
    return (p->factors->rank + RANKS - 1) / RANKS;
}

static uint32_t items_low_rank(const tini_run *r) {
    products at = {.r = r, .only = TINI_NONE};
    product p;
    uint32_t items = 0;
    while (next_product(&at, &p))
        items += product_items(&p);
    return items;
}

static uint64_t work_low_rank(const tini_run *r) {
    return (uint64_t)(r->end - r->begin) * RANKS * tini_tensor_of(r, r->op->tensor[0])->inputs;
}

/* Rows that are converted at once: they share the reading of A. */
enum { ROWS = 4 };

typedef union pieces {
    float floats[ROWS][TINI_PIECE];
    tini_q8 blocks[ROWS][TINI_PIECE / TINI_BLOCK];
} pieces;

/* `inputs` of a row's input from `at` on, in the other kind than the op has them. */
static void convert(const tini_run *r, pieces *to, uint32_t k, uint32_t row, uint32_t at, uint32_t inputs) {
    const void *x = tini_value_at(r, r->op->in[0], row);
    if (r->pass->program->values[r->op->in[0]].type == TINI_VALUE_F32) {
        r->pass->kernels->quantize_q8(to->blocks[k], (const float *)x + at, inputs);
        return;
    }
    for (uint32_t i = 0; i < inputs; i++) {
        const tini_q8 *block = (const tini_q8 *)x + (at + i) / TINI_BLOCK;
        to->floats[k][i] = block->scale * (float)block->q[(at + i) % TINI_BLOCK];
    }
}

/* Tiles of A x of up to ROWS rows, whose inputs are of the other kind than A's format reads. */
static void multiply_converted(const tini_run *r, const product *p, uint32_t first, uint32_t rows,
                               uint32_t tile, uint32_t tile_end) {
    const tini_factors *f = p->factors;
    int is_q8 = tini_format_activations(f->a_format) == TINI_VALUE_Q8;
    pieces x;
    for (uint32_t at = 0; at < f->inputs; at += TINI_PIECE) {
        uint32_t inputs = f->inputs - at < TINI_PIECE ? f->inputs - at : TINI_PIECE;
        for (uint32_t k = 0; k < rows; k++)
            convert(r, &x, k, p->row + first + k, at, inputs);
        for (uint32_t k = tile; k < tile_end; k++) {
            float *out = p->low + (size_t)first * p->width + (size_t)k * TINI_TILE;
            tini_matmul m = {
                .weights = a_of(p) + k * tini_tensor_bytes(f->a_format, TINI_TILE, f->inputs) +
                           tini_tensor_bytes(f->a_format, TINI_TILE, at), /* of 0 inputs: 0 */
                .x = &x,
                .out = out,
                .residual = at ? out : NULL,
                .x_stride = is_q8 ? sizeof *x.blocks : sizeof *x.floats,
                .out_stride = p->width,
                .residual_stride = p->width,
                .rows = rows,
                .inputs = inputs,
                .outputs = TINI_TILE,
            };
            tini_matmul_of(r, f->a_format)(&m, 0, 1);
        }
    }
}

static void multiply(const tini_run *r, const product *p, uint32_t tile, uint32_t tile_end,
                     const uint8_t *next) {
    const tini_factors *f = p->factors;
    if (r->pass->program->values[r->op->in[0]].type != tini_format_activations(f->a_format)) {
        for (uint32_t row = 0; row < p->rows; row += ROWS)
            multiply_converted(r, p, row, p->rows - row < ROWS ? p->rows - row : ROWS, tile, tile_end);
        return;
    }
    tini_matmul m = {
        .weights = a_of(p),
        .x = tini_value_at(r, r->op->in[0], p->row),
        .out = p->low,
        .next = next,
        .x_stride = tini_value_row_bytes(r, r->op->in[0]),
        .out_stride = p->width,
        .rows = p->rows,
        .inputs = f->inputs,
        .outputs = f->rank,
    };
    tini_matmul_of(r, f->a_format)(&m, tile, tile_end);
}

static void run_item(const tini_run *r, const product *p, uint32_t item, const uint8_t *next) {
    const tini_factors *f = p->factors;
    uint32_t begin = item * RANKS, end = begin + RANKS < f->rank ? begin + RANKS : f->rank;
    multiply(r, p, begin / TINI_TILE, end / TINI_TILE, next);
    for (uint32_t row = 0; row < p->rows; row++) {
        float *low = p->low + (size_t)row * p->width;
        for (uint32_t k = begin; k < end; k++)
            low[k] = low[k] * p->scale;
        if (tini_format_activations(f->b_format) != TINI_VALUE_Q8)
            continue;
        for (uint32_t k = end; k < begin + RANKS; k++)
            low[k] = 0.0f;
        r->pass->kernels->quantize_q8(p->low_q8 + ((size_t)row * p->width + begin) / TINI_BLOCK, low + begin,
                                      RANKS);
    }
}

/* The run of the matmul op after this one; 0 where there is none. */
static int later_matmul(const tini_run *r, tini_run *later) {
    const tini_program *program = r->pass->program;
    *later = *r;
    while (++later->op < program->ops + program->header->ops)
        if (later->op->kind == TINI_OP_MATMUL)
            return 1;
    return 0;
}

/* Which factor is read next, so that memory is asked for it in time: a factor by itself is over before it comes. First B of
 * the op's matrices from the k-th on; behind the last, the first A of the op after it. */
static const uint8_t *next_b(const tini_run *r, uint32_t k) {
    tini_run later;
    product p;
    for (; k < 3; k++)
        if (next_product(&(products){.r = r, .only = k}, &p))
            return b_of(&p);
    return later_matmul(r, &later) && next_product(&(products){.r = &later, .only = TINI_NONE}, &p) ? a_of(&p)
                                                                                                    : NULL;
}

void tini_low_rank_ask(const tini_run *r) {
    tini_run later;
    products at = {.r = &later, .only = TINI_NONE};
    product p;
    uint64_t left = later_matmul(r, &later) ? MOST_ASKED : 0;
    while (left && next_product(&at, &p)) {
        uint64_t bytes = tini_tensor_bytes(p.factors->a_format, p.factors->rank, p.factors->inputs);
        bytes = bytes < left ? bytes : left;
        tini_ask(a_of(&p), bytes);
        left -= bytes;
    }
}

static void run_low_rank(const tini_run *r, uint32_t item, uint32_t end) {
    products at = {.r = r, .only = TINI_NONE};
    product p, after;
    int more = next_product(&at, &p);
    for (uint32_t first = 0; first < end && more; p = after) {
        more = next_product(&at, &after);
        const uint8_t *next = more ? a_of(&after) : next_b(r, 0);
        for (uint32_t k = item > first ? item - first : 0; k < product_items(&p) && first + k < end; k++)
            run_item(r, &p, k, next);
        first += product_items(&p);
    }
}

const tini_op_functions tini_low_rank = {items_low_rank, work_low_rank, run_low_rank};

void tini_low_rank_add(const tini_run *r, uint32_t k, uint32_t tile_begin, uint32_t tile_end) {
    products at = {.r = r, .only = k};
    product p, after;
    for (int more = next_product(&at, &p); more; p = after) {
        more = next_product(&at, &after);
        const tini_factors *f = p.factors;
        int is_q8 = tini_format_activations(f->b_format) == TINI_VALUE_Q8;
        float *out = tini_value_at(r, r->op->out[k], p.row);
        tini_matmul m = {
            .weights = b_of(&p),
            .x = is_q8 ? (const void *)p.low_q8 : p.low,
            .out = out,
            .residual = out,
            .next = more ? b_of(&after) : next_b(r, k + 1),
            .x_stride = is_q8 ? p.width / TINI_BLOCK * sizeof(tini_q8) : p.width * sizeof(float),
            .out_stride = f->outputs,
            .residual_stride = f->outputs,
            .rows = p.rows,
            .inputs = p.width,
            .outputs = f->outputs,
        };
        (f->half ? r->pass->kernels->half_q8_0 : tini_matmul_of(r, f->b_format))(&m, tile_begin, tile_end);
    }
}

TINI_REGION_END
