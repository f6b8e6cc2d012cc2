/* A session's adapters: which it has, and what that makes of what it computed. */
#ifndef TINI_ADAPTERS_H
#define TINI_ADAPTERS_H

#include "session.h"

/* The digest that the model's file says that its weights were made from, [TINI_SOURCE]; NULL where it does not. */
const uint8_t *tini_source_of(const tin_model *model);

/* Whether what was computed under adapters of that `shape` goes on under those that the session has. */
int tini_session_is_shaped(const tin_session *session, uint64_t shape);

#endif
