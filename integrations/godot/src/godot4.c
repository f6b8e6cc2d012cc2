/* godot4.c: glue.h for Godot 4 (4.2 and later), by GDExtension. */
#include "gdextension.h"
#include "glue.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define ENTRY __declspec(dllexport)
#else
#define ENTRY __attribute__((visibility("default")))
#endif

/* A String, StringName or Object in place: a pointer. Arrays and packed arrays take two. */
typedef struct slot {
    void *data[2];
} slot;

#define MEMBER(name, result, arguments) result(*name) arguments;
static struct {
    GDEXTENSION(MEMBER)
} gdx;
static void *library;
static gdx_convert to_variant[GDX_STRINGS + 1], from_variant[GDX_STRINGS + 1];

static void drop(int type, slot *it) {
    gdx.variant_get_ptr_destructor(type)(it);
}

enum { STRING_NAME = 21 };

static void drop_name(slot *it) {
    drop(STRING_NAME, it);
}

static slot name_of(const char *text) {
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
    drop(GDX_STRING, &string);
}

/* A packed array gets its size as a Variant: the call of a method needs no digest there. */
void var_bytes(var *to, const void *data, size_t size) {
    slot bytes = {{NULL, NULL}};
    var count;
    gdx.variant_get_ptr_constructor(GDX_BYTES, 0)(&bytes, NULL);
    to_variant[GDX_BYTES](to, &bytes);
    drop(GDX_BYTES, &bytes);
    if (!size)
        return;
    var_int(&count, (int64_t)size);
    const var *arguments[] = {&count};
    var_call(to, "resize", arguments, 1, NULL);
    from_variant[GDX_BYTES](&bytes, to);
    var_drop(to);
    memcpy(gdx.packed_byte_array_operator_index(&bytes, 0), data, size);
    to_variant[GDX_BYTES](to, &bytes);
    drop(GDX_BYTES, &bytes);
}

static const int types[] = {GDX_NIL,    GDX_BOOL,  GDX_INT,     GDX_FLOAT, GDX_STRING,
                            GDX_OBJECT, GDX_BYTES, GDX_STRINGS, GDX_ARRAY, GDX_DICTIONARY};

int var_type(const var *it) {
    int type = gdx.variant_get_type(it);
    for (int k = 0; k < (int)(sizeof types / sizeof *types); k++)
        if (types[k] == type)
            return k;
    return -1;
}

/* Makes a value of a type that the Variant has, or that it can be turned into. */
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
    drop(GDX_STRING, &string);
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
    drop(GDX_BYTES, &bytes);
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

/* ---- Instances ------------------------------------------------------------------------------- */

static void *create(void *data) {
    const class *it = data;
    slot parent = name_of(it->parent), name = name_of(it->name);
    void *object = gdx.classdb_construct_object(&parent);
    void *self = object ? it->create(object) : NULL;
    if (self)
        gdx.object_set_instance(object, &name, self);
    drop_name(&parent);
    drop_name(&name);
    return self ? object : NULL;
}

static void destroy(void *data, void *self) {
    if (self)
        ((const class *)data)->destroy(self);
}

static void process(void *self, const void *const *arguments, void *result) {
    (void)arguments, (void)result;
    session_class.process(self);
}

/* A StringName is one pointer, the same for the same text while any holds it. */
static gdx_virtual virtual_of(void *data, const void *name) {
    slot known = name_of("_process");
    int same = known.data[0] == ((const slot *)name)->data[0] && ((const class *)data)->process;
    drop_name(&known);
    return same ? process : NULL;
}

static void call(void *data, void *self, const void *const *arguments, int64_t count, void *result,
                 gdx_call_error *error) {
    enum { TOO_MANY = 3, TOO_FEW = 4 };
    const method *it = data;
    *error = (gdx_call_error){count == it->count  ? 0
                              : count > it->count ? TOO_MANY
                                                  : TOO_FEW,
                              it->count, it->count};
    if (error->error)
        return;
    var_drop(result); /* the engine gives nil */
    it->run(self, (const var *const *)arguments, result);
}

