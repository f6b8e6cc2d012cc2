#include "router.h"
#include "../base/error.h"
#include "../base/math.h"
#include "../base/memory.h"
#include "adapters.h"

#include <string.h>

/* What a router takes, whatever a pointer's size. */
#define TINI_ROUTER_ROOM 640u

_Static_assert(sizeof(tini_router_header) == 64, "layout of router.bin");
_Static_assert(sizeof(tin_router) <= TINI_ROUTER_ROOM && TINI_ROUTER_ROOM % TIN_ALIGNMENT == 0,
               "room of a router");

TINI_REGION_COLD

/* What the logits are made from. */
static const tini_value *state_value(const tini_program *p) {
    return &p->values[p->ops[p->header->ops - 1].in[0]]; /* a program ends in its logits */
}

/* That of the newest row of logits. NULL where there is none, and *status says why. */
static const uint8_t *newest_state(const tin_session *s, tin_status *status) {
    const tini_program *p = &s->model->program;
    const tini_value *value = state_value(p);
    uint32_t rows;
    *status = TIN_ERR_STATE;
    if (!tin_session_logits(s, &rows, NULL))
        return NULL;
    const tini_pass *pass = s->ready.pass;
    *status = pass->arena ? TIN_OK : TIN_ERR_UNSUPPORTED;
    if (!pass->arena) /* another runtime made the logits */
        return NULL;
    size_t first = (size_t)(s->ready.logits - pass->logits) / p->header->vocab;
    size_t row = pass->rows - pass->logit_rows + first + rows - 1;
    return pass->arena + (size_t)value->offset * pass->most_rows + row * tini_row_bytes(value);
}

/* Whether all of them are. */
static int are_finite(const float *x, size_t count) {
    for (size_t k = 0; k < count; k++)
        if ((tini_bits(x[k]) & 0x7f800000u) == 0x7f800000u)
            return 0;
    return 1;
}

static tin_status check_router_sizes(const tini_router_header *h, uint32_t dim, size_t size, tin_error *error) {
    if (size < sizeof *h || memcmp(h->magic, TINI_ROUTER_MAGIC, sizeof h->magic))
        return tini_fail(error, TIN_ERR_FORMAT, "these bytes are not a router");
    if (h->version != TINI_ROUTER_VERSION)
        return tini_other_version(error, "the router", h->version, TINI_ROUTER_VERSION,
                                  "fit it again with this version");
    if (!h->tasks || h->tasks > TINI_MOST_TASKS || h->rows <= h->tasks || h->rows > TINI_MOST_ROUTER_ROWS ||
        h->name_bytes > size || h->reserved)
        return tini_fail(error, TIN_ERR_FORMAT, "the router is damaged: its counts do not fit its size");
    if (h->dim != dim)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "the router is of states of %u numbers, and the model's have %u: it belongs to "
                         "another one",
                         h->dim, dim);
    uint64_t floats = (uint64_t)h->rows * h->dim + h->rows + h->tasks;
    uint64_t due = sizeof *h + floats * sizeof(float) + h->name_bytes;
    if (due != size)
        return tini_fail(error, TIN_ERR_FORMAT, "the router has %llu bytes; %llu are due",
                         (unsigned long long)size, (unsigned long long)due);
    return TIN_OK;
}

/* Sets the names, which are the last bytes. */
static int take_names(tin_router *router, const char *names) {
    const char *end = names + router->header->name_bytes;
    for (uint32_t k = 0; k < router->header->tasks; k++) {
        if (names == end || !*names)
            return 0;
        router->names[k] = names;
        while (names < end && *names > ' ' && *names < 127)
            names++;
        if (names == end || *names)
            return 0;
        names++;
        for (uint32_t other = 0; other < k; other++)
            if (!tini_compare_names(router->names[other], router->names[k]))
                return 0;
    }
    return names == end;
}

