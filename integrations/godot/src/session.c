/* A conversation, stepped each frame. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

void *session_create(void *owner) {
    session *it = calloc(1, sizeof *it);
    if (!it)
        return NULL;
    it->owner = owner;
    var_nil(&it->model);
    var_nil(&it->holds);
    text_set(&it->system, "");
    text_set(&it->adapter, "");
    it->threads = 1;
    it->budget_us = 2000;
    it->max_tokens = 128;
    it->top_p = it->repetition = 1;
    it->constrained = 1;
    return it;
}

int32_t int32_of(int64_t number) {
    return (int32_t)(number < INT32_MIN ? INT32_MIN : number > INT32_MAX ? INT32_MAX : number);
}

static void close_session(session *it) {
    it->turn++;
    tinhost_session_close(it->it);
    it->it = NULL;
    it->asked = 0;
    free(it->applied);
    it->applied = NULL;
    var_drop(&it->holds);
    var_nil(&it->holds);
}

static void forget_options(session *it) {
    for (int64_t k = 0; k < it->option_count; k++)
        free(it->options[k]);
    free(it->options);
    it->options = NULL;
    it->option_count = 0;
}

void session_destroy(void *self) {
    session *it = self;
    if (it->depth) {
        it->doomed = 1;
        return;
    }
    close_session(it);
    forget_options(it);
    var_drop(&it->model);
    var_drop(&it->holds);
    free(it->system);
    free(it->adapter);
    free(it->error);
    free(it->saved);
    free(it);
}

void session_enter(session *it) {
    it->depth++;
}

void session_leave(session *it) {
    if (!--it->depth && it->doomed)
        session_destroy(it);
}

/* ---- Signals ------------------------------------------------------------------------------- */

/* Nothing of `it` may be believed afterwards but `doomed` and `turn`. */
static void emit(session *it, const char *signal, const var *first, const var *second) {
    if (it->doomed)
        return;
    var owner, name;
    var_object(&owner, it->owner);
    var_text(&name, signal, strlen(signal));
    const var *arguments[] = {&name, first, second};
    var_call(&owner, "emit_signal", arguments, second ? 3 : 2, NULL);
    var_drop(&name);
    var_drop(&owner);
}

static void emit_text(session *it, const char *signal, const char *text) {
    var value;
    var_text(&value, text, strlen(text));
    emit(it, signal, &value, NULL);
    var_drop(&value);
}

int32_t session_failed(session *it, int32_t status, const char *text) {
    it->status = status;
    text_set(&it->error, text);
    engine_error(text);
    emit_text(it, "failed", text);
    return status;
}

int32_t session_failed_call(session *it) {
    char text[sizeof(tin_error)];
    strncpy(text, tinhost_error(it->it), sizeof text - 1);
    text[sizeof text - 1] = 0;
    return session_failed(it, tinhost_status(it->it), text);
}

/* ---- Opening and asking --------------------------------------------------------------------- */

/* Opens the session where it is not, with what was saved. */
int32_t session_open(session *it) {
    if (it->it && !it->stale)
        return TIN_OK;
    close_session(it);
    it->stale = 0;
    tinhost_model *model = model_of(var_as_object(&it->model));
    if (!model)
        return session_failed(it, TIN_ERR_ARGUMENT, "TinSession: model is no TinModel; set the property model");
    if (tinhost_model_status(model))
        return session_failed(it, tinhost_model_status(model), tinhost_model_error(model));
    it->it = tinhost_session_open(model, int32_of(it->context), int32_of(it->threads), 1, it->most_bytes);
    if (tinhost_status(it->it)) {
        int32_t status = session_failed_call(it);
        close_session(it);
        return status;
    }
    var_drop(&it->holds);
    var_copy(&it->holds, &it->model);
    if (!it->saved)
        return TIN_OK;
    int32_t status = tinhost_restore(it->it, it->saved, (int64_t)it->saved_size);
    free(it->saved);
    it->saved = NULL;
    return status ? session_failed_call(it) : TIN_OK;
}

