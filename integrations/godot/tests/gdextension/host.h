/* host.h: the engine that host.c plays for a GDExtension: values, objects and classes, as far as an extension can
 * tell. It holds itself to the interface where mistakes are made: what is not initialized is filled with garbage, what
 * is destroyed twice or never is counted, names are unique, and a Variant ends after 24 bytes. */
#ifndef HOST_H
#define HOST_H

#include "gdextension.h"

#include <stddef.h>

enum { STRING_NAME = 21, VARIANT_BYTES = 24 };

/* What a String, an array or an object is behind its pointer; counted. */
typedef struct thing thing;

typedef struct variant {
    int64_t type;
    union {
        int64_t number;
        double real;
        uint8_t flag;
        thing *it;
    } is;
    int64_t pad;
} variant;

struct thing {
    int type, count; /* owners */
    size_t size;     /* of bytes, or of items */
    char *bytes;
    variant *items;    /* of arrays; of a dictionary key, value, key, value */
    const char *class; /* of an object */
    void *self;        /* the extension's instance */
    thing *inner;      /* JSON's value */
    size_t at;         /* of a file */
    thing *next;
};

extern int live; /* things that are not freed */

thing *thing_new(int type);
thing *thing_bytes(int type, const void *data, size_t size);
void thing_hold(thing *it);
void thing_drop(thing *it);

variant of_thing(int type, thing *it); /* takes a hold of its own */
variant of_text(const char *text);
variant of_int(int64_t value);
void drop(variant *it);
variant copy(const variant *it);
void push(thing *list, variant value); /* takes it over */
const char *text_of(const variant *it);

/* What the extension registered. */
typedef struct known_method {
    char name[40];
    gdx_method it;
    int types[2], result;
} known_method;

typedef struct known_class {
    char name[40], parent[40];
    gdx_class it;
    known_method methods[96];
    int method_count, property_count, signal_count;
    char signals[8][40];
    int64_t arguments[8];
    int types[8][2];
} known_class;

known_class *class_of(const char *name);
known_method *method_of(const char *class_name, const char *name);
thing *object_new(const char *class_name);
void variant_call(void *self, const void *method, const void *const *arguments, int64_t count, void *result,
                  gdx_call_error *error);

extern thing *signals; /* emitted: an Array of [signal, argument…] */
extern thing *singleton_time, *singleton_settings;
extern const char *game_folder; /* what res:// is; res://pack/ is what only the engine can read */

/* Says whether something is so; `wrong` once anything is not. */
extern int wrong;
void check(const char *what, int is_so);

/* The value of JSON text, nil and 0 where it is none. */
int json(const char *text, variant *to);

/* A call of a built-in method; 0 where there is none of that name. */
int builtin_call(variant *self, const char *method, const variant *const *arguments, int count, variant *to);

/* The interface's function of a name: host.c. */
gdx_function function_of(const char *name);

#endif
