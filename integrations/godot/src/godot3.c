/* godot3.c: glue.h for Godot 3 (3.4 and later), by GDNative. */
#include "gdnative.h"
#include "glue.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define ENTRY __declspec(dllexport)
#else
#define ENTRY __attribute__((visibility("default")))
#endif

static const gdn_table *core, *script;

#define DECLARE(place, result, name, arguments) typedef result(*gdn_f_##name) arguments;
#define CORE_PLACE(place, result, name, arguments) at_##name = place,
GDNATIVE_CORE(DECLARE)
GDNATIVE_SCRIPT(DECLARE)
enum { GDNATIVE_CORE(CORE_PLACE) GDNATIVE_SCRIPT(CORE_PLACE) at_end };
#define gdn(name) ((gdn_f_##name)core->is.core.functions[at_##name])
#define gds(name) ((gdn_f_##name)script->is.functions[at_##name])

/* ---- Variants -------------------------------------------------------------------------------- */

static gdn_string string_of(const char *text, size_t length) {
    return gdn(string_of_utf8)(text, (int)length);
}

void var_nil(var *to) {
    gdn(variant_nil)(to);
}
void var_copy(var *to, const var *from) {
    gdn(variant_copy)(to, from);
}
void var_bool(var *to, int value) {
    gdn(variant_bool)(to, value != 0);
}
void var_int(var *to, int64_t value) {
    gdn(variant_int)(to, value);
}
void var_real(var *to, double value) {
    gdn(variant_real)(to, value);
}
void var_object(var *to, void *object) {
    gdn(variant_object)(to, object);
}
void var_drop(var *it) {
    gdn(variant_destroy)(it);
}

void var_text(var *to, const char *text, size_t length) {
    gdn_string string = string_of(text, length);
    gdn(variant_string)(to, &string);
    gdn(string_destroy)(&string);
}

void var_bytes(var *to, const void *data, size_t size) {
    gdn_bytes bytes;
    gdn(bytes_new)(&bytes);
    gdn(bytes_resize)(&bytes, (int)size);
    if (size) {
        void *access = gdn(bytes_write)(&bytes);
        memcpy(gdn(write_pointer)(access), data, size);
        gdn(write_destroy)(access);
    }
    gdn(variant_bytes)(to, &bytes);
    gdn(bytes_destroy)(&bytes);
}

int var_type(const var *it) {
    switch (gdn(variant_type)(it)) {
    case 0:
        return GLUE_NIL;
    case 1:
        return GLUE_BOOL;
    case 2:
        return GLUE_INT;
    case 3:
        return GLUE_REAL;
    case 4:
        return GLUE_TEXT;
    case GDN_OBJECT:
        return GLUE_OBJECT;
    case GDN_DICTIONARY:
        return GLUE_DICT;
    case GDN_ARRAY:
        return GLUE_LIST;
    case GDN_BYTES:
        return GLUE_BYTES;
    case GDN_STRINGS:
        return GLUE_TEXTS;
    default:
        return -1;
    }
}

int64_t var_as_int(const var *it) {
    return gdn(variant_as_int)(it);
}
double var_as_real(const var *it) {
    return gdn(variant_as_real)(it);
}
void *var_as_object(const var *it) {
    return var_type(it) == GLUE_OBJECT ? gdn(variant_as_object)(it) : NULL;
}

char *var_as_text(const var *it) {
    gdn_string string = gdn(variant_as_string)(it);
    gdn_chars chars = gdn(string_utf8)(&string);
    size_t length = (size_t)gdn(chars_length)(&chars);
    char *text = calloc(length + 1, 1);
    if (text && length)
        memcpy(text, gdn(chars_data)(&chars), length);
    gdn(chars_destroy)(&chars);
    gdn(string_destroy)(&string);
    return text;
}

char *var_as_bytes(const var *it, size_t *size) {
    gdn_bytes bytes = gdn(variant_as_bytes)(it);
    *size = (size_t)gdn(bytes_size)(&bytes);
    char *copy = malloc(*size + 1);
    if (copy && *size) {
        void *access = gdn(bytes_read)(&bytes);
        memcpy(copy, gdn(read_pointer)(access), *size);
        gdn(read_destroy)(access);
    }
    gdn(bytes_destroy)(&bytes);
    return copy;
}

