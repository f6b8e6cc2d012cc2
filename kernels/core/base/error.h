/* Filling the caller's error block. */
#ifndef TINI_ERROR_H
#define TINI_ERROR_H

#include "../../include/tin.h"

/* Writes `status` and the formatted text (cut to fit) to `err`, when there is one, and returns `status`.
 * Knows %s, %u (uint32_t), %d (int32_t), %llu (unsigned long long) and %%. */
tin_status tini_fail(tin_error *err, tin_status status, const char *format, ...);

/* TIN_ERR_VERSION, of a part that is written in another version of its format than the one this runtime reads.
 * again: how the user comes by a new one, where it is an older version. */
tin_status tini_other_version(tin_error *err, const char *what, uint32_t version, uint32_t reads,
                              const char *again);

#define TINI_BUILD_AGAIN "build it again: tinsmith build RECIPE, or MODEL"

#endif