static tin_status check_router(tin_router *router, const tin_model *model, const uint8_t *data, size_t size,
                               tin_error *error) {
    if (!data || (uintptr_t)data % TIN_ALIGNMENT)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the router's bytes are missing or not aligned to %u",
                         (uint32_t)TIN_ALIGNMENT);
    const tini_router_header *h = (const tini_router_header *)(const void *)data;
    tin_status status = check_router_sizes(h, state_value(&model->program)->width, size, error);
    if (!status)
        status = tini_check_source("router", h->source, tini_source_of(model), error);
    if (status)
        return status;
    const float *weights = (const float *)(const void *)(data + sizeof *h);
    const float *bias = weights + (size_t)h->rows * h->dim, *least = bias + h->rows;
    *router = (tin_router){
        .program = &model->program,
        .header = h,
        .weights = weights,
        .bias = bias,
        .least = least,
    };
    if (!are_finite(weights, (size_t)(least + h->tasks - weights)))
        return tini_fail(error, TIN_ERR_FORMAT, "the router holds numbers that are not finite");
    for (uint32_t k = 0; k < h->tasks; k++)
        if (least[k] < 0.0f || least[k] > 1.0f)
            return tini_fail(error, TIN_ERR_FORMAT, "the router asks for a probability that is none");
    if (!take_names(router, (const char *)(least + h->tasks)))
        return tini_fail(error, TIN_ERR_FORMAT, "the router's names are damaged");
    return TIN_OK;
}

size_t tin_router_size(const tin_model *model, const void *data, size_t size, tin_error *error) {
    tin_router router;
    return check_router(&router, model, data, size, error) ? 0 : TINI_ROUTER_ROOM;
}

tin_status tin_router_open(const tin_model *model, const void *data, size_t size, void *memory,
                           size_t memory_size, tin_router **out, tin_error *error) {
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the router's pointer");
    if (tini_lacks(memory, memory_size, TINI_ROUTER_ROOM, "a router needs", error))
        return TIN_ERR_MEMORY;
    tin_status status = check_router(memory, model, data, size, error);
    if (!status)
        *out = memory;
    return status;
}

void tin_router_describe(const tin_router *router, tin_router_info *info) {
    *info = (tin_router_info){
        .tasks = router->header->tasks,
        .rows = router->header->rows,
        .dim = router->header->dim,
    };
}

const char *tin_router_task(const tin_router *router, uint32_t task, float *least) {
    if (task >= router->header->tasks)
        return NULL;
    if (least)
        *least = router->least[task];
    return router->names[task];
}

TINI_REGION_END

TINI_REGION_SCALAR

TINI_REGION_COLD

static float state_at(const tini_value *value, const uint8_t *state, uint32_t i) {
    if (value->type == TINI_VALUE_F32)
        return tini_load_f32(state + (size_t)i * sizeof(float));
    const tini_q8 *block = (const tini_q8 *)(const void *)state + i / TINI_BLOCK;
    return block->scale * (float)block->q[i % TINI_BLOCK];
}

int64_t tin_session_state(const tin_session *s, float *out, size_t capacity) {
    const tini_value *value = state_value(&s->model->program);
    tin_status status;
    const uint8_t *state = newest_state(s, &status);
    if (!state)
        return status;
    for (uint32_t i = 0; i < value->width && i < capacity; i++)
        out[i] = state_at(value, state, i);
    return value->width;
}

static float row_score(const tin_router *router, uint32_t row, const tini_value *value, const uint8_t *state) {
    const float *weights = router->weights + (size_t)row * value->width;
    float sums[16] = {0};
    for (uint32_t i = 0; i < value->width; i++)
        sums[i % 16] = sums[i % 16] + weights[i] * state_at(value, state, i);
    return tini_sum16(sums) + router->bias[row];
}

tin_status tin_session_route(const tin_session *s, const tin_router *router, float *scores, tin_route *route,
                             tin_error *error) {
    const tini_value *value = state_value(&s->model->program);
    if (!router || router->program != &s->model->program || !route)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the router is missing or was opened for another model");
    if (s->shape)
        return tini_fail(error, TIN_ERR_STATE,
                         "a router reads the model's own states: take the adapters off before the prompt");
    tin_status status;
    const uint8_t *state = newest_state(s, &status);
    if (status)
        return tini_fail(error, status, "there are no logits of this runtime: step the prompt to its end");
    uint32_t tasks = router->header->tasks, rows = router->header->rows, best = 0;
    float z[TINI_MOST_ROUTER_ROWS], highest = 0.0f, sum = 0.0f;
    for (uint32_t k = 0; k < rows; k++) {
        z[k] = row_score(router, k, value, state);
        if (scores)
            scores[k] = z[k];
        best = k < tasks && z[k] > z[best] ? k : best;
        highest = k && highest > z[k] ? highest : z[k];
    }
    float share = 0.0f, least = router->least[best];
    for (uint32_t k = 0; k < rows; k++) {
        float e = tini_exp(z[k] - highest);
        sum = sum + e;
        share = k == best ? e : share;
    }
    share = share / sum;
    *route = (tin_route){.task = best, .taken = share >= least, .probability = share, .least = least};
    return TIN_OK;
}

TINI_REGION_END

TINI_REGION_END
