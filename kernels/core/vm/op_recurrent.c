/* Ops with a recurrent state: the causal convolution, the gated delta rule, and the selective state update. */
#include "op.h"
#include "../base/math.h"

#include <string.h>

/* Ops with a state. Items are tiles of the states of one session after the other; each takes all rows of its session in
 * order. */
static const tini_state *recurrent_of(const tini_run *r) {
    return &r->pass->program->states[r->op->cache];
}

static uint32_t state_tiles(const tini_run *r) {
    return recurrent_of(r)->heads * (recurrent_of(r)->columns / TINI_TILE);
}

static uint32_t state_items(const tini_run *r) {
    return r->pass->run_count * state_tiles(r);
}

static uint64_t state_work(const tini_run *r) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < r->pass->run_count; k++) {
        uint32_t rows = r->pass->runs[k]->rows[0] + r->pass->runs[k]->rows[1];
        most = rows > most ? rows : most;
    }
    return (uint64_t)most * TINI_TILE * 4 * (recurrent_of(r)->rows + 4);
}

/* Tiles [begin, end) of a state over `rows` rows from `row` on, from one slot to another, or in one. */
typedef void advance_fn(const tini_run *r, const float *from, float *to, uint32_t row, uint32_t rows,
                        uint32_t begin, uint32_t end);

static void run_state(const tini_run *r, const tini_states *s, uint32_t begin, uint32_t end,
                      advance_fn *advance) {
    uint32_t state = r->op->cache, left = s->sure;
    size_t tile = (size_t)recurrent_of(r)->rows * TINI_TILE;
    float *last = tini_states_at(s, s->to, state), *to = left ? tini_states_at(s, s->work, state) : last;
    const float *from = s->from == TINI_NONE ? tini_states_first(s, state) : tini_states_at(s, s->from, state);
    if (!from) {
        from = to;
        memset(to + begin * tile, 0, (end - begin) * tile * sizeof *to);
    }
    for (uint32_t k = 0; k < 2; k++) {
        uint32_t rows = s->rows[k] < left ? s->rows[k] : left, rest = s->rows[k] - rows;
        if (rows) {
            advance(r, from, to, s->row[k], rows, begin, end);
            from = to;
        }
        left -= rows;
        if (left)
            continue;
        to = last;
        if (rest) {
            advance(r, from, to, s->row[k] + rows, rest, begin, end);
            from = to;
        }
    }
}

static void run_states(const tini_run *r, uint32_t item, uint32_t end, advance_fn *advance) {
    uint32_t tiles = state_tiles(r);
    while (item < end) {
        uint32_t first = item % tiles, count = tiles - first < end - item ? tiles - first : end - item;
        run_state(r, r->pass->runs[item / tiles], first, first + count, advance);
        item += count;
    }
}

static void advance_conv(const tini_run *r, const float *from, float *to, uint32_t row, uint32_t rows,
                         uint32_t begin, uint32_t end) {
    const tini_op *op = r->op;
    tini_conv c = {
        .weights = (const float *)(const void *)tini_weights_of(r, op->tensor[0]),
        .bias = op->tensor[1] == TINI_NONE ? NULL : tini_vector_of(r, op->tensor[1]),
        .from = from,
        .to = to,
        .x = tini_value_at(r, op->in[0], row),
        .out = tini_value_at(r, op->out[0], row),
        .x_stride = tini_value_width(r, op->in[0]),
        .out_stride = tini_value_width(r, op->out[0]),
        .rows = rows,
        .taps = tini_tensor_of(r, op->tensor[0])->inputs,
        .silu = op->u[0],
    };
    r->pass->kernels->conv(&c, begin, end);
}

static void run_conv(const tini_run *r, uint32_t item, uint32_t end) {
    run_states(r, item, end, advance_conv);
}

const tini_op_functions tini_functions_conv = {state_items, state_work, run_conv};

enum { GATED_ROWS = 32 };

/* Of `rows` rows of one head: decay = exp(tensor0 * step), step = softplus(in2 + tensor1), beta = sigmoid(in3); of a SCAN,
 * whose steps are of in1, beta = step. */
