#include "ops.h"
#include "../base/math.h"
#include "../base/rows.h"
#include "embed.h"
#include "experts.h"

#include <string.h>

/* Fewer multiply-adds than this are not worth handing to other threads. */
enum { TINI_WORTH_SHARING = 1 << 15, TINI_JOBS_A_THREAD = 8 };

typedef struct op_run {
    const tini_pass *pass;
    const tini_op *op;
    uint32_t begin, end;  /* rows */
    uint32_t first_block; /* the block of row `begin` */
    uint32_t threads;
    uint32_t first, count, jobs; /* items at hand, and into how many parts they are cut */
} op_run;

static size_t value_row_bytes(const op_run *r, uint32_t value) {
    return tini_row_bytes(&r->pass->program->values[value]);
}

static void *value_at(const op_run *r, uint32_t value, uint32_t row) {
    size_t begin = (size_t)r->pass->program->values[value].offset * r->pass->most_rows;
    return r->pass->arena + begin + row * value_row_bytes(r, value);
}

static const tini_tensor *tensor_of(const op_run *r, uint32_t tensor) {
    return &r->pass->program->tensors[tensor];
}

static const uint8_t *weights_of(const op_run *r, uint32_t tensor) {
    return r->pass->program->weights + tensor_of(r, tensor)->offset;
}

static const float *vector_of(const op_run *r, uint32_t tensor) {
    return tensor == TINI_NONE ? NULL : (const float *)(const void *)weights_of(r, tensor);
}

static uint32_t value_width(const op_run *r, uint32_t value) {
    return r->pass->program->values[value].width;
}

/* Ops whose items are rows. */
static uint32_t row_items(const op_run *r) {
    return r->end - r->begin;
}

static uint64_t norm_work(const op_run *r) {
    return 4 * (uint64_t)value_width(r, r->op->in[0]);
}

/* Ops whose items are blocks of rows. */
static uint32_t block_items(const op_run *r) {
    return r->pass->block_count - r->first_block;
}

static const tini_block *block_of(const op_run *r, uint32_t item) {
    return &r->pass->blocks[r->first_block + item];
}

#define tini_items_embed block_items
static uint64_t tini_work_embed(const op_run *r) {
    return (uint64_t)TINI_BLOCK_ROWS * 4 * tensor_of(r, r->op->tensor[0])->inputs;
}

static void tini_run_embed(const op_run *r, uint32_t item, uint32_t end) {
    const tini_tensor *t = tensor_of(r, r->op->tensor[0]);
    for (; item < end; item++) {
        const tini_block *block = block_of(r, item);
        for (uint32_t k = 0; k < block->rows; k++) {
            float *out = value_at(r, r->op->out[0], block->row + k);
            tini_unpack_row(t->format, out, weights_of(r, r->op->tensor[0]), (uint32_t)block->tokens[k],
                            t->inputs);
            tini_scale_row(out, t->inputs, r->op->f[0]);
        }
    }
}

#define tini_items_norm row_items
#define tini_work_norm norm_work
static void tini_run_norm(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t width = value_width(r, op->in[0]), heads = op->u[0] ? op->u[0] : 1, n = width / heads;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        float *out = value_at(r, op->out[0], row);
        const float *x = value_at(r, op->in[0], row);
        for (uint32_t head = 0; head < heads; head++)
            r->pass->kernels->rms_norm(out + head * n, x + head * n, vector_of(r, op->tensor[0]), n, op->f[0]);
        if (op->in[1] != TINI_NONE)
            tini_add_row(out, value_at(r, op->in[1], row), out, width, 1.0f);
        if (op->out[1] != TINI_NONE)
            r->pass->kernels->quantize_q8(value_at(r, op->out[1], row), out, width);
    }
}

#define tini_items_quantize row_items
#define tini_work_quantize norm_work
static void tini_run_quantize(const op_run *r, uint32_t item, uint32_t end) {
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        r->pass->kernels->quantize_q8(value_at(r, r->op->out[0], row), value_at(r, r->op->in[0], row),
                                      value_width(r, r->op->in[0]));
}

static uint32_t tensor_tiles(const op_run *r, uint32_t tensor) {
    return tensor == TINI_NONE ? 0 : (tensor_of(r, tensor)->rows + TINI_TILE - 1) / TINI_TILE;
}

