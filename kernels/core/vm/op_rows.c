/* Ops that take each row by itself: embeddings and what is given in their place, norms, gates, sums, scales, slices and
 * joins. */
#include "op.h"
#include "../base/rows.h"
#include "embed.h"

#include <string.h>

static uint64_t work_embed(const tini_run *r) {
    return (uint64_t)TINI_BLOCK_ROWS * 4 * tini_tensor_of(r, r->op->tensor[0])->inputs;
}

/* Part `part` of what is given at a place inside an image. */
static const float *given_at(const tini_input *input, const tini_span *image, uint32_t place, uint32_t part,
                             uint32_t width) {
    return input->rows + (size_t)(image->row + (place - image->first)) * input->width + (size_t)part * width;
}

static void run_embed(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_tensor *t = tini_tensor_of(r, r->op->tensor[0]);
    for (; item < end; item++) {
        const tini_block *block = tini_block_of(r, item);
        const tini_span *image = tini_block_image(block);
        for (uint32_t k = 0; k < block->rows; k++) {
            float *out = tini_value_at(r, r->op->out[0], block->row + k);
            const uint32_t place = tini_block_place(block) + k;
            if (image) {
                memcpy(out, given_at(block->input, image, place, 0, t->inputs), t->inputs * sizeof *out);
                continue;
            }
            tini_unpack_row(t->format, out, tini_weights_of(r, r->op->tensor[0]),
                            (uint32_t)block->input->tokens[place], t->inputs);
            tini_scale_row(out, t->inputs, r->op->f[0]);
        }
    }
}

const tini_op_functions tini_functions_embed = {tini_block_items, work_embed, run_embed};

static void run_given(const tini_run *r, uint32_t item, uint32_t end) {
    const uint32_t width = tini_value_width(r, r->op->in[0]);
    for (; item < end; item++) {
        const tini_block *block = tini_block_of(r, item);
        const tini_span *image = tini_block_image(block);
        for (uint32_t k = 0; image && k < block->rows; k++) {
            float *x = tini_value_at(r, r->op->out[0], block->row + k);
            tini_add_row(x, x, given_at(block->input, image, tini_block_place(block) + k, r->op->u[0], width),
                         width, 1.0f);
        }
    }
}

static uint64_t work_given(const tini_run *r) {
    return TINI_BLOCK_ROWS * tini_norm_work(r);
}

const tini_op_functions tini_functions_given = {tini_block_items, work_given, run_given};

static void run_norm(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    const tini_kernels *kernels = r->pass->kernels;
    const float *weight = tini_vector_of(r, op->tensor[0]), *bias = tini_vector_of(r, op->tensor[1]);
    uint32_t width = tini_value_width(r, op->in[0]), heads = op->u[0] ? op->u[0] : 1, n = width / heads;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        float *out = tini_value_at(r, op->out[0], row);
        const float *x = tini_value_at(r, op->in[0], row);
        for (uint32_t head = 0; head < heads; head++)
            if (bias)
                kernels->layer_norm(out + head * n, x + head * n, weight, bias, n, op->f[0]);
            else
                kernels->rms_norm(out + head * n, x + head * n, weight, n, op->f[0]);
        if (op->in[1] != TINI_NONE)
            tini_add_row(out, tini_value_at(r, op->in[1], row), out, width, 1.0f);
        if (op->out[1] != TINI_NONE)
            kernels->quantize_q8(tini_value_at(r, op->out[1], row), out, width);
    }
}

const tini_op_functions tini_functions_norm = {tini_row_items, tini_norm_work, run_norm};

static void run_quantize(const tini_run *r, uint32_t item, uint32_t end) {
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        r->pass->kernels->quantize_q8(tini_value_at(r, r->op->out[0], row), tini_value_at(r, r->op->in[0], row),
                                      tini_value_width(r, r->op->in[0]));
}

const tini_op_functions tini_functions_quantize = {tini_row_items, tini_norm_work, run_quantize};

static uint64_t work_gated(const tini_run *r) {
    return 16 * (uint64_t)tini_value_width(r, r->op->out[0]);
}

