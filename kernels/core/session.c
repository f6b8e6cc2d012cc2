#include "session.h"
#include "error.h"
#include "sampler.h"

#include <string.h>

/* Places of a session's parts in its block of memory. */
typedef struct layout {
    uint64_t arena, kv, logits, tokens, scratch, total;
} layout;

static uint64_t place(uint64_t *total, uint64_t bytes) {
    uint64_t offset = *total;
    *total += (bytes + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
    return offset;
}

static uint64_t padded_context(const tin_session_options *options) {
    return ((uint64_t)options->context + TINI_KV_TILE - 1) / TINI_KV_TILE * TINI_KV_TILE;
}

static tin_status resolve(const tin_model *model, const tin_session_options *given,
                          tin_session_options *options, tin_error *error) {
    const tini_program_header *h = model->program.header;
    *options = given ? *given : (tin_session_options){0};
    if (!options->context)
        options->context = h->context;
    if (!options->chunk)
        options->chunk = h->chunk;
    if (!options->logit_rows)
        options->logit_rows = 1;
    if (options->context > h->context)
        return tini_fail(error, TIN_ERR_ARGUMENT, "a context of %u tokens; the model has at most %u",
                         options->context, h->context);
    if (options->chunk > h->chunk)
        return tini_fail(error, TIN_ERR_ARGUMENT, "a chunk of %u tokens; the model has at most %u",
                         options->chunk, h->chunk);
    if (options->logit_rows != 1 && options->logit_rows < options->chunk)
        return tini_fail(error, TIN_ERR_ARGUMENT, "%u rows of logits; ask for 1, or for the chunk's %u",
                         options->logit_rows, options->chunk);
    if (options->executor && (!options->executor->run || !options->executor->threads))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the executor has no run function or no threads");
    return TIN_OK;
}

static layout plan(const tin_model *model, const tin_session_options *options) {
    const tini_program_header *h = model->program.header;
    layout l = {0};
    tin_model_info info;
    tin_model_describe(model, &info);
    place(&l.total, sizeof(tin_session));
    l.arena = place(&l.total, h->arena_bytes);
    l.kv = place(&l.total, info.kv_bytes * padded_context(options));
    l.logits = place(&l.total, (uint64_t)options->logit_rows * h->vocab * sizeof(float));
    l.tokens = place(&l.total, (uint64_t)options->context * sizeof(int32_t));
    l.scratch = place(&l.total, tini_sample_scratch(h->vocab));
    return l;
}

size_t tin_session_size(const tin_model *model, const tin_session_options *given, tin_error *error) {
    tin_session_options options;
    if (resolve(model, given, &options, error))
        return 0;
    uint64_t total = plan(model, &options).total;
    if ((size_t)total != total) {
        tini_fail(error, TIN_ERR_ARGUMENT,
                  "the session needs %llu bytes, more than this machine can address; "
                  "give a smaller context",
                  (unsigned long long)total);
        return 0;
    }
    return (size_t)total;
}

tin_status tin_session_create(const tin_model *model, const tin_session_options *given, void *memory,
                              size_t memory_size, tin_session **out, tin_error *error) {
    tin_session_options options;
    tin_status status = resolve(model, given, &options, error);
    if (status)
        return status;
    layout l = plan(model, &options);
    if (!memory || (uintptr_t)memory % TIN_ALIGNMENT || memory_size < l.total)
        return tini_fail(error, TIN_ERR_MEMORY, "the session needs %llu bytes aligned to %u",
                         (unsigned long long)l.total, (uint32_t)TIN_ALIGNMENT);
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the session's pointer");
    uint8_t *base = memory;
    tin_session *s = memory;
    memset(s, 0, sizeof *s);
    s->model = model;
    s->options = options;
    s->wanted = UINT32_MAX;
    s->arena = base + l.arena;
    s->kv = base + l.kv;
    s->logits = (float *)(void *)(base + l.logits);
    s->tokens = (int32_t *)(void *)(base + l.tokens);
    s->scratch = base + l.scratch;
    *out = s;
    return TIN_OK;
}

tini_kv tini_session_kv(const tin_session *s, uint32_t cache, uint32_t head) {
    const tini_cache *caches = s->model->program.caches;
    size_t positions = (size_t)padded_context(&s->options), offset = 0;
    /* Caches of one shape, which is nearly all models, need no walk. */
    for (uint32_t k = 0; k < cache; k++)
        offset += (size_t)caches[k].heads * caches[k].head_dim;
    offset += (size_t)head * caches[cache].head_dim;
    uint16_t *keys = (uint16_t *)(void *)s->kv + 2 * offset * positions;
    return (tini_kv){.keys = keys,
                     .values = keys + positions * caches[cache].head_dim,
                     .capacity = (uint32_t)positions,
                     .head_dim = caches[cache].head_dim};
}

static void forget_pass(tin_session *s) {
    s->next_op = s->rows = s->ready_rows = 0;
}

tin_status tin_session_append(tin_session *s, const int32_t *tokens, uint32_t count, tin_error *error) {
    uint32_t vocab = s->model->program.header->vocab;
    if (count && !tokens)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no tokens");
    if (count > s->options.context - s->count)
        return tini_fail(error, TIN_ERR_CONTEXT, "%u tokens and %u more do not fit the session's context of %u",
                         s->count, count, s->options.context);
    for (uint32_t k = 0; k < count; k++)
        if (tokens[k] < 0 || (uint32_t)tokens[k] >= vocab)
            return tini_fail(error, TIN_ERR_ARGUMENT, "token %d is not in the vocabulary of %u", tokens[k],
                             vocab);
    memcpy(s->tokens + s->count, tokens, (size_t)count * sizeof *tokens);
    s->count += count;
    s->ready_rows = 0;
    return TIN_OK;
}

tin_status tin_session_rewind(tin_session *s, uint32_t position, tin_error *error) {
    if (position > s->count)
        return tini_fail(error, TIN_ERR_ARGUMENT, "position %u is past the session's %u tokens", position,
                         s->count);
    s->count = position;
    if (s->position > position)
        s->position = position;
    forget_pass(s);
    return TIN_OK;
}

tin_status tin_session_want_logits(tin_session *s, uint32_t position, tin_error *error) {
    if (s->options.logit_rows < s->options.chunk && position != UINT32_MAX)
        return tini_fail(error, TIN_ERR_STATE, "the session was made for one row of logits");
    if (s->rows)
        return tini_fail(error, TIN_ERR_STATE, "a chunk is under way; step to its end first");
    s->wanted = position;
    return TIN_OK;
}

static void begin_pass(tin_session *s) {
    uint32_t queued = s->count - s->position;
    s->rows = queued < s->options.chunk ? queued : s->options.chunk;
    s->next_op = 0;
    s->ready_rows = 0;
    uint32_t end = s->position + s->rows, from = s->wanted > s->position ? s->wanted : s->position;
    s->logit_rows = from < end ? end - from : 0;
    if (!s->logit_rows && s->rows == queued)
        s->logit_rows = 1;
}

static void end_pass(tin_session *s) {
    s->position += s->rows;
    s->ready_rows = s->logit_rows;
    s->ready_first = s->position - s->logit_rows;
    s->rows = 0;
}

int32_t tin_step(tin_session *s, uint64_t budget_ns) {
    if (budget_ns && !s->options.clock_ns)
        return TIN_ERR_STATE;
    uint64_t start = budget_ns ? s->options.clock_ns(s->options.clock_context) : 0;
    const tini_program *p = &s->model->program;
    for (;;) {
        if (!s->rows) {
            if (s->position == s->count)
                return TIN_STEP_IDLE;
            begin_pass(s);
        }
        while (s->next_op < p->header->ops) {
            tini_run_op(s, &p->ops[s->next_op++]);
            if (budget_ns && s->next_op < p->header->ops &&
                s->options.clock_ns(s->options.clock_context) - start >= budget_ns)
                return TIN_STEP_PENDING;
        }
        end_pass(s);
        if (s->ready_rows)
            return TIN_STEP_LOGITS;
        if (budget_ns && s->options.clock_ns(s->options.clock_context) - start >= budget_ns)
            return TIN_STEP_PENDING;
    }
}

const float *tin_session_logits(const tin_session *s, uint32_t *rows, uint32_t *first) {
    if (rows)
        *rows = s->ready_rows;
    if (first)
        *first = s->ready_first;
    return s->ready_rows ? s->logits : NULL;
}

int32_t tin_session_sample(tin_session *s, const tin_sampling *sampling) {
    if (!s->ready_rows)
        return TIN_ERR_STATE;
    uint32_t vocab = s->model->program.header->vocab;
    const float *row = s->logits + (size_t)(s->ready_rows - 1) * vocab;
    if (!sampling)
        return tini_argmax(row, vocab);
    return tini_sample(sampling, row, vocab, s->tokens, s->position, s->position, s->scratch);
}

uint32_t tin_session_position(const tin_session *s, uint32_t *count, const int32_t **tokens) {
    if (count)
        *count = s->count;
    if (tokens)
        *tokens = s->tokens;
    return s->position;
}
