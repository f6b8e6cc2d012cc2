/* A session's adapters, and the validity of its caches under them. */
#ifndef TINI_ADAPTERS_H
#define TINI_ADAPTERS_H

#include "session.h"

/* The digest of the source weights that the model's file states, [TINI_SOURCE]; NULL if it states none. */
const uint8_t *tini_source_of(const tin_model *model);

/* Whether caches of that `shape` (a hash of adapters) are valid under the session's present adapters. */
int tini_session_is_shaped(const tin_session *session, uint64_t shape);

#endif
