#include "error.h"
#include "region.h"

#include <stdarg.h>

TINI_REGION_COLD

/* Appends `text` to out[at ..], leaving room for the NUL. It may be a damaged file's: the message stays one line of
 * ASCII. */
static size_t put(char *out, size_t at, size_t capacity, const char *text) {
    for (; *text && at + 1 < capacity; text++)
        out[at++] = *text >= ' ' && *text <= '~' ? *text : '?';
    return at;
}

static size_t put_unsigned(char *out, size_t at, size_t capacity, unsigned long long value) {
    char digits[24];
    size_t n = sizeof digits - 1;
    digits[n] = 0;
    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    return put(out, at, capacity, digits + n);
}

tin_status tini_fail(tin_error *error, tin_status status, const char *format, ...) {
    if (!error)
        return status;
    va_list arguments;
    va_start(arguments, format);
    char *out = error->text;
    size_t at = 0, capacity = sizeof error->text;
    for (const char *f = format; *f && at + 1 < capacity; f++) {
        if (*f != '%') {
            out[at++] = *f;
            continue;
        }
        f++;
        if (*f == 's') {
            at = put(out, at, capacity, va_arg(arguments, const char *));
        } else if (*f == 'u') {
            at = put_unsigned(out, at, capacity, va_arg(arguments, uint32_t));
        } else if (*f == 'd') {
            long long value = va_arg(arguments, int32_t);
            if (value < 0)
                at = put(out, at, capacity, "-");
            at = put_unsigned(out, at, capacity, (unsigned long long)(value < 0 ? -value : value));
        } else if (f[0] == 'l' && f[1] == 'l' && f[2] == 'u') {
            f += 2;
            at = put_unsigned(out, at, capacity, va_arg(arguments, unsigned long long));
        } else {
            out[at++] = *f;
        }
    }
    out[at] = 0;
    error->status = status;
    va_end(arguments);
    return status;
}

tin_status tini_other_version(tin_error *error, const char *what, uint32_t version, uint32_t reads,
                              const char *again) {
    return tini_fail(error, TIN_ERR_VERSION, "%s was written by version %u; this runtime reads %u; %s", what,
                     version, reads, version > reads ? "take a newer runtime" : again);
}

const char *tin_status_name(tin_status status) {
#define TIN_ERROR_NAME(name, value, meaning) \
    if (status == TIN_ERR_##name)            \
        return "TIN_ERR_" #name;
    TIN_ERRORS(TIN_ERROR_NAME)
#undef TIN_ERROR_NAME
    return status == TIN_OK ? "TIN_OK" : "TIN_ERR_UNKNOWN";
}

TINI_REGION_END
