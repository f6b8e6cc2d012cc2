/* Made by scripts/bindings.py of kernels/include/tin_host.h: change that. */
static napi_value call_open(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    char *path = text_in(env, in[0]);
    char *key = text_in(env, in[1]);
    tinhost_model *result = raised(env) ? 0 : tinhost_open(path, key);
    free(path);
    free(key);
    return model_out(env, result);
}

static napi_value call_open_memory(napi_env env, napi_callback_info info) {
    napi_value in[3];
    if (!arguments(env, info, in, 3)) return NULL;
    int64_t file_bytes = 0;
    void *file = data_in(env, in[0], &file_bytes);
    char *signature = text_in(env, in[1]);
    char *key = text_in(env, in[2]);
    tinhost_model *result = raised(env) ? 0 : tinhost_open_memory(file, file_bytes, signature, key);
    free(signature);
    free(key);
    return model_out(env, result);
}

static napi_value call_close(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_model *model = model_in(env, in[0]);
    if (!raised(env)) tinhost_close(model);
    return NULL;
}

static napi_value call_model_error(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_model *model = model_in(env, in[0]);
    const char *result = raised(env) ? 0 : tinhost_model_error(model);
    return text_out(env, result);
}

static napi_value call_model_status(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_model *model = model_in(env, in[0]);
    int32_t result = raised(env) ? 0 : tinhost_model_status(model);
    return int_out(env, result);
}

static napi_value call_adapter_name(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_model *model = model_in(env, in[0]);
    int32_t k = int_in(env, in[1]);
    const char *result = raised(env) ? 0 : tinhost_adapter_name(model, k);
    return text_out(env, result);
}

static napi_value call_entry(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_model *model = model_in(env, in[0]);
    char *name = text_in(env, in[1]);
    const char *result = raised(env) ? 0 : tinhost_entry(model, name);
    free(name);
    return text_out(env, result);
}

static napi_value call_isa(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_model *model = model_in(env, in[0]);
    const char *result = raised(env) ? 0 : tinhost_isa(model);
    return text_out(env, result);
}

static napi_value call_fingerprint(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_model *model = model_in(env, in[0]);
    int64_t result = raised(env) ? 0 : tinhost_fingerprint(model);
    return long_out(env, result);
}

static napi_value call_session_open(napi_env env, napi_callback_info info) {
    napi_value in[5];
    if (!arguments(env, info, in, 5)) return NULL;
    tinhost_model *model = model_in(env, in[0]);
    int32_t context = int_in(env, in[1]);
    int32_t threads = int_in(env, in[2]);
    int32_t adapters = int_in(env, in[3]);
    int64_t most_bytes = long_in(env, in[4]);
    tinhost_session *result = raised(env) ? 0 : tinhost_session_open(model, context, threads, adapters, most_bytes);
    return session_out(env, result);
}

static napi_value call_session_close(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    if (!raised(env)) tinhost_session_close(session);
    return NULL;
}

static napi_value call_error(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    const char *result = raised(env) ? 0 : tinhost_error(session);
    return text_out(env, result);
}

static napi_value call_status(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t result = raised(env) ? 0 : tinhost_status(session);
    return int_out(env, result);
}

static napi_value call_session_bytes(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int64_t result = raised(env) ? 0 : tinhost_session_bytes(session);
    return long_out(env, result);
}

