/* Ops of encoders: an image's patches and their positions, the squares of patches that make one state, and the states. */
#include "op.h"
#include "../base/rows.h"
#include "embed.h"

#include <string.h>

TINI_REGION_SCALAR

static void run_patches(const tini_run *r, uint32_t item, uint32_t end) {
    const size_t width = r->pass->program->patch;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        memcpy(tini_value_at(r, r->op->out[0], row), r->pass->encoder_input->patches + row * width,
               width * sizeof(float));
}

static uint64_t work_patches(const tini_run *r) {
    return r->pass->program->patch;
}

const tini_op_functions tini_functions_patches = {tini_row_items, work_patches, run_patches};

/* The places of one axis that a patch takes part of: from `first` on, `count` of them. */
typedef struct places {
    uint32_t first, count;
    float centre, reach; /* of TINI_GRID_SMOOTH */
    float sum;
} places;

/* As TINI_GRID_SMOOTH states it, not yet divided by the sum. */
static float smooth_weight(const places *p, uint32_t k) {
    float away = tini_abs((float)(p->first + k) + 0.5f - p->centre) / p->reach;
    return away < 1.0f ? 1.0f - away : 0.0f;
}

/* Patch i of n on an axis of `side` places. */
static places places_of(uint32_t kind, uint32_t i, uint32_t n, uint32_t side) {
    if (kind == TINI_GRID_NEAREST)
        return (places){.first = (uint32_t)((uint64_t)i * side / n), .count = 1};
    if (kind == TINI_GRID_CORNERS) {
        uint32_t steps = n > 1 ? n - 1 : 1;
        uint64_t at = (uint64_t)i * (side - 1);
        uint32_t first = (uint32_t)(at / steps), rest = (uint32_t)(at % steps);
        return (places){.first = first, .count = rest ? 2 : 1, .centre = (float)rest / (float)steps};
    }
    float step = (float)side / (float)n;
    places p = {.centre = ((float)i + 0.5f) * step, .reach = step > 1.0f ? step : 1.0f};
    float low = p.centre - p.reach, high = p.centre + p.reach;
    p.first = low > 0.0f ? (uint32_t)low : 0;
    uint32_t last = (uint32_t)high;
    p.count = (last < side ? last + 1 : side) - p.first;
    for (uint32_t k = 0; k < p.count; k++)
        p.sum = p.sum + smooth_weight(&p, k);
    return p;
}

static float place_weight(uint32_t kind, const places *p, uint32_t k) {
    if (kind == TINI_GRID_SMOOTH)
        return smooth_weight(p, k) / p->sum;
    if (p->count == 1)
        return 1.0f;
    return k ? p->centre : 1.0f - p->centre;
}

/* The places' side: the square root of the table's rows, which are a square. */
static uint32_t grid_side(const tini_tensor *t) {
    return (uint32_t)(tini_sqrt((float)t->rows) + 0.5f);
}

/* out = x, then + (weight of the row * weight of the column) * place, places in the order of the table; a weight of 0 adds
 * nothing. */
static void run_position(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    const tini_tensor *t = tini_tensor_of(r, op->tensor[0]);
    const tini_encoder_input *image = r->pass->encoder_input;
    uint32_t side = grid_side(t), kind = op->u[0];
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        float *out = tini_value_at(r, op->out[0], row);
        memmove(out, tini_value_at(r, op->in[0], row), t->inputs * sizeof *out);
        places down = places_of(kind, row / image->width, image->height, side),
               across = places_of(kind, row % image->width, image->width, side);
        for (uint32_t y = 0; y < down.count; y++)
            for (uint32_t x = 0; x < across.count; x++) {
                float weight = place_weight(kind, &down, y) * place_weight(kind, &across, x);
                if (weight != 0.0f)
                    tini_add_unpacked(t->format, out, tini_weights_of(r, op->tensor[0]),
                                      (down.first + y) * side + across.first + x, t->inputs, weight);
            }
    }
}

static uint64_t work_position(const tini_run *r) {
    return 16 * (uint64_t)tini_value_width(r, r->op->in[0]);
}

const tini_op_functions tini_functions_position = {tini_row_items, work_position, run_position};

/* Joined: the square's patches in the order of rows. Their mean: their sum in that order, times 1 / their number. */
static void run_merge(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t side = op->u[0], n = tini_value_width(r, op->in[0]), across = r->pass->encoder_input->width / side;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++) {
        float *out = tini_value_at(r, op->out[0], row);
        uint32_t first = row / across * side * r->pass->encoder_input->width + row % across * side;
        for (uint32_t k = 0; k < side * side; k++) {
            const float *x =
                tini_value_at(r, op->in[0], first + k / side * r->pass->encoder_input->width + k % side);
            /* Not memcpy: a hostile program's values may lie over each other. */
            if (!op->u[1] || !k)
                memmove(out + (op->u[1] ? 0 : (size_t)k * n), x, n * sizeof *out);
            else
                tini_add_row(out, out, x, n, 1.0f);
        }
        if (op->u[1])
            tini_scale_row(out, n, 1.0f / (float)(side * side));
    }
}

static uint64_t work_merge(const tini_run *r) {
    return (uint64_t)r->op->u[0] * r->op->u[0] * tini_value_width(r, r->op->in[0]);
}

const tini_op_functions tini_functions_merge = {tini_row_items, work_merge, run_merge};

static void run_made_states(const tini_run *r, uint32_t item, uint32_t end) {
    const size_t width = r->pass->program->header->vocab;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        memcpy(r->pass->logits + row * width, tini_value_at(r, r->op->in[0], row), width * sizeof(float));
}

const tini_op_functions tini_functions_states = {tini_row_items, tini_norm_work, run_made_states};

TINI_REGION_END
