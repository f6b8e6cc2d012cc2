/* TinModel: a .tin as a resource. */
#include "glue.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file as it was opened. One that another followed stays, for the sessions that have it. */
typedef struct opening {
    struct opening *older;
    char *file, *key;
    tinhost_model *it;
    void *memory; /* of a file that has no path of its own; malloc's */
} opening;

typedef struct model {
    void *owner;
    struct model *next;
    char *file, *key;
    opening *newest;
} model;

/* All of them, so that an object that a script gave can be told from others. Resources may be made on any thread. */
static model *models;
static atomic_flag models_lock = ATOMIC_FLAG_INIT;

static void lock(void) {
    while (atomic_flag_test_and_set(&models_lock)) {
    }
}

static void unlock(void) {
    atomic_flag_clear(&models_lock);
}

static void *create(void *owner) {
    model *it = calloc(1, sizeof *it);
    if (!it)
        return NULL;
    it->owner = owner;
    text_set(&it->file, "");
    text_set(&it->key, "");
    lock();
    it->next = models;
    models = it;
    unlock();
    return it;
}

static void close_newest(model *it) {
    opening *old = it->newest;
    it->newest = old->older;
    tinhost_close(old->it);
    free(old->memory);
    free(old->file);
    free(old->key);
    free(old);
}

static void destroy(void *self) {
    model *it = self;
    lock();
    for (model **at = &models; *at; at = &(*at)->next)
        if (*at == it) {
            *at = it->next;
            break;
        }
    unlock();
    while (it->newest)
        close_newest(it);
    free(it->file);
    free(it->key);
    free(it);
}

/* ---- Files --------------------------------------------------------------------------------- */

/* The whole of a file by the engine, in blocks, so that there is no second copy: [size] bytes after TIN_ALIGNMENT of
 * room for alignment. *start is what to free. */
static char *read_whole(const char *path, void **start, int64_t *size) {
    enum { BLOCK = 1 << 20 };
    var file;
    engine_file(&file, path, size);
    *start = *size < 0 ? NULL : malloc((size_t)*size + TIN_ALIGNMENT + 1);
    char *data = *start ? (char *)*start + TIN_ALIGNMENT - (uintptr_t)*start % TIN_ALIGNMENT : NULL;
    for (int64_t at = 0; data && at < *size;) {
        var most, block;
        var_int(&most, *size - at < BLOCK ? *size - at : BLOCK);
        const var *arguments[] = {&most};
        size_t got = 0;
        var_call(&file, "get_buffer", arguments, 1, &block);
        char *bytes = var_as_bytes(&block, &got);
        if (bytes && got <= (size_t)(*size - at))
            memcpy(data + at, bytes, got);
        free(bytes);
        var_drop(&block);
        at += (int64_t)got;
        if (!got)
            *size = at; /* shorter than it said: as much as there is */
    }
    if (data)
        data[*size] = 0;
    var_drop(&file);
    return data;
}

/* The path that the system knows a res:// or user:// path by, where it is absolute and there; NULL else. By malloc. */
static char *real_path(const char *path) {
    var settings, given, real;
    var_object(&settings, engine_singleton("ProjectSettings"));
    var_text(&given, path, strlen(path));
    const var *arguments[] = {&given};
    var_call(&settings, "globalize_path", arguments, 1, &real);
    char *text = var_as_text(&real);
    var_drop(&real);
    var_drop(&given);
    var_drop(&settings);
    FILE *file = text && (text[0] == '/' || (text[0] && text[1] == ':')) ? fopen(text, "rb") : NULL;
    if (file) {
        fclose(file);
        return text;
    }
    free(text);
    return NULL;
}

/* Opens a file that the engine reads. Its memory stays as long as `to`. */
static tinhost_model *open_packed(opening *to) {
    int64_t size, length;
    void *signature = NULL;
    char *path = malloc(strlen(to->file) + sizeof ".minisig"), *text = NULL;
    char *data = path ? read_whole(to->file, &to->memory, &size) : NULL;
    if (data && *to->key)
        text = read_whole(strcat(strcpy(path, to->file), ".minisig"), &signature, &length);
    free(path);
    /* Where the engine has no such file either, the name itself is opened, which says so. */
    tinhost_model *it = data ? tinhost_open_memory(data, size, text, to->key) : tinhost_open(to->file, to->key);
    free(signature);
    return it;
}

