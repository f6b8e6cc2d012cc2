/* values.c: Variants, and what they refer to, counted. */
#include "host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int live;
static thing *names; /* every StringName, once for each text */

thing *thing_new(int type) {
    thing *it = calloc(1, sizeof *it);
    it->type = type;
    live++;
    return it;
}

thing *thing_bytes(int type, const void *data, size_t size) {
    if (type == STRING_NAME)
        for (thing *it = names; it; it = it->next)
            if (it->size == size && !memcmp(it->bytes, data, size))
                return it;
    thing *it = thing_new(type);
    it->bytes = calloc(size + 1, 1);
    it->size = size;
    if (size)
        memcpy(it->bytes, data, size);
    if (type == STRING_NAME)
        it->next = names, names = it;
    return it;
}

void thing_hold(thing *it) {
    if (it)
        it->count++;
}

void object_freed(thing *it); /* host.c */

void thing_drop(thing *it) {
    if (!it || --it->count > 0)
        return;
    if (it->count < 0) {
        fprintf(stderr, "host: a value of type %d was dropped once too often\n", it->type);
        abort();
    }
    if (it->type == GDX_OBJECT)
        object_freed(it);
    if (it->type == STRING_NAME)
        for (thing **at = &names; *at; at = &(*at)->next)
            if (*at == it) {
                *at = it->next;
                break;
            }
    for (size_t k = 0; it->items && k < it->size; k++)
        drop(&it->items[k]);
    thing_drop(it->inner);
    free(it->items);
    free(it->bytes);
    free(it);
    live--;
}

static int is_thing(const variant *it) {
    return it->type == GDX_STRING || it->type == STRING_NAME || it->type >= GDX_OBJECT;
}

variant of_thing(int type, thing *it) {
    variant made = {type, {.it = it}, 0};
    thing_hold(it);
    return made;
}

variant of_text(const char *text) {
    return of_thing(GDX_STRING, thing_bytes(GDX_STRING, text, strlen(text)));
}
variant of_int(int64_t value) {
    return (variant){GDX_INT, {.number = value}, 0};
}

void drop(variant *it) {
    if (is_thing(it))
        thing_drop(it->is.it);
    memset(it, 0xA5, VARIANT_BYTES);
}

variant copy(const variant *it) {
    if (is_thing(it))
        thing_hold(it->is.it);
    return *it;
}

void push(thing *list, variant value) {
    list->items = realloc(list->items, (list->size + 1) * sizeof *list->items);
    list->items[list->size++] = value;
}

const char *text_of(const variant *it) {
    return it->type == GDX_STRING || it->type == STRING_NAME ? it->is.it->bytes : "";
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static const char *blank(const char *at) {
    return at + strspn(at, " \t\r\n");
}

static const char *json_text(const char *at, variant *to) {
    char *text = calloc(strlen(at) + 1, 1), *end = text;
    for (at++; *at && *at != '"'; at++) {
        if (*at != '\\') {
            *end++ = *at;
        } else if (*++at == 'u') { /* of what the tests hold: no pairs of surrogates */
            unsigned code = 0;
            sscanf(at + 1, "%4x", &code);
            at += 4;
            if (code > 0x7FF)
                *end++ = (char)(0xE0 | (code >> 12));
            if (code > 127)
                *end++ = (char)(code > 0x7FF ? 0x80 | (code >> 6 & 63) : 0xC0 | (code >> 6));
            *end++ = (char)(code > 127 ? 0x80 | (code & 63) : code);
        } else {
            *end++ = *at == 'n' ? '\n' : *at == 't' ? '\t' : *at;
        }
    }
    *to = of_text(text);
    free(text);
    return *at ? at + 1 : NULL;
}

static const char *json_value(const char *at, variant *to);

static const char *json_list(const char *at, variant *to) {
    int is_dictionary = *at == '{';
    thing *list = thing_new(is_dictionary ? GDX_DICTIONARY : GDX_ARRAY);
    *to = of_thing(list->type, list);
    at = blank(at + 1);
    while (at && *at && *at != '}' && *at != ']') {
        variant one;
        at = json_value(at, &one);
        push(list, one);
        if (!at)
            return NULL;
        at = blank(at);
        if (*at == ',' || *at == ':')
            at = blank(at + 1);
    }
    return at && *at ? at + 1 : NULL;
}

static const char *json_value(const char *at, variant *to) {
    *to = (variant){GDX_NIL, {0}, 0};
    if (*at == '"')
        return json_text(at, to);
    if (*at == '{' || *at == '[')
        return json_list(at, to);
    if (!strncmp(at, "null", 4))
        return at + 4;
    if (!strncmp(at, "true", 4) || !strncmp(at, "false", 5)) {
        *to = (variant){GDX_BOOL, {.flag = *at == 't'}, 0};
        return at + (*at == 't' ? 4 : 5);
    }
    char *end;
    double number = strtod(at, &end);
    *to = (variant){GDX_FLOAT, {.real = number}, 0};
    return end == at ? NULL : end;
}

int json(const char *text, variant *to) {
    const char *end = json_value(blank(text), to);
    if (end && !*blank(end))
        return 1;
    drop(to);
    *to = (variant){GDX_NIL, {0}, 0};
    return 0;
}

/* ---- Methods of values ----------------------------------------------------------------------- */

static int64_t whole(const variant *it) {
    return it->type == GDX_FLOAT ? (int64_t)it->is.real : it->is.number;
}

static int same_text(const variant *a, const variant *b) {
    return !strcmp(text_of(a), text_of(b));
}

static int dictionary_call(thing *it, const char *method, const variant *const *arguments, int count,
                           variant *to) {
    variant *found = NULL;
    for (size_t k = 0; count && k + 1 < it->size; k += 2)
        if (same_text(&it->items[k], arguments[0]))
            found = &it->items[k + 1];
    if (!strcmp(method, "has"))
        *to = (variant){GDX_BOOL, {.flag = found != NULL}, 0};
    else if (!strcmp(method, "get") && found)
        *to = copy(found);
    else if (!strcmp(method, "get") && count == 2)
        *to = copy(arguments[1]);
    else
        return !strcmp(method, "get");
    return 1;
}

static void split(const char *text, const char *mark, variant *to) {
    thing *list = thing_new(GDX_STRINGS);
    *to = of_thing(GDX_STRINGS, list);
    char *rest = strdup(text);
    for (char *part = strtok(rest, mark); part; part = strtok(NULL, mark))
        push(list, of_text(part));
    free(rest);
}

int builtin_call(variant *self, const char *method, const variant *const *arguments, int count, variant *to) {
    *to = (variant){GDX_NIL, {0}, 0};
    if (self->type == GDX_DICTIONARY)
        return dictionary_call(self->is.it, method, arguments, count, to);
    if (self->type == GDX_STRING && !strcmp(method, "split")) {
        split(text_of(self), text_of(arguments[0]), to);
        return 1;
    }
    if (self->type != GDX_ARRAY && self->type != GDX_STRINGS && self->type != GDX_BYTES)
        return 0;
    thing *it = self->is.it;
    if (!strcmp(method, "size")) {
        *to = of_int((int64_t)it->size);
    } else if (!strcmp(method, "append") && self->type == GDX_ARRAY) {
        push(it, copy(arguments[0]));
    } else if (!strcmp(method, "resize") && self->type == GDX_BYTES) {
        it->size = (size_t)whole(arguments[0]);
        it->bytes = realloc(it->bytes, it->size + 1);
        memset(it->bytes, 0xA5, it->size + 1);
        *to = of_int(0);
    } else {
        return 0;
    }
    return 1;
}
