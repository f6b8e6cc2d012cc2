#ifndef TINI_SESSION_H
#define TINI_SESSION_H

#include "model.h"

struct tin_session {
    const tin_model *model;
    tin_session_options options; /* with defaults filled in */
    uint8_t *arena;
    uint8_t *kv;          /* every cache's heads, one after the other; see tini_session_kv */
    float *logits;        /* [options.logit_rows][vocab] */
    int32_t *tokens;      /* [options.context]: computed, then queued */
    void *scratch;        /* for sampling */
    uint32_t position;    /* tokens computed */
    uint32_t count;       /* tokens in all */
    uint32_t next_op;     /* of the pass under way */
    uint32_t rows;        /* tokens of the pass under way; 0 when there is none */
    uint32_t logit_rows;  /* rows of the pass under way, its last ones, whose logits are wanted */
    uint32_t wanted;      /* position from which logits of every token are made */
    uint32_t ready_rows;  /* rows of logits that the caller may read */
    uint32_t ready_first; /* position of the first of them */
};

/* The place of head `head` of cache `cache`. */
tini_kv tini_session_kv(const tin_session *session, uint32_t cache, uint32_t head);

/* Runs op `op` for the pass under way, on the session's executor. */
void tini_run_op(tin_session *session, const tini_op *op);

#endif