static tinhost_model *opened(model *it) {
    opening *last = it->newest;
    if (last && !strcmp(last->file, it->file) && !strcmp(last->key, it->key) && !tinhost_model_status(last->it))
        return last->it;
    if (last && tinhost_model_status(last->it))
        close_newest(it);
    opening *now = calloc(1, sizeof *now);
    if (!now)
        return NULL;
    text_set(&now->file, it->file);
    text_set(&now->key, it->key);
    now->older = it->newest;
    it->newest = now;
    int packed = strstr(now->file, "://") != NULL;
    char *path = packed ? real_path(now->file) : NULL;
    now->it = packed && !path ? open_packed(now) : tinhost_open(path ? path : now->file, now->key);
    free(path);
    return now->it;
}

tinhost_model *model_of(void *object) {
    lock();
    model *it = models;
    while (it && it->owner != object)
        it = it->next;
    unlock();
    return it && object ? opened(it) : NULL;
}

/* ---- What scripts see ---------------------------------------------------------------------- */

static void run_open(void *self, const var *const *arguments, var *to) {
    (void)arguments;
    tinhost_model *it = opened(self);
    if (tinhost_model_status(it))
        engine_error(tinhost_model_error(it));
    var_int(to, tinhost_model_status(it));
}

static void run_error(void *self, const var *const *arguments, var *to) {
    (void)arguments;
    const char *text = tinhost_model_error(opened(self));
    var_text(to, text, strlen(text));
}

static void run_adapters(void *self, const var *const *arguments, var *to) {
    (void)arguments;
    tinhost_model *it = opened(self);
    char *all = calloc(1, 1);
    const char *name;
    for (int32_t k = 0; all && (name = tinhost_adapter_name(it, k)); k++) {
        char *more = realloc(all, strlen(all) + strlen(name) + 2);
        if (!more)
            break;
        all = strcat(strcat(more, *more ? "\n" : ""), name);
    }
    var text, line, no;
    var_text(&text, all ? all : "", all ? strlen(all) : 0);
    var_text(&line, "\n", 1);
    var_bool(&no, 0);
    const var *given[] = {&line, &no};
    var_call(&text, "split", given, 2, to);
    var_drop(&no);
    var_drop(&line);
    var_drop(&text);
    free(all);
}

static void run_entry(void *self, const var *const *arguments, var *to) {
    char *name = var_as_text(arguments[0]);
    const char *text = name ? tinhost_entry(opened(self), name) : NULL;
    var_text(to, text ? text : "", text ? strlen(text) : 0);
    free(name);
}

static void run_isa(void *self, const var *const *arguments, var *to) {
    (void)arguments;
    const char *text = tinhost_isa(opened(self));
    var_text(to, text ? text : "", text ? strlen(text) : 0);
}

static void run_fingerprint(void *self, const var *const *arguments, var *to) {
    (void)arguments;
    var_int(to, tinhost_fingerprint(opened(self)));
}

static const property properties[] = {
    {"file", GLUE_TEXT, offsetof(model, file), "*.tin", 0, NULL, NULL},
    {"key", GLUE_TEXT, offsetof(model, key), NULL, 0, NULL, NULL},
};

static const method methods[] = {
    {"open", 0, {0}, GLUE_INT, {0}, run_open},
    {"error", 0, {0}, GLUE_TEXT, {0}, run_error},
    {"adapters", 0, {0}, GLUE_TEXTS, {0}, run_adapters},
    {"entry", 1, {GLUE_TEXT}, GLUE_TEXT, {"name"}, run_entry},
    {"isa", 0, {0}, GLUE_TEXT, {0}, run_isa},
    {"fingerprint", 0, {0}, GLUE_INT, {0}, run_fingerprint},
};

const class model_class = {"TinModel",
                           "Resource",
                           create,
                           destroy,
                           NULL,
                           properties,
                           methods,
                           NULL,
                           sizeof properties / sizeof *properties,
                           sizeof methods / sizeof *methods,
                           0};
