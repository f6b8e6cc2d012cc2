/* The vision encoder at work on a tile: tin_encoder of tin.h. All its patches are one pass, in which each op sees all of
 * them before the next begins, so that one cache does for the layers' keys and values. */
#ifndef TINI_ENCODER_H
#define TINI_ENCODER_H

#include "../seal/model.h"
#include "../vm/pass.h"

struct tin_encoder {
    const tin_model *model;
    tin_encoder_options options; /* with defaults filled in */
    tini_pass pass;
    tini_caches caches;
    tini_encoder_input input; /* under way, or done */
    int32_t stage;            /* TINI_ENCODER_* */
};

/* What tin_encoder_size counts for the struct itself, whatever a pointer's size. */
#define TINI_ENCODER_ROOM 512u
_Static_assert(sizeof(tin_encoder) <= TINI_ENCODER_ROOM, "room of an encoder");

enum { TINI_ENCODER_IDLE, TINI_ENCODER_RUNNING, TINI_ENCODER_DONE };

#endif
