/* Running one op. Its work is cut into units by OUTPUT elements, which any threads may take in any order:
 * no output depends on how many units there are. */
#include "session.h"
#include "embed.h"
#include "math.h"

typedef struct run {
    tin_session *s;
    const tini_program *p;
    const tini_kernels *k;
    const tini_op *op;
    uint32_t begin, end; /* rows */
    uint32_t units, threads;
} run;

static size_t row_bytes(const run *r, uint32_t value) {
    return tini_row_bytes(&r->p->values[value]);
}

static void *at(const run *r, uint32_t value, uint32_t row) {
    return r->s->arena + r->p->values[value].offset + row * row_bytes(r, value);
}

static const uint8_t *weights(const run *r, uint32_t tensor) {
    return r->p->weights + r->p->tensors[tensor].offset;
}

static const float *vector(const run *r, uint32_t tensor) {
    return tensor == TINI_NONE ? NULL : (const float *)(const void *)weights(r, tensor);
}

/* Units of ops that work row by row: a few rows each, so that threads even out. */
static uint32_t row_units(const run *r) {
    uint32_t rows = r->end - r->begin;
    return r->threads == 1 ? 1 : rows < r->threads * 4 ? rows : r->threads * 4;
}

static uint32_t part(uint32_t items, uint32_t unit, uint32_t units) {
    return (uint32_t)((uint64_t)items * unit / units);
}

