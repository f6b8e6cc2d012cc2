/* host.c: the engine's side of GDExtension: the classes that an extension registers, objects, and functions by name. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- Classes that the extension registers ------------------------------------------------------ */

static known_class classes[4];
static int class_count;
int wrong;
thing *signals, *singleton_time, *singleton_settings;
const char *game_folder;

static const char *name_at(const void *name) {
    return (*(thing *const *)name)->bytes;
}

known_class *class_of(const char *name) {
    for (int k = 0; k < class_count; k++)
        if (!strcmp(classes[k].name, name))
            return &classes[k];
    return NULL;
}

void check(const char *what, int is_so) {
    printf("%s: %s\n", is_so ? "ok" : "WRONG", what);
    if (!is_so)
        wrong = 1;
}

static void register_class(void *library, const void *name, const void *parent, const gdx_class *it) {
    known_class *to = &classes[class_count++];
    (void)library;
    strcpy(to->name, name_at(name));
    strcpy(to->parent, name_at(parent));
    to->it = *it;
}

static void register_method(void *library, const void *class_name, const gdx_method *it) {
    known_class *of = class_of(name_at(class_name));
    known_method *to = &of->methods[of->method_count++];
    (void)library;
    strcpy(to->name, name_at(it->name));
    to->it = *it;
    to->result = it->has_result ? it->result->type : GDX_NIL;
    for (uint32_t k = 0; k < it->count; k++)
        to->types[k] = it->arguments[k].type;
}

known_method *method_of(const char *class_name, const char *name) {
    known_class *of = class_of(class_name);
    for (int k = 0; of && k < of->method_count; k++)
        if (!strcmp(of->methods[k].name, name))
            return &of->methods[k];
    return NULL;
}

static void register_property(void *library, const void *class_name, const gdx_property *it, const void *setter,
                              const void *getter) {
    known_class *of = class_of(name_at(class_name));
    (void)library;
    known_method *set = method_of(of->name, name_at(setter)), *get = method_of(of->name, name_at(getter));
    if (!set || !get || set->types[0] != it->type || get->result != it->type)
        check(name_at(it->name), 0);
    of->property_count++;
}

static void register_signal(void *library, const void *class_name, const void *name,
                            const gdx_property *arguments, int64_t count) {
    known_class *of = class_of(name_at(class_name));
    (void)library;
    int k = of->signal_count++;
    strcpy(of->signals[k], name_at(name));
    of->arguments[k] = count;
    for (int64_t n = 0; n < count; n++)
        of->types[k][n] = arguments[n].type;
}

static void unregister_class(void *library, const void *name) {
    (void)library;
    known_class *it = class_of(name_at(name));
    if (it)
        it->name[0] = 0;
}

/* ---- Objects ----------------------------------------------------------------------------------- */

thing *object_new(const char *class_name) {
    thing *it = thing_new(GDX_OBJECT);
    it->class = class_name;
    return it;
}

void object_freed(thing *it) {
    known_class *of = class_of(it->class);
    if (of && it->self)
        of->it.destroy(of->it.data, it->self);
}

static void *construct(const void *name) {
    static const char *const bases[] = {"Resource", "Node", "JSON"};
    for (int k = 0; k < 3; k++)
        if (!strcmp(bases[k], name_at(name)))
            return object_new(bases[k]);
    return NULL;
}

static void set_instance(void *object, const void *name, void *self) {
    thing *it = object;
    it->class = class_of(name_at(name))->name;
    it->self = self;
}

static void *singleton(const void *name) {
    return !strcmp(name_at(name), "Time")              ? singleton_time
           : !strcmp(name_at(name), "ProjectSettings") ? singleton_settings
                                                       : NULL;
}

static void ref_set(void *ref, void *object) {
    thing_hold(object);
    thing_drop(*(thing **)ref);
    *(thing **)ref = object;
}

