/* values.h: values of JavaScript as those of tin_host.h, and back. Each function raises an error where it fails; with one
 * raised already it does nothing. */
#ifndef TIN_NODE_VALUES_H
#define TIN_NODE_VALUES_H

#include "tin_host.h"

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool raised(napi_env env) {
    bool pending = true;
    napi_is_exception_pending(env, &pending);
    return pending;
}

static inline void *refuse(napi_env env, const char *text) {
    if (!raised(env))
        napi_throw_type_error(env, NULL, text);
    return NULL;
}

static inline bool arguments(napi_env env, napi_callback_info info, napi_value *in, size_t count) {
    size_t given = count;
    if (napi_get_cb_info(env, info, &given, in, NULL, NULL) == napi_ok && given >= count)
        return true;
    refuse(env, "too few arguments");
    return false;
}

/* A handle is an object that only this addon makes, with a tag that tells models from sessions. */
static const napi_type_tag MODEL = {0x74696e686f73746d, 1}, SESSION = {0x74696e686f737473, 1};

static inline void *handle_in(napi_env env, napi_value value, const napi_type_tag *tag, const char *text) {
    bool is = false;
    void *handle = NULL;
    if (napi_check_object_type_tag(env, value, tag, &is) != napi_ok || !is ||
        napi_unwrap(env, value, &handle) != napi_ok)
        return refuse(env, text);
    return handle;
}

static inline napi_value handle_out(napi_env env, void *handle, const napi_type_tag *tag) {
    napi_value value = NULL;
    if (raised(env) || napi_create_object(env, &value) != napi_ok ||
        napi_type_tag_object(env, value, tag) != napi_ok ||
        napi_wrap(env, value, handle, NULL, NULL, NULL) != napi_ok)
        return refuse(env, "a handle could not be made");
    return value;
}

static inline tinhost_model *model_in(napi_env env, napi_value value) {
    return handle_in(env, value, &MODEL, "not a model's handle");
}

static inline tinhost_session *session_in(napi_env env, napi_value value) {
    return handle_in(env, value, &SESSION, "not a session's handle");
}

static inline napi_value model_out(napi_env env, tinhost_model *model) {
    return handle_out(env, model, &MODEL);
}

static inline napi_value session_out(napi_env env, tinhost_session *session) {
    return handle_out(env, session, &SESSION);
}

/* For free(); NULL for null. */
static inline char *text_in(napi_env env, napi_value value) {
    napi_valuetype type;
    size_t length;
    if (raised(env) || (napi_typeof(env, value, &type) == napi_ok && type == napi_null))
        return NULL;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok)
        return refuse(env, "not a string");
    char *text = malloc(length + 1);
    if (!text)
        return refuse(env, "there is no memory for a text");
    napi_get_value_string_utf8(env, value, text, length + 1, &length);
    if (strlen(text) == length)
        return text;
    free(text);
    return refuse(env, "the text has a NUL; leave it out");
}

static inline napi_value text_out(napi_env env, const char *text) {
    napi_value value = NULL;
    if (raised(env))
        return NULL;
    if (text)
        napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value);
    else
        napi_get_null(env, &value);
    return value;
}

/* Where a Uint8Array or Buffer lies, and how many bytes it has: a script may make its `length` say anything. */
static inline void *data_in(napi_env env, napi_value value, int64_t *bytes) {
    napi_typedarray_type type;
    size_t length = 0;
    void *data = NULL;
    if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok ||
        type != napi_uint8_array)
        return refuse(env, "not a Uint8Array");
    *bytes = (int64_t)length;
    return data;
}

#define room_in data_in

/* napi_get_value_int32 takes the lowest 32 bits of any number. */
static inline int32_t int_in(napi_env env, napi_value value) {
    int32_t number = 0;
    double given = 0;
    if (napi_get_value_int32(env, value, &number) != napi_ok ||
        napi_get_value_double(env, value, &given) != napi_ok || given != number)
        refuse(env, "not a whole number of 32 bits");
    return number;
}

/* A BigInt, of which N-API takes the lowest 64 bits. */
static inline int64_t long_in(napi_env env, napi_value value) {
    int64_t number = 0;
    bool whole = false;
    if (napi_get_value_bigint_int64(env, value, &number, &whole) != napi_ok || !whole)
        refuse(env, "not a whole number of 64 bits");
    return number;
}

static inline double double_in(napi_env env, napi_value value) {
    double number = 0;
    if (napi_get_value_double(env, value, &number) != napi_ok)
        refuse(env, "not a number");
    return number;
}

static inline napi_value int_out(napi_env env, int32_t number) {
    napi_value value = NULL;
    if (!raised(env))
        napi_create_int32(env, number, &value);
    return value;
}

static inline napi_value long_out(napi_env env, int64_t number) {
    napi_value value = NULL;
    if (!raised(env))
        napi_create_bigint_int64(env, number, &value);
    return value;
}

#endif
