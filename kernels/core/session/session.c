#include "session.h"
#include "../base/error.h"
#include "../base/memory.h"
#include "../text/draft_table.h"
#include "../vm/prefix.h"
#include "generate.h"
#include "speculate.h"
#include "predictor.h"
#include "sampler.h"
#include "search.h"

#include <string.h>

TINI_REGION_COLD

/* Places of a session's parts in its block of memory. */
typedef struct session_layout {
    uint64_t offsets, pass, caches, slots, states, tokens, spans, rows, scratch, drafter, predictor, search,
        total;
} session_layout;

static tin_status resolve_options(const tin_model *model, const tin_session_options *given,
                                  tin_session_options *options, tin_error *error) {
    const tini_program_header *h = model->program.header;
    *options = given ? *given : (tin_session_options){0};
    if (!options->context)
        options->context = h->context;
    if (!options->chunk)
        options->chunk = h->chunk;
    if (!options->logit_rows)
        options->logit_rows = 1;
    options->searches |= (uint32_t)tini_model_searches(model);
    if (options->context > h->context)
        return tini_fail(error, TIN_ERR_ARGUMENT, "a context of %u tokens; the model has at most %u",
                         options->context, h->context);
    if (options->chunk > TINI_MAX_CHUNK)
        return tini_fail(error, TIN_ERR_ARGUMENT, "a chunk of %u tokens; at most %u are computed at once",
                         options->chunk, TINI_MAX_CHUNK);
    if (options->logit_rows > options->chunk)
        return tini_fail(error, TIN_ERR_ARGUMENT, "%u rows of logits; a chunk has at most %u",
                         options->logit_rows, options->chunk);
    if (!tini_caches_allow(&model->program, options->kv_type))
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "kv_type %u: it is unknown, or this model's heads are not whole blocks of 32",
                         options->kv_type);
    if (options->checkpoints > TINI_MOST_CHECKPOINTS)
        return tini_fail(error, TIN_ERR_ARGUMENT, "%u checkpoints; a session keeps at most %u",
                         options->checkpoints, TINI_MOST_CHECKPOINTS);
    if (options->adapter_rank > TINI_MOST_ADAPTERS * TINI_MOST_RANK)
        return tini_fail(error, TIN_ERR_ARGUMENT, "room for adapters of rank %u; at most %u",
                         options->adapter_rank, TINI_MOST_ADAPTERS * TINI_MOST_RANK);
    if ((options->tiles || options->image_rows) && !tini_input_width(&model->program))
        return tini_fail(
            error, TIN_ERR_UNSUPPORTED,
            "room for images; the model has no one table of embeddings that given rows take the place of");
    if (options->tiles > options->image_rows || options->image_rows > options->context)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "room for %u images of %u rows in all; an image has a row at least, and a row is a "
                         "position of the context of %u",
                         options->tiles, options->image_rows, options->context);
    if (options->executor && (!options->executor->run || !options->executor->threads))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the executor has no run function or no threads");
    return TIN_OK;
}

static tini_caches plan_caches(const tin_model *model, const tin_session_options *options) {
    return (tini_caches){
        .program = &model->program,
        .type = options->kv_type,
        .context = options->context,
        .rows = options->chunk,
    };
}

/* The state after the last token, that before it, and the checkpoints. */
static tini_states plan_states(const tin_model *model, const tin_session_options *options) {
    return (tini_states){
        .program = &model->program,
        .bytes = tini_states_bytes(&model->program),
        .slots = 2 + options->checkpoints,
    };
}

static tini_input plan_input(const tin_model *model, const tin_session_options *options) {
    const tini_program *p = &model->program;
    return (tini_input){
        .width = options->image_rows ? tini_input_width(p) : 0,
        .most_spans = options->tiles,
        .most_rows = options->image_rows,
        .whole = tini_program_image_is_bidirectional(p) ? options->chunk : 0,
        .graded = (uint32_t)tini_program_image_has_positions(p),
    };
}

