#include "batch.h"
#include "../base/error.h"
#include "../base/memory.h"
#include "generate.h"
#include "predictor.h"

#include <string.h>

TINI_REGION_COLD

/* The most sessions that the model's own layer drafts for at once. Where more share a pass, few drafts are worth a row. */
enum { MOST_PREDICTED = 16 };

struct tin_batch {
    const tin_model *model;
    tin_batch_options options; /* with defaults filled in */
    tini_pass pass;
    tini_predictor *predictor; /* NULL where the model has no layer for it, or there is no row for a draft */
    /* [options.rows]: those with rows in the pass under way, or that have yet to choose by the last one's logits. */
    tin_session **members;
    uint32_t member_count;
    uint32_t slice; /* most tokens of prompts at once beside sessions that generate; 0: no bound */
    int passing;    /* a pass is under way */
    uint32_t turn;  /* who is asked first when a pass can't take all */
};

static tin_status resolve_batch(const tin_model *model, const tin_batch_options *given,
                                tin_batch_options *options, tin_error *error) {
    *options = given ? *given : (tin_batch_options){0};
    if (!options->rows)
        options->rows = model->program.header->chunk;
    if (!options->logit_rows)
        options->logit_rows = options->rows;
    if (options->rows > TINI_MAX_CHUNK || options->logit_rows > options->rows)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "a batch of %u rows, %u of them with logits; at most %u are computed at once",
                         options->rows, options->logit_rows, TINI_MAX_CHUNK);
    if (options->adapter_rank > TINI_MOST_ADAPTERS * TINI_MOST_RANK)
        return tini_fail(error, TIN_ERR_ARGUMENT, "room for adapters of rank %u; at most %u",
                         options->adapter_rank, TINI_MOST_ADAPTERS * TINI_MOST_RANK);
    if (options->executor && (!options->executor->run || !options->executor->threads))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the executor has no run function or no threads");
    return TIN_OK;
}

/* Where the batch's parts lie behind itself. */
typedef struct batch_layout {
    uint64_t members, pass, predictor, total;
} batch_layout;

static batch_layout plan_batch(const tin_model *model, const tin_batch_options *options) {
    batch_layout l = {0};
    tini_take(&l.total, sizeof(tin_batch));
    l.members = tini_take(&l.total, options->rows * sizeof(tin_session *));
    l.pass = l.total;
    l.total +=
        tini_pass_place(NULL, &model->program, options->rows, options->logit_rows, options->adapter_rank, NULL);
    l.predictor =
        tini_take(&l.total, tini_predictor_bytes(model, options->rows, options->logit_rows, MOST_PREDICTED));
    return l;
}

size_t tin_batch_size(const tin_model *model, const tin_batch_options *given, tin_error *error) {
    tin_batch_options options;
    if (resolve_batch(model, given, &options, error))
        return 0;
    uint64_t total = plan_batch(model, &options).total;
    if ((size_t)total != total) {
        tini_fail(error, TIN_ERR_ARGUMENT, "the batch needs %llu bytes, more than this machine can address",
                  (unsigned long long)total);
        return 0;
    }
    return (size_t)total;
}

tin_status tin_batch_create(const tin_model *model, const tin_batch_options *given, void *memory,
                            size_t memory_size, tin_batch **out, tin_error *error) {
    tin_batch_options options;
    tin_status status = resolve_batch(model, given, &options, error);
    if (status)
        return status;
    batch_layout l = plan_batch(model, &options);
    if (tini_lacks(memory, memory_size, l.total, "the batch needs", error))
        return TIN_ERR_MEMORY;
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the batch's pointer");
    uint8_t *base = memory;
    tin_batch *b = memory;
    memset(b, 0, sizeof *b);
    b->model = model;
    b->options = options;
    b->members = (tin_session **)(void *)(base + l.members);
    tini_pass_place(&b->pass, &model->program, options.rows, options.logit_rows, options.adapter_rank,
                    base + l.pass);
    b->pass.kernels = model->kernels;
    b->pass.executor = options.executor;
    if (l.predictor != l.total)
        b->predictor = tini_predictor_create(model, &b->pass, MOST_PREDICTED, base + l.predictor);
    *out = b;
    return TIN_OK;
}

/* What it has queued follows tokens that were given: not a prompt. */
static int is_generating(const tin_session *s) {
    return s->phase != TINI_READING && s->passes;
}

/* Makes a pass of what the sessions have queued: a row for each, if they are not more than rows, and prompts share what
 * is left in order, or a slice of it where others go on. */
static void gather_members(tin_batch *b, tin_session *const *sessions, uint32_t count) {
    uint32_t rows = b->options.rows, logit_rows = b->options.logit_rows, waiting = 0, slice = UINT32_MAX;
    for (uint32_t k = 0; k < count; k++) {
        int queued = !sessions[k]->running && tini_session_computed(sessions[k]) < sessions[k]->count;
        waiting += queued;
        if (queued && b->slice && is_generating(sessions[k]))
            slice = b->slice;
    }
    b->member_count = 0;
    for (uint32_t n = 0; n < count && rows; n++) {
        tin_session *s = sessions[(b->turn + n) % count];
        if (s->running || tini_session_computed(s) == s->count)
            continue;
        waiting--;
        uint32_t most = rows > waiting ? rows - waiting : 1;
        int prompt = !is_generating(s);
        if (prompt && most > slice)
            most = slice;
        uint32_t least = tini_session_least(s);
        if (most < least && least <= rows) /* an image is not cut; the others' turn comes */
            most = least;
        if (!most || !tini_session_offer(s, most, logit_rows))
            continue;
        slice -= !prompt ? 0 : s->rows < slice ? s->rows : slice;
        rows -= s->rows;
        logit_rows -= s->logit_rows;
        s->running = &b->pass; /* a session that is given twice has one part */
        b->members[b->member_count++] = s;
    }
    b->turn = count ? (b->turn + 1) % count : 0;
}