static void delta_gates(const tini_run *r, int plain, uint32_t head, uint32_t row, uint32_t rows, float *decay,
                        float *beta) {
    const tini_op *op = r->op;
    float rate = tini_vector_of(r, op->tensor[0])[head], bias = tini_vector_of(r, op->tensor[1])[head];
    for (uint32_t k = 0; k < rows; k++) {
        const float *a = tini_value_at(r, op->in[plain ? 1 : 2], row + k);
        float step = tini_softplus(a[head] + bias);
        decay[k] = tini_exp(rate * step);
        beta[k] = step;
        if (!plain)
            beta[k] = 1.0f / (1.0f + tini_exp(-((const float *)tini_value_at(r, op->in[3], row + k))[head]));
    }
}

/* Of a head, from row `at` on: queries, keys and values, which a SCAN calls C, B and x. */
static void delta_inputs(const tini_run *r, tini_delta *d, uint32_t head, uint32_t at) {
    const tini_op *op = r->op;
    const tini_state *state = recurrent_of(r);
    uint32_t groups = op->u[0], width = state->heads * state->columns, rows = state->rows;
    const float *first = tini_value_at(r, op->in[0], at);
    if (d->plain) {
        d->v = first + (size_t)head * state->columns;
        d->k = first + width + (size_t)(head / (state->heads / groups)) * rows;
        d->q = d->k + (size_t)groups * rows;
    } else {
        d->q = first + (size_t)(head % groups) * rows;
        d->k = d->q + (size_t)groups * rows;
        d->v = (const float *)tini_value_at(r, op->in[1], at) + (d->v_stride - width) +
               (size_t)head * state->columns;
    }
}

static void advance_delta_head(const tini_run *r, tini_delta *d, uint32_t head, uint32_t row, uint32_t rows,
                               uint32_t begin, uint32_t end) {
    for (uint32_t done = 0; done < rows; done += GATED_ROWS, d->from = d->to) {
        float decay[GATED_ROWS], beta[GATED_ROWS];
        uint32_t at = row + done;
        d->rows = rows - done < GATED_ROWS ? rows - done : GATED_ROWS;
        delta_gates(r, d->plain != 0, head, at, d->rows, decay, beta);
        delta_inputs(r, d, head, at);
        d->decay = decay;
        d->beta = beta;
        d->out = (float *)tini_value_at(r, r->op->out[0], at) + (size_t)head * recurrent_of(r)->columns;
        r->pass->kernels->delta(d, begin, end);
    }
}

static void advance_delta(const tini_run *r, const float *from, float *to, uint32_t row, uint32_t rows,
                          uint32_t begin, uint32_t end) {
    const tini_op *op = r->op;
    const tini_state *state = recurrent_of(r);
    int plain = op->kind == TINI_OP_SCAN;
    uint32_t tiles = state->columns / TINI_TILE;
    while (begin < end) {
        uint32_t head = begin / tiles, first = begin % tiles;
        uint32_t count = tiles - first < end - begin ? tiles - first : end - begin;
        size_t offset = (size_t)head * state->rows * state->columns;
        tini_delta d = {
            .from = from + offset,
            .to = to + offset,
            .qk_stride = tini_value_width(r, op->in[0]),
            .v_stride = tini_value_width(r, op->in[plain ? 0 : 1]),
            .out_stride = tini_value_width(r, op->out[0]),
            .inputs = state->rows,
            .plain = (uint32_t)plain,
            .scale = plain ? 1.0f : op->f[0],
            .skip = plain ? tini_vector_of(r, op->tensor[2])[head] : 0.0f,
        };
        advance_delta_head(r, &d, head, row, rows, first, first + count);
        begin += count;
    }
}

static void run_delta(const tini_run *r, uint32_t item, uint32_t end) {
    run_states(r, item, end, advance_delta);
}

const tini_op_functions tini_functions_delta = {state_items, state_work, run_delta};
const tini_op_functions tini_functions_scan = {state_items, state_work, run_delta};