/* It drafts for a pass of its own. */
static uint64_t predictor_bytes(const tin_model *model, const tin_session_options *options) {
    return options->batched ? 0 : tini_predictor_bytes(model, options->chunk, options->logit_rows, 1);
}

static session_layout plan_session(const tin_model *model, const tin_session_options *options) {
    const tini_program_header *h = model->program.header;
    tini_caches caches = plan_caches(model, options);
    tini_states states = plan_states(model, options);
    tini_input input = plan_input(model, options);
    session_layout l = {0};
    tini_take(&l.total, TINI_SESSION_ROOM);
    l.offsets = tini_take(&l.total, (uint64_t)h->caches * sizeof(uint64_t));
    l.pass = l.total;
    if (!options->batched)
        l.total += tini_pass_place(NULL, &model->program, options->chunk, options->logit_rows,
                                   options->adapter_rank, NULL);
    l.caches = tini_take(&l.total, tini_caches_plan(&caches, NULL));
    l.slots = tini_take(&l.total, states.bytes ? states.slots * sizeof(uint32_t) : 0);
    l.states = tini_take(&l.total, states.bytes * states.slots);
    l.tokens = tini_take(&l.total, (uint64_t)options->context * sizeof(int32_t));
    l.spans = tini_take(&l.total, (uint64_t)input.most_spans * sizeof(tini_span));
    l.rows = tini_take(&l.total, (uint64_t)input.most_rows * input.width * sizeof(float));
    l.scratch = tini_take(&l.total, tini_sample_scratch(h->vocab));
    l.drafter = tini_take(&l.total, options->logit_rows > 1 ? TINI_DRAFTER_ROOM : 0);
    l.predictor = tini_take(&l.total, predictor_bytes(model, options));
    l.search = tini_take(&l.total, options->searches ? sizeof(tini_search) : 0);
    return l;
}

size_t tin_session_size(const tin_model *model, const tin_session_options *given, tin_error *error) {
    tin_session_options options;
    if (resolve_options(model, given, &options, error))
        return 0;
    uint64_t total = plan_session(model, &options).total;
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
    tin_status status = resolve_options(model, given, &options, error);
    if (status)
        return status;
    session_layout l = plan_session(model, &options);
    if (tini_lacks(memory, memory_size, l.total, "the session needs", error))
        return TIN_ERR_MEMORY;
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the session's pointer");
    uint8_t *base = memory;
    tin_session *s = memory;
    memset(s, 0, sizeof *s);
    s->model = model;
    s->options = options;
    s->wanted = UINT32_MAX;
    s->event_position = TINI_NONE;
    s->caches = plan_caches(model, &options);
    s->caches.offsets = (uint64_t *)(void *)(base + l.offsets);
    s->caches.base = base + l.caches;
    tini_caches_plan(&s->caches, s->caches.offsets);
    s->states = plan_states(model, &options);
    s->states.at = (uint32_t *)(void *)(base + l.slots);
    s->states.base = base + l.states;
    for (uint32_t k = 0; s->states.bytes && k < s->states.slots; k++)
        s->states.at[k] = TINI_NONE;
    if (!options.batched)
        tini_pass_place(&s->pass, &model->program, options.chunk, options.logit_rows, options.adapter_rank,
                        base + l.pass);
    s->pass.kernels = model->kernels;
    s->pass.executor = options.executor;
    s->input = plan_input(model, &options);
    s->input.tokens = (int32_t *)(void *)(base + l.tokens);
    s->input.spans = (tini_span *)(void *)(base + l.spans);
    s->input.rows = (float *)(void *)(base + l.rows);
    s->scratch = base + l.scratch;
    if (options.searches) {
        s->search = (tini_search *)(void *)(base + l.search);
        s->search->most = 0;
    }
    if (options.logit_rows > 1) {
        s->drafter = (tini_drafter *)(void *)(base + l.drafter);
        memset(s->drafter, 0, sizeof *s->drafter);
        s->drafter->tokenizer = &model->tokenizer;
        tini_speculate_with_table(s, &model->draft);
    }
    if (predictor_bytes(model, &options))
        s->predictor = tini_predictor_create(model, &s->pass, 1, base + l.predictor);
    *out = s;
    return TIN_OK;
}