static int emit(thing *self, const variant *const *arguments, int count) {
    known_class *of = class_of(self->class);
    int known = 0;
    for (int k = 0; of && k < of->signal_count; k++) {
        if (strcmp(of->signals[k], text_of(arguments[0])) || of->arguments[k] != count - 1)
            continue;
        known = 1;
        for (int n = 1; n < count; n++)
            known &= of->types[k][n - 1] == arguments[n]->type;
    }
    if (!known)
        check(text_of(arguments[0]), 0);
    thing *list = thing_new(GDX_ARRAY);
    for (int k = 0; k < count; k++)
        push(list, copy(arguments[k]));
    push(signals, of_thing(GDX_ARRAY, list));
    return 1;
}

static void real_path(const char *path, char *to, size_t size) {
    snprintf(to, size, "%s/%s", game_folder, strncmp(path, "res://", 6) ? path : path + 6);
}

static int file_call(thing *it, const char *method, const variant *const *arguments, variant *to) {
    if (!strcmp(method, "get_length")) {
        *to = of_int((int64_t)it->size);
        return 1;
    }
    if (strcmp(method, "get_buffer"))
        return 0;
    size_t most = (size_t)arguments[0]->is.number, left = it->size - it->at;
    *to = of_thing(GDX_BYTES, thing_bytes(GDX_BYTES, it->bytes + it->at, most < left ? most : left));
    it->at += to->is.it->size;
    return 1;
}

static int engine_call(thing *it, const char *method, const variant *const *arguments, int count, variant *to) {
    *to = (variant){GDX_NIL, {0}, 0};
    if (!strcmp(method, "emit_signal"))
        return emit(it, arguments, count);
    if (!strcmp(it->class, "FileAccess"))
        return file_call(it, method, arguments, to);
    if (it == singleton_time) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        *to = of_int(now.tv_sec * 1000000LL + now.tv_nsec / 1000);
        return !strcmp(method, "get_ticks_usec");
    }
    if (it == singleton_settings) {
        char path[512];
        real_path(text_of(arguments[0]), path, sizeof path);
        *to = of_text(path);
        return !strcmp(method, "globalize_path");
    }
    if (strcmp(it->class, "JSON"))
        return 0;
    if (!strcmp(method, "get_data")) {
        *to = copy(&it->inner->items[0]);
        return 1;
    }
    variant value;
    int good = json(text_of(arguments[0]), &value);
    thing_drop(it->inner);
    it->inner = thing_new(GDX_ARRAY);
    thing_hold(it->inner);
    push(it->inner, value);
    *to = of_int(good ? 0 : 43);
    return !strcmp(method, "parse");
}

void variant_call(void *self, const void *method, const void *const *arguments, int64_t count, void *result,
                  gdx_call_error *error) {
    variant *it = self, to = {GDX_NIL, {0}, 0};
    const variant *const *given = (const variant *const *)arguments;
    known_method *known =
        it->type == GDX_OBJECT && it->is.it ? method_of(it->is.it->class, name_at(method)) : NULL;
    *error = (gdx_call_error){0, 0, 0};
    if (known)
        known->it.call(known->it.data, it->is.it->self, arguments, count, &to, error);
    else if (it->type == GDX_OBJECT && it->is.it)
        error->error = !engine_call(it->is.it, name_at(method), given, (int)count, &to);
    else
        error->error = !builtin_call(it, name_at(method), given, (int)count, &to);
    *(variant *)result = to;
}

/* FileAccess.open, the one static method. Pack files are beside the game, as `pack`: no real path leads there. */
static const void *method_bind(const void *class_name, const void *method, int64_t hash) {
    static const int open_file = 1;
    int same =
        !strcmp(name_at(class_name), "FileAccess") && !strcmp(name_at(method), "open") && hash == 1247358404;
    return same ? &open_file : NULL;
}

