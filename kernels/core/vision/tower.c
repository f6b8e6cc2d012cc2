#include "tower.h"
#include "../base/error.h"
#include "../base/memory.h"

#include <string.h>

TINI_REGION_COLD

tin_status tin_vision_describe(const tin_model *model, tin_vision_info *info) {
    const tini_program *tower = &model->tower;
    if (!tower->header)
        return TIN_ERR_UNSUPPORTED;
    *info = (tin_vision_info){
        .patch = tower->patch,
        .side = tower->side,
        .patches = tower->header->context,
        .width = tower->header->vocab,
        .weight_bytes = tower->header->weight_bytes,
    };
    return TIN_OK;
}

static tin_status resolve_vision(const tin_model *model, const tin_vision_options *given,
                                 tin_vision_options *options, tin_error *error) {
    const tini_program *tower = &model->tower;
    *options = given ? *given : (tin_vision_options){0};
    if (!tower->header)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the model sees no images: the tin has no vision/program.bin");
    if (!options->patches)
        options->patches = tower->header->context;
    if (options->patches > tower->header->context)
        return tini_fail(error, TIN_ERR_ARGUMENT, "images of %u patches; the model takes at most %u",
                         options->patches, tower->header->context);
    if (options->executor && (!options->executor->run || !options->executor->threads))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the executor has no run function or no threads");
    return TIN_OK;
}

/* Places of the vision's parts behind itself, in bytes of its block; the bytes of all. */
typedef struct vision_layout {
    uint64_t pass, offsets, caches, total;
} vision_layout;

static uint32_t most_states(const tin_model *model, const tin_vision_options *options) {
    return options->patches / (model->tower.side * model->tower.side);
}

static tini_caches vision_caches(const tin_model *model, const tin_vision_options *options) {
    return (tini_caches){.program = &model->tower,
                         .type = model->tower.whole ? TIN_KV_Q8 : TIN_KV_F16,
                         .context = options->patches,
                         .rows = options->patches};
}

static vision_layout plan_vision(const tin_model *model, const tin_vision_options *options) {
    const tini_caches caches = vision_caches(model, options);
    vision_layout l = {0};
    tini_take(&l.total, TINI_VISION_ROOM);
    l.pass = l.total;
    l.total += tini_pass_place(NULL, &model->tower, options->patches, most_states(model, options), 0, NULL);
    l.offsets = tini_take(&l.total, model->tower.header->caches * sizeof(uint64_t));
    l.caches = tini_take(&l.total, tini_caches_plan(&caches, NULL));
    return l;
}

size_t tin_vision_size(const tin_model *model, const tin_vision_options *given, tin_error *error) {
    tin_vision_options options;
    if (resolve_vision(model, given, &options, error))
        return 0;
    uint64_t total = plan_vision(model, &options).total;
    if ((size_t)total != total) {
        tini_fail(error, TIN_ERR_ARGUMENT,
                  "images of %u patches need %llu bytes, more than this machine can address; ask for fewer",
                  options.patches, (unsigned long long)total);
        return 0;
    }
    return (size_t)total;
}

tin_status tin_vision_create(const tin_model *model, const tin_vision_options *given, void *memory,
                             size_t memory_size, tin_vision **out, tin_error *error) {
    tin_vision_options options;
    tin_status status = resolve_vision(model, given, &options, error);
    if (status)
        return status;
    vision_layout l = plan_vision(model, &options);
    if (tini_lacks(memory, memory_size, l.total, "the tower needs", error))
        return TIN_ERR_MEMORY;
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the vision's pointer");
    uint8_t *base = memory;
    tin_vision *v = memory;
    memset(v, 0, sizeof *v);
    v->model = model;
    v->options = options;
    v->caches = vision_caches(model, &options);
    v->caches.offsets = (uint64_t *)(void *)(base + l.offsets);
    v->caches.base = base + l.caches;
    tini_caches_plan(&v->caches, v->caches.offsets);
    tini_pass_place(&v->pass, &model->tower, options.patches, most_states(model, &options), 0, base + l.pass);
    v->pass.kernels = model->kernels;
    v->pass.executor = options.executor;
    *out = v;
    return TIN_OK;
}

tin_status tin_vision_begin(tin_vision *v, const float *patches, uint32_t height, uint32_t width,
                            tin_error *error) {
    const uint32_t side = v->model->tower.side;
    const uint64_t count = (uint64_t)height * width;
    if (!patches || !count)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no patches");
    if (height % side || width % side)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "an image of %u by %u patches; the model merges squares of %u by %u", height, width,
                         side, side);
    if (count > v->options.patches)
        return tini_fail(error, TIN_ERR_ARGUMENT, "an image of %u by %u patches; there is room for %u", height,
                         width, v->options.patches);
    v->image = (tini_image){patches, height, width, (uint32_t)count / (side * side)};
    tini_pass_see(&v->pass, &v->caches, &v->image);
    v->stage = TINI_TOWER_SEEING;
    return TIN_OK;
}

int32_t tin_vision_step(tin_vision *v, uint64_t budget_ns) {
    if (budget_ns && !v->options.clock_ns)
        return TIN_ERR_STATE;
    if (v->stage == TINI_TOWER_IDLE)
        return TIN_STEP_IDLE;
    tini_budget budget = tini_budget_begin(v->options.clock_ns, v->options.clock_context, budget_ns);
    if (v->stage == TINI_TOWER_SEEING && !tini_pass_run(&v->pass, &budget))
        return TIN_STEP_PENDING;
    v->stage = TINI_TOWER_SEEN;
    return TIN_STEP_DONE;
}

const float *tin_vision_states(const tin_vision *v, uint32_t *count) {
    int seen = v->stage == TINI_TOWER_SEEN;
    if (count)
        *count = seen ? v->image.states : 0;
    return seen ? v->pass.logits : NULL;
}

TINI_REGION_END
