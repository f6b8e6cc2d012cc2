#include "op_matmul.h"
#include "op_low_rank.h"
#include "../base/rows.h"

/* Rows of an image that a matmul's item is of, so that one of a large image takes no longer than one of a small. */
enum { IMAGE_ROWS = 256 };

static uint32_t tensor_tiles(const tini_run *r, uint32_t tensor) {
    return tensor == TINI_NONE ? 0 : (tini_tensor_of(r, tensor)->rows + TINI_TILE - 1) / TINI_TILE;
}

tini_matmul_fn *tini_matmul_of(const tini_run *r, uint32_t format) {
    switch (format) {
#define TINI_FORMAT_MATMUL(a, b, id, gguf, NAME, name, ...) \
    case id:                                                \
        return r->pass->kernels->matmul_##name;
        TIN_FORMATS(TINI_FORMAT_MATMUL, , )
    }
    return NULL; /* the program was checked */
}

static uint32_t all_tiles(const tini_run *r) {
    return tensor_tiles(r, r->op->tensor[0]) + tensor_tiles(r, r->op->tensor[1]) +
           tensor_tiles(r, r->op->tensor[2]);
}

/* Only the rows of part number k. */
static tini_run rows_part(const tini_run *r, uint32_t k) {
    tini_run part = *r;
    if (r->pass->program->side) {
        part.begin = r->begin + k * IMAGE_ROWS;
        part.end = r->end - part.begin < IMAGE_ROWS ? r->end : part.begin + IMAGE_ROWS;
    }
    return part;
}

/* Items are tiles, of one tensor after the other; an encoder's, again for each part of the rows. */
static uint32_t items_matmul(const tini_run *r) {
    uint32_t rows = r->end - r->begin,
             parts = r->pass->program->side ? (rows + IMAGE_ROWS - 1) / IMAGE_ROWS : 1;
    return parts * all_tiles(r);
}

uint64_t tini_matmul_work(const tini_run *r) {
    return (uint64_t)(r->end - r->begin) * TINI_TILE * tini_tensor_of(r, r->op->tensor[0])->inputs;
}

static uint64_t work_matmul(const tini_run *r) {
    tini_run first = rows_part(r, 0);
    return tini_matmul_work(&first);
}

static void run_tiles(const tini_run *r, uint32_t k, uint32_t tile_begin, uint32_t tile_end) {
    const tini_op *op = r->op;
    const tini_tensor *t = tini_tensor_of(r, op->tensor[k]);
    const tini_matmul m = {
        .weights = tini_weights_of(r, op->tensor[k]),
        .x = tini_value_at(r, op->in[0], r->begin),
        .out = tini_value_at(r, op->out[k], r->begin),
        .residual = k == 0 && op->in[1] != TINI_NONE ? tini_value_at(r, op->in[1], r->begin) : NULL,
        .bias = tini_vector_of(r, op->tensor[3 + k]),
        .x_stride = tini_value_row_bytes(r, op->in[0]),
        .out_stride = t->rows,
        .residual_stride = t->rows,
        .rows = r->end - r->begin,
        .inputs = t->inputs,
        .outputs = t->rows,
    };
    tini_matmul_of(r, t->format)(&m, tile_begin, tile_end);
}

/* Has `run` do the tiles that the items are, of one tensor after the other. */
static void run_each(const tini_run *r, uint32_t item, uint32_t item_end,
                     void (*run)(const tini_run *r, uint32_t k, uint32_t tile_begin, uint32_t tile_end)) {
    for (uint32_t k = 0, first = 0; k < 3 && first < item_end; k++) {
        uint32_t n = tensor_tiles(r, r->op->tensor[k]);
        uint32_t from = item > first ? item - first : 0, to = item_end - first < n ? item_end - first : n;
        if (n && from < to)
            run(r, k, from, to);
        first += n;
    }
}

/* What adapters add comes last, of all tensors: these mostly lie one behind the other, and memory reads them in one go. */
static void run_matmul(const tini_run *r, uint32_t item, uint32_t item_end) {
    uint32_t tiles = all_tiles(r); /* some: the program was checked */
    for (uint32_t at = item, next; tiles && at < item_end; at = next) {
        uint32_t k = at / tiles, before = k * tiles;
        tini_run part = rows_part(r, k);
        next = item_end - before < tiles ? item_end : before + tiles;
        run_each(&part, at - before, next - before, run_tiles);
    }
    if (!r->pass->group_count) /* which an encoder has not, and so its parts neither */
        return;
    run_each(r, item, item_end, tini_low_rank_add);
    if (item_end == items_matmul(r))
        tini_low_rank_ask(r);
}

const tini_op_functions tini_functions_matmul = {items_matmul, work_matmul, run_matmul};

/* Items are tiles: all, or those that the pass lists. */
static uint32_t items_logits(const tini_run *r) {
    return r->pass->every_tile ? tensor_tiles(r, r->op->tensor[0]) : r->pass->tile_count;
}

static void some_logits(const tini_run *r, const tini_matmul *m, uint32_t tile, uint32_t end) {
    tini_matmul_of(r, tini_tensor_of(r, r->op->tensor[0])->format)(m, tile, end);
    if (r->op->f[0] == 0.0f && r->op->f[1] == 0.0f)
        return;
    uint32_t first = tile * TINI_TILE, last = end * TINI_TILE < m->outputs ? end * TINI_TILE : m->outputs;
    for (uint32_t row = 0; row < m->rows; row++) {
        float *logits = m->out + (size_t)row * m->out_stride;
        tini_scale_row(logits + first, last - first, r->op->f[1]);
        tini_cap_row(logits + first, last - first, r->op->f[0]);
    }
}

static void run_logits(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_tensor *t = tini_tensor_of(r, r->op->tensor[0]);
    const tini_matmul m = {
        .weights = tini_weights_of(r, r->op->tensor[0]),
        .x = tini_value_at(r, r->op->in[0], r->begin),
        .out = r->pass->logits,
        .x_stride = tini_value_row_bytes(r, r->op->in[0]),
        .out_stride = t->rows,
        .rows = r->end - r->begin,
        .inputs = t->inputs,
        .outputs = t->rows,
    };
    const uint32_t *list = r->pass->tile_list;
    if (r->pass->every_tile) {
        some_logits(r, &m, item, end);
        return;
    }
    for (uint32_t next; item < end; item = next) { /* tiles that lie together, at once */
        for (next = item + 1; next < end && list[next] == list[next - 1] + 1; next++) {
        }
        some_logits(r, &m, list[item], list[next - 1] + 1);
    }
}

const tini_op_functions tini_functions_logits = {items_logits, tini_matmul_work, run_logits};
