/* The tree of tokens and the automaton, walked together: which tokens follow a list of configurations. */
#ifndef TINI_WALK_H
#define TINI_WALK_H

#include "mask.h"
#include "trie.h"

/* A walk over the tree of tokens from a list of configurations on. */
typedef struct tini_walk {
    tini_matcher *m;
    const tini_trie *trie;
    uint32_t *bits;  /* those of tokens that may come are set */
    uint32_t bound;  /* the largest distance after a token; UINT32_MAX: none */
    tini_mask *mask; /* NULL: what goes beyond its base is not kept */
    int stop;        /* at the first token */

    uint32_t any, visited; /* with stop: not 0 when there was a token; nodes */
    const tini_config_list *start;
    uint32_t first, floor; /* the set of `start`; the frames that were there before */
    int inner;
    uint32_t sets[TINI_TRIE_LONGEST + 1]; /* along the way to a node, by depth */
    uint8_t bytes[TINI_TRIE_LONGEST + 1];
} tini_walk;

/* Each returns 0 when the matcher has met its limits. `start` must stay until the end. inner: rules that `start` itself
 * completes are not followed. */
int tini_walk_begin(tini_walk *w, const tini_config_list *start, int inner);

/* Over the nodes [first, end), which lie below one at `depth` where `start` is. */
int tini_walk_on(tini_walk *w, uint32_t first, uint32_t end, uint32_t depth);

/* Lets go of what the walk has made. */
void tini_walk_end(tini_walk *w);

/* All of it, over the whole tree. */
int tini_walk_all(tini_walk *w, const tini_config_list *start, int inner);

#endif
