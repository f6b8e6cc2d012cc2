/* Best-first search over the answers that a constraint allows. Greedy decoding never revises a choice: if the
 * model's token is forbidden, it takes the next best one and its continuation, however unlikely the whole is.
 *
 * A prefix's probability is the product of its choices in the model's own softmax; forced tokens count nothing.
 * A choice is weighed among the allowed tokens, the prompt's tokens, and the first sixteenth of the vocabulary.
 * A model whose first choice is forbidden would mostly copy, or write a frequent token. Where most tokens are
 * allowed, as within a text, a choice is weighed among all.
 *
 * An answer is never likelier than its prefixes. So the search expands the likeliest prefix, and the first
 * complete one is the answer (Dijkstra 1959, over the trie of allowed texts). Each choice leaves a few
 * candidates, in planned room. Once that room is full, or the backtracks are used up, the current prefix is
 * expanded to its end.
 *
 * A limit changes none of this: the answer is cut where the current prefix has all its tokens, or the context is
 * full.
 *
 * Only complete answers have a penalty for omitted words (cover.h), not prefixes. So if the room is full, a
 * complete answer precedes them. */
#ifndef TINI_SEARCH_H
#define TINI_SEARCH_H

#include "cover.h"
#include "session.h"

/* Most candidates, the same on every machine: a full room decides the result. Each token of an answer keeps a
 * few, and so does each token that is taken back. */
enum { TINI_CANDIDATES = 256 };

/* The numbers behind a choice; its alternatives are the sibling candidates. */
typedef struct tini_chosen {
    float logit;
    uint32_t allowed; /* 1: it was forced */
} tini_chosen;

/* A token of a prefix, or an alternative to it. */
typedef struct tini_candidate {
    double score;      /* of the prefix with this token: the logarithm of its probability */
    double confidence; /* as score, among allowed tokens: session->log_probability, if measured */
    tini_chosen by;
    int32_t token;
    uint32_t before; /* the candidate that it follows; TINI_NONE: the prompt */
    uint32_t length; /* tokens of the prefix */
    uint32_t state;
} tini_candidate;

typedef struct tini_search {
    double score, confidence; /* of the current prefix */
    tini_chosen by;           /* its last choice, including the end */
    uint32_t count;
    uint32_t most, backtracks; /* most backtracks (0: no search), and how many there were */
    uint32_t begin, left;      /* where the answer begins, and the most tokens that it may have */
    uint32_t tip;              /* the last token's candidate; TINI_NONE: none is chosen yet */
    uint32_t over;             /* the current prefix is the last to expand, except complete likelier ones */
    uint32_t settled;          /* the current prefix is expanded to its end without a search */
    tini_cover cover;
    tini_candidate all[TINI_CANDIDATES];
} tini_search;

_Static_assert(sizeof(tini_search) == 56 + sizeof(tini_cover) + 40 * TINI_CANDIDATES,
               "the same room on every machine");

/* Whether the generation searches, and may still backtrack. */
static inline int tini_searches(const tin_session *session) {
    return session->search && session->search->most && !session->search->settled;
}

/* Begins a generation. most: most backtracks; 0: no search. */
void tini_search_begin(tin_session *session, uint32_t most);

/* Adds to the pass the logit tiles that choices are weighed among. The pass has the tiles of allowed tokens
 * already. */
void tini_search_ask(const tin_session *session, tini_pass *pass);

/* As tini_sample, greedily: the mask's likeliest token, whose choice counts from now on. The next likeliest become
 * candidates. */
int32_t tini_search_choose(tin_session *session, const float *logits, const uint32_t *mask);

/* Appends the token, chosen or forced, to the prefix. */
void tini_search_place(tin_session *session, int32_t token);

/* Backtracks to another prefix if that is likelier. Its tokens replace the first `at` tokens of the session; its
 * constraint, and all that depends on the tokens, follows. Sets session->finish if the prefix is complete.
 * Returns where the tokens then end, *same of them unchanged; 0 if the current prefix stays. */
uint32_t tini_search_backtrack(tin_session *session, uint32_t at, uint32_t *same);

/* The end of the tokens that all remaining candidates share. */
uint32_t tini_search_certain(const tin_session *session);

/* The choice behind the answer's token at `place`, or behind its end, if it was chosen before the answer was
 * settled; else that of a forced token. Its alternatives, in tops[most], are its sibling candidates. */
tin_choice tini_search_choice(const tin_session *session, uint32_t place, tin_top *tops, uint32_t most);

#endif
