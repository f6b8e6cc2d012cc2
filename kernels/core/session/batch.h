/* Sessions that share passes. */
#ifndef TINI_BATCH_H
#define TINI_BATCH_H

#include "session.h"

/* Drops the session's logits in the batch's memory, which is released while the session stays. */
void tini_batch_leave(const tin_batch *batch, tin_session *session);

#endif
