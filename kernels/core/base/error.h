/* Filling the caller's error block. */
#ifndef TINI_ERROR_H
#define TINI_ERROR_H

#include "../../include/tin.h"

/* Writes `status` and the formatted text (cut to fit) to `err`, when there is one, and returns `status`.
 * Knows %s, %u (uint32_t), %d (int32_t), %llu (unsigned long long) and %%. */
tin_status tini_fail(tin_error *err, tin_status status, const char *format, ...);

#endif
