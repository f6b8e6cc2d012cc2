#include "encoder.h"
#include "../base/error.h"
#include "../base/memory.h"

#include <string.h>

TINI_REGION_COLD

tin_status tin_encoder_describe(const tin_model *model, tin_encoder_info *info) {
    const tini_program *encoder = &model->encoder;
    if (!encoder->header)
        return TIN_ERR_UNSUPPORTED;
    *info = (tin_encoder_info){
        .patch = encoder->patch,
        .side = encoder->side,
        .patches = encoder->header->context,
        .width = encoder->header->vocab,
        .weight_bytes = encoder->header->weight_bytes,
    };
    return TIN_OK;
}

static tin_status resolve_encoder(const tin_model *model, const tin_encoder_options *given,
                                  tin_encoder_options *options, tin_error *error) {
    const tini_program *encoder = &model->encoder;
    *options = given ? *given : (tin_encoder_options){0};
    if (!encoder->header)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the model has no image input: the tin has no vision/program.bin");
    if (!options->patches)
        options->patches = encoder->header->context;
    if (options->patches > encoder->header->context)
        return tini_fail(error, TIN_ERR_ARGUMENT, "images of %u patches; the model takes at most %u",
                         options->patches, encoder->header->context);
    if (options->executor && (!options->executor->run || !options->executor->threads))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the executor has no run function or no threads");
    return TIN_OK;
}

/* Places of the vision's parts behind itself, in bytes of its block; the bytes of all. */
typedef struct encoder_layout {
    uint64_t pass, offsets, caches, total;
} encoder_layout;

static uint32_t most_states(const tin_model *model, const tin_encoder_options *options) {
    return options->patches / (model->encoder.side * model->encoder.side);
}

static tini_caches encoder_caches(const tin_model *model, const tin_encoder_options *options) {
    return (tini_caches){.program = &model->encoder,
                         .type = model->encoder.whole ? TIN_KV_Q8 : TIN_KV_F16,
                         .context = options->patches,
                         .rows = options->patches};
}

static encoder_layout plan_encoder(const tin_model *model, const tin_encoder_options *options) {
    const tini_caches caches = encoder_caches(model, options);
    encoder_layout l = {0};
    tini_take(&l.total, TINI_ENCODER_ROOM);
    l.pass = l.total;
    l.total += tini_pass_place(NULL, &model->encoder, options->patches, most_states(model, options), 0, NULL);
    l.offsets = tini_take(&l.total, model->encoder.header->caches * sizeof(uint64_t));
    l.caches = tini_take(&l.total, tini_caches_plan(&caches, NULL));
    return l;
}

size_t tin_encoder_size(const tin_model *model, const tin_encoder_options *given, tin_error *error) {
    tin_encoder_options options;
    if (resolve_encoder(model, given, &options, error))
        return 0;
    uint64_t total = plan_encoder(model, &options).total;
    if ((size_t)total != total) {
        tini_fail(error, TIN_ERR_ARGUMENT,
                  "images of %u patches need %llu bytes, more than this machine can address; ask for fewer",
                  options.patches, (unsigned long long)total);
        return 0;
    }
    return (size_t)total;
}

tin_status tin_encoder_create(const tin_model *model, const tin_encoder_options *given, void *memory,
                              size_t memory_size, tin_encoder **out, tin_error *error) {
    tin_encoder_options options;
    tin_status status = resolve_encoder(model, given, &options, error);
    if (status)
        return status;
    encoder_layout l = plan_encoder(model, &options);
    if (tini_lacks(memory, memory_size, l.total, "the encoder needs", error))
        return TIN_ERR_MEMORY;
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the vision's pointer");
    uint8_t *base = memory;
    tin_encoder *v = memory;
    memset(v, 0, sizeof *v);
    v->model = model;
    v->options = options;
    v->caches = encoder_caches(model, &options);
    v->caches.offsets = (uint64_t *)(void *)(base + l.offsets);
    v->caches.base = base + l.caches;
    tini_caches_plan(&v->caches, v->caches.offsets);
    tini_pass_place(&v->pass, &model->encoder, options.patches, most_states(model, &options), 0, base + l.pass);
    v->pass.kernels = model->kernels;
    v->pass.executor = options.executor;
    *out = v;
    return TIN_OK;
}

tin_status tin_encoder_begin(tin_encoder *v, const float *patches, uint32_t height, uint32_t width,
                             tin_error *error) {
    const uint32_t side = v->model->encoder.side;
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
    v->input = (tini_encoder_input){patches, height, width, (uint32_t)count / (side * side)};
    tini_pass_encode(&v->pass, &v->caches, &v->input);
    v->stage = TINI_ENCODER_RUNNING;
    return TIN_OK;
}

int32_t tin_encoder_step(tin_encoder *v, uint64_t budget_ns) {
    if (budget_ns && !v->options.clock_ns)
        return TIN_ERR_STATE;
    if (v->stage == TINI_ENCODER_IDLE)
        return TIN_STEP_IDLE;
    tini_budget budget = tini_budget_begin(v->options.clock_ns, v->options.clock_context, budget_ns);
    if (v->stage == TINI_ENCODER_RUNNING && !tini_pass_run(&v->pass, &budget))
        return TIN_STEP_PENDING;
    v->stage = TINI_ENCODER_DONE;
    return TIN_STEP_DONE;
}

const float *tin_encoder_states(const tin_encoder *v, uint32_t *count) {
    int seen = v->stage == TINI_ENCODER_DONE;
    if (count)
        *count = seen ? v->input.states : 0;
    return seen ? v->pass.logits : NULL;
}

TINI_REGION_END