void var_at(var *to, const var *array, int64_t k) {
    gdn_array list = gdn(variant_as_array)(array);
    gdn_variant one = gdn(array_get)(&list, (int)k);
    memcpy(to, &one, sizeof one);
    gdn(array_destroy)(&list);
}

int var_call(var *self, const char *name, const var *const *arguments, int count, var *to) {
    gdn_string method = string_of(name, strlen(name));
    gdn_call_error error = {0, 0, 0};
    gdn_variant result = gdn(variant_call)(self, &method, (const void *const *)arguments, count, &error);
    gdn(string_destroy)(&method);
    if (to)
        memcpy(to, &result, sizeof result);
    else
        gdn(variant_destroy)(&result);
    return error.error == 0;
}

/* ---- The engine ------------------------------------------------------------------------------ */

void *engine_singleton(const char *name) {
    return gdn(singleton)(name);
}

void engine_error(const char *text) {
    gdn(print_error)(text, "tinsmith", "addons/tinsmith", 0);
}

static int64_t called_int(var *self, const char *method, const var *const *arguments, int count) {
    var result;
    var_call(self, method, arguments, count, &result);
    int64_t value = var_as_int(&result);
    var_drop(&result);
    return value;
}

int64_t engine_us(void) {
    var os;
    var_object(&os, engine_singleton("OS"));
    int64_t now = called_int(&os, "get_ticks_usec", NULL, 0);
    var_drop(&os);
    return now;
}

void engine_file(var *to, const char *path, int64_t *size) {
    enum { READ = 1 };
    var name, mode;
    var_object(to, gdn(constructor)("_File")());
    var_text(&name, path, strlen(path));
    var_int(&mode, READ);
    const var *arguments[] = {&name, &mode};
    *size = -1;
    if (called_int(to, "open", arguments, 2) == 0) {
        *size = called_int(to, "get_len", NULL, 0);
    } else {
        var_drop(to);
        var_nil(to);
    }
    var_drop(&mode);
    var_drop(&name);
}

int var_json(var *to, const char *text, size_t length) {
    var json, given, result;
    var_object(&json, engine_singleton("JSON"));
    var_text(&given, text, length);
    const var *arguments[] = {&given};
    var_call(&json, "parse", arguments, 1, &result);
    int good = called_int(&result, "get_error", NULL, 0) == 0;
    if (good)
        var_call(&result, "get_result", NULL, 0, to);
    else
        var_nil(to);
    var_drop(&result);
    var_drop(&given);
    var_drop(&json);
    return good;
}

/* ---- Classes --------------------------------------------------------------------------------- */

static void *create(void *object, void *data) {
    return ((const class *)data)->create(object);
}

static void destroy(void *object, void *data, void *self) {
    (void)object;
    if (self)
        ((const class *)data)->destroy(self);
}

static gdn_variant given(const var *it) {
    gdn_variant value;
    memcpy(&value, it, sizeof value);
    return value;
}

static gdn_variant run(void *object, void *data, void *self, int count, gdn_variant **arguments) {
    const method *it = data;
    var result;
    (void)object;
    if (self && count == it->count) {
        it->run(self, (const var *const *)arguments, &result);
    } else {
        char text[96] = "TinSession, TinModel: wrong number of arguments for ";
        engine_error(strncat(text, it->name, sizeof text - strlen(text) - 1));
        var_nil(&result);
    }
    return given(&result);
}

static gdn_variant process(void *object, void *data, void *self, int count, gdn_variant **arguments) {
    var nothing;
    (void)object, (void)count, (void)arguments;
    if (self)
        ((const class *)data)->process(self);
    var_nil(&nothing);
    return given(&nothing);
}

static void set(void *object, void *data, void *self, gdn_variant *value) {
    (void)object;
    if (self)
        glue_set(data, self, (const var *)value);
}

static gdn_variant get(void *object, void *data, void *self) {
    var value;
    (void)object;
    var_nil(&value);
    if (self)
        glue_get(data, self, &value);
    return given(&value);
}