/* Whether its own predictor has it. */
static int own_draft(const tin_session *s) {
    return s->predictor && s->running == &s->predictor->pass;
}

void tini_session_cancel_prediction(tin_session *s) {
    if (own_draft(s))
        tini_predictor_cancel(s->predictor);
    s->predicted = TINI_PREDICTION_NONE;
}

tin_status tini_session_check_free(const tin_session *s, tin_error *error) {
    if (s->running && s->running != &s->pass && !own_draft(s))
        return tini_fail(
            error, TIN_ERR_STATE,
            "tokens of the session are under way in a batch; step that to their end, or cancel it");
    return TIN_OK;
}

uint32_t tini_session_resume_point(const tin_session *s, uint32_t position) {
    for (uint32_t before = UINT32_MAX; before != position;) {
        before = position;
        position =
            tini_states_newest(&s->states, s->input.whole ? tini_input_edge(&s->input, position) : position);
    }
    return position;
}

tin_status tini_session_check_window(const tin_session *s, uint32_t position, tin_error *error) {
    if (tini_caches_hold(&s->caches, tini_session_resume_point(s, position), s->written_end, s->restored))
        return TIN_OK;
    return tini_fail(
        error, TIN_ERR_STATE,
        "what the token at position %u sees through attention's window is no longer there; rewind to 0",
        position);
}

void tini_session_rewind(tin_session *s, uint32_t position) {
    s->position = tini_session_resume_point(s, position);
    if (s->position)
        return;
    s->written_end = s->restored = 0;
    s->shape = s->adapted;
    const tin_adapter *prefix = tini_prefix_of(&s->adapters);
    if (prefix) /* tokens may have taken its places in a ring */
        tini_prefix_place(prefix, s->model->kernels, &s->caches);
}

void tini_session_reset(tin_session *s, uint32_t position, uint32_t count) {
    tini_session_drop(s);
    tini_input_cut(&s->input, count);
    tini_states_forget(&s->states, position);
    s->recompute_end = position;
    tini_session_rewind(s, position);
    s->count = count;
    tini_session_drop_logits(s);
}

tin_status tini_session_check_tiles(const tin_session *s, uint32_t tiles, uint32_t rows, uint32_t widest,
                                    tin_error *error) {
    if (tiles > s->input.most_spans || rows > s->input.most_rows)
        return tini_fail(error, TIN_ERR_MEMORY,
                         "%u images of %u rows in all; the session has room for %u of %u", tiles, rows,
                         s->input.most_spans, s->input.most_rows);
    if (s->input.whole && widest > s->input.whole)
        return tini_fail(
            error, TIN_ERR_ARGUMENT,
            "an image of %u rows, which see each other; the session computes %u at once: make it with "
            "a larger chunk",
            widest, s->input.whole);
    return TIN_OK;
}