static tini_gate_fn *gate_of(const tini_run *r) {
    const tini_kernels *kernels = r->pass->kernels;
    tini_gate_fn *const acts[TINI_ACT_COUNT] = {
        [TINI_ACT_SILU] = kernels->silu_mul,         [TINI_ACT_GELU] = kernels->gelu_mul,
        [TINI_ACT_SIGMOID] = kernels->sigmoid_mul,   [TINI_ACT_NONE] = tini_mul_row,
        [TINI_ACT_GELU_ERF] = kernels->gelu_erf_mul,
    };
    return acts[r->op->u[0]];
}

enum { ALIKE = 64 }; /* elements that one number is repeated for, so that the kernels need no other form */

static void repeat(float *alike, float number) {
    for (uint32_t i = 0; i < ALIKE; i++)
        alike[i] = number;
}

/* Without a gate: one times a number is that number. */
static void run_ungated(tini_gate_fn *gate, float *out, const float *x, uint32_t width) {
    float ones[ALIKE];
    repeat(ones, 1.0f);
    for (uint32_t i = 0; i < width; i += ALIKE)
        gate(out + i, x + i, ones, width - i < ALIKE ? width - i : ALIKE);
}

/* Each of the parts of a row has one element for its gate. */
static void run_parted(tini_gate_fn *gate, float *out, const float *gates, uint32_t parts, const float *up,
                       uint32_t width) {
    float same[ALIKE];
    const uint32_t part = width / parts;
    for (uint32_t k = 0; k < parts; k++, out += part, up += part) {
        repeat(same, gates[k]);
        for (uint32_t i = 0; i < part; i += ALIKE)
            gate(out + i, same, up + i, part - i < ALIKE ? part - i : ALIKE);
    }
}

static void run_gated(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t width = tini_value_width(r, op->out[0]), gates = tini_value_width(r, op->in[0]);
    tini_gate_fn *gate = gate_of(r);
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        float *out = tini_value_at(r, op->out[0], row);
        const float *x = tini_value_at(r, op->in[0], row);
        if (op->in[1] == TINI_NONE)
            run_ungated(gate, out, x, width);
        else if (gates < width)
            run_parted(gate, out, x, gates, tini_value_at(r, op->in[1], row), width);
        else
            gate(out, x, tini_value_at(r, op->in[1], row), width);
        if (op->out[1] != TINI_NONE)
            r->pass->kernels->quantize_q8(tini_value_at(r, op->out[1], row), out, width);
    }
}

const tini_op_functions tini_functions_gated = {tini_row_items, work_gated, run_gated};

static void run_add(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        tini_add_row(tini_value_at(r, op->out[0], row), tini_value_at(r, op->in[0], row),
                     tini_value_at(r, op->in[1], row), tini_value_width(r, op->in[0]), op->f[0]);
}

const tini_op_functions tini_functions_add = {tini_row_items, tini_norm_work, run_add};

static void run_scale(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t width = tini_value_width(r, op->in[0]);
    const float factor = tini_vector_of(r, op->tensor[0])[0];
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        const float *x = tini_value_at(r, op->in[0], row);
        float *out = tini_value_at(r, op->out[0], row);
        for (uint32_t i = 0; i < width; i++)
            out[i] = x[i] * factor;
    }
}

const tini_op_functions tini_functions_scale = {tini_row_items, tini_norm_work, run_scale};

static void run_slice(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t groups = op->u[0], from = tini_value_width(r, op->in[0]) / groups,
             to = tini_value_width(r, op->out[0]) / groups;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        const float *x = (const float *)tini_value_at(r, op->in[0], row) + op->u[1];
        float *out = tini_value_at(r, op->out[0], row);
        /* Not memcpy: a hostile program's values may lie over each other. */
        for (uint32_t group = 0; group < groups; group++)
            memmove(out + (size_t)group * to, x + (size_t)group * from, to * sizeof *out);
    }
}

const tini_op_functions tini_functions_slice = {tini_row_items, tini_norm_work, run_slice};

static void run_join(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t first = tini_value_width(r, op->in[0]), second = tini_value_width(r, op->in[1]);
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        float *out = tini_value_at(r, op->out[0], row);
        memmove(out, tini_value_at(r, op->in[0], row), first * sizeof *out); /* as in run_slice */
        memmove(out + first, tini_value_at(r, op->in[1], row), second * sizeof *out);
    }
}

const tini_op_functions tini_functions_join = {tini_row_items, tini_norm_work, run_join};