static tini_matmul_fn *matmul_of(const op_run *r, uint32_t format) {
    switch (format) {
#define TINI_FORMAT_MATMUL(a, b, id, gguf, NAME, name, ...) \
    case id:                                                \
        return r->pass->kernels->matmul_##name;
        TIN_FORMATS(TINI_FORMAT_MATMUL, , )
    }
    return NULL; /* the program was checked */
}

/* Items are tiles, of one tensor after the other. */
static uint32_t tini_items_matmul(const op_run *r) {
    return tensor_tiles(r, r->op->tensor[0]) + tensor_tiles(r, r->op->tensor[1]) +
           tensor_tiles(r, r->op->tensor[2]);
}

static uint64_t tini_work_matmul(const op_run *r) {
    return (uint64_t)(r->end - r->begin) * TINI_TILE * tensor_of(r, r->op->tensor[0])->inputs;
}

static void tini_run_matmul(const op_run *r, uint32_t item, uint32_t item_end) {
    const tini_op *op = r->op;
    for (uint32_t k = 0, first = 0; k < 3 && first < item_end; k++) {
        uint32_t n = tensor_tiles(r, op->tensor[k]);
        uint32_t from = item > first ? item - first : 0, to = item_end - first < n ? item_end - first : n;
        if (n && from < to) {
            const tini_tensor *t = tensor_of(r, op->tensor[k]);
            tini_matmul m = {
                .weights = weights_of(r, op->tensor[k]),
                .x = value_at(r, op->in[0], r->begin),
                .out = value_at(r, op->out[k], r->begin),
                .residual = k == 0 && op->in[1] != TINI_NONE ? value_at(r, op->in[1], r->begin) : NULL,
                .bias = vector_of(r, op->tensor[3 + k]),
                .x_stride = value_row_bytes(r, op->in[0]),
                .out_stride = t->rows,
                .residual_stride = t->rows,
                .rows = r->end - r->begin,
                .inputs = t->inputs,
                .outputs = t->rows,
            };
            matmul_of(r, t->format)(&m, from, to);
        }
        first += n;
    }
}

#define tini_items_rope_table block_items
static uint64_t tini_work_rope_table(const op_run *r) {
    return (uint64_t)TINI_BLOCK_ROWS * 64 * tensor_of(r, r->op->tensor[0])->inputs;
}

static void tini_run_rope_table(const op_run *r, uint32_t item, uint32_t end) {
    const float *frequency = vector_of(r, r->op->tensor[0]);
    uint32_t half = tensor_of(r, r->op->tensor[0])->inputs;
    for (; item < end; item++) {
        const tini_block *block = block_of(r, item);
        for (uint32_t k = 0; k < block->rows; k++) {
            float *table = value_at(r, r->op->out[0], block->row + k);
            float position = (float)(block->position + k);
            for (uint32_t i = 0; i < half; i++)
                tini_sin_cos(position * frequency[i], &table[half + i], &table[i]);
            tini_scale_row(table, 2 * half, r->op->f[0]);
        }
    }
}

#define tini_items_rope row_items
#define tini_work_rope norm_work
static void tini_run_rope(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t heads = op->u[0], half = value_width(r, op->in[1]) / 2;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        r->pass->kernels->rope(value_at(r, op->in[0], row), value_at(r, op->in[1], row), heads,
                               value_width(r, op->in[0]) / heads, half);
}

/* Blocks of one session share groups of keys, but no two rows write the same bytes. */
#define tini_items_kv_append block_items
static uint64_t tini_work_kv_append(const op_run *r) {
    return (uint64_t)TINI_BLOCK_ROWS * 8 * value_width(r, r->op->in[0]);
}

static void tini_run_kv_append(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    const tini_cache *c = &r->pass->program->caches[op->cache];
    for (; item < end; item++) {
        const tini_block *block = block_of(r, item);
        tini_kv_append_fn *append = block->caches->type == TIN_KV_F16 ? r->pass->kernels->kv_append_f16
                                                                      : r->pass->kernels->kv_append_q8;
        for (uint32_t head = 0; head < c->heads; head++) {
            tini_kv kv = tini_caches_at(block->caches, op->cache, head);
            for (uint32_t k = 0; k < block->rows; k++) {
                const float *key = value_at(r, op->in[0], block->row + k),
                            *value = value_at(r, op->in[1], block->row + k);
                append(&kv, block->position + k, key + head * c->head_dim, value + head * c->head_dim);
            }
        }
    }
}

/* An item is the query heads of a block that share a key-value head, or one query head where there are few rows. Items
 * go through the blocks of one head first: neighbours are one call to the kernel, which reads keys once for many rows. */
