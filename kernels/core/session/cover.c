#include "cover.h"
#include "../base/region.h"

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
    cover->copies = answers->header->copies;
    if (cover->cost == 0 && !cover->copies)
        return;
    tini_words question = tini_question(model, prompt, count);
    cover->at = question.at;
    cover->byte = question.byte;
    cover->end = question.count;
    for (uint32_t word;
         cover->cost > 0 && cover->count < TINI_COVER_WORDS && tini_words_next(&question, &word);)
        if (!is_known(answers, word) && word_place(cover, word) == cover->count)
            cover->words[cover->count++] = word;
}

static uint32_t words_left_out(const tini_cover *cover, tini_words answer) {
    uint32_t left = cover->count, found = 0;
    for (uint32_t word; left && tini_words_next(&answer, &word);) {
        uint32_t k = word_place(cover, word);
        if (k < cover->count && !(found >> k & 1)) {
            found |= 1u << k;
            left--;
        }
    }
    return left;
}

/* A text of JSON: whether a key or a value is known by what follows it. */
typedef struct json_text {
    uint32_t key; /* its hash, as a key */
    uint32_t count;
    tini_words words; /* its `count`, and what follows */
    int skipped;      /* it has an escape, or too many words: it is not judged */
} json_text;

/* Where reading JSON stands. */
typedef struct json_scan {
    tini_words left;
    uint32_t depth, key; /* the latest key's hash; 0: none was read */
} json_scan;

/* The text that begins here, to its closing quote. */
static json_text read_json_text(json_scan *s) {
    json_text t = {.key = TINI_FNV_BASIS, .words = s->left};
    int within = 0, open = 1;
    for (uint8_t byte; open && tini_words_byte(&s->left, &byte);) {
        open = byte != '"';
        if (byte == '\\') {
            t.skipped = 1;
            t.key = (t.key ^ byte) * TINI_FNV_PRIME;
            tini_words_byte(&s->left, &byte);
        }
        if (open)
            t.key = (t.key ^ byte) * TINI_FNV_PRIME;
        int was_within = within;
        within = open && tini_folded(byte);
        t.count += was_within && !within;
    }
    t.skipped |= open || t.count > TINI_COVER_WORDS;
    t.key = (t.key ^ (s->depth & 0xFF)) * TINI_FNV_PRIME;
    return t;
}

/* Whether the text's words stand in the question one after the other. */
static int stands_in(const json_text *t, tini_words question) {
    uint32_t words[TINI_COVER_WORDS], latest[TINI_COVER_WORDS], n = t->count, seen = 0;
    tini_words value = t->words;
    for (uint32_t k = 0; k < n; k++)
        tini_words_next(&value, &words[k]);
    for (uint32_t word; n && tini_words_next(&question, &word);) {
        latest[seen++ % n] = word;
        uint32_t same = 0;
        while (seen >= n && same < n && latest[(seen + same) % n] == words[same])
            same++;
        if (same == n)
            return 1;
    }
    return !n;
}

/* What the value costs of the key that was read last, in 256ths. */
static uint32_t cost_of_value(const tini_automaton *answers, uint32_t copies, uint32_t key,
                              const json_text *value, tini_words question) {
    for (uint32_t k = 0; k < copies; k++)
        if (answers->copies[k].key == key)
            return value->skipped || stands_in(value, question) ? 0 : answers->copies[k].cost;
    return 0;
}

static double values_made_up(uint32_t copies, const tini_automaton *answers, json_scan s, tini_words question) {
    double total = 0;
    int pending = 0;
    json_text last = {0};
    for (uint8_t byte; copies;) {
        int any = tini_words_byte(&s.left, &byte);
        if (any && (byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r'))
            continue;
        if (pending && any && byte == ':')
            s.key = last.key;
        else if (pending)
            total += cost_of_value(answers, copies, s.key, &last, question);
        pending = any && byte == '"';
        if (!any)
            break;
        if (pending)
            last = read_json_text(&s);
        s.depth += byte == '{' || byte == '[';
        s.depth -= byte == '}' || byte == ']';
    }
    return total / 256;
}

double tini_cover_cost(const tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                       const int32_t *tokens, uint32_t begin, uint32_t count) {
    const int32_t *answer = tokens + begin;
    tini_words question = tini_words_of(model, tokens, cover->end);
    question.at = cover->at;
    question.byte = cover->byte;
    tini_words words = tini_words_of(model, answer, count);
    return words_left_out(cover, words) * cover->cost +
           values_made_up(cover->copies, answers, (json_scan){.left = words}, question);
}

TINI_REGION_END
