#include "host.h"

#include "../core/base/math.h"
#include "../core/session/sampler.h"

#include <float.h>
#include <stdio.h>

int32_t tini_host_fail(tinhost_session *session, int32_t status, const char *text) {
    session->error.status = status;
    if (text != session->error.text)
        snprintf(session->error.text, sizeof session->error.text, "%s", text);
    return status;
}

const char *tinhost_error(const tinhost_session *session) {
    return session ? session->error.text : "there is no memory for a handle";
}

int32_t tinhost_status(const tinhost_session *session) {
    return session ? session->error.status : TIN_ERR_MEMORY;
}

/* ---- Opening ---- */

uint64_t tini_host_clock(void *unused) {
    (void)unused;
    return tini_now_ns();
}

static int open_pool(tinhost_session *s, uint32_t threads, tin_session_options *options) {
#ifdef TIN_NO_POOL
    (void)options;
    if (threads > 1) {
        tini_host_fail(s, TIN_ERR_UNSUPPORTED, "this build has no threads; give 1");
        return 0;
    }
#else
    threads = threads ? threads : 1;
    size_t need = tin_pool_size(threads);
    if (!need) {
        tini_host_fail(s, TIN_ERR_ARGUMENT, "threads are 1 to 64");
        return 0;
    }
    s->pool_memory = tini_block_take(need);
    if (!s->pool_memory.data || tin_pool_create(threads, s->pool_memory.data, need, &s->pool, &s->error))
        return 0;
    options->executor = tin_pool_executor(s->pool);
#endif
    return 1;
}

static int open_core(tinhost_session *s, uint32_t adapters, int64_t most_bytes, tin_session_options *options) {
    const tin_model *model = s->model->core;
    tin_model_info *info = &s->model->info;
    options->adapter_rank = adapters * s->model->rank;
    uint32_t rows = 1 + (uint32_t)(s->model->drafts ? TINI_HOST_DRAFTED : TINI_HOST_LOOKUP);
    options->logit_rows = rows < info->chunk ? rows : info->chunk;
    options->clock_ns = tini_host_clock;
    if (tini_host_has_vision(model)) /* every token may be a row of an image, and every row an image */
        options->tiles = options->image_rows = s->context;
    s->executor = options->executor;
    size_t need = tin_session_size(model, options, &s->error);
    if (!need)
        return 0;
    if (most_bytes > 0 && need > (uint64_t)most_bytes) {
        snprintf(s->error.text, sizeof s->error.text,
                 "a session of %u tokens takes %llu bytes, and may take %lld; give a shorter context, or more "
                 "memory",
                 options->context ? options->context : info->context, (unsigned long long)need,
                 (long long)most_bytes);
        s->error.status = TIN_ERR_MEMORY;
        return 0;
    }
    s->memory = tini_block_take(need);
    if (!s->memory.data || tin_session_create(model, options, s->memory.data, need, &s->core, &s->error))
        return 0;
    size_t record = tin_session_record_size(s->core, 0, &s->error);
    s->record = tini_block_take(record);
    return record && s->record.data && !tin_session_record(s->core, 0, s->record.data, record, &s->error);
}

tinhost_session *tinhost_session_open(tinhost_model *model, int32_t context, int32_t threads, int32_t adapters,
                                      int64_t most_bytes) {
    tinhost_session *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->chosen = -1;
    s->constrained = 1;
    s->sampling = (tin_sampling){.top_p = 1, .repetition_penalty = 1};
    if (!model || !model->core) {
        tini_host_fail(s, tinhost_model_status(model), tinhost_model_error(model));
        return s;
    }
    tini_host_hold(model);
    s->model = model;
    s->drafting = model->skills;
    if (context < 0 || threads < 0 || adapters < 0 || adapters > TINI_HOST_ADAPTERS || most_bytes < 0) {
        tini_host_fail(s, TIN_ERR_ARGUMENT,
                       "context, threads and most_bytes are at least 0, and adapters 0 to 8");
        return s;
    }
    s->constraints = calloc(model->skill_count, sizeof *s->constraints);
    tin_session_options options = {.context = (uint32_t)context};
    s->context = context ? (uint32_t)context : model->info.context;
    int good = s->constraints && open_pool(s, (uint32_t)threads, &options) &&
               open_core(s, adapters > 1 ? (uint32_t)adapters : 1, most_bytes, &options);
    if (!good) {
        s->core = NULL;
        if (!s->error.status)
            tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for the session");
    }
    return s;
}

void tini_host_drop_constraint(tini_host_constraint *constraint) {
    tini_block_drop(&constraint->memory);
    constraint->made = NULL;
}

void tinhost_session_close(tinhost_session *s) {
    if (!s)
        return;
    tini_host_drop_answer(s);
    tini_host_drop_options(s);
    tini_host_drop_images(&s->pending);
    for (int32_t k = 0; k < s->message_count; k++) {
        free(s->messages[k].text);
        tini_host_drop_images(&s->messages[k]);
    }
    free(s->messages);
    for (uint32_t k = 0; s->constraints && k < s->model->skill_count; k++)
        tini_host_drop_constraint(&s->constraints[k]);
    free(s->constraints);
#ifndef TIN_NO_POOL
    tin_pool_destroy(s->pool);
#endif
    tini_block_drop(&s->pool_memory);
    tini_block_drop(&s->record);
    tini_block_drop(&s->memory);
    tinhost_close(s->model);
    free(s);
}

int64_t tinhost_session_bytes(const tinhost_session *s) {
    return s ? (int64_t)(s->memory.size + s->record.size + s->pool_memory.size) : 0;
}