static uint32_t attention_group(const op_run *r) {
    uint32_t group = r->op->u[0] / r->pass->program->caches[r->op->cache].heads;
    return r->threads > 1 && block_items(r) < r->threads ? 1 : group;
}

static uint32_t tini_items_attention(const op_run *r) {
    return block_items(r) * (r->op->u[0] / attention_group(r));
}

static uint64_t tini_work_attention(const op_run *r) {
    const tini_cache *c = &r->pass->program->caches[r->op->cache];
    uint64_t most = 0;
    for (uint32_t k = 0; k < block_items(r); k++) {
        const tini_block *block = block_of(r, k);
        uint32_t seen = block->position + block->rows;
        if (c->window && seen > c->window)
            seen = c->window;
        uint64_t work = (uint64_t)block->rows * seen;
        most = work > most ? work : most;
    }
    return most * 4 * attention_group(r) * c->head_dim;
}

/* How many blocks from `block` on, at most `most`, are rows that follow each other in one session. */
static uint32_t joined_blocks(const tini_block *block, uint32_t most, uint32_t *rows) {
    uint32_t count = 1;
    *rows = block->rows;
    while (count < most && block[count].caches == block->caches &&
           block[count].position == block->position + *rows)
        *rows += block[count++].rows;
    return count;
}

static void tini_run_attention(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    const tini_cache *c = &r->pass->program->caches[op->cache];
    uint32_t group = attention_group(r), blocks = block_items(r), rows;
    while (item < end) {
        uint32_t head = item / blocks * group, left = blocks - item % blocks;
        const tini_block *block = block_of(r, item % blocks);
        item += joined_blocks(block, left < end - item ? left : end - item, &rows);
        tini_kv kv = tini_caches_at(block->caches, op->cache, head / (op->u[0] / c->heads));
        tini_attention a = {
            .q = (const float *)value_at(r, op->in[0], block->row) + head * c->head_dim,
            .out = (float *)value_at(r, op->out[0], block->row) + head * c->head_dim,
            .q_stride = value_width(r, op->in[0]),
            .out_stride = value_width(r, op->out[0]),
            .rows = rows,
            .heads = group,
            .position = block->position,
            .window = c->window,
            .scale = op->f[0],
            .cap = op->f[1],
        };
        if (block->caches->type == TIN_KV_F16)
            r->pass->kernels->attention_f16(&kv, &a);
        else
            r->pass->kernels->attention_q8(&kv, &a);
    }
}

/* Ops with a state. Items are tiles of the states of one session after the other; each takes all rows of its session in
 * order. */
static const tini_state *recurrent_of(const op_run *r) {
    return &r->pass->program->states[r->op->cache];
}

static uint32_t state_tiles(const op_run *r) {
    return recurrent_of(r)->heads * (recurrent_of(r)->columns / TINI_TILE);
}

static uint32_t state_items(const op_run *r) {
    return r->pass->run_count * state_tiles(r);
}

static uint64_t state_work(const op_run *r) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < r->pass->run_count; k++) {
        uint32_t rows = r->pass->runs[k]->rows[0] + r->pass->runs[k]->rows[1];
        most = rows > most ? rows : most;
    }
    return (uint64_t)most * TINI_TILE * 4 * (recurrent_of(r)->rows + 4);
}

/* Tiles [begin, end) of a state over `rows` rows from `row` on, from one slot to another, or in one. */
typedef void advance_fn(const op_run *r, const float *from, float *to, uint32_t row, uint32_t rows,
                        uint32_t begin, uint32_t end);

static void run_state(const op_run *r, const tini_states *s, uint32_t begin, uint32_t end,
                      advance_fn *advance) {
    uint32_t state = r->op->cache, left = s->rows[0] + s->rows[1] - 1;
    size_t tile = (size_t)recurrent_of(r)->rows * TINI_TILE;
    float *to = tini_states_at(s, s->to, state), *work = left ? tini_states_at(s, s->work, state) : to;
    const float *from = work;
    if (s->from != TINI_NONE)
        from = tini_states_at(s, s->from, state);
    else
        memset(work + begin * tile, 0, (end - begin) * tile * sizeof *work);
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t rows = s->rows[k] < left ? s->rows[k] : left;
        if (rows) {
            advance(r, from, work, s->row[k], rows, begin, end);
            from = work;
        }
        left -= rows;
    }
    uint32_t last = s->rows[1] ? 1 : 0;
    advance(r, from, to, s->row[last] + s->rows[last] - 1, 1, begin, end);
}

