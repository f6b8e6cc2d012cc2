/* Best-first search over the answers that a constraint allows. Greedy decoding can't take a choice back: a model that would
 * write a forbidden token gets the next best one, and then what follows it, however unlikely the whole.
 *
 * A prefix of an answer is as likely as the product of its choices in the model's own softmax; forced tokens count nothing. A
 * choice is weighed among the allowed tokens, the prompt's, and the first sixteenth of the vocabulary: a model that must not
 * write its first choice would mostly rather copy, or write a frequent token. Where most tokens are allowed, as within a text,
 * it is weighed among all. An answer is never likelier than its prefixes, so the search expands the likeliest prefix, and the
 * first complete one is the answer (Dijkstra 1959, over the trie of allowed texts). Each choice leaves a few candidates, for
 * which there is planned room. Once that is full, or the backtracks are used up, the prefix at hand is expanded to its end.
 *
 * A limit changes none of this: the answer is cut where the prefix at hand has all its tokens, or the context is full.
 *
 * A complete answer has a penalty for the words that it leaves out (cover.h). Prefixes have none, so where room is full a
 * complete answer goes before them. */
#ifndef TINI_SEARCH_H
#define TINI_SEARCH_H

#include "cover.h"
#include "session.h"

/* Room for so many, the same everywhere: where it is full decides what is found. A few stay of each token of an answer,
 * and of each that is taken back. */
enum { TINI_CANDIDATES = 256 };

/* By what a token was chosen; its alternatives are the candidates beside it. */
typedef struct tini_chosen {
    float logit;
    uint32_t allowed; /* 1: it had to come */
} tini_chosen;

/* A token of a prefix, or one that might have been chosen. */
typedef struct tini_candidate {
    double score; /* of the prefix up to here: the logarithm of its probability */
    double
        confidence; /* and among the tokens that were allowed: session->log_probability, where that is measured */
    tini_chosen by;
    int32_t token;
    uint32_t before; /* the one that it follows; TINI_NONE: the prompt */
    uint32_t length; /* tokens of the prefix */
    uint32_t state;
} tini_candidate;

typedef struct tini_search {
    double score, confidence; /* of the prefix at hand */
    tini_chosen by;           /* its last choice, the end's too */
    uint32_t count;
    uint32_t most, backtracks; /* the limit, and how many there were; most 0: it does not search */
    uint32_t begin, left;      /* where the answer begins, and the tokens that it may have */
    uint32_t tip;              /* the last token's candidate; TINI_NONE: none was chosen yet */
    uint32_t over;    /* what is at hand is the last that is taken up, but for what is complete and likelier */
    uint32_t settled; /* it is expanded to its end without a search */
    tini_cover cover;
    tini_candidate all[TINI_CANDIDATES];
} tini_search;

_Static_assert(sizeof(tini_search) == 56 + sizeof(tini_cover) + 40 * TINI_CANDIDATES,
               "the same room on every machine");

/* Whether the generation searches, and may still backtrack. */
static inline int tini_searches(const tin_session *session) {
    return session->search && session->search->most && !session->search->settled;
}

/* A generation begins; most: backtracks; 0: it does not search. */
void tini_search_begin(tin_session *session, uint32_t most);

/* Has the pass, which is asked for the tiles of tokens that may come, compute what else choices are weighed by. */
void tini_search_ask(const tin_session *session, tini_pass *pass);

/* As tini_sample, greedily: the likeliest token of the mask, whose choice counts from now on. The next ones are left
 * behind. */
int32_t tini_search_choose(tin_session *session, const float *logits, const uint32_t *mask);

/* The token, chosen or forced, stands behind the prefix. */
void tini_search_place(tin_session *session, int32_t token);

/* Backtracks to another prefix, where that is likelier: its tokens are put in place of `at` tokens of the session, its
 * constraint and what else depends on them are set, and session->finish where it is complete. Where the tokens then end,
 * *same of them as before; 0 where the one at hand stays. */
uint32_t tini_search_backtrack(tin_session *session, uint32_t at, uint32_t *same);

/* Where the tokens end that all remaining candidates share. */
uint32_t tini_search_certain(const tin_session *session);

/* By what the answer's token was chosen that stands at `place`, or its end, where that was before it was settled; else
 * what one that had to come was. Its alternatives, in tops[most], are those that were left behind with it. */
tin_choice tini_search_choice(const tin_session *session, uint32_t place, tin_top *tops, uint32_t most);

#endif
