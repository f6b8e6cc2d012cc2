/* TinSession: a conversation as a node, stepped each frame. */
#include "glue.h"

#include <stdlib.h>
#include <string.h>

typedef struct session {
    void *owner;
    var model; /* as the property has it */
    var holds; /* the model of `it`, which must outlive it */
    tinhost_session *it;
    char *system, *adapter, *error;
    char *applied; /* the adapter that `it` has; NULL where that is not known */
    char *saved;   /* what the next opening begins with; [saved_size] */
    size_t saved_size;
    int64_t context, threads, budget_us, max_tokens, seed, most_bytes, constrained;
    double temperature, top_p, repetition;
    int32_t status;
    uint32_t turn;             /* counts questions and cancels: a signal's receiver may do either */
    int depth, doomed;         /* how many of our functions are under way; destroyed meanwhile */
    int asked, calling, stale; /* an answer is under way; as calls; the next question opens anew */
    char **options;            /* [option_count] of a choice */
    int64_t option_count;
} session;

static void *create(void *owner) {
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

static void destroy(void *self) {
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

static void enter(session *it) {
    it->depth++;
}

static void leave(session *it) {
    if (!--it->depth && it->doomed)
        destroy(it);
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

static int32_t failed(session *it, int32_t status, const char *text) {
    it->status = status;
    text_set(&it->error, text);
    engine_error(text);
    emit_text(it, "failed", text);
    return status;
}

static int32_t failed_call(session *it) {
    char text[sizeof(tin_error)];
    strncpy(text, tinhost_error(it->it), sizeof text - 1);
    text[sizeof text - 1] = 0;
    return failed(it, tinhost_status(it->it), text);
}

/* ---- Opening and asking --------------------------------------------------------------------- */

/* Opens the session where it is not, with what was saved. */
static int32_t open_session(session *it) {
    if (it->it && !it->stale)
        return TIN_OK;
    close_session(it);
    it->stale = 0;
    tinhost_model *model = model_of(var_as_object(&it->model));
    if (!model)
        return failed(it, TIN_ERR_ARGUMENT, "TinSession: model is no TinModel; set the property model");
    if (tinhost_model_status(model))
        return failed(it, tinhost_model_status(model), tinhost_model_error(model));
    it->it = tinhost_session_open(model, (int32_t)it->context, (int32_t)it->threads, 1, it->most_bytes);
    if (tinhost_status(it->it)) {
        int32_t status = failed_call(it);
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
    return status ? failed_call(it) : TIN_OK;
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
    if (!text)
        return failed(it, TIN_ERR_MEMORY, "TinSession: no memory for the question");
    int32_t status = open_session(it);
    if (status || it->doomed)
        return status;
    return settle(it) ? failed_call(it) : TIN_OK;
}

static void begun(session *it, int calling) {
    it->turn++;
    it->asked = 1;
    it->calling = calling;
    it->status = TIN_OK;
    text_set(&it->error, "");
}

static void ask(session *it, const var *question, int calling, var *to) {
    char *text = var_as_text(question);
    enter(it);
    int32_t status = ready(it, text);
    if (!status) {
        status = tinhost_ask(it->it, text, (int32_t)it->max_tokens);
        if (status) {
            status = failed_call(it);
        } else {
            forget_options(it);
            begun(it, calling);
        }
    }
    var_int(to, status);
    free(text);
    leave(it);
}

static void run_ask(void *self, const var *const *arguments, var *to) {
    ask(self, arguments[0], 0, to);
}
static void run_call_tools(void *self, const var *const *arguments, var *to) {
    ask(self, arguments[0], 1, to);
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
        strcat(strcat(lines, k ? "\n" : ""), it->options[k]);
    return lines;
}

static void run_choose(void *self, const var *const *arguments, var *to) {
    session *it = self;
    char *text = var_as_text(arguments[0]);
    enter(it);
    int32_t status = ready(it, text);
    char *lines = status || it->doomed ? NULL : lines_of(it, arguments[1]);
    if (!status && !lines) {
        status =
            failed(it, TIN_ERR_ARGUMENT, "TinSession.choose: an option has several lines; give one line each");
    } else if (!status) {
        int32_t before = tinhost_messages(it->it);
        status = tinhost_say(it->it, TIN_ROLE_USER, text);
        if (!status)
            status = tinhost_choose(it->it, lines);
        if (status) {
            status = failed_call(it);
            tinhost_forget(it->it, before);
        } else {
            begun(it, 0);
        }
    }
    var_int(to, status);
    free(lines);
    free(text);
    leave(it);
}

/* ---- Answering ------------------------------------------------------------------------------ */

static void called(session *it, const char *answer) {
    static const char name_key[] = "name", arguments_key[] = "arguments", other_key[] = "parameters";
    var list;
    uint32_t turn = it->turn;
    if (!calls_of(&list, answer)) {
        char text[256] = "TinSession.call_tools: no calls in the answer: ";
        strncat(text, answer, sizeof text - strlen(text) - 1);
        failed(it, TIN_ERR_FORMAT, text);
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

/* Steps until the budget is spent, 0: until there is a piece or the end. */
static int32_t step(session *it, int64_t budget_us) {
    if (!it->asked || it->stale)
        return TINHOST_IDLE;
    int64_t left = budget_us, end = budget_us ? engine_us() + budget_us : 0;
    uint32_t turn = it->turn;
    int32_t got;
    enter(it);
    do {
        got = tinhost_step(it->it, left);
        if (got < 0 || got == TINHOST_DONE)
            it->asked = 0;
        if (got < 0) {
            failed_call(it);
            break;
        }
        if (*tinhost_piece(it->it) && (got == TINHOST_PIECE || got == TINHOST_DONE))
            emit_text(it, "piece", tinhost_piece(it->it));
        if (it->doomed || it->turn != turn)
            break;
        if (got == TINHOST_DONE)
            done(it);
        left = end - engine_us();
    } while (got == TINHOST_PIECE && budget_us && left > 0);
    leave(it);
    return got;
}

static void process(void *self) {
    session *it = self;
    step(it, it->budget_us > 0 ? it->budget_us : 1);
}

static void run_step(void *self, const var *const *arguments, var *to) {
    int64_t budget = var_as_int(arguments[0]);
    var_int(to, step(self, budget > 0 ? budget : 0));
}

static void run_cancel(void *self, const var *const *arguments, var *to) {
    session *it = self;
    (void)arguments;
    if (it->it && it->asked) {
        tinhost_cancel(it->it);
        tinhost_forget(it->it, tinhost_messages(it->it) - 1); /* the question, which stays without an answer */
    }
    it->asked = 0;
    it->turn++;
    var_nil(to);
}

static void run_forget(void *self, const var *const *arguments, var *to) {
    session *it = self;
    it->asked = 0;
    it->turn++;
    var_int(to, it->it ? tinhost_forget(it->it, (int32_t)var_as_int(arguments[0])) : TIN_OK);
}

/* ---- Saving --------------------------------------------------------------------------------- */

static void save(void *self, var *to) {
    session *it = self;
    int64_t size = it->it && !it->stale && tinhost_messages(it->it) ? tinhost_save_size(it->it) : 0;
    void *data = size > 0 ? malloc((size_t)size) : NULL;
    if (data && !tinhost_save(it->it, data, size))
        var_bytes(to, data, (size_t)size);
    else
        var_bytes(to, it->saved ? it->saved : "", it->saved ? it->saved_size : 0);
    free(data);
}

static void run_save(void *self, const var *const *arguments, var *to) {
    (void)arguments;
    save(self, to);
}

/* Keeps bytes for the next opening. */
static void keep(session *it, const var *value) {
    free(it->saved);
    it->saved = var_as_bytes(value, &it->saved_size);
    if (it->saved && !it->saved_size) {
        free(it->saved);
        it->saved = NULL;
    }
}

static void run_restore(void *self, const var *const *arguments, var *to) {
    session *it = self;
    enter(it);
    int32_t status = open_session(it);
    size_t size = 0;
    char *data = var_as_bytes(arguments[0], &size);
    if (!status && !it->doomed) {
        it->asked = 0;
        it->turn++;
        free(it->applied);
        it->applied = NULL;
        status = tinhost_restore(it->it, data ? data : "", (int64_t)size);
        if (status)
            failed_call(it);
    }
    free(data);
    var_int(to, status);
    leave(it);
}

/* A scene that is loaded: its conversation is restored when the session is opened. */
static void set_conversation(void *self, const var *value) {
    session *it = self;
    it->stale = it->it != NULL;
    keep(it, value);
}

/* ---- What scripts see ----------------------------------------------------------------------- */

static void get_model(void *self, var *to) {
    var_copy(to, &((session *)self)->model);
}

static void set_model(void *self, const var *value) {
    session *it = self;
    var_drop(&it->model);
    var_copy(&it->model, value);
    it->stale = 1;
}

/* What a session is opened by: another value begins anew. */
static void set_opening(session *it, int64_t *field, const var *value) {
    int64_t now = var_as_int(value);
    if (now != *field)
        it->stale = 1;
    *field = now;
}

static void set_context(void *self, const var *value) {
    set_opening(self, &((session *)self)->context, value);
}
static void set_threads(void *self, const var *value) {
    set_opening(self, &((session *)self)->threads, value);
}
static void set_most_bytes(void *self, const var *value) {
    set_opening(self, &((session *)self)->most_bytes, value);
}

#define RUN_TEXT(name, value)                                                  \
    static void run_##name(void *self, const var *const *arguments, var *to) { \
        session *it = self;                                                    \
        const char *text = value;                                              \
        (void)arguments;                                                       \
        var_text(to, text ? text : "", text ? strlen(text) : 0);               \
    }
#define RUN_INT(name, value)                                                   \
    static void run_##name(void *self, const var *const *arguments, var *to) { \
        session *it = self;                                                    \
        (void)arguments;                                                       \
        var_int(to, value);                                                    \
    }

RUN_TEXT(error, it->error)
RUN_TEXT(answer, it->it ? tinhost_answer(it->it) : "")
RUN_INT(busy, it->asked)
RUN_INT(status, it->status)
RUN_INT(finish, it->it ? tinhost_finish(it->it) : TIN_FINISH_NONE)
RUN_INT(chosen, it->it ? tinhost_chosen(it->it) : -1)
RUN_INT(tokens, it->it ? tinhost_tokens(it->it) : 0)
RUN_INT(passes, it->it ? tinhost_passes(it->it) : 0)
RUN_INT(digest, it->it ? tinhost_digest(it->it) : 0)
RUN_INT(bytes, it->it ? tinhost_session_bytes(it->it) : 0)
RUN_INT(messages, it->it ? tinhost_messages(it->it) : 0)

static void run_calls(void *self, const var *const *arguments, var *to) {
    session *it = self;
    (void)arguments;
    calls_of(to, it->it ? tinhost_answer(it->it) : "");
}

#define FIELD(name, type, hint) \
    { #name, type, offsetof(session, name), hint, 0, NULL, NULL }
#define OPENING(name, hint) \
    { #name, GLUE_INT, offsetof(session, name), hint, 0, set_##name, NULL }

static const property properties[] = {
    {"model", GLUE_OBJECT, 0, "TinModel", 0, set_model, get_model},
    FIELD(system, GLUE_TEXT, "\n"),
    FIELD(adapter, GLUE_TEXT, NULL),
    OPENING(context, "0,131072"),
    OPENING(threads, "1,64"),
    FIELD(budget_us, GLUE_INT, "1,1000000"),
    FIELD(max_tokens, GLUE_INT, "1,131072"),
    FIELD(temperature, GLUE_REAL, "0,2,0.01"),
    FIELD(top_p, GLUE_REAL, "0,1,0.01"),
    FIELD(repetition, GLUE_REAL, "1,2,0.01"),
    FIELD(seed, GLUE_INT, NULL),
    FIELD(constrained, GLUE_BOOL, NULL),
    OPENING(most_bytes, NULL),
    {"conversation", GLUE_BYTES, 0, NULL, 1, set_conversation, save},
};

#define GIVES(name, type) \
    { #name, 0, {0 }, type, {0 }, run_##name }

static const method methods[] = {
    {"ask", 1, {GLUE_TEXT}, GLUE_INT, {"text"}, run_ask},
    {"call_tools", 1, {GLUE_TEXT}, GLUE_INT, {"text"}, run_call_tools},
    {"choose", 2, {GLUE_TEXT, GLUE_TEXTS}, GLUE_INT, {"text", "options"}, run_choose},
    {"step", 1, {GLUE_INT}, GLUE_INT, {"budget_us"}, run_step},
    {"forget", 1, {GLUE_INT}, GLUE_INT, {"from"}, run_forget},
    {"restore", 1, {GLUE_BYTES}, GLUE_INT, {"bytes"}, run_restore},
    GIVES(cancel, GLUE_NIL),
    GIVES(save, GLUE_BYTES),
    GIVES(calls, GLUE_LIST),
    GIVES(answer, GLUE_TEXT),
    GIVES(error, GLUE_TEXT),
    GIVES(busy, GLUE_INT),
    GIVES(status, GLUE_INT),
    GIVES(finish, GLUE_INT),
    GIVES(chosen, GLUE_INT),
    GIVES(tokens, GLUE_INT),
    GIVES(passes, GLUE_INT),
    GIVES(digest, GLUE_INT),
    GIVES(bytes, GLUE_INT),
    GIVES(messages, GLUE_INT),
};

static const signal signals[] = {
    {"piece", 1, {GLUE_TEXT}, {"text"}},
    {"called", 2, {GLUE_TEXT, GLUE_DICT}, {"name", "arguments"}},
    {"finished", 1, {GLUE_TEXT}, {"answer"}},
    {"failed", 1, {GLUE_TEXT}, {"error"}},
};

#define COUNT(list) (int)(sizeof list / sizeof *list)

const class session_class = {"TinSession",      "Node",         create,        destroy,
                             process,           properties,     methods,       signals,
                             COUNT(properties), COUNT(methods), COUNT(signals)};
