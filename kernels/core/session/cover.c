#include "cover.h"
#include "../base/region.h"
#include "../text/turns.h"

TINI_REGION_COLD

#define FNV_BASIS 2166136261u
#define FNV_PRIME 16777619u

/* Reads the words of tokens, which may have parts of them. */
typedef struct reader {
    const tini_tokenizer *tokenizer;
    const int32_t *tokens;
    uint32_t count, at; /* the token that is read, and its next byte */
    uint32_t byte;
} reader;

/* A small letter, a digit or another of a word's bytes; 0: it is none. */
static uint8_t folded(uint8_t byte) {
    if (byte >= 'A' && byte <= 'Z')
        return byte + ('a' - 'A');
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 128 ? byte : 0;
}

static int is_control(const tini_tokenizer *tokenizer, int32_t token) {
    return token >= 0 && (uint32_t)token < tokenizer->header->vocab && tini_token_is_control(tokenizer, token);
}

/* A byte of text, or 0 where a word ends: at another byte, a control token or a picture's. Returns 0 where there is none
 * any more. */
static int next_byte(reader *r, uint8_t *byte) {
    for (; r->at < r->count; r->at++, r->byte = 0) {
        uint32_t length;
        const uint8_t *bytes = tini_token_bytes(r->tokenizer, r->tokens[r->at], &length);
        int is_text = bytes && !is_control(r->tokenizer, r->tokens[r->at]);
        if (is_text && r->byte == length)
            continue;
        *byte = is_text ? folded(bytes[r->byte++]) : 0;
        r->at += !is_text;
        return 1;
    }
    return 0;
}

/* 0: there is none any more. */
static int next_word(reader *r, uint32_t *word) {
    uint32_t hash = FNV_BASIS;
    uint8_t byte;
    int any = 0;
    while (next_byte(r, &byte)) {
        if (byte) {
            hash = (hash ^ byte) * FNV_PRIME;
            any = 1;
        } else if (any) {
            break;
        }
    }
    *word = hash;
    return any;
}

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

/* The same of plain text, from *at on. */
static int next_of_text(const uint8_t *text, uint32_t length, uint32_t *at, uint32_t *word) {
    uint32_t begin, hash = FNV_BASIS;
    while (*at < length && !folded(text[*at]))
        ++*at;
    for (begin = *at; *at < length && folded(text[*at]); ++*at)
        hash = (hash ^ folded(text[*at])) * FNV_PRIME;
    *word = hash;
    return *at > begin;
}

/* Whether the word stands in what the chat template puts before or behind a question, as the name of the role does. */
static int frames_question(const tini_turns *turns, uint32_t word) {
    static const uint32_t texts[] = {TINI_TURN_FIRST_USER, TINI_TURN_OPEN_USER, TINI_TURN_END_USER,
                                     TINI_TURN_ANSWER};
    for (uint32_t k = 0; turns->header && k < turns->header->tables * 4; k++) {
        const uint32_t *parts = turns->first + k / 4 * TINI_TURN_TEXTS + texts[k % 4];
        for (uint32_t part = parts[0]; part < parts[1]; part++) {
            uint32_t at = part ? turns->parts[part - 1].end : 0, one;
            while (next_of_text(turns->text, turns->parts[part].end, &at, &one))
                if (one == word)
                    return 1;
        }
    }
    return 0;
}

static uint32_t word_place(const tini_cover *cover, uint32_t word) {
    uint32_t k = 0;
    while (k < cover->count && cover->words[k] != word)
        k++;
    return k;
}

/* The user's last message within the prompt. */
static void find_question(const tin_model *model, const int32_t **tokens, uint32_t *count) {
    const tini_tokenizer *tokenizer = tini_model_tokenizer(model);
    uint32_t behind = tini_turns_controls(tini_model_turns(model)), begin, end = *count;
    for (uint32_t seen = 0; seen < behind; seen++) {
        while (end && !is_control(tokenizer, (*tokens)[end - 1]))
            end--;
        if (!end)
            return;
        end--;
    }
    for (begin = end; begin && !is_control(tokenizer, (*tokens)[begin - 1]);)
        begin--;
    *tokens += begin;
    *count = end - begin;
}

void tini_cover_begin(tini_cover *cover, const tini_automaton *answers, const tin_model *model,
                      const int32_t *prompt, uint32_t count) {
    cover->count = 0;
    cover->cost = tini_constraint_cost(answers->header);
    if (cover->cost == 0)
        return;
    const tini_turns *turns = tini_constraint_likely(answers->header) ? tini_model_turns(model) : NULL;
    find_question(model, &prompt, &count);
    reader r = {.tokenizer = tini_model_tokenizer(model), .tokens = prompt, .count = count};
    for (uint32_t word; cover->count < TINI_COVER_WORDS && next_word(&r, &word);)
        if (!is_known(answers, word) && !(turns && frames_question(turns, word)) &&
            word_place(cover, word) == cover->count)
            cover->words[cover->count++] = word;
}

double tini_cover_cost(const tini_cover *cover, const tin_model *model, const int32_t *answer, uint32_t count) {
    if (!cover->count)
        return 0;
    uint32_t left = cover->count, found = 0;
    reader r = {.tokenizer = tini_model_tokenizer(model), .tokens = answer, .count = count};
    for (uint32_t word; left && next_word(&r, &word);) {
        uint32_t k = word_place(cover, word);
        if (k < cover->count && !(found >> k & 1)) {
            found |= 1u << k;
            left--;
        }
    }
    return left * cover->cost;
}

TINI_REGION_END
