/* Penalties for words that an answer omits or makes up, if a constraint has them.
 *
 * A model has little confidence in a word that it never learned, so an answer that omits the word is often
 * likelier than one that copies it. Each word of the question that no question of the training data has is such
 * a word. An answer without it has a penalty: the coverage penalty of Wu et al. (arXiv 1609.08144, section 7),
 * for these words only.
 *
 * The second penalty concerns copies. A model that began to copy may find that the constraint allows only a text
 * that it would never have written: `n` of "nap" becomes "nursery", whose rest is forced and counts nothing. So
 * a value has a penalty if its words do not stand in the question, one after the other. It applies to a key
 * whose values in the training data all do. A key of JSON is identified by 32 bits of FNV-1a over its bytes and
 * its depth. A value belongs to the last key before it.
 *
 * text/question.h defines the question and its words. */
#ifndef TINI_COVER_H
#define TINI_COVER_H

#include "../constraint/automaton.h"
#include "../text/question.h"

/* Bounds: the first words of a question, and of a value; the first different values of an answer. */
enum { TINI_COVER_WORDS = 32, TINI_COVER_VALUES = 256 };

typedef struct tini_cover {
    double cost; /* of an omitted word: a natural logarithm; 0: no penalty */
    uint32_t count, words[TINI_COVER_WORDS];
    uint32_t copies;        /* keys whose values must stand in the question */
    uint32_t at, byte, end; /* where the question begins and ends in the prompt's tokens */
    uint32_t reserved;
} tini_cover;

/* Whether an answer may have a penalty. */
static inline int tini_cover_costs(const tini_cover *cover) {
    return cover->count || cover->copies;
}

/* Takes the question from a prompt. */
void tini_cover_begin(tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                      const int32_t *prompt, uint32_t count);

/* The sum of the answer's penalties. The answer is `count` tokens from `begin` on, behind the prompt of
 * tini_cover_begin. */
double tini_cover_cost(const tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                       const int32_t *tokens, uint32_t begin, uint32_t count);

#endif