/* Whether the images lie where the tokens say so, in order; and have rows, from token `from` on. */
static tin_status check_tiles(const tin_session *s, const int32_t *tokens, uint32_t count, uint32_t from,
                              const tin_embedded *tiles, uint32_t tile_count, tin_error *error) {
    uint32_t at = 0, end = 0;
    for (uint32_t k = 0; k < tile_count; k++) {
        const tin_embedded *tile = &tiles[k];
        if (!tile->count || tile->at < end || tile->at > count || tile->count > count - tile->at ||
            !tile->columns || tile->count % tile->columns)
            return tini_fail(error, TIN_ERR_ARGUMENT,
                             "image %u: %u rows, %u in a row, at token %u; images follow one another among the "
                             "%u tokens, in whole rows",
                             k, tile->count, tile->columns, tile->at, count);
        tin_status status = tini_session_check_tiles(s, 0, 0, tile->count, error);
        if (status)
            return status;
        end = tile->at + tile->count;
        if (!tile->rows && end > from)
            return tini_fail(error, TIN_ERR_ARGUMENT, "image %u has no rows, and the session does not have it",
                             k);
    }
    for (uint32_t k = 0; k < count; k++) {
        while (at < tile_count && tiles[at].at + tiles[at].count <= k)
            at++;
        if ((tokens[k] == TIN_EMBEDDED) != (at < tile_count && tiles[at].at <= k))
            return tini_fail(
                error, TIN_ERR_ARGUMENT,
                "token %u is %d; TIN_EMBEDDED (%d) stands for each row of an image, and for nothing else", k,
                tokens[k], TIN_EMBEDDED);
    }
    return TIN_OK;
}

/* embedded: whether TIN_EMBEDDED may stand among them. */
static tin_status check_ids(const tin_session *s, const int32_t *tokens, uint32_t count, int embedded,
                            tin_error *error) {
    uint32_t vocab = s->model->program.header->vocab;
    for (uint32_t k = 0; k < count; k++)
        if ((tokens[k] != TIN_EMBEDDED || !embedded) && (tokens[k] < 0 || (uint32_t)tokens[k] >= vocab))
            return tini_fail(error, TIN_ERR_ARGUMENT, "token %d is not in the vocabulary of %u", tokens[k],
                             vocab);
    return TIN_OK;
}

/* Whether there is room behind the first `held` positions for the images of those given that have a token from `from` on. */
static tin_status check_room(const tin_session *s, uint32_t held, uint32_t from, const tin_embedded *tiles,
                             uint32_t tile_count, tin_error *error) {
    uint32_t spans, rows;
    tini_input_counts(&s->input, held, &spans, &rows);
    for (uint32_t k = 0; k < tile_count; k++)
        if (tiles[k].at >= from) {
            spans++;
            rows += tiles[k].count;
        }
    return tini_session_check_tiles(s, spans, rows, 0, error);
}

/* Queues what of the tokens and images, which are checked, is from token `from` on. */
static void queue(tin_session *s, const int32_t *tokens, uint32_t count, uint32_t from,
                  const tin_embedded *tiles, uint32_t tile_count) {
    if (from < count)
        memcpy(s->input.tokens + s->count, tokens + from, (size_t)(count - from) * sizeof *tokens);
    for (uint32_t k = 0; k < tile_count; k++)
        if (tiles[k].at >= from)
            tini_input_add(&s->input, s->count + tiles[k].at - from, &tiles[k]);
    s->count += count - from;
    tini_session_drop_logits(s);
}

tin_status tin_session_append_embedded(tin_session *s, const int32_t *tokens, uint32_t count,
                                       const tin_embedded *tiles, uint32_t tile_count, tin_error *error) {
    if ((count && !tokens) || (tile_count && !tiles))
        return tini_fail(error, TIN_ERR_ARGUMENT, "no tokens, or none of the images");
    uint32_t known = tini_session_known(s);
    if (count > tini_session_room(s, known))
        return tini_fail(error, TIN_ERR_CONTEXT, "%u tokens and %u more do not fit the session's context of %u",
                         known, count, tini_session_room(s, 0));
    tin_status status = check_ids(s, tokens, count, tile_count != 0, error);
    if (!status)
        status = check_tiles(s, tokens, count, 0, tiles, tile_count, error);
    if (!status)
        status = check_room(s, known, 0, tiles, tile_count, error);
    if (!status)
        status = tini_generate_end(s, error);
    if (!status)
        queue(s, tokens, count, 0, tiles, tile_count);
    return status;
}

tin_status tin_session_append(tin_session *s, const int32_t *tokens, uint32_t count, tin_error *error) {
    return tin_session_append_embedded(s, tokens, count, NULL, 0, error);
}

