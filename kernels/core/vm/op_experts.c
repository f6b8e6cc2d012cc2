/* Ops of a mixture of experts: routes, and what goes by them. */
#include "op.h"
#include "experts.h"
#include "op_matmul.h"

/* The routes of a row, by the value that holds them. */
static tini_route *routes_at(const tini_run *r, uint32_t value, uint32_t row) {
    return tini_value_at(r, value, row);
}

/* One item: rows are sorted by expert together, in less time than one of the experts' tiles takes. */
static uint32_t items_route(const tini_run *r) {
    (void)r;
    return 1;
}

static uint64_t work_route(const tini_run *r) {
    return (uint64_t)tini_row_items(r) * 4 *
           (tini_value_width(r, r->op->in[0]) + tini_value_width(r, r->op->out[0]));
}

static void run_route(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    tini_routing t = {
        .rows = tini_row_items(r),
        .experts = tini_value_width(r, op->in[0]),
        .chosen = op->u[0],
        .normalize = op->u[1] != 0,
        .scale = op->f[0],
    };
    if (op->kind == TINI_OP_ROUTE_SIGMOID) {
        t.bias = tini_vector_of(r, op->tensor[0]);
        t.added = op->f[1];
    }
    if (item < end)
        tini_route_rows(&t, routes_at(r, op->out[0], r->begin), tini_value_at(r, op->in[0], r->begin));
}

const tini_op_functions tini_functions_route = {items_route, work_route, run_route};
const tini_op_functions tini_functions_route_sigmoid = {items_route, work_route, run_route};

static void run_expert_gather(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        tini_expert_gather(tini_value_at(r, op->out[0], r->begin), tini_value_at(r, op->in[0], row),
                           tini_value_row_bytes(r, op->in[0]), routes_at(r, op->in[1], row), op->u[0],
                           tini_row_items(r) * op->u[0]);
}

const tini_op_functions tini_functions_expert_gather = {tini_row_items, tini_norm_work, run_expert_gather};

/* An item is one of a part's tiles, of every expert. */
static uint32_t items_expert_matmul(const tini_run *r) {
    return tini_value_width(r, r->op->out[0]) / r->op->u[0] / TINI_TILE;
}

static uint64_t work_expert_matmul(const tini_run *r) {
    return tini_matmul_work(r) * r->op->u[0];
}

static void run_expert_matmul(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    const tini_tensor *t = tini_tensor_of(r, op->tensor[0]);
    uint32_t outputs = tini_value_width(r, op->out[0]) / op->u[0], experts = t->rows / outputs;
    tini_matmul m = {
        .weights = tini_weights_of(r, op->tensor[0]),
        .x = tini_value_at(r, op->in[0], r->begin),
        .out = tini_value_at(r, op->out[0], r->begin),
        .x_stride = tini_value_row_bytes(r, op->in[0]) / op->u[0],
        .out_stride = outputs,
        .rows = tini_row_items(r) * op->u[0],
        .inputs = t->inputs,
        .outputs = outputs,
    };
    tini_expert_matmul(tini_matmul_of(r, t->format), &m, (size_t)(t->bytes / experts), experts,
                       routes_at(r, op->in[1], r->begin), item, end);
}

const tini_op_functions tini_functions_expert_matmul = {items_expert_matmul, work_expert_matmul,
                                                        run_expert_matmul};

static uint64_t work_expert_sum(const tini_run *r) {
    return tini_value_width(r, r->op->in[0]);
}

static void run_expert_sum(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        tini_route shared;
        tini_expert_sum s = {
            .residual = op->in[2] == TINI_NONE ? NULL : tini_value_at(r, op->in[2], row),
            .chosen = op->u[0],
            .n = tini_value_width(r, op->out[0]),
        };
        if (op->u[1]) {
            shared = tini_shared_route(*(const float *)tini_value_at(r, op->in[1], row));
            s.routes = &shared;
            s.parts = tini_value_at(r, op->in[0], row);
            s.places = 1;
        } else {
            s.routes = routes_at(r, op->in[1], row);
            s.parts = tini_value_at(r, op->in[0], r->begin);
            s.places = tini_row_items(r) * op->u[0];
        }
        tini_expert_sum_row(&s, tini_value_at(r, op->out[0], row));
    }
}

const tini_op_functions tini_functions_expert_sum = {tini_row_items, work_expert_sum, run_expert_sum};