static void setting(void *data, void *self, const void *const *arguments, int64_t count, void *result,
                    gdx_call_error *error) {
    (void)result;
    *error = (gdx_call_error){count == 1 ? 0 : 4, 1, 1};
    if (count == 1)
        glue_set(data, self, arguments[0]);
}

static void getting(void *data, void *self, const void *const *arguments, int64_t count, void *result,
                    gdx_call_error *error) {
    (void)arguments, (void)count;
    *error = (gdx_call_error){0, 0, 0};
    var_drop(result);
    glue_get(data, self, result);
}

/* What compiled scripts call: arguments in place of Variants, into a result that is there already. */
static void result_to(int type, var *value, void *result) {
    gdx_destruct old = gdx.variant_get_ptr_destructor(types[type]);
    if (type == GLUE_OBJECT) {
        gdx.ref_set_object(result, var_as_object(value));
    } else {
        if (old)
            old(result);
        from_variant[types[type]](result, value);
    }
    var_drop(value);
}

static void pointer_call(void *data, void *self, const void *const *arguments, void *result) {
    const method *it = data;
    var given[2], value;
    const var *pointers[2];
    for (int k = 0; k < it->count; k++) {
        to_variant[types[it->types[k]]](&given[k], (void *)arguments[k]);
        pointers[k] = &given[k];
    }
    it->run(self, pointers, &value);
    if (it->result == GLUE_NIL)
        var_drop(&value);
    else
        result_to(it->result, &value, result);
    for (int k = 0; k < it->count; k++)
        var_drop(&given[k]);
}

static void pointer_setting(void *data, void *self, const void *const *arguments, void *result) {
    var value;
    (void)result;
    to_variant[types[((const property *)data)->type]](&value, (void *)arguments[0]);
    glue_set(data, self, &value);
    var_drop(&value);
}

static void pointer_getting(void *data, void *self, const void *const *arguments, void *result) {
    var value;
    (void)arguments;
    glue_get(data, self, &value);
    result_to(((const property *)data)->type, &value, result);
}

/* ---- Classes --------------------------------------------------------------------------------- */

/* What a gdx_property points at. */
typedef struct described {
    slot name, class_name, hint;
    gdx_property it;
} described;

static void describe(described *to, const char *name, int type, const char *hint_text, uint32_t hint,
                     uint32_t usage) {
    enum { RESOURCE = 17 };
    const char *text = hint_text ? hint_text : "";
    to->name = name_of(name);
    to->class_name = name_of(hint == RESOURCE ? text : "");
    gdx.string_new_with_utf8_chars_and_len(&to->hint, text, (int64_t)strlen(text));
    to->it = (gdx_property){types[type], &to->name, &to->class_name, hint, &to->hint, usage};
}

static void undescribe(described *it) {
    drop_name(&it->name);
    drop_name(&it->class_name);
    drop(GDX_STRING, &it->hint);
}

static void add_method(const slot *class_name, const char *name, const method *like, gdx_method made) {
    enum { PLAIN = 1, SHOWN = 6 };
    slot own = name_of(name);
    described result, arguments[2];
    gdx_property passed[2];
    int kinds[2] = {0, 0};
    describe(&result, "", like->result, NULL, 0, SHOWN);
    for (int k = 0; k < like->count; k++) {
        describe(&arguments[k], like->names[k], like->types[k], NULL, 0, SHOWN);
        passed[k] = arguments[k].it;
    }
    made.name = &own;
    made.flags = PLAIN;
    made.has_result = like->result != GLUE_NIL;
    made.result = &result.it;
    made.count = (uint32_t)like->count;
    made.arguments = passed;
    made.kinds = kinds;
    gdx.classdb_register_extension_class_method(library, class_name, &made);
    for (int k = 0; k < like->count; k++)
        undescribe(&arguments[k]);
    undescribe(&result);
    drop_name(&own);
}

static void accessor_name(char *to, size_t size, const char *verb, const char *name) {
    strcpy(to, verb);
    strncat(to, name, size - strlen(to) - 1);
}