int tin_session_embedded(const tin_session *s, uint32_t k, tin_embedded *embedded) {
    if (k >= s->input.span_count)
        return 0;
    const tini_span *span = &s->input.spans[k];
    *embedded = (tin_embedded){
        .at = span->first,
        .count = span->count,
        .columns = span->columns,
        .rows = s->input.rows + (size_t)span->row * s->input.width,
    };
    memcpy(embedded->digest, span->digest, sizeof span->digest);
    return 1;
}

tin_status tin_session_rewind(tin_session *s, uint32_t position, tin_error *error) {
    uint32_t known = tini_session_known(s), computed = tini_session_computed(s);
    if (position > known)
        return tini_fail(error, TIN_ERR_ARGUMENT, "position %u is past the session's %u tokens", position,
                         known);
    position = tini_input_edge(&s->input, position);
    computed = computed < position ? computed : position;
    tin_status status = tini_session_check_free(s, error);
    if (!status)
        status = tini_session_check_window(s, computed, error);
    if (!status)
        status = tini_generate_end(s, error);
    if (!status)
        tini_session_reset(s, computed, position);
    return status;
}

uint32_t tin_session_shared(const tin_session *s, const int32_t *tokens, uint32_t count,
                            const tin_embedded *tiles, uint32_t tile_count) {
    return tini_input_shared(&s->input, tini_session_known(s), tokens, count, tiles, tile_count);
}

/* How many of the first `same` tokens need no computing: where nothing follows them, the last one does. */
static uint32_t computed_after(const tin_session *s, uint32_t same, uint32_t count) {
    uint32_t computed = tini_session_computed(s);
    computed = computed < same ? computed : same;
    computed -= computed && computed == count;
    return tini_session_check_window(s, computed, NULL) ? 0 : computed;
}

tin_status tin_session_replace_embedded(tin_session *s, const int32_t *tokens, uint32_t count,
                                        const tin_embedded *tiles, uint32_t tile_count, tin_error *error) {
    if ((count && !tokens) || (tile_count && !tiles))
        return tini_fail(error, TIN_ERR_ARGUMENT, "no tokens, or none of the images");
    if (count > tini_session_room(s, 0))
        return tini_fail(error, TIN_ERR_CONTEXT, "%u tokens do not fit the session's context of %u", count,
                         tini_session_room(s, 0));
    uint32_t same = tin_session_shared(s, tokens, count, tiles, tile_count);
    tin_status status = check_ids(s, tokens + same, count - same, tile_count != 0, error);
    if (!status)
        status = check_tiles(s, tokens, count, same, tiles, tile_count, error);
    if (!status)
        status = check_room(s, same, same, tiles, tile_count, error);
    if (!status)
        status = tini_session_check_free(s, error);
    if (!status)
        status = tini_generate_end(s, error);
    if (status)
        return status;
    tini_session_reset(s, computed_after(s, same, count), same);
    queue(s, tokens, count, same, tiles, tile_count);
    return TIN_OK;
}

tin_status tin_session_replace(tin_session *s, const int32_t *tokens, uint32_t count, tin_error *error) {
    return tin_session_replace_embedded(s, tokens, count, NULL, 0, error);
}

tin_status tin_session_shift(tin_session *s, uint32_t keep, uint32_t drop, tin_error *error) {
    uint32_t count = tini_session_known(s);
    if (keep > count || drop > count - keep)
        return tini_fail(error, TIN_ERR_ARGUMENT, "can't drop %u tokens from position %u on; there are %u",
                         drop, keep, count);
    if (tini_input_inside(&s->input, keep) || tini_input_inside(&s->input, keep + drop))
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "can't drop %u tokens from position %u on: a part of an image would stay", drop, keep);
    uint32_t computed = tini_session_computed(s);
    computed = computed < keep ? computed : keep;
    if (tini_session_check_window(s, computed, NULL))
        computed = 0; /* all of it is computed anew: the tokens are still known */
    tin_status status = tini_session_check_free(s, error);
    if (!status)
        status = tini_generate_end(s, error);
    if (status)
        return status;
    tini_input_drop(&s->input, keep, drop, count);
    tini_session_reset(s, computed, count - drop);
    return TIN_OK;
}