static void run_states(const op_run *r, uint32_t item, uint32_t end, advance_fn *advance) {
    uint32_t tiles = state_tiles(r);
    while (item < end) {
        uint32_t first = item % tiles, count = tiles - first < end - item ? tiles - first : end - item;
        run_state(r, r->pass->runs[item / tiles], first, first + count, advance);
        item += count;
    }
}

static void advance_conv(const op_run *r, const float *from, float *to, uint32_t row, uint32_t rows,
                         uint32_t begin, uint32_t end) {
    const tini_op *op = r->op;
    tini_conv c = {
        .weights = (const float *)(const void *)weights_of(r, op->tensor[0]),
        .from = from,
        .to = to,
        .x = value_at(r, op->in[0], row),
        .out = value_at(r, op->out[0], row),
        .x_stride = value_width(r, op->in[0]),
        .out_stride = value_width(r, op->out[0]),
        .rows = rows,
        .taps = tensor_of(r, op->tensor[0])->inputs,
        .silu = op->u[0],
    };
    r->pass->kernels->conv(&c, begin, end);
}

#define tini_items_conv state_items
#define tini_work_conv state_work
static void tini_run_conv(const op_run *r, uint32_t item, uint32_t end) {
    run_states(r, item, end, advance_conv);
}

enum { GATED_ROWS = 32 };

/* Of `rows` rows of one head: decay = exp(tensor0 * softplus(in2 + tensor1)), beta = sigmoid(in3). */
static void delta_gates(const op_run *r, uint32_t head, uint32_t row, uint32_t rows, float *decay,
                        float *beta) {
    const tini_op *op = r->op;
    float rate = vector_of(r, op->tensor[0])[head], bias = vector_of(r, op->tensor[1])[head];
    for (uint32_t k = 0; k < rows; k++) {
        const float *a = value_at(r, op->in[2], row + k), *b = value_at(r, op->in[3], row + k);
        decay[k] = tini_exp(rate * tini_softplus(a[head] + bias));
        beta[k] = 1.0f / (1.0f + tini_exp(-b[head]));
    }
}

static void advance_delta_head(const op_run *r, tini_delta *d, uint32_t head, uint32_t row, uint32_t rows,
                               uint32_t begin, uint32_t end) {
    const tini_op *op = r->op;
    const tini_state *state = recurrent_of(r);
    uint32_t keys = op->u[0], width = state->heads * state->columns;
    for (uint32_t done = 0; done < rows; done += GATED_ROWS, d->from = d->to) {
        float decay[GATED_ROWS], beta[GATED_ROWS];
        uint32_t at = row + done;
        d->rows = rows - done < GATED_ROWS ? rows - done : GATED_ROWS;
        delta_gates(r, head, at, d->rows, decay, beta);
        d->decay = decay;
        d->beta = beta;
        d->q = (const float *)value_at(r, op->in[0], at) + (size_t)(head % keys) * state->rows;
        d->k = d->q + (size_t)keys * state->rows;
        d->v =
            (const float *)value_at(r, op->in[1], at) + (d->v_stride - width) + (size_t)head * state->columns;
        d->out = (float *)value_at(r, op->out[0], at) + (size_t)head * state->columns;
        r->pass->kernels->delta(d, begin, end);
    }
}

static void advance_delta(const op_run *r, const float *from, float *to, uint32_t row, uint32_t rows,
                          uint32_t begin, uint32_t end) {
    const tini_state *state = recurrent_of(r);
    uint32_t tiles = state->columns / TINI_TILE;
    while (begin < end) {
        uint32_t head = begin / tiles, first = begin % tiles;
        uint32_t count = tiles - first < end - begin ? tiles - first : end - begin;
        size_t offset = (size_t)head * state->rows * state->columns;
        tini_delta d = {
            .from = from + offset,
            .to = to + offset,
            .qk_stride = value_width(r, r->op->in[0]),
            .v_stride = value_width(r, r->op->in[1]),
            .out_stride = value_width(r, r->op->out[0]),
            .inputs = state->rows,
            .scale = r->op->f[0],
        };
        advance_delta_head(r, &d, head, row, rows, first, first + count);
        begin += count;
    }
}

#define tini_items_delta state_items
#define tini_work_delta state_work
static void tini_run_delta(const op_run *r, uint32_t item, uint32_t end) {
    run_states(r, item, end, advance_delta);
}