#define FOR_ROWS(r, unit, row)                                                                  \
    for (uint32_t row = (r)->begin + part((r)->end - (r)->begin, unit, (r)->units),             \
                  row##_end = (r)->begin + part((r)->end - (r)->begin, (unit) + 1, (r)->units); \
         row < row##_end; row++)

#define tini_units_embed row_units
static void tini_run_embed(const run *r, uint32_t unit) {
    const tini_tensor *t = &r->p->tensors[r->op->tensor[0]];
    FOR_ROWS(r, unit, row)
    tini_unpack_row(t->format, at(r, r->op->out[0], row), weights(r, r->op->tensor[0]),
                    (uint32_t)r->s->tokens[r->s->position + row], t->inputs);
}

#define tini_units_norm row_units
static void tini_run_norm(const run *r, uint32_t unit) {
    const tini_op *op = r->op;
    uint32_t width = r->p->values[op->in[0]].width;
    FOR_ROWS(r, unit, row) {
        float *out = at(r, op->out[0], row);
        r->k->rms_norm(out, at(r, op->in[0], row), vector(r, op->tensor[0]), width, op->f[0]);
        if (op->out[1] != TINI_NONE)
            r->k->quantize_q8(at(r, op->out[1], row), out, width);
    }
}

#define tini_units_quantize row_units
static void tini_run_quantize(const run *r, uint32_t unit) {
    FOR_ROWS(r, unit, row)
    r->k->quantize_q8(at(r, r->op->out[0], row), at(r, r->op->in[0], row), r->p->values[r->op->in[0]].width);
}

static uint32_t tiles(const run *r, uint32_t tensor) {
    return tensor == TINI_NONE ? 0 : (r->p->tensors[tensor].rows + TINI_TILE - 1) / TINI_TILE;
}

static uint32_t tile_units(const run *r) {
    uint32_t all = 0;
    for (uint32_t k = 0; k < 3; k++)
        all += tiles(r, r->op->tensor[k]);
    return r->threads == 1 ? 1 : all < r->threads * 8 ? all : r->threads * 8;
}

static tini_matmul_fn *matmul(const run *r, uint32_t format) {
    switch (format) {
#define TIN_FORMAT(id, gguf, NAME, name, block, bytes, activations) \
    case id:                                                        \
        return r->k->matmul_##name;
#include "../formats.def"
#undef TIN_FORMAT
    }
    return NULL; /* the program was checked */
}

#define tini_units_matmul tile_units
static void tini_run_matmul(const run *r, uint32_t unit) {
    const tini_op *op = r->op;
    uint32_t all = 0;
    for (uint32_t k = 0; k < 3; k++)
        all += tiles(r, op->tensor[k]);
    uint32_t begin = part(all, unit, r->units), end = part(all, unit + 1, r->units), first = 0;
    for (uint32_t k = 0; k < 3 && first < end; k++) {
        uint32_t n = tiles(r, op->tensor[k]);
        uint32_t from = begin > first ? begin - first : 0, to = end - first < n ? end - first : n;
        if (n && from < to) {
            const tini_tensor *t = &r->p->tensors[op->tensor[k]];
            tini_matmul m = {
                .weights = weights(r, op->tensor[k]),
                .x = at(r, op->in[0], r->begin),
                .out = at(r, op->out[k], r->begin),
                .residual = k == 0 && op->in[1] != TINI_NONE ? at(r, op->in[1], r->begin) : NULL,
                .bias = vector(r, op->tensor[3 + k]),
                .x_stride = row_bytes(r, op->in[0]),
                .out_stride = t->rows,
                .residual_stride = t->rows,
                .rows = r->end - r->begin,
                .inputs = t->inputs,
                .outputs = t->rows,
            };
            matmul(r, t->format)(&m, from, to);
        }
        first += n;
    }
}

#define tini_units_rope_table row_units
static void tini_run_rope_table(const run *r, uint32_t unit) {
    const float *frequency = vector(r, r->op->tensor[0]);
    uint32_t half = r->p->tensors[r->op->tensor[0]].inputs;
    FOR_ROWS(r, unit, row) {
        float *table = at(r, r->op->out[0], row);
        float position = (float)(r->s->position + row);
        for (uint32_t i = 0; i < half; i++)
            tini_sin_cos(position * frequency[i], &table[half + i], &table[i]);
    }
}

#define tini_units_rope row_units
static void tini_run_rope(const run *r, uint32_t unit) {
    const tini_op *op = r->op;
    uint32_t heads = op->u[0], half = r->p->values[op->in[1]].width / 2;
    FOR_ROWS(r, unit, row)
    r->k->rope(at(r, op->in[0], row), at(r, op->in[1], row), heads, r->p->values[op->in[0]].width / heads,
               half);
}

#define tini_units_kv_append row_units
static void tini_run_kv_append(const run *r, uint32_t unit) {
    const tini_op *op = r->op;
    const tini_cache *c = &r->p->caches[op->cache];
    FOR_ROWS(r, unit, row) {
        const float *key = at(r, op->in[0], row), *value = at(r, op->in[1], row);
        for (uint32_t h = 0; h < c->heads; h++) {
            tini_kv kv = tini_session_kv(r->s, op->cache, h);
            r->k->kv_append_f16(&kv, r->s->position + row, key + h * c->head_dim, value + h * c->head_dim);
        }
    }
}

/* A unit is one row's query heads that share a key-value head; with few rows, one query head. */
static uint32_t attention_group(const run *r) {
    uint32_t group = r->op->u[0] / r->p->caches[r->op->cache].heads;
    return r->threads > 1 && r->end - r->begin < r->threads ? 1 : group;
}

static uint32_t tini_units_attention(const run *r) {
    return (r->end - r->begin) * (r->op->u[0] / attention_group(r));
}

static void tini_run_attention(const run *r, uint32_t unit) {
    const tini_op *op = r->op;
    const tini_cache *c = &r->p->caches[op->cache];
    uint32_t group = attention_group(r), groups = op->u[0] / group;
    uint32_t row = r->begin + unit / groups, head = unit % groups * group;
    tini_kv kv = tini_session_kv(r->s, op->cache, head / (op->u[0] / c->heads));
    tini_attention a = {
        .q = (const float *)at(r, op->in[0], row) + head * c->head_dim,
        .out = (float *)at(r, op->out[0], row) + head * c->head_dim,
        .rows = 1,
        .heads = group,
        .position = r->s->position + row,
        .scale = op->f[0],
    };
    r->k->attention_f16(&kv, &a);
}

#define tini_units_gated row_units
static void tini_run_gated(const run *r, uint32_t unit) {
    const tini_op *op = r->op;
    uint32_t width = r->p->values[op->in[0]].width;
    FOR_ROWS(r, unit, row) {
        float *out = at(r, op->out[0], row);
        r->k->silu_mul(out, at(r, op->in[0], row), at(r, op->in[1], row), width);
        if (op->out[1] != TINI_NONE)
            r->k->quantize_q8(at(r, op->out[1], row), out, width);
    }
}

static uint32_t tini_units_logits(const run *r) {
    uint32_t all = tiles(r, r->op->tensor[0]);
    return r->threads == 1 ? 1 : all < r->threads * 16 ? all : r->threads * 16;
}

static void tini_run_logits(const run *r, uint32_t unit) {
    const tini_tensor *t = &r->p->tensors[r->op->tensor[0]];
    tini_matmul m = {
        .weights = weights(r, r->op->tensor[0]),
        .x = at(r, r->op->in[0], r->begin),
        .out = r->s->logits,
        .x_stride = row_bytes(r, r->op->in[0]),
        .out_stride = t->rows,
        .rows = r->end - r->begin,
        .inputs = t->inputs,
        .outputs = t->rows,
    };
    uint32_t all = tiles(r, r->op->tensor[0]);
    matmul(r, t->format)(&m, part(all, unit, r->units), part(all, unit + 1, r->units));
}

static const struct {
    uint32_t (*units)(const run *);
    void (*unit)(const run *, uint32_t);
} kinds[] = {
#define TIN_OP(number, NAME, name) [number] = {tini_units_##name, tini_run_##name},
#include "../ops.def"
#undef TIN_OP
};

static void job(void *argument, uint32_t unit) {
    const run *r = argument;
    kinds[r->op->kind].unit(r, unit);
}

void tini_run_op(tin_session *s, const tini_op *op) {
    const tin_executor *executor = s->options.executor;
    run r = {
        .s = s,
        .p = &s->model->program,
        .k = s->model->kernels,
        .op = op,
        .begin = op->flags & TINI_FLAG_LOGIT_ROWS ? s->rows - s->logit_rows : 0,
        .end = s->rows,
        .threads = executor ? executor->threads : 1,
    };
    if (r.begin == r.end)
        return;
    r.units = kinds[op->kind].units(&r);
    if (r.units > 1 && r.threads > 1)
        executor->run(executor->context, r.units, job, &r);
    else
        for (uint32_t unit = 0; unit < r.units; unit++)
            kinds[op->kind].unit(&r, unit);
}
