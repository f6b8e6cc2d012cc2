/* gdnative.h: the part of Godot 3's native interface (GDNative 1.0, NativeScript 1.0) that godot3.c uses, of 64-bit
 * platforms. After the public interface description gdnative_api.json and headers of godotengine/godot-headers
 * (branch 3.x, MIT licence): the order of a table's functions and the layout of what they take are the interface. */
#ifndef GDNATIVE_H
#define GDNATIVE_H

#include <stdbool.h>
#include <stdint.h>

/* The engine's values are bytes here: they are not aligned in what follows. */
typedef struct gdn_variant {
    unsigned char bytes[24];
} gdn_variant;

/* Each holds one pointer. */
typedef struct gdn_string {
    unsigned char bytes[8];
} gdn_string;
typedef struct gdn_chars {
    unsigned char bytes[8];
} gdn_chars;
typedef struct gdn_bytes {
    unsigned char bytes[8];
} gdn_bytes;
typedef struct gdn_array {
    unsigned char bytes[8];
} gdn_array;

typedef struct gdn_call_error {
    int error, argument, expected; /* 0 where the call was made */
} gdn_call_error;

enum { GDN_OBJECT = 17, GDN_DICTIONARY = 18, GDN_ARRAY = 19, GDN_BYTES = 20, GDN_STRINGS = 23 };

/* A table of functions. */
typedef struct gdn_table {
    unsigned type, major, minor; /* type 1: NativeScript */
    const struct gdn_table *next;
    union {
        void (*functions[6])(void); /* of an extension */
        struct {
            unsigned extension_count;
            const struct gdn_table *const *extensions;
            void (*functions[744])(void);
        } core;
    } is;
} gdn_table;

typedef struct gdn_options {
    bool in_editor;
    uint64_t hashes[3];
    void (*functions[2])(void);
    void *library;
    const gdn_table *core;
    const gdn_string *path;
} gdn_options;

/* X(place in the core's table, result, name, arguments) */
#define GDNATIVE_CORE(X)                                                        \
    X(155, void, bytes_new, (gdn_bytes *))                                      \
    X(164, void, bytes_resize, (gdn_bytes *, int))                              \
    X(165, void *, bytes_read, (const gdn_bytes *))                             \
    X(166, void *, bytes_write, (gdn_bytes *))                                  \
    X(169, int, bytes_size, (const gdn_bytes *))                                \
    X(170, void, bytes_destroy, (gdn_bytes *))                                  \
    X(268, const uint8_t *, read_pointer, (const void *))                       \
    X(270, void, read_destroy, (void *))                                        \
    X(296, uint8_t *, write_pointer, (const void *))                            \
    X(298, void, write_destroy, (void *))                                       \
    X(333, gdn_variant, array_get, (const gdn_array *, int))                    \
    X(361, void, array_destroy, (gdn_array *))                                  \
    X(507, int, variant_type, (const void *))                                   \
    X(508, void, variant_copy, (void *, const void *))                          \
    X(509, void, variant_nil, (void *))                                         \
    X(510, void, variant_bool, (void *, bool))                                  \
    X(512, void, variant_int, (void *, int64_t))                                \
    X(513, void, variant_real, (void *, double))                                \
    X(514, void, variant_string, (void *, const gdn_string *))                  \
    X(527, void, variant_object, (void *, const void *))                        \
    X(530, void, variant_bytes, (void *, const gdn_bytes *))                    \
    X(539, int64_t, variant_as_int, (const void *))                             \
    X(540, double, variant_as_real, (const void *))                             \
    X(541, gdn_string, variant_as_string, (const void *))                       \
    X(554, void *, variant_as_object, (const void *))                           \
    X(556, gdn_array, variant_as_array, (const void *))                         \
    X(557, gdn_bytes, variant_as_bytes, (const void *))                         \
    X(564, gdn_variant, variant_call,                                           \
      (void *, const gdn_string *, const void *const *, int, gdn_call_error *)) \
    X(570, void, variant_destroy, (void *))                                     \
    X(571, int, chars_length, (const gdn_chars *))                              \
    X(572, const char *, chars_data, (const gdn_chars *))                       \
    X(573, void, chars_destroy, (gdn_chars *))                                  \
    X(678, gdn_chars, string_utf8, (const gdn_string *))                        \
    X(682, gdn_string, string_of_utf8, (const char *, int))                     \
    X(721, void, string_destroy, (gdn_string *))                                \
    X(731, void *, singleton, (const char *))                                   \
    X(735, gdn_constructor, constructor, (const char *))                        \
    X(741, void, print_error, (const char *, const char *, const char *, int))

typedef void *(*gdn_constructor)(void);

/* ---- NativeScript --------------------------------------------------------------------------- */

typedef struct gdn_create {
    void *(*run)(void *object, void *data);
    void *data;
    void (*free)(void *);
} gdn_create;

typedef struct gdn_destroy {
    void (*run)(void *object, void *data, void *self);
    void *data;
    void (*free)(void *);
} gdn_destroy;

typedef struct gdn_method {
    gdn_variant (*run)(void *object, void *data, void *self, int count, gdn_variant **arguments);
    void *data;
    void (*free)(void *);
} gdn_method;

typedef struct gdn_set {
    void (*run)(void *object, void *data, void *self, gdn_variant *value);
    void *data;
    void (*free)(void *);
} gdn_set;

typedef struct gdn_get {
    gdn_variant (*run)(void *object, void *data, void *self);
    void *data;
    void (*free)(void *);
} gdn_get;

/* Of a property; hint 1: a range, 15: a file, 19: a class of resource, 20: several lines. usage 1: saved, 2: shown,
 * 4: sent, 8192: of a script. */
typedef struct gdn_attributes {
    int rset, type, hint;
    gdn_string hint_text;
    int usage;
    gdn_variant value;
} gdn_attributes;

typedef struct gdn_argument {
    gdn_string name;
    int type, hint;
    gdn_string hint_text;
    int usage;
    gdn_variant value;
} gdn_argument;

typedef struct gdn_signal {
    gdn_string name;
    int count;
    gdn_argument *arguments;
    int default_count;
    gdn_variant *defaults;
} gdn_signal;

typedef struct gdn_method_attributes {
    int rpc;
} gdn_method_attributes;

#define GDNATIVE_SCRIPT(X)                                                                                  \
    X(0, void, register_class, (void *, const char *, const char *, gdn_create, gdn_destroy))               \
    X(2, void, register_method, (void *, const char *, const char *, gdn_method_attributes, gdn_method))    \
    X(3, void, register_property, (void *, const char *, const char *, gdn_attributes *, gdn_set, gdn_get)) \
    X(4, void, register_signal, (void *, const char *, const gdn_signal *))

#endif
