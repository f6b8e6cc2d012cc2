/* Properties over fields, and calls out of an answer. */
#include "glue.h"

#include <stdlib.h>
#include <string.h>

void text_set(char **at, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    free(*at);
    *at = copy ? memcpy(copy, text, size) : NULL;
}

void glue_set(const property *field, void *self, const var *value) {
    char *at = (char *)self + field->field;
    if (field->set)
        field->set(self, value);
    else if (field->type == GLUE_REAL)
        *(double *)(void *)at = var_as_real(value);
    else if (field->type == GLUE_TEXT) {
        char *text = var_as_text(value);
        text_set((char **)(void *)at, text ? text : "");
        free(text);
    } else
        *(int64_t *)(void *)at = var_as_int(value);
}

void glue_get(const property *field, void *self, var *to) {
    const char *at = (const char *)self + field->field;
    if (field->get) {
        field->get(self, to);
    } else if (field->type == GLUE_REAL) {
        var_real(to, *(const double *)(const void *)at);
    } else if (field->type == GLUE_TEXT) {
        const char *text = *(char *const *)(const void *)at;
        var_text(to, text ? text : "", text ? strlen(text) : 0);
    } else if (field->type == GLUE_BOOL) {
        var_bool(to, *(const int64_t *)(const void *)at != 0);
    } else {
        var_int(to, *(const int64_t *)(const void *)at);
    }
}

int64_t var_count(const var *array) {
    var size;
    int64_t count = var_call((var *)array, "size", NULL, 0, &size) ? var_as_int(&size) : 0;
    var_drop(&size);
    return count;
}

/* The end of the object or array that begins at `at`, NULL where it has none. Brackets in its texts don't count. */
static const char *value_end(const char *at) {
    int depth = 0, quoted = 0;
    for (; *at; at++) {
        if (quoted) {
            if (*at == '\\' && at[1])
                at++;
            else if (*at == '"')
                quoted = 0;
        } else if (*at == '"') {
            quoted = 1;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if ((*at == '}' || *at == ']') && --depth == 0) {
            return at + 1;
        }
    }
    return NULL;
}

static int has(const var *dictionary, const char *key) {
    var text, there;
    var_text(&text, key, strlen(key));
    const var *arguments[] = {&text};
    int found = var_call((var *)dictionary, "has", arguments, 1, &there) && var_as_int(&there);
    var_drop(&there);
    var_drop(&text);
    return found;
}

/* Adds a Dictionary that is a call to `list`, and those of an Array; 0 where one is none. */
static int add_calls(var *list, const var *value) {
    if (var_type(value) == GLUE_DICT) {
        const var *arguments[] = {value};
        return has(value, "name") && var_call(list, "append", arguments, 1, NULL);
    }
    int64_t count = var_type(value) == GLUE_LIST ? var_count(value) : -1;
    int good = count >= 0;
    for (int64_t k = 0; good && k < count; k++) {
        var one;
        var_at(&one, value, k);
        good = var_type(&one) == GLUE_DICT && add_calls(list, &one);
        var_drop(&one);
    }
    return good;
}

int calls_of(var *to, const char *answer) {
    static const char tag[] = "<tool_call>";
    const char *at = strstr(answer, tag);
    at = at ? at + sizeof tag - 1 : answer + strspn(answer, " \t\r\n");
    int good = var_json(to, "[]", 2) && at[strspn(at, " \t\r\n")] != 0;
    while (good && at) {
        at += strspn(at, " \t\r\n");
        const char *end = *at == '{' || *at == '[' ? value_end(at) : NULL;
        var value;
        good = end && var_json(&value, at, (size_t)(end - at));
        if (!good)
            break;
        good = add_calls(to, &value);
        var_drop(&value);
        at = strstr(end, tag);
        if (at)
            at += sizeof tag - 1;
    }
    return good;
}