#define tini_items_gated row_items
static uint64_t tini_work_gated(const op_run *r) {
    return 16 * (uint64_t)value_width(r, r->op->in[0]);
}

static tini_gate_fn *gate_of(const op_run *r) {
    const tini_kernels *kernels = r->pass->kernels;
    tini_gate_fn *const acts[TINI_ACT_COUNT] = {
        [TINI_ACT_SILU] = kernels->silu_mul,
        [TINI_ACT_GELU] = kernels->gelu_mul,
        [TINI_ACT_SIGMOID] = kernels->sigmoid_mul,
        [TINI_ACT_NONE] = tini_mul_row,
    };
    return acts[r->op->u[0]];
}

static void tini_run_gated(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t width = value_width(r, op->in[0]);
    tini_gate_fn *gate = gate_of(r);
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        float *out = value_at(r, op->out[0], row);
        gate(out, value_at(r, op->in[0], row), value_at(r, op->in[1], row), width);
        if (op->out[1] != TINI_NONE)
            r->pass->kernels->quantize_q8(value_at(r, op->out[1], row), out, width);
    }
}

static uint32_t tini_items_logits(const op_run *r) {
    return tensor_tiles(r, r->op->tensor[0]);
}

#define tini_work_logits tini_work_matmul
static void tini_run_logits(const op_run *r, uint32_t item, uint32_t end) {
    const tini_tensor *t = tensor_of(r, r->op->tensor[0]);
    tini_matmul m = {
        .weights = weights_of(r, r->op->tensor[0]),
        .x = value_at(r, r->op->in[0], r->begin),
        .out = r->pass->logits,
        .x_stride = value_row_bytes(r, r->op->in[0]),
        .out_stride = t->rows,
        .rows = r->end - r->begin,
        .inputs = t->inputs,
        .outputs = t->rows,
    };
    matmul_of(r, t->format)(&m, item, end);
    if (r->op->f[0] == 0.0f && r->op->f[1] == 0.0f)
        return;
    uint32_t first = item * TINI_TILE, last = end * TINI_TILE < t->rows ? end * TINI_TILE : t->rows;
    for (uint32_t row = 0; row < m.rows; row++) {
        float *logits = m.out + (size_t)row * m.out_stride;
        tini_scale_row(logits + first, last - first, r->op->f[1]);
        tini_cap_row(logits + first, last - first, r->op->f[0]);
    }
}

#define tini_items_add row_items
#define tini_work_add norm_work
static void tini_run_add(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        tini_add_row(value_at(r, op->out[0], row), value_at(r, op->in[0], row), value_at(r, op->in[1], row),
                     value_width(r, op->in[0]), op->f[0]);
}

#define tini_items_slice row_items
#define tini_work_slice norm_work
static void tini_run_slice(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t groups = op->u[0], from = value_width(r, op->in[0]) / groups,
             to = value_width(r, op->out[0]) / groups;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        const float *x = (const float *)value_at(r, op->in[0], row) + op->u[1];
        float *out = value_at(r, op->out[0], row);
        /* Not memcpy: a hostile program's values may lie over each other. */
        for (uint32_t group = 0; group < groups; group++)
            memmove(out + (size_t)group * to, x + (size_t)group * from, to * sizeof *out);
    }
}

/* The routes of a row, by the value that holds them. */
static tini_route *routes_at(const op_run *r, uint32_t value, uint32_t row) {
    return value_at(r, value, row);
}

/* One item: rows are sorted by expert together, in less time than one of the experts' tiles takes. */
static uint32_t tini_items_route(const op_run *r) {
    (void)r;
    return 1;
}

static uint64_t tini_work_route(const op_run *r) {
    return (uint64_t)row_items(r) * 4 * (value_width(r, r->op->in[0]) + value_width(r, r->op->out[0]));
}

static void tini_run_route(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    tini_routing t = {
        .rows = row_items(r),
        .experts = value_width(r, op->in[0]),
        .chosen = op->u[0],
        .normalize = op->u[1] != 0,
        .scale = op->f[0],
    };
    if (item < end)
        tini_route_rows(&t, routes_at(r, op->out[0], r->begin), value_at(r, op->in[0], r->begin));
}

#define tini_items_expert_gather row_items
#define tini_work_expert_gather norm_work
static void tini_run_expert_gather(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        tini_expert_gather(value_at(r, op->out[0], r->begin), value_at(r, op->in[0], row),
                           value_row_bytes(r, op->in[0]), routes_at(r, op->in[1], row), op->u[0],
                           row_items(r) * op->u[0]);
}