int32_t tini_host_ready(tinhost_session *s) {
    if (!s)
        return TIN_ERR_MEMORY;
    if (!s->core)
        return s->error.status ? s->error.status : TIN_ERR_STATE;
    if (s->under_way)
        return tini_host_fail(s, TIN_ERR_STATE, "an answer is under way: step it to its end, or cancel it");
    return TIN_OK;
}

/* ---- What an answer is made by ---- */

float tini_host_float(double value) {
    return value > FLT_MAX ? TINI_INFINITY : value < -FLT_MAX ? -TINI_INFINITY : (float)value;
}

int32_t tini_host_apply(tinhost_session *s, const tini_skill *skill, float scale) {
    uint32_t at = 0;
    while (at < s->applied_count && s->applied[at] != skill)
        at++;
    if (at == TINI_HOST_ADAPTERS && scale != 0)
        return tini_host_fail(s, TIN_ERR_ARGUMENT, "a session has at most 8 adapters; take one off first");
    int32_t status = tin_session_adapter(s->core, skill->adapter, scale, 0, &s->error);
    if (status)
        return status;
    if (scale == 0) {
        for (s->applied_count -= at < s->applied_count; at < s->applied_count; at++) {
            s->applied[at] = s->applied[at + 1];
            s->scales[at] = s->scales[at + 1];
        }
        return TIN_OK;
    }
    s->applied[at] = skill;
    s->scales[at] = scale;
    s->applied_count += at == s->applied_count;
    return TIN_OK;
}

void tini_host_bare(tinhost_session *s) {
    tin_session_adapter(s->core, NULL, 0, 0, NULL);
    s->applied_count = 0;
}

int32_t tinhost_adapter(tinhost_session *s, const char *name, double scale) {
    int32_t status = tini_host_ready(s);
    if (status)
        return status;
    if (!name || !*name) {
        tini_host_bare(s);
        return TIN_OK;
    }
    const tini_skill *skill = tini_host_skill(s->model, name);
    if (!skill) {
        size_t at = (size_t)snprintf(s->error.text, sizeof s->error.text,
                                     "the file has no adapter %.64s; it has:", name);
        for (uint32_t k = 1; k < s->model->skill_count && at < sizeof s->error.text; k++)
            at += (size_t)snprintf(s->error.text + at, sizeof s->error.text - at, " %s",
                                   s->model->skills[k].name);
        if (s->model->skill_count == 1)
            snprintf(s->error.text + at, sizeof s->error.text - at, " none");
        return s->error.status = TIN_ERR_ARGUMENT;
    }
    return tini_host_apply(s, skill, tini_host_float(scale));
}

int32_t tinhost_constrained(tinhost_session *s, int32_t on) {
    int32_t status = tini_host_ready(s);
    if (!status)
        s->constrained = on != 0;
    return status;
}

int32_t tinhost_sampling(tinhost_session *s, double temperature, double top_p, double repetition,
                         int64_t seed) {
    int32_t status = tini_host_ready(s);
    if (status)
        return status;
    const tin_sampling asked = {.temperature = tini_host_float(temperature),
                                .top_p = tini_host_float(top_p),
                                .repetition_penalty = tini_host_float(repetition),
                                .seed = (uint64_t)seed};
    if (!tini_sampling_allowed(&asked, s->model->info.vocab))
        return tini_host_fail(
            s, TIN_ERR_ARGUMENT,
            "temperature is at least 0, top_p 0 to 1, repetition above 0, as float32 numbers");
    s->sampling = asked;
    return TIN_OK;
}

int32_t tinhost_duty_cycle(tinhost_session *s, int32_t percent) {
    int32_t status = tini_host_ready(s);
    if (status)
        return status;
    if (percent < 1 || percent > 100)
        return tini_host_fail(s, TIN_ERR_ARGUMENT, "a duty cycle is 1 to 100 percent");
#ifdef TIN_NO_POOL
    if (percent < 100)
        return tini_host_fail(s, TIN_ERR_UNSUPPORTED, "this build can't sleep; give 100");
#else
    tin_pool_duty_cycle(s->pool, (uint32_t)percent);
#endif
    return TIN_OK;
}

int32_t tinhost_think(tinhost_session *s, int32_t mode) {
    int32_t status = tini_host_ready(s);
    if (status)
        return status;
    if (mode < 0 || mode > 2)
        return tini_host_fail(s, TIN_ERR_ARGUMENT, "thinking is 0 (the template decides), 1 (on) or 2 (off)");
    s->think = mode;
    return TIN_OK;
}

int32_t tini_host_constrain_by(tinhost_session *s, tini_host_constraint *constraint, const void *data,
                               size_t size) {
    if (!constraint->made) {
        size_t need = tin_constraint_size(s->model->core, data, size, NULL, &s->error);
        if (!need)
            return s->error.status;
        constraint->memory = tini_block_take(need);
        if (!constraint->memory.data)
            return tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for the constraint");
        if (tin_constraint_create(s->model->core, data, size, NULL, constraint->memory.data, need,
                                  &constraint->made, &s->error)) {
            tini_host_drop_constraint(constraint);
            return s->error.status;
        }
    }
    return tin_session_constrain(s->core, constraint->made, &s->error);
}

int32_t tini_host_constrain(tinhost_session *s) {
    const tini_skill *first = s->applied_count ? s->applied[0] : s->model->skills;
    if (!first->answer)
        first = s->model->skills;
    if (!s->constrained || !first->answer)
        return tin_session_constrain(s->core, NULL, &s->error);
    return tini_host_constrain_by(s, &s->constraints[first - s->model->skills], first->answer,
                                  first->answer_size);
}
