/* values4.c: glue.h's values and engine for Godot 4, by GDExtension. */
#include "godot4.h"

#include <stdlib.h>
#include <string.h>

struct gdx_functions gdx;
gdx_convert to_variant[GDX_STRINGS + 1], from_variant[GDX_STRINGS + 1];

void drop_slot(int type, slot *it) {
    gdx.variant_get_ptr_destructor(type)(it);
}

void drop_name(slot *it) {
    enum { STRING_NAME = 21 };
    drop_slot(STRING_NAME, it);
}

slot name_of(const char *text) {
    slot name = {{NULL, NULL}};
    gdx.string_name_new_with_latin1_chars(&name, text, 0);
    return name;
}

/* ---- Variants -------------------------------------------------------------------------------- */

void var_nil(var *to) {
    gdx.variant_new_nil(to);
}
void var_copy(var *to, const var *from) {
    gdx.variant_new_copy(to, from);
}
void var_drop(var *it) {
    gdx.variant_destroy(it);
}

void var_bool(var *to, int value) {
    uint8_t given = value != 0;
    to_variant[GDX_BOOL](to, &given);
}

void var_int(var *to, int64_t value) {
    to_variant[GDX_INT](to, &value);
}
void var_real(var *to, double value) {
    to_variant[GDX_FLOAT](to, &value);
}
void var_object(var *to, void *object) {
    to_variant[GDX_OBJECT](to, &object);
}

void var_text(var *to, const char *text, size_t length) {
    slot string = {{NULL, NULL}};
    gdx.string_new_with_utf8_chars_and_len(&string, text, (int64_t)length);
    to_variant[GDX_STRING](to, &string);
    drop_slot(GDX_STRING, &string);
}

/* A packed array gets its size as a Variant: the call of a method needs no digest there. */
void var_bytes(var *to, const void *data, size_t size) {
    slot bytes = {{NULL, NULL}};
    var count;
    gdx.variant_get_ptr_constructor(GDX_BYTES, 0)(&bytes, NULL);
    to_variant[GDX_BYTES](to, &bytes);
    drop_slot(GDX_BYTES, &bytes);
    if (!size)
        return;
    var_int(&count, (int64_t)size);
    const var *arguments[] = {&count};
    var_call(to, "resize", arguments, 1, NULL);
    from_variant[GDX_BYTES](&bytes, to);
    var_drop(to);
    memcpy(gdx.packed_byte_array_operator_index(&bytes, 0), data, size);
    to_variant[GDX_BYTES](to, &bytes);
    drop_slot(GDX_BYTES, &bytes);
}

const int gdx_types[10] = {GDX_NIL,    GDX_BOOL,  GDX_INT,     GDX_FLOAT, GDX_STRING,
                           GDX_OBJECT, GDX_BYTES, GDX_STRINGS, GDX_ARRAY, GDX_DICTIONARY};

int var_type(const var *it) {
    int type = gdx.variant_get_type(it);
    for (int k = 0; k < (int)(sizeof gdx_types / sizeof *gdx_types); k++)
        if (gdx_types[k] == type)
            return k;
    return -1;
}

int64_t var_as_int(const var *it) {
    int64_t value = 0;
    int type = gdx.variant_get_type(it);
    if (type >= GDX_BOOL && type <= GDX_FLOAT)
        from_variant[GDX_INT](&value, (void *)it);
    return value;
}

double var_as_real(const var *it) {
    double value = 0;
    int type = gdx.variant_get_type(it);
    if (type >= GDX_BOOL && type <= GDX_FLOAT)
        from_variant[GDX_FLOAT](&value, (void *)it);
    return value;
}

void *var_as_object(const var *it) {
    void *object = NULL;
    if (gdx.variant_get_type(it) == GDX_OBJECT)
        from_variant[GDX_OBJECT](&object, (void *)it);
    return object;
}

char *var_as_text(const var *it) {
    slot string = {{NULL, NULL}};
    from_variant[GDX_STRING](&string, (void *)it);
    int64_t length = gdx.string_to_utf8_chars(&string, NULL, 0);
    char *text = calloc((size_t)length + 1, 1);
    if (text)
        gdx.string_to_utf8_chars(&string, text, length);
    drop_slot(GDX_STRING, &string);
    return text;
}

char *var_as_bytes(const var *it, size_t *size) {
    *size = gdx.variant_get_type(it) == GDX_BYTES ? (size_t)var_count(it) : 0;
    char *copy = malloc(*size + 1);
    if (!copy || !*size)
        return copy;
    slot bytes = {{NULL, NULL}};
    from_variant[GDX_BYTES](&bytes, (void *)it);
    memcpy(copy, gdx.packed_byte_array_operator_index_const(&bytes, 0), *size);
    drop_slot(GDX_BYTES, &bytes);
    return copy;
}

void var_at(var *to, const var *array, int64_t k) {
    uint8_t valid, outside;
    gdx.variant_get_indexed(array, k, to, &valid, &outside);
}

int var_call(var *self, const char *name, const var *const *arguments, int count, var *to) {
    var ignored;
    gdx_call_error error = {0, 0, 0};
    slot method = name_of(name);
    gdx.variant_call(self, &method, (const void *const *)arguments, count, to ? to : &ignored, &error);
    drop_name(&method);
    if (!to)
        var_drop(&ignored);
    return error.error == 0;
}

/* ---- The engine ------------------------------------------------------------------------------ */

void *engine_singleton(const char *name) {
    slot given = name_of(name);
    void *object = gdx.global_get_singleton(&given);
    drop_name(&given);
    return object;
}

void engine_error(const char *text) {
    gdx.print_error(text, "tinsmith", "addons/tinsmith", 0, 0);
}

static int64_t called_int(var *self, const char *method, const var *const *arguments, int count) {
    var result;
    var_call(self, method, arguments, count, &result);
    int64_t value = var_as_int(&result);
    var_drop(&result);
    return value;
}

int64_t engine_us(void) {
    var time;
    var_object(&time, engine_singleton("Time"));
    int64_t now = called_int(&time, "get_ticks_usec", NULL, 0);
    var_drop(&time);
    return now;
}

/* FileAccess.open is static, and so called by what the engine binds it to: a name and a digest of its arguments. */
void engine_file(var *to, const char *path, int64_t *size) {
    enum { READ = 1, OPEN = 1247358404 };
    slot class_name = name_of("FileAccess"), method = name_of("open");
    const void *bind = gdx.classdb_get_method_bind(&class_name, &method, OPEN);
    drop_name(&class_name);
    drop_name(&method);
    *size = -1;
    if (!bind) {
        engine_error("tinsmith: this Godot's FileAccess.open is another; use 4.2 or later of Godot 4");
        var_nil(to);
        return;
    }
    var name, mode;
    gdx_call_error error = {0, 0, 0};
    var_text(&name, path, strlen(path));
    var_int(&mode, READ);
    const void *arguments[] = {&name, &mode};
    gdx.object_method_bind_call(bind, NULL, arguments, 2, to, &error);
    if (var_as_object(to))
        *size = called_int(to, "get_length", NULL, 0);
    var_drop(&mode);
    var_drop(&name);
}

int var_json(var *to, const char *text, size_t length) {
    slot class_name = name_of("JSON");
    var json, given;
    var_object(&json, gdx.classdb_construct_object(&class_name));
    drop_name(&class_name);
    var_text(&given, text, length);
    const var *arguments[] = {&given};
    int good = called_int(&json, "parse", arguments, 1) == 0;
    if (good)
        var_call(&json, "get_data", NULL, 0, to);
    else
        var_nil(to);
    var_drop(&given);
    var_drop(&json);
    return good;
}