/* Brings the session to what the properties say. */
static int32_t settle(session *it) {
    int32_t status = TIN_OK;
    if (!it->applied || strcmp(it->applied, it->adapter)) {
        free(it->applied);
        it->applied = NULL;
        status = tinhost_adapter(it->it, NULL, 1);
        if (!status && *it->adapter)
            status = tinhost_adapter(it->it, it->adapter, 1);
        if (!status)
            text_set(&it->applied, it->adapter);
    }
    if (!status)
        status = tinhost_constrained(it->it, it->constrained != 0);
    if (!status)
        status = tinhost_sampling(it->it, it->temperature, it->top_p, it->repetition, it->seed);
    if (!status && *it->system && !tinhost_messages(it->it))
        status = tinhost_say(it->it, TIN_ROLE_SYSTEM, it->system);
    return status;
}

/* Makes ready for a question; TIN_OK where one may begin. */
static int32_t ready(session *it, const char *text) {
    if (it->asked && !it->stale)
        return session_failed(it, TIN_ERR_STATE,
                              "TinSession: an answer is under way; cancel it, or wait for finished");
    if (!text)
        return session_failed(it, TIN_ERR_MEMORY, "TinSession: no memory for the question");
    int32_t status = session_open(it);
    if (status || it->doomed)
        return status;
    return settle(it) ? session_failed_call(it) : TIN_OK;
}

static void begun(session *it, int calling) {
    it->turn++;
    it->asked = 1;
    it->calling = calling;
    it->status = TIN_OK;
    text_set(&it->error, "");
}

int32_t session_ask(session *it, const var *question, int calling) {
    char *text = var_as_text(question);
    session_enter(it);
    int32_t status = ready(it, text);
    if (!status) {
        status = tinhost_ask(it->it, text, int32_of(it->max_tokens));
        if (status) {
            status = session_failed_call(it);
        } else {
            forget_options(it);
            begun(it, calling);
        }
    }
    free(text);
    session_leave(it);
    return status;
}

int32_t session_image(session *it, const var *file) {
    size_t size = 0;
    char *data = var_as_bytes(file, &size);
    session_enter(it);
    int32_t status = ready(it, data);
    if (!status && tinhost_image(it->it, data, (int64_t)size))
        status = session_failed_call(it);
    free(data);
    session_leave(it);
    return status;
}

static int64_t number_of(var *object, const char *method) {
    var result;
    int64_t number = var_call(object, method, NULL, 0, &result) ? var_as_int(&result) : 0;
    var_drop(&result);
    return number;
}

int32_t session_pixels(session *it, const var *image) {
    enum { RGB8 = 4, RGBA8 = 5 }; /* of the engine's Image.Format */
    var object, bytes;
    var_copy(&object, image);
    int64_t width = number_of(&object, "get_width"), height = number_of(&object, "get_height");
    int64_t format = number_of(&object, "get_format"), channels = format == RGB8 ? 3 : 4;
    var_call(&object, "get_data", NULL, 0, &bytes);
    size_t size = 0, wanted = (size_t)(width * height * channels);
    char *data = var_as_bytes(&bytes, &size);
    session_enter(it);
    int32_t status = ready(it, data);
    if (!status && format != RGB8 && format != RGBA8)
        status = session_failed(it, TIN_ERR_ARGUMENT,
                                "TinSession: pixels takes an Image of RGB8 or RGBA8; convert it before");
    else if (!status && tinhost_pixels(it->it, data, (int64_t)(size > wanted ? wanted : size), int32_of(width),
                                       int32_of(height), (int32_t)channels)) /* behind them may be mipmaps */
        status = session_failed_call(it);
    free(data);
    var_drop(&bytes);
    var_drop(&object);
    session_leave(it);
    return status;
}

/* Keeps the options, and gives them as lines; NULL where one is no single line. By malloc. */
static char *lines_of(session *it, const var *options) {
    forget_options(it);
    int64_t count = var_count(options);
    it->options = calloc((size_t)count + 1, sizeof *it->options);
    size_t size = 1;
    for (; it->options && it->option_count < count; it->option_count++) {
        var one;
        var_at(&one, options, it->option_count);
        char *text = var_as_text(&one);
        var_drop(&one);
        it->options[it->option_count] = text;
        if (!text || strchr(text, '\n'))
            return NULL;
        size += strlen(text) + 1;
    }
    char *lines = calloc(size, 1);
    for (int64_t k = 0; lines && k < count; k++)
        strcat(strcat(lines, it->options[k]), "\n");
    return lines;
}