tin_status tin_session_want_logits(tin_session *s, uint32_t position, tin_error *error) {
    if (s->running && !own_draft(s))
        return tini_fail(error, TIN_ERR_STATE, "a chunk is under way; step to its end first");
    s->wanted = position;
    return TIN_OK;
}

uint32_t tini_session_least(const tin_session *s) {
    uint32_t at = tini_input_span(&s->input, s->position);
    if (!s->input.whole || at == s->input.span_count || s->input.spans[at].first != s->position)
        return 1;
    return s->input.spans[at].count;
}

/* The end of a pass that would come inside an image whose rows see each other: behind it where it is the first thing, and
 * where that is not too much, else before it. */
static uint32_t whole_end(const tin_session *s, uint32_t end, uint32_t rows) {
    const tini_span *tile = s->input.whole ? tini_input_inside(&s->input, end) : NULL;
    if (!tile)
        return end;
    int fits = tile->first == s->position && tile->count <= rows;
    return fits ? tile->first + tile->count : tile->first;
}

uint32_t tini_session_offer(tin_session *s, uint32_t rows, uint32_t logit_rows) {
    s->rows = s->logit_rows = 0;
    rows = rows < s->caches.rows ? rows : s->caches.rows;
    logit_rows = logit_rows < rows ? logit_rows : rows;
    if (s->running || tini_session_computed(s) == s->count || !logit_rows)
        return 0;
    if (s->drafts >= logit_rows) { /* fewer drafts, so that all can be checked at once */
        s->count -= s->drafts + 1 - logit_rows;
        s->drafts = logit_rows - 1;
    }
    uint32_t queued = s->count - s->position, end = s->position + (queued < rows ? queued : rows);
    int generating = s->phase != TINI_READING;
    uint32_t from = generating ? s->count - s->drafts - 1 : s->wanted, computed = tini_session_computed(s);
    if (from < computed)
        from = computed;
    if (s->position < s->recompute_end && s->recompute_end < end && !(generating && s->passes))
        end = s->recompute_end; /* where tokens were forgotten once, they may be again: that state is kept */
    if (from < end && end - from > logit_rows)
        end = from + logit_rows;
    if (generating && from < end && end < s->count)
        end = from; /* drafts and what they follow are checked in one pass */
    end = whole_end(s, end, rows);
    s->rows = end - s->position;
    s->logit_rows = from < end ? end - from : end == s->count;
    s->logit_rows = s->logit_rows < logit_rows ? s->logit_rows : logit_rows;
    return s->rows;
}

void tini_session_add(tin_session *s, tini_pass *pass, int logits) {
    uint32_t skipped = logits ? s->rows - s->logit_rows : 0, position = s->position + skipped;
    tini_pass_add(pass, &s->caches, &s->states, &s->adapters, &s->input, position,
                  logits ? s->logit_rows : s->rows - s->logit_rows);
}

/* Which logits the session's rows are for: all, or those that its constraint allows there. */
static void ask_logits(tin_session *s, tini_pass *pass) {
    s->allowed = NULL;
    if (!s->logit_rows || pass->every_tile)
        return;
    uint32_t at = s->count - s->drafts, first = s->position + s->rows - s->logit_rows;
    int choosing =
        s->phase != TINI_READING && s->constraint && s->left && first + 1 == at && s->wanted >= s->count;
    if (!choosing || !tini_constraint_tiles(s->constraint, s->input.tokens + at, s->drafts, s->forced_drafts,
                                            pass->tile_bits))
        pass->every_tile = 1;
    else if (!s->drafts)
        s->allowed = s->constraint->bits; /* the next choice's */
    if (choosing && tini_searches(s))
        tini_search_ask(s, pass);
}

