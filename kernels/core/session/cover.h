/* Penalties for what an answer leaves out or makes up, where a constraint has them.
 *
 * A model has little confidence in a word that it never learned, and an answer that leaves it out is often likelier than the
 * one that copies it. So each word of the question that no question of the training data has costs an answer without it a
 * penalty: the coverage penalty of Wu et al. (arXiv 1609.08144, section 7), of such words alone.
 *
 * The other way round, a constraint may leave a model that began to copy nothing but what it would never have written: `n`
 * of "nap" becomes "nursery", whose rest had to come and counts nothing. So a value that does not stand in the question,
 * its words one after the other, has a penalty, where all values of its key in the training data do. A key of JSON is known by its bytes
 * and how deep it stands, by 32 bits of FNV-1a; a value is of the key that was read last.
 *
 * What the question is, and what a word: text/question.h. */
#ifndef TINI_COVER_H
#define TINI_COVER_H

#include "../constraint/automaton.h"
#include "../text/question.h"

/* Of a question, and of a value, the first so many words count; of an answer, the first so many values that differ. */
enum { TINI_COVER_WORDS = 32, TINI_COVER_VALUES = 256 };

typedef struct tini_cover {
    double cost; /* of a word that is left out: a natural logarithm; 0: none counts */
    uint32_t count, words[TINI_COVER_WORDS];
    uint32_t copies;        /* keys whose values are looked up in the question */
    uint32_t at, byte, end; /* where it begins and ends in the prompt's tokens */
    uint32_t reserved;
} tini_cover;

/* Whether an answer may cost anything. */
static inline int tini_cover_costs(const tini_cover *cover) {
    return cover->count || cover->copies;
}

/* Takes the question from a prompt. */
void tini_cover_begin(tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                      const int32_t *prompt, uint32_t count);

/* What the answer costs in all: `count` of the tokens from `begin` on, which stand behind the prompt that began it. */
double tini_cover_cost(const tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                       const int32_t *tokens, uint32_t begin, uint32_t count);

#endif
