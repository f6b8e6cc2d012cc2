/* What an answer leaves out: words of the question that no question of the training data has, where a constraint says what
 * each is worth.
 *
 * A model is seldom sure of a word that it never learned, and an answer that leaves it out is often likelier than the one
 * that copies it. So such an answer is held to be less likely, by a cost a word: the coverage penalty of Wu et al. (arXiv
 * 1609.08144, section 7), of such words alone.
 *
 * What the question is, and what a word: text/question.h. */
#ifndef TINI_COVER_H
#define TINI_COVER_H

#include "../constraint/automaton.h"

/* Of a question, the first so many count. */
enum { TINI_COVER_WORDS = 32 };

typedef struct tini_cover {
    double cost; /* of a word that is left out: a natural logarithm; 0: none counts */
    uint32_t count, reserved;
    uint32_t words[TINI_COVER_WORDS];
} tini_cover;

/* Takes the question from a prompt. */
void tini_cover_begin(tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                      const int32_t *prompt, uint32_t count);

/* What the answer leaves out costs in all. */
double tini_cover_cost(const tini_cover *cover, const tin_model *model, const int32_t *answer, uint32_t count);

#endif