static void open_file(const void *bind, void *object, const void *const *arguments, int64_t count, void *result,
                      gdx_call_error *error) {
    char path[512];
    const char *given = text_of(arguments[0]);
    (void)bind, (void)object, (void)count;
    *error = (gdx_call_error){0, 0, 0};
    *(variant *)result = (variant){GDX_OBJECT, {0}, 0};
    if (strncmp(given, "res://pack/", 11))
        return;
    snprintf(path, sizeof path, "%s/%s", game_folder, given + 11);
    FILE *file = fopen(path, "rb");
    if (!file)
        return;
    thing *it = object_new("FileAccess");
    fseek(file, 0, SEEK_END);
    it->size = (size_t)ftell(file);
    rewind(file);
    it->bytes = malloc(it->size + 1);
    if (fread(it->bytes, 1, it->size, file) != it->size)
        it->size = 0;
    fclose(file);
    *(variant *)result = of_thing(GDX_OBJECT, it);
}

/* ---- Values, by the interface ------------------------------------------------------------------ */

static void print_error(const char *text, const char *function, const char *file, int32_t line,
                        uint8_t notify) {
    (void)function, (void)file, (void)line, (void)notify;
    fprintf(stderr, "ERROR: %s\n", text);
}

static void new_nil(void *to) {
    *(variant *)to = (variant){GDX_NIL, {0}, 0};
}
static void new_copy(void *to, const void *from) {
    *(variant *)to = copy(from);
}
static void destroy(void *it) {
    drop(it);
}
static int get_type(const void *it) {
    return (int)((const variant *)it)->type;
}

static void get_indexed(const void *array, int64_t k, void *to, uint8_t *valid, uint8_t *outside) {
    const thing *it = ((const variant *)array)->is.it;
    *outside = k < 0 || (size_t)k >= it->size;
    *valid = !*outside;
    *(variant *)to = *valid ? copy(&it->items[k]) : (variant){GDX_NIL, {0}, 0};
}

static void string_new(void *to, const char *text, int64_t size) {
    thing_hold(*(thing **)to = thing_bytes(GDX_STRING, text, (size_t)size));
}

static int64_t string_chars(const void *string, char *to, int64_t most) {
    const thing *it = *(thing *const *)string;
    if (to)
        memcpy(to, it->bytes, (size_t)most < it->size ? (size_t)most : it->size);
    return (int64_t)it->size;
}

static void name_new(void *to, const char *text, uint8_t is_static) {
    (void)is_static;
    thing_hold(*(thing **)to = thing_bytes(STRING_NAME, text, strlen(text)));
}

/* Packed arrays are copied when they are written to while another has them. */
static uint8_t *bytes_at(void *slot, int64_t k) {
    thing *it = *(thing **)slot;
    if (it->count > 1) {
        thing *own = thing_bytes(GDX_BYTES, it->bytes, it->size);
        thing_hold(own);
        thing_drop(it);
        *(thing **)slot = it = own;
    }
    return (uint8_t *)it->bytes + k;
}

static const uint8_t *bytes_at_const(const void *slot, int64_t k) {
    return (uint8_t *)(*(thing *const *)slot)->bytes + k;
}

#define THING(name, kind)                                                      \
    static void to_##name(void *to, void *from) {                              \
        *(variant *)to = of_thing(kind, *(thing **)from);                      \
    }                                                                          \
    static void from_##name(void *to, void *from) {                            \
        variant *it = from;                                                    \
        thing *made = it->type == kind ? it->is.it : thing_bytes(kind, "", 0); \
        if (kind != GDX_OBJECT)                                                \
            thing_hold(made);                                                  \
        *(thing **)to = made;                                                  \
    }
#define PLAIN(name, kind, value, field)                                         \
    static void to_##name(void *to, void *from) {                               \
        *(variant *)to = (variant){kind, {.field = *(value *)from}, 0};         \
    }                                                                           \
    static void from_##name(void *to, void *from) {                             \
        const variant *it = from;                                               \
        *(value *)to = (value)(it->type == GDX_FLOAT  ? it->is.real             \
                               : it->type == GDX_BOOL ? (double)it->is.flag     \
                                                      : (double)it->is.number); \
    }
