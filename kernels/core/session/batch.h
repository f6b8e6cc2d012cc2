/* Sessions that share passes. */
#ifndef TINI_BATCH_H
#define TINI_BATCH_H

#include "session.h"

/* Gives up the session's logits that are in the batch's memory, which is given back while the session stays. */
void tini_batch_leave(const tin_batch *batch, tin_session *session);

#endif