/* An item is one of a part's tiles, of every expert. */
static uint32_t tini_items_expert_matmul(const op_run *r) {
    return value_width(r, r->op->out[0]) / r->op->u[0] / TINI_TILE;
}

static uint64_t tini_work_expert_matmul(const op_run *r) {
    return tini_work_matmul(r) * r->op->u[0];
}

static void tini_run_expert_matmul(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    const tini_tensor *t = tensor_of(r, op->tensor[0]);
    uint32_t outputs = value_width(r, op->out[0]) / op->u[0], experts = t->rows / outputs;
    tini_matmul m = {
        .weights = weights_of(r, op->tensor[0]),
        .x = value_at(r, op->in[0], r->begin),
        .out = value_at(r, op->out[0], r->begin),
        .x_stride = value_row_bytes(r, op->in[0]) / op->u[0],
        .out_stride = outputs,
        .rows = row_items(r) * op->u[0],
        .inputs = t->inputs,
        .outputs = outputs,
    };
    tini_expert_matmul(matmul_of(r, t->format), &m, (size_t)(t->bytes / experts), experts,
                       routes_at(r, op->in[1], r->begin), item, end);
}

#define tini_items_expert_sum row_items
static uint64_t tini_work_expert_sum(const op_run *r) {
    return value_width(r, r->op->in[0]);
}

static void tini_run_expert_sum(const op_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        tini_route shared;
        tini_expert_sum s = {
            .residual = op->in[2] == TINI_NONE ? NULL : value_at(r, op->in[2], row),
            .chosen = op->u[0],
            .n = value_width(r, op->out[0]),
        };
        if (op->u[1]) {
            shared = tini_shared_route(*(const float *)value_at(r, op->in[1], row));
            s.routes = &shared;
            s.parts = value_at(r, op->in[0], row);
            s.places = 1;
        } else {
            s.routes = routes_at(r, op->in[1], row);
            s.parts = value_at(r, op->in[0], r->begin);
            s.places = row_items(r) * op->u[0];
        }
        tini_expert_sum_row(&s, value_at(r, op->out[0], row));
    }
}

static const struct {
    uint32_t (*items)(const op_run *);
    uint64_t (*work)(const op_run *);
    void (*run)(const op_run *, uint32_t, uint32_t);
} op_kinds[] = {
#define TIN_OP(number, NAME, name) [number] = {tini_items_##name, tini_work_##name, tini_run_##name},
#include "../../ops.def"
#undef TIN_OP
};

static op_run op_at_hand(const tini_pass *pass) {
    const tini_op *op = &pass->program->ops[pass->op];
    int few = op->flags & TINI_FLAG_LOGIT_ROWS;
    return (op_run){
        .pass = pass,
        .op = op,
        .begin = few ? pass->rows - pass->logit_rows : 0,
        .end = pass->rows,
        .first_block = !few               ? 0
                       : pass->logit_rows ? pass->logit_block
                                          : pass->block_count,
        .threads = pass->executor ? pass->executor->threads : 1,
    };
}

uint32_t tini_op_items(const tini_pass *pass, uint64_t *work) {
    op_run r = op_at_hand(pass);
    *work = 1;
    if (r.begin == r.end)
        return 0;
    *work = op_kinds[r.op->kind].work(&r);
    return op_kinds[r.op->kind].items(&r);
}

static void run_part(const op_run *r, uint32_t job) {
    uint32_t from = (uint32_t)((uint64_t)r->count * job / r->jobs),
             to = (uint32_t)((uint64_t)r->count * (job + 1) / r->jobs);
    op_kinds[r->op->kind].run(r, r->first + from, r->first + to);
}

static void run_job(void *argument, uint32_t job) {
    run_part(argument, job);
}

void tini_op_run(const tini_pass *pass, uint32_t first, uint32_t count, uint64_t work) {
    op_run r = op_at_hand(pass);
    r.first = first;
    r.count = count;
    r.jobs = 1;
    if (r.threads > 1 && work * count > TINI_WORTH_SHARING)
        r.jobs = count < r.threads * TINI_JOBS_A_THREAD ? count : r.threads * TINI_JOBS_A_THREAD;
    if (r.jobs > 1)
        pass->executor->run(pass->executor->context, r.jobs, run_job, &r);
    else
        run_part(&r, 0);
}