void tini_session_begin(tin_session *s, tini_pass *pass) {
    pass->sessions = pass == &s->pass ? 1 : pass->sessions + 1;
    ask_logits(s, pass);
    s->stale = 0;
    uint32_t end = s->position + s->rows;
    tini_states_begin(&s->states, s->position, s->rows, end == s->count ? s->drafts : 0);
    s->running = pass;
    tini_session_drop_logits(s);
    s->written_end = end > s->written_end ? end : s->written_end;
}

void tini_session_drop(tin_session *s) {
    if (s->running) {
        s->recompute_end = tini_session_computed(s);
        tini_session_rewind(s, s->position);
    }
    s->running = NULL;
    s->rows = s->logit_rows = 0;
}

void tini_session_end(tin_session *s, float *logits) {
    int generating = s->phase != TINI_READING;
    s->position += s->rows;
    int text = s->position == s->count && (generating ? !s->passes : s->rows > 1);
    tini_states_end(&s->states, s->position, text || s->position == s->recompute_end);
    s->ready = (tini_ready){
        .logits = logits,
        .first = s->position - s->logit_rows,
        .rows = s->logit_rows,
        .pass = s->running,
        .serial = s->running->serial,
        .fresh = !generating && s->logit_rows,
        .partial = !s->running->every_tile,
    };
    s->beside = s->running->sessions;
    s->row_cost = tini_pass_row_cost(s->running);
    if (s->stale) /* they are not those of the tokens that may be chosen now */
        tini_session_drop_logits(s);
    if (s->stale && s->logit_rows && s->position == s->count)
        tini_session_recompute(s, s->count - 1);
    s->passes += generating && s->logit_rows;
    if (generating && s->position == s->count)
        s->phase = TINI_CHOOSING;
    s->running = NULL; /* it is done, and not dropped */
    s->rows = s->logit_rows = 0;
}

void tini_session_drop_drafts(tin_session *s) {
    if (!s->states.bytes)
        return;
    s->recompute_end = tini_session_computed(s);
    tini_states_forget(&s->states, s->position);
    s->position = tini_states_newest(&s->states, s->position);
}

void tini_session_recompute(tin_session *s, uint32_t position) {
    s->recompute_end = position;
    tini_states_forget(&s->states, position);
    tini_session_rewind(s, position);
    tini_session_keep_rows(s, position);
}

/* How many of the newest logits are still there. */
static uint32_t ready_rows(const tin_session *s) {
    return s->ready.rows && s->ready.serial == s->ready.pass->serial ? s->ready.rows : 0;
}

float *tini_session_row(const tin_session *s, uint32_t position) {
    uint32_t at = position - s->ready.first;
    return at < ready_rows(s) ? s->ready.logits + (size_t)at * s->model->program.header->vocab : NULL;
}

void tini_session_keep_rows(tin_session *s, uint32_t end) {
    uint32_t kept = end > s->ready.first ? end - s->ready.first : 0;
    s->ready.rows = s->ready.rows < kept ? s->ready.rows : kept;
}

void tini_session_skip_rows(tin_session *s, uint32_t first) {
    uint32_t skipped = first > s->ready.first ? first - s->ready.first : 0;
    skipped = skipped < s->ready.rows ? skipped : s->ready.rows;
    s->ready.logits += (size_t)skipped * s->model->program.header->vocab;
    s->ready.first += skipped;
    s->ready.rows -= skipped;
}

void tini_session_drop_logits(tin_session *s) {
    s->ready.rows = 0;
    s->ready.fresh = 0;
}

