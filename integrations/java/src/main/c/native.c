/* Made by scripts/bindings.py of kernels/include/tin_host.h: change that. */
#include "jni_values.h"

JNIEXPORT jlong JNICALL Java_tinsmith_runtime_Native_open(JNIEnv *env, jclass self, jbyteArray path_, jbyteArray key_) {
    (void)self;
    char *path = text_in(env, path_);
    char *key = text_in(env, key_);
    tinhost_model *result = raised(env) ? 0 : tinhost_open(path, key);
    free(path);
    free(key);
    return (jlong)(intptr_t)result;
}

JNIEXPORT jlong JNICALL Java_tinsmith_runtime_Native_openMemory(JNIEnv *env, jclass self, jobject file_, jbyteArray signature_, jbyteArray key_) {
    (void)self;
    int64_t file_bytes = 0;
    void *file = block(env, file_, &file_bytes);
    char *signature = text_in(env, signature_);
    char *key = text_in(env, key_);
    tinhost_model *result = raised(env) ? 0 : tinhost_open_memory(file, file_bytes, signature, key);
    free(signature);
    free(key);
    return (jlong)(intptr_t)result;
}

JNIEXPORT void JNICALL Java_tinsmith_runtime_Native_close(JNIEnv *env, jclass self, jlong model_) {
    (void)self;
    tinhost_model *model = (tinhost_model *)(intptr_t)model_;
    if (!raised(env)) tinhost_close(model);
}

