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

enum { SLOTS = 2 * TINI_COVER_VALUES };

/* Values whose words are looked for in the question all at once, by Karp and Rabin's hashes of them: an open table. */
typedef struct value_table {
    uint64_t hash[SLOTS]; /* 0: the slot is free */
    uint64_t cost[SLOTS]; /* of all values of these words, in 256ths; 0 once they are found */
    uint32_t count, lengths;
    uint8_t length[TINI_COVER_WORDS]; /* [lengths], those that there are */
} value_table;

static const uint64_t HASH_BASE = 0x9E3779B97F4A7C15u;

/* The hash of one word more; words count from 1, so that none is as if it were not there. */
static uint64_t next_hash(uint64_t hash, uint32_t word) {
    return hash * HASH_BASE + word + 1;
}

/* The slot of the hash, or a free one. */
static uint32_t value_slot(const value_table *t, uint64_t hash) {
    uint32_t slot = (uint32_t)((hash ^ hash >> 29) * 0xBF58476D1CE4E5B9u >> 32) % SLOTS;
    while (t->hash[slot] && t->hash[slot] != hash)
        slot = (slot + 1) % SLOTS;
    return slot;
}

/* Adds a value of the key, where its values are looked up and there is room. */
static void add_value(value_table *t, const tini_automaton *answers, uint32_t copies, uint32_t key,
                      const json_text *value) {
    uint32_t k = 0, word;
    while (k < copies && answers->copies[k].key != key)
        k++;
    if (k == copies || value->skipped || !value->count)
        return;
    uint64_t hash = 0;
    tini_words words = value->words;
    for (uint32_t n = 0; n < value->count && tini_words_next(&words, &word); n++)
        hash = next_hash(hash, word);
    uint32_t slot = value_slot(t, hash), n = 0;
    if (!hash || (!t->hash[slot] && t->count == TINI_COVER_VALUES))
        return;
    t->count += !t->hash[slot];
    t->hash[slot] = hash;
    t->cost[slot] += answers->copies[k].cost;
    while (n < t->lengths && t->length[n] != value->count)
        n++;
    if (n == t->lengths)
        t->length[t->lengths++] = (uint8_t)value->count;
}

/* What the values cost whose words do not stand in the question one after the other. */
static double cost_of_values(value_table *t, tini_words question) {
    enum { RING = TINI_COVER_WORDS + 1 };
    uint64_t begun[RING] = {0}, power[RING] = {1}, total = 0; /* begun: the hash of all words up to there */
    for (uint32_t n = 1; n < RING; n++)
        power[n] = power[n - 1] * HASH_BASE;
    uint32_t seen = 0;
    for (uint32_t word; t->count && tini_words_next(&question, &word);) {
        uint64_t here = next_hash(begun[seen % RING], word);
        begun[++seen % RING] = here;
        for (uint32_t k = 0; k < t->lengths; k++) {
            uint32_t n = t->length[k];
            if (n <= seen)
                t->cost[value_slot(t, here - begun[(seen - n) % RING] * power[n])] = 0;
        }
    }
    for (uint32_t k = 0; k < SLOTS; k++)
        total += t->cost[k];
    return (double)total / 256;
}

static double values_made_up(uint32_t copies, const tini_automaton *answers, json_scan s, tini_words question) {
    value_table table = {.count = 0};
    int pending = 0;
    json_text last = {0};
    for (uint8_t byte;;) {
        int any = tini_words_byte(&s.left, &byte);
        if (any && (byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r'))
            continue;
        if (pending && any && byte == ':')
            s.key = last.key;
        else if (pending)
            add_value(&table, answers, copies, s.key, &last);
        pending = any && byte == '"';
        if (!any)
            break;
        if (pending)
            last = read_json_text(&s);
        s.depth += byte == '{' || byte == '[';
        s.depth -= byte == '}' || byte == ']';
    }
    return cost_of_values(&table, question);
}

double tini_cover_cost(const tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                       const int32_t *tokens, uint32_t begin, uint32_t count) {
    const int32_t *answer = tokens + begin;
    tini_words question = tini_words_of(model, tokens, cover->end);
    question.at = cover->at;
    question.byte = cover->byte;
    tini_words words = tini_words_of(model, answer, count);
    double cost = words_left_out(cover, words) * cover->cost;
    if (cover->copies)
        cost += values_made_up(cover->copies, answers, (json_scan){.left = words}, question);
    return cost;
}

TINI_REGION_END