/* Those with the same adapters one after the other, so that their rows share the reading of these too. */
static void sort_members(tin_batch *b) {
    for (uint32_t k = 1; k < b->member_count; k++) {
        tin_session *s = b->members[k];
        uint32_t place = k;
        for (; place && b->members[place - 1]->adapted > s->adapted; place--)
            b->members[place] = b->members[place - 1];
        b->members[place] = s;
    }
}

static void begin_batch(tin_batch *b) {
    sort_members(b);
    tini_pass_begin(&b->pass);
    for (uint32_t k = 0; k < b->member_count; k++)
        tini_session_add(b->members[k], &b->pass, 0);
    tini_pass_logits_begin(&b->pass);
    for (uint32_t k = 0; k < b->member_count; k++) {
        tin_session *s = b->members[k];
        tini_session_add(s, &b->pass, 1);
        tini_session_begin(s, &b->pass);
    }
    tini_pass_begun(&b->pass);
    b->passing = 1;
}

static void end_batch(tin_batch *b) {
    float *logits = b->pass.logits;
    uint32_t kept = 0;
    for (uint32_t k = 0; k < b->member_count; k++) {
        tin_session *s = b->members[k];
        uint32_t rows = s->logit_rows;
        tini_session_end(s, logits);
        logits += (size_t)rows * b->model->program.header->vocab;
        if (s->phase == TINI_CHOOSING)
            b->members[kept++] = s; /* the others are their callers' again, who may release them */
    }
    b->member_count = kept;
    b->passing = 0;
}

/* Has the members, and then the sessions at hand, choose their next tokens before another pass takes the place of the
 * logits. 0 when there is no time left. */
static int settle_sessions(tin_batch *b, tin_session *const *sessions, uint32_t count,
                           const tini_budget *budget, int *worked) {
    for (; b->member_count; b->member_count--) {
        tin_session *s = b->members[b->member_count - 1];
        int due = s->phase == TINI_CHOOSING;
        if (!tini_generate_choose(s, b->predictor, budget, *worked))
            return 0;
        *worked |= due;
    }
    for (uint32_t k = 0; k < count; k++) {
        int due = sessions[k]->phase == TINI_CHOOSING;
        if (!tini_generate_choose(sessions[k], b->predictor, budget, *worked))
            return 0;
        *worked |= due;
    }
    return 1;
}

static int32_t gather_events(tin_session *const *sessions, uint32_t count, int32_t *events) {
    int32_t gathered = 0;
    for (uint32_t k = 0; k < count; k++) {
        events[k] = tini_session_event(sessions[k]);
        gathered += events[k] != TIN_STEP_PENDING && events[k] != TIN_STEP_IDLE;
    }
    return gathered;
}

/* Whether the session is free, or the batch has it. */
static int is_available(const tin_batch *b, const tin_session *s) {
    return !s->running || s->running == &b->pass || (b->predictor && s->running == &b->predictor->pass);
}

int32_t tin_batch_step(tin_batch *b, tin_session *const *sessions, uint32_t count, uint64_t budget_ns,
                       int32_t *events) {
    if (budget_ns && !b->options.clock_ns)
        return TIN_ERR_STATE;
    if (!sessions || !events || !count)
        return TIN_ERR_ARGUMENT;
    for (uint32_t k = 0; k < count; k++)
        if (!sessions[k] || sessions[k]->model != b->model || !is_available(b, sessions[k]) ||
            tini_adapters_rank(&sessions[k]->adapters) > b->options.adapter_rank ||
            tini_input_widest(&sessions[k]->input) > b->options.rows)
            return TIN_ERR_ARGUMENT;
    tini_budget budget = tini_budget_begin(b->options.clock_ns, b->options.clock_context, budget_ns);
    int worked = 0;
    for (;;) {
        int drafting = b->predictor && b->predictor->count;
        if (!b->passing && !drafting && !settle_sessions(b, sessions, count, &budget, &worked))
            return gather_events(sessions, count, events);
        int32_t gathered = gather_events(sessions, count, events);
        if (gathered || (worked && tini_budget_spent(&budget) > budget.ns))
            return gathered;
        if (!b->passing && tini_predictor_due(b->predictor, sessions, count)) {
            if (!tini_predictor_run(b->predictor, &budget))
                return 0;
            worked = 1;
            continue;
        }
        if (!b->passing) {
            gather_members(b, sessions, count);
            if (!b->member_count)
                return 0; /* all are idle */
            begin_batch(b);
        }
        if (!tini_pass_run(&b->pass, &budget))
            return 0;
        end_batch(b);
        worked = 1;
    }
}

void tin_batch_slice(tin_batch *b, uint32_t rows) {
    b->slice = rows;
}

void tini_batch_leave(const tin_batch *b, tin_session *s) {
    if (s->ready.pass == &b->pass)
        tini_session_drop_logits(s);
}

void tin_batch_cancel(tin_batch *b) {
    const tini_budget endless = {0};
    int worked = 0;
    if (!b->passing)
        settle_sessions(b, NULL, 0, &endless, &worked);
    for (uint32_t k = 0; k < b->member_count; k++)
        tini_session_drop(b->members[k]);
    b->member_count = 0;
    b->passing = 0;
    tini_predictor_cancel(b->predictor);
}

TINI_REGION_END
