#include "adapters.h"
#include "../base/error.h"
#include "../base/hash.h"
#include "../base/memory.h"
#include "../vm/prefix.h"
#include "generate.h"

TINI_REGION_COLD

const uint8_t *tini_source_of(const tin_model *model) {
    size_t size;
    const uint8_t *source = tini_zip_find(&model->zip, "source.bin", &size);
    return source && size == TINI_SOURCE ? source : NULL;
}

size_t tin_adapter_size(const tin_model *model, const void *data, size_t size, tin_error *error) {
    tin_adapter adapter;
    return tini_adapter_check(&adapter, &model->program, tini_source_of(model), data, size, NULL, error)
               ? 0
               : (size_t)tini_adapter_room(&model->program);
}

tin_status tin_adapter_open(const tin_model *model, const void *data, size_t size, void *memory,
                            size_t memory_size, tin_adapter **out, tin_error *error) {
    uint64_t needed = tini_adapter_room(&model->program);
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the adapter's pointer");
    if (tini_lacks(memory, memory_size, needed, "an adapter needs", error))
        return TIN_ERR_MEMORY;
    uint64_t own = 0;
    tini_take(&own, sizeof(tin_adapter));
    uint16_t *of_tensor = (uint16_t *)(void *)((uint8_t *)memory + own);
    tin_status status =
        tini_adapter_check(memory, &model->program, tini_source_of(model), data, size, of_tensor, error);
    if (!status)
        *out = memory;
    return status;
}

void tin_adapter_describe(const tin_adapter *adapter, tin_adapter_info *info) {
    *info = (tin_adapter_info){
        .matrices = adapter->matrices,
        .rank = adapter->rank,
        .factor_bytes = adapter->bytes,
        .fingerprint = adapter->fingerprint,
        .prefix = adapter->prefix,
    };
}

/* Of what they are, not where they lie: equal on every machine. */
static uint64_t hash_adapters(const tini_adapters *adapters) {
    uint64_t hash = 0;
    for (uint32_t k = 0; k < adapters->count; k++) {
        hash = tini_hash(&adapters->at[k].adapter->fingerprint, sizeof(uint64_t), hash);
        hash = tini_hash(&adapters->at[k].scale, sizeof(float), hash);
    }
    return hash;
}

int tini_session_is_shaped(const tin_session *s, uint64_t shape) {
    return shape == s->shape || shape == s->adapted;
}

/* -1 where they are too many. */
static int set_adapter(tini_adapters *adapters, const tin_adapter *adapter, float scale) {
    tini_applied *at = adapters->at;
    uint32_t place = 0, count = adapters->count;
    while (place < count && at[place].adapter != adapter)
        place++;
    if (scale == 0.0f) {
        adapters->count -= place < count;
        for (; place + 1 < count; place++)
            at[place] = at[place + 1];
        return 0;
    }
    if (place == TINI_MOST_ADAPTERS)
        return -1;
    at[place] = (tini_applied){.adapter = adapter, .scale = scale};
    adapters->count += place == count;
    return 0;
}

/* Whether a session can have these: one prefix at most, as it was trained, and room for it. */
static tin_status check_prefix(const tin_session *s, const tini_adapters *adapters, tin_error *error) {
    const tin_adapter *prefix = tini_prefix_of(adapters);
    uint32_t known = tini_session_known(s), context = s->options.context;
    for (uint32_t k = 0; k < adapters->count; k++) {
        const tini_applied *one = &adapters->at[k];
        if (one->adapter->prefix && one->adapter != prefix)
            return tini_fail(error, TIN_ERR_ARGUMENT,
                             "a session has at most one prefix; take off the other first");
        if (one->adapter == prefix && one->scale != 1.0f)
            return tini_fail(error, TIN_ERR_ARGUMENT,
                             "a prefix has no other scale than 1, or 0 to take it off");
    }
    if (prefix && (prefix->prefix >= context || known > context - prefix->prefix))
        return tini_fail(error, TIN_ERR_CONTEXT,
                         "a prefix of %u tokens and the session's %u do not fit its context of %u",
                         prefix->prefix, known, context);
    return TIN_OK;
}

tin_status tin_session_adapter(tin_session *s, const tin_adapter *adapter, float scale, uint32_t flags,
                               tin_error *error) {
    if (adapter && adapter->program != &s->model->program)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the adapter was opened for another model");
    if (!(scale > -TINI_MOST_SCALE && scale < TINI_MOST_SCALE))
        return tini_fail(error, TIN_ERR_ARGUMENT, "an adapter's scale must be a number below %u",
                         (uint32_t)TINI_MOST_SCALE);
    tini_adapters adapters = {0};
    if (adapter) {
        adapters = s->adapters;
        if (set_adapter(&adapters, adapter, scale))
            return tini_fail(error, TIN_ERR_ARGUMENT, "a session has at most %u adapters", TINI_MOST_ADAPTERS);
    }
    uint32_t rank = tini_adapters_rank(&adapters);
    if (rank > s->options.adapter_rank)
        return tini_fail(
            error, TIN_ERR_ARGUMENT,
            "the adapters' ranks are %u in all, and the session has room for %u; make it with a larger "
            "adapter_rank",
            rank, s->options.adapter_rank);
    const tin_adapter *prefix = tini_prefix_of(&adapters);
    tin_status status = check_prefix(s, &adapters, error);
    if (!status && flags & TIN_ADAPTER_KEEP && prefix != tini_prefix_of(&s->adapters) && s->position)
        status = tini_fail(error, TIN_ERR_ARGUMENT,
                           "what was computed behind another prefix, or none, can't be kept");
    if (!status)
        status = tini_session_check_free(s, error);
    if (!status)
        status = tini_generate_end(s, error);
    if (status || tini_same_adapters(&adapters, &s->adapters))
        return status;
    tini_session_drop(s); /* a pass under way is of those before */
    s->adapters = adapters;
    s->adapted = hash_adapters(&adapters);
    s->caches.before = prefix ? prefix->prefix : 0;
    s->states.first = prefix ? prefix->data : NULL;
    if (flags & TIN_ADAPTER_KEEP && s->position)
        s->shape = tini_hash(&s->adapted, sizeof s->adapted, s->shape ^ s->position);
    else
        tini_session_reset(s, 0, s->count);
    return TIN_OK;
}

TINI_REGION_END