JNIEXPORT jbyteArray JNICALL Java_tinsmith_runtime_Native_modelError(JNIEnv *env, jclass self, jlong model_) {
    (void)self;
    tinhost_model *model = (tinhost_model *)(intptr_t)model_;
    const char *result = raised(env) ? 0 : tinhost_model_error(model);
    return text_out(env, result);
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_modelStatus(JNIEnv *env, jclass self, jlong model_) {
    (void)self;
    tinhost_model *model = (tinhost_model *)(intptr_t)model_;
    int32_t result = raised(env) ? 0 : tinhost_model_status(model);
    return result;
}

JNIEXPORT jbyteArray JNICALL Java_tinsmith_runtime_Native_adapterName(JNIEnv *env, jclass self, jlong model_, jint k_) {
    (void)self;
    tinhost_model *model = (tinhost_model *)(intptr_t)model_;
    int32_t k = k_;
    const char *result = raised(env) ? 0 : tinhost_adapter_name(model, k);
    return text_out(env, result);
}

JNIEXPORT jbyteArray JNICALL Java_tinsmith_runtime_Native_entry(JNIEnv *env, jclass self, jlong model_, jbyteArray name_) {
    (void)self;
    tinhost_model *model = (tinhost_model *)(intptr_t)model_;
    char *name = text_in(env, name_);
    const char *result = raised(env) ? 0 : tinhost_entry(model, name);
    free(name);
    return text_out(env, result);
}

JNIEXPORT jbyteArray JNICALL Java_tinsmith_runtime_Native_isa(JNIEnv *env, jclass self, jlong model_) {
    (void)self;
    tinhost_model *model = (tinhost_model *)(intptr_t)model_;
    const char *result = raised(env) ? 0 : tinhost_isa(model);
    return text_out(env, result);
}

JNIEXPORT jlong JNICALL Java_tinsmith_runtime_Native_fingerprint(JNIEnv *env, jclass self, jlong model_) {
    (void)self;
    tinhost_model *model = (tinhost_model *)(intptr_t)model_;
    int64_t result = raised(env) ? 0 : tinhost_fingerprint(model);
    return result;
}

JNIEXPORT jlong JNICALL Java_tinsmith_runtime_Native_sessionOpen(JNIEnv *env, jclass self, jlong model_, jint context_, jint threads_, jint adapters_, jlong most_bytes_) {
    (void)self;
    tinhost_model *model = (tinhost_model *)(intptr_t)model_;
    int32_t context = context_;
    int32_t threads = threads_;
    int32_t adapters = adapters_;
    int64_t most_bytes = most_bytes_;
    tinhost_session *result = raised(env) ? 0 : tinhost_session_open(model, context, threads, adapters, most_bytes);
    return (jlong)(intptr_t)result;
}

JNIEXPORT void JNICALL Java_tinsmith_runtime_Native_sessionClose(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    if (!raised(env)) tinhost_session_close(session);
}

JNIEXPORT jbyteArray JNICALL Java_tinsmith_runtime_Native_error(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    const char *result = raised(env) ? 0 : tinhost_error(session);
    return text_out(env, result);
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_status(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t result = raised(env) ? 0 : tinhost_status(session);
    return result;
}

JNIEXPORT jlong JNICALL Java_tinsmith_runtime_Native_sessionBytes(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int64_t result = raised(env) ? 0 : tinhost_session_bytes(session);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_adapter(JNIEnv *env, jclass self, jlong session_, jbyteArray name_, jdouble scale_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    char *name = text_in(env, name_);
    double scale = scale_;
    int32_t result = raised(env) ? 0 : tinhost_adapter(session, name, scale);
    free(name);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_constrained(JNIEnv *env, jclass self, jlong session_, jint on_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t on = on_;
    int32_t result = raised(env) ? 0 : tinhost_constrained(session, on);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_sampling(JNIEnv *env, jclass self, jlong session_, jdouble temperature_, jdouble top_p_, jdouble repetition_, jlong seed_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    double temperature = temperature_;
    double top_p = top_p_;
    double repetition = repetition_;
    int64_t seed = seed_;
    int32_t result = raised(env) ? 0 : tinhost_sampling(session, temperature, top_p, repetition, seed);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_dutyCycle(JNIEnv *env, jclass self, jlong session_, jint percent_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t percent = percent_;
    int32_t result = raised(env) ? 0 : tinhost_duty_cycle(session, percent);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_think(JNIEnv *env, jclass self, jlong session_, jint mode_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t mode = mode_;
    int32_t result = raised(env) ? 0 : tinhost_think(session, mode);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_say(JNIEnv *env, jclass self, jlong session_, jint role_, jbyteArray text_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t role = role_;
    char *text = text_in(env, text_);
    int32_t result = raised(env) ? 0 : tinhost_say(session, role, text);
    free(text);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_image(JNIEnv *env, jclass self, jlong session_, jobject file_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int64_t file_bytes = 0;
    void *file = block(env, file_, &file_bytes);
    int32_t result = raised(env) ? 0 : tinhost_image(session, file, file_bytes);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_pixels(JNIEnv *env, jclass self, jlong session_, jobject pixels_, jint width_, jint height_, jint channels_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int64_t pixels_bytes = 0;
    void *pixels = block(env, pixels_, &pixels_bytes);
    int32_t width = width_;
    int32_t height = height_;
    int32_t channels = channels_;
    int32_t result = raised(env) ? 0 : tinhost_pixels(session, pixels, pixels_bytes, width, height, channels);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_forget(JNIEnv *env, jclass self, jlong session_, jint k_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t k = k_;
    int32_t result = raised(env) ? 0 : tinhost_forget(session, k);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_messages(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t result = raised(env) ? 0 : tinhost_messages(session);
    return result;
}

JNIEXPORT jbyteArray JNICALL Java_tinsmith_runtime_Native_message(JNIEnv *env, jclass self, jlong session_, jint k_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t k = k_;
    const char *result = raised(env) ? 0 : tinhost_message(session, k);
    return text_out(env, result);
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_messageRole(JNIEnv *env, jclass self, jlong session_, jint k_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t k = k_;
    int32_t result = raised(env) ? 0 : tinhost_message_role(session, k);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_begin(JNIEnv *env, jclass self, jlong session_, jint most_tokens_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t most_tokens = most_tokens_;
    int32_t result = raised(env) ? 0 : tinhost_begin(session, most_tokens);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_ask(JNIEnv *env, jclass self, jlong session_, jbyteArray text_, jint most_tokens_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    char *text = text_in(env, text_);
    int32_t most_tokens = most_tokens_;
    int32_t result = raised(env) ? 0 : tinhost_ask(session, text, most_tokens);
    free(text);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_choose(JNIEnv *env, jclass self, jlong session_, jbyteArray options_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    char *options = text_in(env, options_);
    int32_t result = raised(env) ? 0 : tinhost_choose(session, options);
    free(options);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_complete(JNIEnv *env, jclass self, jlong session_, jbyteArray text_, jint most_tokens_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    char *text = text_in(env, text_);
    int32_t most_tokens = most_tokens_;
    int32_t result = raised(env) ? 0 : tinhost_complete(session, text, most_tokens);
    free(text);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_step(JNIEnv *env, jclass self, jlong session_, jlong budget_us_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int64_t budget_us = budget_us_;
    int32_t result = raised(env) ? 0 : tinhost_step(session, budget_us);
    return result;
}

JNIEXPORT jbyteArray JNICALL Java_tinsmith_runtime_Native_piece(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    const char *result = raised(env) ? 0 : tinhost_piece(session);
    return text_out(env, result);
}

JNIEXPORT jbyteArray JNICALL Java_tinsmith_runtime_Native_answer(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    const char *result = raised(env) ? 0 : tinhost_answer(session);
    return text_out(env, result);
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_chosen(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t result = raised(env) ? 0 : tinhost_chosen(session);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_finish(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t result = raised(env) ? 0 : tinhost_finish(session);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_tokens(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t result = raised(env) ? 0 : tinhost_tokens(session);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_passes(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int32_t result = raised(env) ? 0 : tinhost_passes(session);
    return result;
}

JNIEXPORT jlong JNICALL Java_tinsmith_runtime_Native_digest(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int64_t result = raised(env) ? 0 : tinhost_digest(session);
    return result;
}

JNIEXPORT void JNICALL Java_tinsmith_runtime_Native_cancel(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    if (!raised(env)) tinhost_cancel(session);
}

JNIEXPORT jlong JNICALL Java_tinsmith_runtime_Native_saveSize(JNIEnv *env, jclass self, jlong session_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int64_t result = raised(env) ? 0 : tinhost_save_size(session);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_save(JNIEnv *env, jclass self, jlong session_, jobject out_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int64_t out_bytes = 0;
    void *out = block(env, out_, &out_bytes);
    int32_t result = raised(env) ? 0 : tinhost_save(session, out, out_bytes);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_restore(JNIEnv *env, jclass self, jlong session_, jobject data_) {
    (void)self;
    tinhost_session *session = (tinhost_session *)(intptr_t)session_;
    int64_t data_bytes = 0;
    void *data = block(env, data_, &data_bytes);
    int32_t result = raised(env) ? 0 : tinhost_restore(session, data, data_bytes);
    return result;
}

JNIEXPORT jint JNICALL Java_tinsmith_runtime_Native_copy(JNIEnv *env, jclass self, jlong to_, jlong from_) {
    (void)self;
    tinhost_session *to = (tinhost_session *)(intptr_t)to_;
    tinhost_session *from = (tinhost_session *)(intptr_t)from_;
    int32_t result = raised(env) ? 0 : tinhost_copy(to, from);
    return result;
}
