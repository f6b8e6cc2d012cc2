/* The addon: tin_host.h's functions, and the two that take long on a thread of node's pool. */
#include "values.h"

#include "table.h"

/* ---- Opening and stepping, without blocking the loop ---- */

typedef struct work {
    napi_async_work queued;
    napi_deferred promise;
    char *path, *key;
    tinhost_model *model;
    tinhost_session *session;
    int64_t budget_us;
    int32_t event;
} work;

static void compute(napi_env env, void *data) {
    (void)env;
    work *it = data;
    if (it->session)
        it->event = tinhost_step(it->session, it->budget_us);
    else
        it->model = tinhost_open(it->path, it->key);
}

static void drop(napi_env env, work *it) {
    if (it->queued)
        napi_delete_async_work(env, it->queued);
    free(it->path);
    free(it->key);
    free(it);
}

static void complete(napi_env env, napi_status status, void *data) {
    work *it = data;
    napi_value value = NULL;
    if (status == napi_ok)
        value = it->session ? int_out(env, it->event) : model_out(env, it->model);
    if (value)
        napi_resolve_deferred(env, it->promise, value);
    else if (status != napi_ok || napi_get_and_clear_last_exception(env, &value) == napi_ok) {
        if (!value)
            napi_get_null(env, &value);
        napi_reject_deferred(env, it->promise, value);
    }
    drop(env, it);
}

static napi_value queue(napi_env env, work *it) {
    napi_value promise = NULL, name = NULL;
    if (raised(env) || napi_create_string_utf8(env, "tinsmith", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_async_work(env, NULL, name, compute, complete, it, &it->queued) != napi_ok ||
        napi_create_promise(env, &it->promise, &promise) != napi_ok ||
        napi_queue_async_work(env, it->queued) != napi_ok) {
        drop(env, it);
        return refuse(env, "work could not be queued");
    }
    return promise;
}

static napi_value call_open_later(napi_env env, napi_callback_info info) {
    napi_value in[2];
    work *it = calloc(1, sizeof *it);
    if (!it || !arguments(env, info, in, 2)) {
        free(it);
        return refuse(env, "there is no memory for a handle");
    }
    it->path = text_in(env, in[0]);
    it->key = text_in(env, in[1]);
    return queue(env, it);
}

/* Nobody may use the session before the promise is kept. */
static napi_value call_step_later(napi_env env, napi_callback_info info) {
    napi_value in[2];
    work *it = calloc(1, sizeof *it);
    if (!it || !arguments(env, info, in, 2)) {
        free(it);
        return refuse(env, "there is no memory for a handle");
    }
    it->session = session_in(env, in[0]);
    it->budget_us = long_in(env, in[1]);
    return queue(env, it);
}

/* ---- The module ---- */

static void add(napi_env env, napi_value exports, const char *name, napi_callback call) {
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, call, NULL, &function) == napi_ok)
        napi_set_named_property(env, exports, name, function);
}

NAPI_MODULE_INIT() {
    for (size_t k = 0; k < sizeof FUNCTIONS / sizeof *FUNCTIONS; k++)
        add(env, exports, FUNCTIONS[k].name, FUNCTIONS[k].call);
    add(env, exports, "openLater", call_open_later);
    add(env, exports, "stepLater", call_step_later);
    for (size_t k = 0; k < sizeof CONSTANTS / sizeof *CONSTANTS; k++)
        napi_set_named_property(env, exports, CONSTANTS[k].name, int_out(env, CONSTANTS[k].value));
    napi_value names;
    napi_create_array(env, &names);
    for (uint32_t k = 0; k < sizeof STATUSES / sizeof *STATUSES; k++)
        napi_set_element(env, names, k, text_out(env, STATUSES[k]));
    napi_set_named_property(env, exports, "STATUSES", names);
    return exports;
}