PLAIN(bool, GDX_BOOL, uint8_t, flag)
PLAIN(float, GDX_FLOAT, double, real)
static void to_int(void *to, void *from) {
    *(variant *)to = of_int(*(int64_t *)from);
}
static void from_int(void *to, void *from) {
    const variant *it = from;
    *(int64_t *)to = it->type == GDX_FLOAT  ? (int64_t)it->is.real
                     : it->type == GDX_BOOL ? it->is.flag
                                            : it->is.number;
}
THING(string, GDX_STRING)
THING(object, GDX_OBJECT)
THING(dictionary, GDX_DICTIONARY)
THING(array, GDX_ARRAY)
THING(bytes, GDX_BYTES)
THING(strings, GDX_STRINGS)

#define BY_TYPE(way)                          \
    static gdx_convert way##_type(int type) { \
        switch (type) {                       \
        case GDX_BOOL:                        \
            return way##_bool;                \
        case GDX_INT:                         \
            return way##_int;                 \
        case GDX_FLOAT:                       \
            return way##_float;               \
        case GDX_STRING:                      \
            return way##_string;              \
        case GDX_OBJECT:                      \
            return way##_object;              \
        case GDX_DICTIONARY:                  \
            return way##_dictionary;          \
        case GDX_ARRAY:                       \
            return way##_array;               \
        case GDX_BYTES:                       \
            return way##_bytes;               \
        case GDX_STRINGS:                     \
            return way##_strings;             \
        default:                              \
            return NULL;                      \
        }                                     \
    }
BY_TYPE(to)
BY_TYPE(from)

static void empty_bytes(void *to, const void *const *arguments) {
    (void)arguments;
    thing_hold(*(thing **)to = thing_bytes(GDX_BYTES, "", 0));
}

static gdx_construct constructor(int type, int32_t which) {
    return type == GDX_BYTES && !which ? empty_bytes : NULL;
}

static void drop_slot(void *slot) {
    thing_drop(*(thing **)slot);
    memset(slot, 0xA5, sizeof(void *));
}

static gdx_destruct destructor(int type) {
    return type == GDX_STRING || type == STRING_NAME || type > GDX_OBJECT ? drop_slot : NULL;
}

gdx_function function_of(const char *name) {
#define GIVE(wanted, function)  \
    if (!strcmp(name, #wanted)) \
        return (gdx_function)(void *)function;
    GIVE(print_error, print_error)
    GIVE(variant_new_nil, new_nil)
    GIVE(variant_new_copy, new_copy)
    GIVE(variant_destroy, destroy)
    GIVE(variant_get_type, get_type)
    GIVE(variant_call, variant_call)
    GIVE(variant_get_indexed, get_indexed)
    GIVE(get_variant_from_type_constructor, to_type)
    GIVE(get_variant_to_type_constructor, from_type)
    GIVE(variant_get_ptr_constructor, constructor)
    GIVE(variant_get_ptr_destructor, destructor)
    GIVE(string_new_with_utf8_chars_and_len, string_new)
    GIVE(string_to_utf8_chars, string_chars)
    GIVE(string_name_new_with_latin1_chars, name_new)
    GIVE(packed_byte_array_operator_index, bytes_at)
    GIVE(packed_byte_array_operator_index_const, bytes_at_const)
    GIVE(global_get_singleton, singleton)
    GIVE(ref_set_object, ref_set)
    GIVE(object_set_instance, set_instance)
    GIVE(object_method_bind_call, open_file)
    GIVE(classdb_get_method_bind, method_bind)
    GIVE(classdb_construct_object, construct)
    GIVE(classdb_register_extension_class2, register_class)
    GIVE(classdb_register_extension_class_method, register_method)
    GIVE(classdb_register_extension_class_property, register_property)
    GIVE(classdb_register_extension_class_signal, register_signal)
    GIVE(classdb_unregister_extension_class, unregister_class)
    return NULL;
}
