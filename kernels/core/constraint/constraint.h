/* The state of a constraint within an answer: the matcher, the masks of tokens, and forced tokens. */
#ifndef TINI_CONSTRAINT_H
#define TINI_CONSTRAINT_H

#include "mask.h"
#include "matcher.h"
#include "trie.h"

enum {
    TINI_PREFIX_MAX = 256,
    TINI_RUN_MAX = 512,   /* bytes of a forced run */
    TINI_BEFORE_MAX = 64, /* bytes of the text before it that the tokenizer reads */
    TINI_RECURSIVE_DEPTH = 64,
    TINI_DEPTH_MAX = 4096,
    TINI_MASKS = 64,
    TINI_MASKS_MAX = 1 << 16
};

struct tin_constraint {
    const tin_model *model;
    const tini_tokenizer *tokenizer;
    const tini_trie *trie;
    tini_matcher matcher;
    const void *owner; /* the session that has it */
    tini_config_list now;
    uint32_t words; /* of a mask: (vocab + 31) / 32 */
    uint32_t *bits; /* the mask that is returned */
    uint32_t masks, clock;
    tini_mask *cache; /* [masks + 1]: the last is for masks not worth caching */
    uint8_t *notes;   /* [states] TINI_NOTE_* */
    uint32_t prefix_length, prefix_at;
    int ended;                 /* an end token was accepted */
    int32_t state;             /* TIN_CONSTRAINT_* */
    uint32_t end_count, *ends; /* tokens that end a generation */
    uint8_t prefix[TINI_PREFIX_MAX];
    /* For forced runs. */
    uint8_t *text;   /* [TINI_BEFORE_MAX + TINI_RUN_MAX] */
    int32_t *tokens; /* [2][TINI_BEFORE_MAX + TINI_RUN_MAX] */
    void *scratch;   /* of the tokenizer */
    size_t scratch_size;
};

/* A saved position of a constraint, to return to after looking ahead. */
typedef struct tini_constraint_position {
    tini_config_list now;
    uint32_t frames, prefix_at;
    int32_t state;
} tini_constraint_position;

tini_constraint_position tini_constraint_save(const tin_constraint *c);
/* As tin_constraint_accept, but keeps the earlier frames and accepts no end. 0: the token is forbidden. */
int tini_constraint_accept_ahead(tin_constraint *c, int32_t token);
void tini_constraint_rewind(tin_constraint *c, const tini_constraint_position *from);

/* Sets the bits of the tiles of TINI_TILE tokens with an allowed token: now, behind the first draft, and so on,
 * up to the first forbidden draft. It skips draft k where bit k of `due` says that the draft is forced. tiles:
 * [(vocab + TINI_TILE - 1) / TINI_TILE] bits. The constraint's position stays; its last mask does not. 0 if the
 * constraint has reached its limits. */
int tini_constraint_tiles(tin_constraint *c, const int32_t *drafts, uint32_t count, uint64_t due,
                          uint32_t *tiles);

/* Whether `left` tokens can end the text, but not if it begins with these. The constraint's position stays. */
int tini_constraint_overruns(tin_constraint *c, const int32_t *tokens, uint32_t count, uint32_t left);

/* Bytes that must come before the constraint's own text begins: a part of the healed prefix. */
static inline uint32_t tini_prefix_left(const tin_constraint *c) {
    return c->prefix_length - c->prefix_at;
}

#endif