static void add_property(const slot *class_name, const property *it) {
    enum { RANGE = 1, FILE_PATH = 13, RESOURCE = 17, LINES = 18, SAVED = 2, SHOWN = 4 };
    char set_name[64], get_name[64];
    accessor_name(set_name, sizeof set_name, "set_", it->name);
    accessor_name(get_name, sizeof get_name, "get_", it->name);
    const method setter = {set_name, 1, {it->type}, GLUE_NIL, {"value"}, NULL};
    const method getter = {get_name, 0, {0}, it->type, {NULL}, NULL};
    gdx_method set = {.data = (void *)it, .call = setting, .pointer_call = pointer_setting};
    gdx_method get = {.data = (void *)it, .call = getting, .pointer_call = pointer_getting};
    add_method(class_name, set_name, &setter, set);
    add_method(class_name, get_name, &getter, get);
    uint32_t hint = !it->hint                 ? 0
                    : it->type == GLUE_OBJECT ? RESOURCE
                    : it->type != GLUE_TEXT   ? RANGE
                    : *it->hint == '*'        ? FILE_PATH
                                              : LINES;
    described shown;
    slot set_slot = name_of(set_name), get_slot = name_of(get_name);
    describe(&shown, it->name, it->type, it->hint, hint, it->stored_only ? SAVED : SAVED | SHOWN);
    gdx.classdb_register_extension_class_property(library, class_name, &shown.it, &set_slot, &get_slot);
    undescribe(&shown);
    drop_name(&set_slot);
    drop_name(&get_slot);
}

static void add_signal(const slot *class_name, const signal *it) {
    enum { SHOWN = 6 };
    described arguments[2];
    gdx_property passed[2];
    slot name = name_of(it->name);
    for (int k = 0; k < it->count; k++) {
        describe(&arguments[k], it->names[k], it->types[k], NULL, 0, SHOWN);
        passed[k] = arguments[k].it;
    }
    gdx.classdb_register_extension_class_signal(library, class_name, &name, passed, it->count);
    for (int k = 0; k < it->count; k++)
        undescribe(&arguments[k]);
    drop_name(&name);
}

static void add_class(const class *it) {
    slot name = name_of(it->name), parent = name_of(it->parent);
    gdx_class made = {
        .is_exposed = 1, .create = create, .destroy = destroy, .virtual_of = virtual_of, .data = (void *)it};
    gdx.classdb_register_extension_class2(library, &name, &parent, &made);
    for (int k = 0; k < it->property_count; k++)
        add_property(&name, &it->properties[k]);
    for (int k = 0; k < it->method_count; k++) {
        gdx_method plain = {.data = (void *)&it->methods[k], .call = call, .pointer_call = pointer_call};
        add_method(&name, it->methods[k].name, &it->methods[k], plain);
    }
    for (int k = 0; k < it->signal_count; k++)
        add_signal(&name, &it->signals[k]);
    drop_name(&name);
    drop_name(&parent);
}

enum { SCENE = 2 };

static void begin(void *data, int level) {
    (void)data;
    if (level != SCENE)
        return;
    for (int k = 1; k <= GDX_STRINGS; k++) {
        to_variant[k] = gdx.get_variant_from_type_constructor(k);
        from_variant[k] = gdx.get_variant_to_type_constructor(k);
    }
    add_class(&model_class);
    add_class(&session_class);
}

static void end(void *data, int level) {
    (void)data;
    if (level != SCENE)
        return;
    slot names[] = {name_of(session_class.name), name_of(model_class.name)};
    for (int k = 0; k < 2; k++) {
        gdx.classdb_unregister_extension_class(library, &names[k]);
        drop_name(&names[k]);
    }
}

ENTRY uint8_t tinsmith_init(gdx_get get, void *given_library, gdx_initialization *to) {
    int missing = 0;
#define LOOK_UP(name, result, arguments) missing |= !(gdx.name = (result(*) arguments)(void *)get(#name));
    GDEXTENSION(LOOK_UP)
    library = given_library;
    *to = (gdx_initialization){SCENE, NULL, begin, end};
    return !missing;
}