static napi_value call_adapter(napi_env env, napi_callback_info info) {
    napi_value in[3];
    if (!arguments(env, info, in, 3)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    char *name = text_in(env, in[1]);
    double scale = double_in(env, in[2]);
    int32_t result = raised(env) ? 0 : tinhost_adapter(session, name, scale);
    free(name);
    return int_out(env, result);
}

static napi_value call_constrained(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t on = int_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_constrained(session, on);
    return int_out(env, result);
}

static napi_value call_sampling(napi_env env, napi_callback_info info) {
    napi_value in[5];
    if (!arguments(env, info, in, 5)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    double temperature = double_in(env, in[1]);
    double top_p = double_in(env, in[2]);
    double repetition = double_in(env, in[3]);
    int64_t seed = long_in(env, in[4]);
    int32_t result = raised(env) ? 0 : tinhost_sampling(session, temperature, top_p, repetition, seed);
    return int_out(env, result);
}

static napi_value call_duty_cycle(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t percent = int_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_duty_cycle(session, percent);
    return int_out(env, result);
}

static napi_value call_think(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t mode = int_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_think(session, mode);
    return int_out(env, result);
}

static napi_value call_say(napi_env env, napi_callback_info info) {
    napi_value in[3];
    if (!arguments(env, info, in, 3)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t role = int_in(env, in[1]);
    char *text = text_in(env, in[2]);
    int32_t result = raised(env) ? 0 : tinhost_say(session, role, text);
    free(text);
    return int_out(env, result);
}

static napi_value call_image(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int64_t file_bytes = 0;
    void *file = data_in(env, in[1], &file_bytes);
    int32_t result = raised(env) ? 0 : tinhost_image(session, file, file_bytes);
    return int_out(env, result);
}

static napi_value call_pixels(napi_env env, napi_callback_info info) {
    napi_value in[5];
    if (!arguments(env, info, in, 5)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int64_t pixels_bytes = 0;
    void *pixels = data_in(env, in[1], &pixels_bytes);
    int32_t width = int_in(env, in[2]);
    int32_t height = int_in(env, in[3]);
    int32_t channels = int_in(env, in[4]);
    int32_t result = raised(env) ? 0 : tinhost_pixels(session, pixels, pixels_bytes, width, height, channels);
    return int_out(env, result);
}

static napi_value call_forget(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t k = int_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_forget(session, k);
    return int_out(env, result);
}

static napi_value call_messages(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t result = raised(env) ? 0 : tinhost_messages(session);
    return int_out(env, result);
}

static napi_value call_message(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t k = int_in(env, in[1]);
    const char *result = raised(env) ? 0 : tinhost_message(session, k);
    return text_out(env, result);
}

static napi_value call_message_role(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t k = int_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_message_role(session, k);
    return int_out(env, result);
}

static napi_value call_begin(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t most_tokens = int_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_begin(session, most_tokens);
    return int_out(env, result);
}

static napi_value call_ask(napi_env env, napi_callback_info info) {
    napi_value in[3];
    if (!arguments(env, info, in, 3)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    char *text = text_in(env, in[1]);
    int32_t most_tokens = int_in(env, in[2]);
    int32_t result = raised(env) ? 0 : tinhost_ask(session, text, most_tokens);
    free(text);
    return int_out(env, result);
}

static napi_value call_choose(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    char *options = text_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_choose(session, options);
    free(options);
    return int_out(env, result);
}

static napi_value call_complete(napi_env env, napi_callback_info info) {
    napi_value in[3];
    if (!arguments(env, info, in, 3)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    char *text = text_in(env, in[1]);
    int32_t most_tokens = int_in(env, in[2]);
    int32_t result = raised(env) ? 0 : tinhost_complete(session, text, most_tokens);
    free(text);
    return int_out(env, result);
}

static napi_value call_step(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int64_t budget_us = long_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_step(session, budget_us);
    return int_out(env, result);
}

static napi_value call_piece(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    const char *result = raised(env) ? 0 : tinhost_piece(session);
    return text_out(env, result);
}

static napi_value call_answer(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    const char *result = raised(env) ? 0 : tinhost_answer(session);
    return text_out(env, result);
}

static napi_value call_chosen(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t result = raised(env) ? 0 : tinhost_chosen(session);
    return int_out(env, result);
}

static napi_value call_finish(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t result = raised(env) ? 0 : tinhost_finish(session);
    return int_out(env, result);
}

static napi_value call_tokens(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t result = raised(env) ? 0 : tinhost_tokens(session);
    return int_out(env, result);
}

static napi_value call_passes(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int32_t result = raised(env) ? 0 : tinhost_passes(session);
    return int_out(env, result);
}

static napi_value call_digest(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int64_t result = raised(env) ? 0 : tinhost_digest(session);
    return long_out(env, result);
}

static napi_value call_cancel(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    if (!raised(env)) tinhost_cancel(session);
    return NULL;
}

static napi_value call_save_size(napi_env env, napi_callback_info info) {
    napi_value in[1];
    if (!arguments(env, info, in, 1)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int64_t result = raised(env) ? 0 : tinhost_save_size(session);
    return long_out(env, result);
}

static napi_value call_save(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int64_t out_bytes = 0;
    void *out = room_in(env, in[1], &out_bytes);
    int32_t result = raised(env) ? 0 : tinhost_save(session, out, out_bytes);
    return int_out(env, result);
}

static napi_value call_restore(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *session = session_in(env, in[0]);
    int64_t data_bytes = 0;
    void *data = data_in(env, in[1], &data_bytes);
    int32_t result = raised(env) ? 0 : tinhost_restore(session, data, data_bytes);
    return int_out(env, result);
}

static napi_value call_copy(napi_env env, napi_callback_info info) {
    napi_value in[2];
    if (!arguments(env, info, in, 2)) return NULL;
    tinhost_session *to = session_in(env, in[0]);
    tinhost_session *from = session_in(env, in[1]);
    int32_t result = raised(env) ? 0 : tinhost_copy(to, from);
    return int_out(env, result);
}

static const struct {
    const char *name;
    napi_callback call;
} FUNCTIONS[] = {
    {"open", call_open},
    {"openMemory", call_open_memory},
    {"close", call_close},
    {"modelError", call_model_error},
    {"modelStatus", call_model_status},
    {"adapterName", call_adapter_name},
    {"entry", call_entry},
    {"isa", call_isa},
    {"fingerprint", call_fingerprint},
    {"sessionOpen", call_session_open},
    {"sessionClose", call_session_close},
    {"error", call_error},
    {"status", call_status},
    {"sessionBytes", call_session_bytes},
    {"adapter", call_adapter},
    {"constrained", call_constrained},
    {"sampling", call_sampling},
    {"dutyCycle", call_duty_cycle},
    {"think", call_think},
    {"say", call_say},
    {"image", call_image},
    {"pixels", call_pixels},
    {"forget", call_forget},
    {"messages", call_messages},
    {"message", call_message},
    {"messageRole", call_message_role},
    {"begin", call_begin},
    {"ask", call_ask},
    {"choose", call_choose},
    {"complete", call_complete},
    {"step", call_step},
    {"piece", call_piece},
    {"answer", call_answer},
    {"chosen", call_chosen},
    {"finish", call_finish},
    {"tokens", call_tokens},
    {"passes", call_passes},
    {"digest", call_digest},
    {"cancel", call_cancel},
    {"saveSize", call_save_size},
    {"save", call_save},
    {"restore", call_restore},
    {"copy", call_copy},
};

static const struct {
    const char *name;
    int32_t value;
} CONSTANTS[] = {
    {"PENDING", 0},
    {"PIECE", 1},
    {"DONE", 2},
    {"IDLE", 3},
    {"ROLE_SYSTEM", 0},
    {"ROLE_USER", 1},
    {"ROLE_ASSISTANT", 2},
    {"ROLE_TOOL", 3},
    {"FINISH_NONE", 0},
    {"FINISH_END", 1},
    {"FINISH_LENGTH", 2},
    {"FINISH_CONTEXT", 3},
    {"FINISH_CONSTRAINT", 4},
};

static const char *const STATUSES[] = {
    "ARGUMENT",
    "FORMAT",
    "VERSION",
    "UNSUPPORTED",
    "MEMORY",
    "CONTEXT",
    "STATE",
    "TEXT",
    "SIGNATURE",
};
