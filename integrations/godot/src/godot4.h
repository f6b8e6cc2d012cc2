/* godot4.h: what values4.c, glue.h's values over GDExtension, and godot4.c, its classes, share. */
#ifndef GODOT4_H
#define GODOT4_H

#include "gdextension.h"
#include "glue.h"

/* A String, StringName or Object in place: a pointer. Arrays and packed arrays take two. */
typedef struct slot {
    void *data[2];
} slot;

/* The engine's functions. */
#define MEMBER(name, result, arguments) result(*name) arguments;
extern struct gdx_functions {
    GDEXTENSION(MEMBER)
} gdx;

/* Variants of values in place, and back, by the engine's types. */
extern gdx_convert to_variant[GDX_STRINGS + 1], from_variant[GDX_STRINGS + 1];

/* The engine's type of each GLUE_ one. */
extern const int gdx_types[10];

slot name_of(const char *text);
void drop_name(slot *it);
void drop_slot(int type, slot *it);

#endif
