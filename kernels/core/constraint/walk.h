/* Walks the trie of tokens and the automaton together, to find the allowed tokens of a list of configurations. */
#ifndef TINI_WALK_H
#define TINI_WALK_H

#include "mask.h"
#include "trie.h"

/* A walk over the tree of tokens from a list of configurations on. */
typedef struct tini_walk {
    tini_matcher *m;
    const tini_trie *trie;
    uint32_t *bits;  /* the bits of allowed tokens are set */
    uint32_t bound;  /* the largest distance after a token; UINT32_MAX: none */
    tini_mask *mask; /* NULL: nothing beyond its base is recorded */
    int stop;        /* at the first token */

    uint32_t any, visited; /* with stop: not 0 when there was a token; nodes */
    const tini_config_list *start;
    uint32_t first, floor; /* the set of `start`; the frames that were there before */
    int inner;
    uint32_t sets[TINI_TRIE_LONGEST + 1]; /* along the way to a node, by depth */
    uint8_t bytes[TINI_TRIE_LONGEST + 1];
} tini_walk;

/* Each returns 0 if the matcher has reached its limits. `start` must stay until the end. inner: rules that
 * `start` itself completes are not followed. */
int tini_walk_begin(tini_walk *w, const tini_config_list *start, int inner);

/* Over the nodes [first, end), which lie below one at `depth` where `start` is. */
int tini_walk_on(tini_walk *w, uint32_t first, uint32_t end, uint32_t depth);

/* Drops the walk's sets and frames. */
void tini_walk_end(tini_walk *w);

/* Begin, walk of the whole trie, and end. */
int tini_walk_all(tini_walk *w, const tini_config_list *start, int inner);

#endif