static int type_of(int type) {
    static const int types[] = {0, 1, 2, 3, 4, GDN_OBJECT, GDN_BYTES, GDN_STRINGS, GDN_ARRAY, GDN_DICTIONARY};
    return types[type];
}

static int hint_of(const property *it) {
    enum { RANGE = 1, FILE_PATH = 15, RESOURCE = 19, LINES = 20 };
    if (!it->hint)
        return 0;
    if (it->type == GLUE_OBJECT)
        return RESOURCE;
    if (it->type != GLUE_TEXT)
        return RANGE;
    return *it->hint == '*' ? FILE_PATH : LINES;
}

/* `fresh`: an instance, whose values are the defaults. */
static void add_property(void *handle, const class *of, const property *it, void *fresh) {
    enum { SAVED = 1, SHOWN = 2, SENT = 4, SCRIPT = 8192 };
    /* A class of the addon is none of the engine's here: its parent's name. */
    const char *hint = it->type == GLUE_OBJECT ? "Resource" : it->hint ? it->hint : "";
    var value;
    glue_get(it, fresh, &value);
    gdn_attributes attributes = {.type = type_of(it->type),
                                 .hint = hint_of(it),
                                 .hint_text = string_of(hint, strlen(hint)),
                                 .usage = SCRIPT | (it->stored_only ? SAVED : SAVED | SHOWN | SENT),
                                 .value = given(&value)};
    gdn_set setter = {set, (void *)it, NULL};
    gdn_get getter = {get, (void *)it, NULL};
    gds(register_property)(handle, of->name, it->name, &attributes, setter, getter);
    gdn(string_destroy)(&attributes.hint_text);
    var_drop(&value);
}

static void add_signal(void *handle, const class *of, const signal *it) {
    gdn_argument arguments[2];
    memset(arguments, 0, sizeof arguments);
    for (int k = 0; k < it->count; k++) {
        arguments[k].name = string_of(it->names[k], strlen(it->names[k]));
        arguments[k].type = type_of(it->types[k]);
        arguments[k].hint_text = string_of("", 0);
        gdn(variant_nil)(&arguments[k].value);
    }
    gdn_signal made = {string_of(it->name, strlen(it->name)), it->count, arguments, 0, NULL};
    gds(register_signal)(handle, of->name, &made);
    for (int k = 0; k < it->count; k++) {
        gdn(string_destroy)(&arguments[k].name);
        gdn(string_destroy)(&arguments[k].hint_text);
    }
    gdn(string_destroy)(&made.name);
}

static void add_class(void *handle, const class *it) {
    const gdn_method_attributes local = {0};
    gdn_create creating = {create, (void *)it, NULL};
    gdn_destroy destroying = {destroy, (void *)it, NULL};
    gds(register_class)(handle, it->name, it->parent, creating, destroying);
    for (int k = 0; k < it->method_count; k++) {
        gdn_method made = {run, (void *)&it->methods[k], NULL};
        gds(register_method)(handle, it->name, it->methods[k].name, local, made);
    }
    if (it->process) {
        gdn_method made = {process, (void *)it, NULL};
        gds(register_method)(handle, it->name, "_process", local, made);
    }
    void *fresh = it->create(NULL);
    for (int k = 0; fresh && k < it->property_count; k++)
        add_property(handle, it, &it->properties[k], fresh);
    if (fresh)
        it->destroy(fresh);
    for (int k = 0; k < it->signal_count; k++)
        add_signal(handle, it, &it->signals[k]);
}

/* ---- Entry points, by name ------------------------------------------------------------------- */

ENTRY void godot_gdnative_init(gdn_options *options) {
    core = options->core;
    for (unsigned k = 0; k < core->is.core.extension_count; k++)
        if (core->is.core.extensions[k]->type == 1)
            script = core->is.core.extensions[k];
}

ENTRY void godot_gdnative_terminate(void *options) {
    (void)options;
    core = script = NULL;
}

ENTRY void godot_nativescript_init(void *handle) {
    if (!script)
        return;
    add_class(handle, &model_class);
    add_class(handle, &session_class);
}
