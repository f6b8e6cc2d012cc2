/* godot4.c: the classes in Godot 4 (4.2 and later), by GDExtension. */
#include "godot4.h"

#include <string.h>

#ifdef _WIN32
#define ENTRY __declspec(dllexport)
#else
#define ENTRY __attribute__((visibility("default")))
#endif

static void *library; /* the engine's name for this extension */

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
    gdx_destruct old = gdx.variant_get_ptr_destructor(gdx_types[type]);
    if (type == GLUE_OBJECT) {
        gdx.ref_set_object(result, var_as_object(value));
    } else {
        if (old)
            old(result);
        from_variant[gdx_types[type]](result, value);
    }
    var_drop(value);
}

static void pointer_call(void *data, void *self, const void *const *arguments, void *result) {
    const method *it = data;
    var given[2], value;
    const var *pointers[2];
    for (int k = 0; k < it->count; k++) {
        to_variant[gdx_types[it->types[k]]](&given[k], (void *)arguments[k]);
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
    to_variant[gdx_types[((const property *)data)->type]](&value, (void *)arguments[0]);
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
    to->it = (gdx_property){gdx_types[type], &to->name, &to->class_name, hint, &to->hint, usage};
}

static void undescribe(described *it) {
    drop_name(&it->name);
    drop_name(&it->class_name);
    drop_slot(GDX_STRING, &it->hint);
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
