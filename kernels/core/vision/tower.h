/* A tower on its way through an image: tin_vision of tin.h. All patches of an image are one pass, in which each op sees all of
 * them before the next begins, so that one cache does for the layers' keys and values. */
#ifndef TINI_TOWER_H
#define TINI_TOWER_H

#include "../seal/model.h"
#include "../vm/pass.h"

struct tin_vision {
    const tin_model *model;
    tin_vision_options options; /* with defaults filled in */
    tini_pass pass;
    tini_caches caches;
    tini_image image; /* under way, or seen */
    int32_t stage;    /* TINI_TOWER_* */
};

/* What tin_vision_size counts for the struct itself, whatever a pointer's size. */
#define TINI_VISION_ROOM 512u
_Static_assert(sizeof(tin_vision) <= TINI_VISION_ROOM, "room of a vision");

enum { TINI_TOWER_IDLE, TINI_TOWER_SEEING, TINI_TOWER_SEEN };

#endif
