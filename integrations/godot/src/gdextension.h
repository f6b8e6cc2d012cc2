/* gdextension.h: the part of Godot 4's extension interface (4.2 and later) that godot4.c uses. After the public
 * interface description gdextension_interface.h of godotengine/godot (MIT licence): an extension asks for functions
 * by name, and these are their arguments. Pointers to a Variant, String and so on stand for the engine's own. */
#ifndef GDEXTENSION_H
#define GDEXTENSION_H

#include <stdint.h>

enum {
    GDX_NIL,
    GDX_BOOL,
    GDX_INT,
    GDX_FLOAT,
    GDX_STRING,
    GDX_OBJECT = 24,
    GDX_DICTIONARY = 27,
    GDX_ARRAY = 28,
    GDX_BYTES = 29,
    GDX_STRINGS = 34
};

typedef struct gdx_call_error {
    int error; /* 0 where the call was made; 1: no such method, 3: too many arguments, 4: too few */
    int32_t argument, expected;
} gdx_call_error;

/* hint 1: a range, 13: a file, 17: a class of resource, 18: several lines. usage 2: saved, 4: shown. */
typedef struct gdx_property {
    int type;
    void *name, *class_name;
    uint32_t hint;
    void *hint_text;
    uint32_t usage;
} gdx_property;

typedef void (*gdx_virtual)(void *self, const void *const *arguments, void *result);

/* What classdb_register_extension_class2 takes. */
typedef struct gdx_class {
    uint8_t is_virtual, is_abstract, is_exposed;
    void *set, *get, *list, *free_list, *can_revert, *revert, *validate, *notification, *to_string, *reference,
        *unreference;
    void *(*create)(void *data);
    void (*destroy)(void *data, void *self);
    void *recreate;
    gdx_virtual (*virtual_of)(void *data, const void *name);
    void *virtual_data, *call_virtual, *rid;
    void *data;
} gdx_class;

typedef struct gdx_method {
    void *name, *data;
    void (*call)(void *data, void *self, const void *const *arguments, int64_t count, void *result,
                 gdx_call_error *error);
    void (*pointer_call)(void *data, void *self, const void *const *arguments, void *result);
    uint32_t flags; /* 1: plain */
    uint8_t has_result;
    gdx_property *result;
    int result_kind;
    uint32_t count;
    gdx_property *arguments;
    int *kinds;
    uint32_t default_count;
    void **defaults;
} gdx_method;

typedef void (*gdx_function)(void);
typedef gdx_function (*gdx_get)(const char *name);
typedef void (*gdx_convert)(void *to, void *from);
typedef void (*gdx_construct)(void *to, const void *const *arguments);
typedef void (*gdx_destruct)(void *it);

/* level 2: scene, after core and servers, before editor */
typedef struct gdx_initialization {
    int level;
    void *data;
    void (*begin)(void *data, int level);
    void (*end)(void *data, int level);
} gdx_initialization;

/* X(name, result, arguments) */
#define GDEXTENSION(X)                                                                                    \
    X(print_error, void, (const char *, const char *, const char *, int32_t, uint8_t))                    \
    X(variant_new_nil, void, (void *))                                                                    \
    X(variant_new_copy, void, (void *, const void *))                                                     \
    X(variant_destroy, void, (void *))                                                                    \
    X(variant_get_type, int, (const void *))                                                              \
    X(variant_call, void, (void *, const void *, const void *const *, int64_t, void *, gdx_call_error *)) \
    X(variant_get_indexed, void, (const void *, int64_t, void *, uint8_t *, uint8_t *))                   \
    X(get_variant_from_type_constructor, gdx_convert, (int))                                              \
    X(get_variant_to_type_constructor, gdx_convert, (int))                                                \
    X(variant_get_ptr_constructor, gdx_construct, (int, int32_t))                                         \
    X(variant_get_ptr_destructor, gdx_destruct, (int))                                                    \
    X(string_new_with_utf8_chars_and_len, void, (void *, const char *, int64_t))                          \
    X(string_to_utf8_chars, int64_t, (const void *, char *, int64_t))                                     \
    X(string_name_new_with_latin1_chars, void, (void *, const char *, uint8_t))                           \
    X(packed_byte_array_operator_index, uint8_t *, (void *, int64_t))                                     \
    X(packed_byte_array_operator_index_const, const uint8_t *, (const void *, int64_t))                   \
    X(global_get_singleton, void *, (const void *))                                                       \
    X(ref_set_object, void, (void *, void *))                                                             \
    X(object_set_instance, void, (void *, const void *, void *))                                          \
    X(object_method_bind_call, void,                                                                      \
      (const void *, void *, const void *const *, int64_t, void *, gdx_call_error *))                     \
    X(classdb_get_method_bind, const void *, (const void *, const void *, int64_t))                       \
    X(classdb_construct_object, void *, (const void *))                                                   \
    X(classdb_register_extension_class2, void, (void *, const void *, const void *, const gdx_class *))   \
    X(classdb_register_extension_class_method, void, (void *, const void *, const gdx_method *))          \
    X(classdb_register_extension_class_property, void,                                                    \
      (void *, const void *, const gdx_property *, const void *, const void *))                           \
    X(classdb_register_extension_class_signal, void,                                                      \
      (void *, const void *, const void *, const gdx_property *, int64_t))                                \
    X(classdb_unregister_extension_class, void, (void *, const void *))

#endif