int32_t tini_session_event(tin_session *s) {
    s->event_position = TINI_NONE;
    if (s->running || s->phase == TINI_CHOOSING)
        return TIN_STEP_PENDING;
    uint32_t settled = tini_searches(s) && !s->finish ? s->certain : s->count - s->drafts;
    if (s->phase == TINI_FOLLOWING && s->announced < settled) {
        s->event_position = s->announced;
        s->token = s->input.tokens[s->announced++];
        return TIN_STEP_TOKEN;
    }
    if (s->phase == TINI_FOLLOWING && s->finish) {
        s->phase = TINI_READING;
        s->event_position = s->finish == TIN_FINISH_END ? s->count : TINI_NONE;
        s->token = s->end;
        return TIN_STEP_DONE;
    }
    int fresh = s->ready.fresh;
    s->ready.fresh = 0;
    if (fresh && ready_rows(s))
        return TIN_STEP_LOGITS;
    return tini_session_computed(s) == s->count ? TIN_STEP_IDLE : TIN_STEP_PENDING;
}

static void start_pass(tin_session *s) {
    tini_pass *pass = &s->pass;
    tini_session_offer(s, pass->most_rows, pass->most_logits);
    tini_pass_begin(pass);
    tini_session_add(s, pass, 0);
    tini_pass_logits_begin(pass);
    tini_session_add(s, pass, 1);
    tini_session_begin(s, pass);
    tini_pass_begun(pass);
}

int32_t tin_step(tin_session *s, uint64_t budget_ns) {
    if ((budget_ns && !s->options.clock_ns) || s->options.batched || tini_session_check_free(s, NULL))
        return TIN_ERR_STATE;
    tini_budget budget = tini_budget_begin(s->options.clock_ns, s->options.clock_context, budget_ns);
    for (int worked = 0;; worked = 1) {
        if (!tini_generate_choose(s, s->predictor, &budget, worked))
            return TIN_STEP_PENDING;
        int32_t event = tini_session_event(s);
        if (event != TIN_STEP_PENDING)
            return event;
        if (worked && tini_budget_spent(&budget) > budget.ns)
            return TIN_STEP_PENDING;
        if (s->running != &s->pass && tini_predictor_due(s->predictor, &s, 1)) {
            if (!tini_predictor_run(s->predictor, &budget))
                return TIN_STEP_PENDING;
            continue;
        }
        if (!s->running) {
            uint64_t spent = tini_budget_spent(&budget);
            start_pass(s);
            s->chosen_ns += tini_budget_spent(&budget) - spent; /* its mask is a part of the next choice */
        }
        if (!tini_pass_run(&s->pass, &budget))
            return TIN_STEP_PENDING;
        tini_session_end(s, s->pass.logits);
    }
}

/* Rows of the newest logits that the caller may see: not those after tokens that were chosen ahead. */
static uint32_t visible_rows(const tin_session *s) {
    uint32_t known = tini_session_known(s), rows = ready_rows(s), first = s->ready.first;
    if (s->ready.partial && s->phase == TINI_CHOOSING) /* not masked yet */
        return 0;
    if (first + rows <= known)
        return rows;
    return first < known ? known - first : 0;
}

const float *tin_session_logits(const tin_session *s, uint32_t *rows, uint32_t *first) {
    uint32_t visible = visible_rows(s);
    if (rows)
        *rows = visible;
    if (first)
        *first = s->ready.first;
    return visible ? s->ready.logits : NULL;
}

int32_t tin_session_sample(tin_session *s, const tin_sampling *sampling) {
    uint32_t visible = visible_rows(s), vocab = s->model->program.header->vocab;
    if (!visible)
        return TIN_ERR_STATE;
    uint32_t length = s->ready.first + visible;
    const float *row = tini_session_row(s, length - 1);
    if (!sampling)
        return tini_argmax(row, vocab, NULL);
    return tini_sample(sampling, row, vocab, NULL, s->input.tokens, length, length, s->scratch);
}

uint32_t tin_session_position(const tin_session *s, uint32_t *count, const int32_t **tokens) {
    uint32_t known = tini_session_known(s);
    if (count)
        *count = known;
    if (tokens)
        *tokens = s->input.tokens;
    uint32_t computed = tini_session_computed(s);
    return computed < known ? computed : known;
}

TINI_REGION_END
