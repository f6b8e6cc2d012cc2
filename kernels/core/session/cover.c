#include "cover.h"
#include "../base/region.h"
#include "../text/question.h"

TINI_REGION_COLD

static int is_known(const tini_automaton *answers, uint32_t word) {
    uint32_t low = 0, high = answers->header->words;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (answers->words[middle] == word)
            return 1;
        if (answers->words[middle] < word)
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

static uint32_t word_place(const tini_cover *cover, uint32_t word) {
    uint32_t k = 0;
    while (k < cover->count && cover->words[k] != word)
        k++;
    return k;
}

void tini_cover_begin(tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                      const int32_t *prompt, uint32_t count) {
    cover->count = 0;
    cover->cost = tini_constraint_cost(answers->header);
    if (cover->cost == 0)
        return;
    tini_words question = tini_question(model, prompt, count);
    for (uint32_t word; cover->count < TINI_COVER_WORDS && tini_words_next(&question, &word);)
        if (!is_known(answers, word) && word_place(cover, word) == cover->count)
            cover->words[cover->count++] = word;
}

double tini_cover_cost(const tini_cover *cover, const tin_model *model, const int32_t *answer, uint32_t count) {
    if (!cover->count)
        return 0;
    uint32_t left = cover->count, found = 0;
    tini_words words = tini_words_of(model, answer, count);
    for (uint32_t word; left && tini_words_next(&words, &word);) {
        uint32_t k = word_place(cover, word);
        if (k < cover->count && !(found >> k & 1)) {
            found |= 1u << k;
            left--;
        }
    }
    return left * cover->cost;
}

TINI_REGION_END
