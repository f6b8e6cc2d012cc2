/* glue.h: the classes TinModel and TinSession, in C, for any Godot. What they are stands in model.c and session.c;
 * what an engine has to do for them stands here as functions over its Variants, which godot3.c (GDNative) and
 * godot4.c (GDExtension) each define. Everything runs on the thread that the engine calls from. */
#ifndef GLUE_H
#define GLUE_H

#include "tin_host.h"

#include <stddef.h>
#include <stdint.h>

/* A Variant in place: 24 bytes of it in Godot 3 and 4, 40 in a Godot 4 of double precision. Never copied by value:
 * the engine counts what it refers to, and one that the engine gave may end after 24. */
typedef struct var {
    _Alignas(8) unsigned char bytes[40];
} var;

/* Types that the classes take and give. */
enum {
    GLUE_NIL,
    GLUE_BOOL,
    GLUE_INT,
    GLUE_REAL,
    GLUE_TEXT,
    GLUE_OBJECT,
    GLUE_BYTES,
    GLUE_TEXTS,
    GLUE_LIST,
    GLUE_DICT
};

/* ---- What the engine does: godot3.c, godot4.c --------------------------------------------- */

/* Each makes `to`, which var_drop must free. Texts are UTF-8. */
void var_nil(var *to);
void var_copy(var *to, const var *from);
void var_bool(var *to, int value);
void var_int(var *to, int64_t value);
void var_real(var *to, double value);
void var_text(var *to, const char *text, size_t length);
void var_object(var *to, void *object);
void var_bytes(var *to, const void *data, size_t size);
void var_drop(var *it);

/* The value of JSON text, of [length] bytes; 0 where it is none, and `to` is nil. */
int var_json(var *to, const char *text, size_t length);

/* A GLUE_ type, -1 for one that is not listed. */
int var_type(const var *it);
int64_t var_as_int(const var *it);
double var_as_real(const var *it);
void *var_as_object(const var *it);
/* By malloc, with a NUL; NULL without memory. */
char *var_as_text(const var *it);
char *var_as_bytes(const var *it, size_t *size);

/* The k-th of an array of any kind. */
void var_at(var *to, const var *array, int64_t k);

/* Calls any method of a value or an object. `to` may be NULL, and is nil where there is no such method: 0. */
int var_call(var *self, const char *method, const var *const *arguments, int count, var *to);

/* A file opened for reading by the engine (res://, .pck, Android's assets), with its bytes in *size; nil and -1 where
 * there is none. It has the method get_buffer. */
void engine_file(var *to, const char *path, int64_t *size);
void *engine_singleton(const char *name);
int64_t engine_us(void);
/* A line in the console and the debugger. */
void engine_error(const char *text);

/* ---- What a class is ----------------------------------------------------------------------- */

typedef struct property {
    const char *name;
    int type,
        field; /* GLUE_; offset in the instance of int64_t, double, char * by the type, where get is NULL */
    const char
        *hint; /* of a number its range, of an object its class, of a text "*.tin" or "\n": several lines */
    int stored_only; /* saved with the scene, not shown */
    void (*set)(void *self, const var *value);
    void (*get)(void *self, var *to);
} property;

typedef struct method {
    const char *name;
    int count, types[2], result; /* arguments and what comes back, GLUE_ */
    const char *names[2];
    void (*run)(void *self, const var *const *arguments, var *to);
} method;

typedef struct signal {
    const char *name;
    int count, types[2];
    const char *names[2];
} signal;

typedef struct class {
    const char *name, *parent;
    void *(*create)(void *owner);
    void (*destroy)(void *self);
    void (*process)(void *self); /* each frame, or NULL */
    const property *properties;
    const method *methods;
    const signal *signals;
    int property_count, method_count, signal_count;
} class;

extern const class model_class, session_class;

/* Sets and gets a property by its field or its functions. */
void glue_set(const property *field, void *self, const var *value);
void glue_get(const property *field, void *self, var *to);

/* ---- Between model.c and session.c --------------------------------------------------------- */

/* A TinModel's file, opened when it is first asked for: NULL where `object` is no TinModel. A file that failed is
 * tried again at the next call. */
tinhost_model *model_of(void *object);

/* Reads the calls of an answer: JSON objects with a name, alone or in a list, bare or after <tool_call>. `to` becomes
 * an Array of Dictionaries with name and arguments; 0 where there are none. */
int calls_of(var *to, const char *answer);

/* How many an array of any kind has. */
int64_t var_count(const var *array);

/* Replaces a text by a copy. */
void text_set(char **at, const char *text);

#endif