int32_t session_choose(session *it, const var *question, const var *options) {
    char *text = var_as_text(question);
    session_enter(it);
    int32_t status = ready(it, text);
    char *lines = status || it->doomed ? NULL : lines_of(it, options);
    if (!status && !lines) {
        status = session_failed(it, TIN_ERR_ARGUMENT,
                                "TinSession.choose: an option has several lines; give one line each");
    } else if (!status) {
        int32_t before = tinhost_messages(it->it);
        status = tinhost_say(it->it, TIN_ROLE_USER, text);
        if (!status)
            status = tinhost_choose(it->it, lines);
        if (status) {
            status = session_failed_call(it);
            tinhost_forget(it->it, before);
        } else {
            begun(it, 0);
        }
    }
    free(lines);
    free(text);
    session_leave(it);
    return status;
}

/* ---- Answering ------------------------------------------------------------------------------ */

static void called(session *it, const char *answer) {
    static const char name_key[] = "name", arguments_key[] = "arguments", other_key[] = "parameters";
    var list;
    uint32_t turn = it->turn;
    if (!calls_of(&list, answer)) {
        char text[256] = "TinSession.call_tools: no calls in the answer: ";
        strncat(text, answer, sizeof text - strlen(text) - 1);
        session_failed(it, TIN_ERR_FORMAT, text);
    }
    for (int64_t k = 0, count = var_count(&list); k < count && !it->doomed && it->turn == turn; k++) {
        var one, keys[3], name, inner, values;
        var_at(&one, &list, k);
        var_text(&keys[0], name_key, sizeof name_key - 1);
        var_text(&keys[1], arguments_key, sizeof arguments_key - 1);
        var_text(&keys[2], other_key, sizeof other_key - 1);
        const var *get_name[] = {&keys[0]}, *get_other[] = {&keys[2]};
        var_call(&one, "get", get_name, 1, &name);
        var_call(&one, "get", get_other, 1, &inner);
        const var *get_values[] = {&keys[1], &inner};
        var_call(&one, "get", get_values, 2, &values);
        emit(it, "called", &name, &values);
        for (int n = 0; n < 3; n++)
            var_drop(&keys[n]);
        var_drop(&values);
        var_drop(&inner);
        var_drop(&name);
        var_drop(&one);
    }
    var_drop(&list);
}

static void done(session *it) {
    int32_t chosen = tinhost_chosen(it->it);
    const char *text = it->option_count && chosen >= 0 ? it->options[chosen] : tinhost_answer(it->it);
    char *answer = NULL;
    text_set(&answer, text);
    if (!answer)
        return;
    uint32_t turn = it->turn;
    int32_t before = it->status;
    if (it->calling)
        called(it, answer);
    if (!it->doomed && it->turn == turn && it->status == before)
        emit_text(it, "finished", answer);
    free(answer);
}

int32_t session_step(session *it, int64_t budget_us) {
    if (!it->asked || it->stale)
        return TINHOST_IDLE;
    int64_t left = budget_us, now = budget_us > 0 ? engine_us() : 0;
    const int64_t end = budget_us < INT64_MAX - now ? now + budget_us : INT64_MAX;
    uint32_t turn = it->turn;
    int32_t got;
    session_enter(it);
    do {
        got = tinhost_step(it->it, left);
        if (got < 0 || got == TINHOST_DONE)
            it->asked = 0;
        if (got < 0) {
            session_failed_call(it);
            break;
        }
        if (*tinhost_piece(it->it) && (got == TINHOST_PIECE || got == TINHOST_DONE))
            emit_text(it, "piece", tinhost_piece(it->it));
        if (it->doomed || it->turn != turn)
            break;
        if (got == TINHOST_DONE)
            done(it);
        left = budget_us > 0 ? end - engine_us() : 0;
    } while (got == TINHOST_PIECE && left > 0);
    session_leave(it);
    return got;
}
