/* TinSession as scripts see it: what it is saved as, its properties and methods. */
#include "session.h"

#include <stdlib.h>
#include <string.h>

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
    session_enter(it);
    int32_t status = session_open(it);
    size_t size = 0;
    char *data = var_as_bytes(arguments[0], &size);
    if (!status && !it->doomed) {
        it->asked = 0;
        it->turn++;
        free(it->applied);
        it->applied = NULL;
        status = tinhost_restore(it->it, data ? data : "", (int64_t)size);
        if (status)
            session_failed_call(it);
    }
    free(data);
    var_int(to, status);
    session_leave(it);
}

/* The next question opens another session; an answer under way is dropped. */
static void begin_anew(session *it) {
    it->stale = 1;
    it->asked = 0;
    it->turn++;
}

/* A scene that is loaded: its conversation is restored when the session is opened. */
static void set_conversation(void *self, const var *value) {
    session *it = self;
    begin_anew(it);
    keep(it, value);
}

/* ---- What scripts see ----------------------------------------------------------------------- */

static void run_ask(void *self, const var *const *arguments, var *to) {
    var_int(to, session_ask(self, arguments[0], 0));
}

static void run_call_tools(void *self, const var *const *arguments, var *to) {
    var_int(to, session_ask(self, arguments[0], 1));
}

static void run_image(void *self, const var *const *arguments, var *to) {
    var_int(to, session_image(self, arguments[0]));
}

static void run_pixels(void *self, const var *const *arguments, var *to) {
    var_int(to, session_pixels(self, arguments[0]));
}

static void run_choose(void *self, const var *const *arguments, var *to) {
    var_int(to, session_choose(self, arguments[0], arguments[1]));
}

static void process(void *self) {
    session *it = self;
    session_step(it, it->budget_us > 0 ? it->budget_us : -1);
}

static void run_step(void *self, const var *const *arguments, var *to) {
    var_int(to, session_step(self, var_as_int(arguments[0])));
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
    var_int(to, it->it ? tinhost_forget(it->it, int32_of(var_as_int(arguments[0]))) : TIN_OK);
}

static void get_model(void *self, var *to) {
    var_copy(to, &((session *)self)->model);
}

static void set_model(void *self, const var *value) {
    session *it = self;
    var_drop(&it->model);
    var_copy(&it->model, value);
    begin_anew(it);
}

/* What a session is opened by: another value begins anew. */
static void set_opening(session *it, int64_t *field, const var *value) {
    int64_t now = var_as_int(value);
    if (now != *field)
        begin_anew(it);
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

#define FIELD(name, type, hint) {#name, type, offsetof(session, name), hint, 0, NULL, NULL}
#define OPENING(name, hint) {#name, GLUE_INT, offsetof(session, name), hint, 0, set_##name, NULL}

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

#define GIVES(name, type) {#name, 0, {0}, type, {0}, run_##name}

static const method methods[] = {
    {"ask", 1, {GLUE_TEXT}, GLUE_INT, {"text"}, run_ask},
    {"call_tools", 1, {GLUE_TEXT}, GLUE_INT, {"text"}, run_call_tools},
    {"image", 1, {GLUE_BYTES}, GLUE_INT, {"file"}, run_image},
    {"pixels", 1, {GLUE_OBJECT}, GLUE_INT, {"image"}, run_pixels},
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

const class session_class = {"TinSession",      "Node",         session_create, session_destroy,
                             process,           properties,     methods,        signals,
                             COUNT(properties), COUNT(methods), COUNT(signals)};
