#include "question.h"
#include "../base/region.h"

TINI_REGION_COLD

/* What begins a user's content, and then what begins a tool's, which some templates have the user say. */
static const uint8_t openings[] = {TINI_TURN_OPEN_USER,  TINI_TURN_FIRST_USER, TINI_TURN_START,
                                   TINI_TURN_END_SYSTEM, TINI_TURN_OPEN_TOOL,  TINI_TURN_BETWEEN_TOOLS};
enum { OPENINGS = sizeof openings / sizeof *openings, OF_A_TOOL = 4 };

static int is_control(const tini_tokenizer *tokenizer, int32_t token) {
    return token >= 0 && (uint32_t)token < tokenizer->header->vocab && tini_token_is_control(tokenizer, token);
}

int tini_words_byte(tini_words *r, uint8_t *byte) {
    if (r->text) {
        *byte = r->byte < r->length ? r->text[r->byte] : 0;
        return r->byte++ < r->length;
    }
    for (; r->at < r->count; r->at++, r->byte = 0) {
        uint32_t length;
        const uint8_t *bytes = tini_token_bytes(r->tokenizer, r->tokens[r->at], &length);
        int is_text = bytes && !is_control(r->tokenizer, r->tokens[r->at]);
        if (is_text && r->byte == length)
            continue;
        *byte = is_text ? bytes[r->byte++] : 0;
        r->at += !is_text;
        return 1;
    }
    return 0;
}

int tini_words_next(tini_words *r, uint32_t *word) {
    uint32_t hash = TINI_FNV_BASIS;
    uint8_t byte;
    int any = 0;
    while (tini_words_byte(r, &byte)) {
        if ((byte = tini_folded(byte))) {
            hash = (hash ^ byte) * TINI_FNV_PRIME;
            any = 1;
        } else if (any) {
            break;
        }
    }
    *word = hash;
    return any;
}

tini_words tini_words_of(const tin_model *model, const int32_t *tokens, uint32_t count) {
    return (tini_words){.tokenizer = tini_model_tokenizer(model), .tokens = tokens, .count = count};
}

/* The words of the plain text of a part. */
static tini_words words_of_part(const tini_turns *turns, uint32_t part) {
    uint32_t begin = part ? turns->parts[part - 1].end : 0;
    return (tini_words){.text = turns->text + begin, .length = turns->parts[part].end - begin};
}

/* Whether the words read on with these; how many they are is added. */
static int read_on(tini_words *words, tini_words with, uint32_t *count) {
    for (uint32_t one, other; tini_words_next(&with, &one); ++*count)
        if (!tini_words_next(words, &other) || other != one)
            return 0;
    return 1;
}

/* How many words and control tokens there are of that text, whose last control token is the prompt's at `at`; 0: it does not
 * stand there. `content`: what stands behind it. What stands before its first control token is a part of the run of text
 * there. */
static uint32_t opened(const tini_turns *turns, uint32_t text, tini_words prompt, uint32_t at,
                       tini_words *content) {
    uint32_t first = turns->first[text], k = turns->first[text + 1], length = 0, word;
    *content = prompt;
    content->at = at + 1;
    if (k > first && turns->parts[k - 1].token < 0) {
        k--;
        if (!read_on(content, words_of_part(turns, k), &length))
            return 0;
    }
    while (k > first && prompt.tokens[at] == turns->parts[k - 1].token) {
        length++;
        k--;
        if (k == first)
            return length;
        uint32_t begin = at;
        while (begin && !is_control(prompt.tokenizer, prompt.tokens[begin - 1]))
            begin--;
        tini_words between = prompt;
        between.at = begin;
        between.count = at;
        if (!begin || !read_on(&between, words_of_part(turns, k), &length) || tini_words_next(&between, &word))
            return 0;
        at = begin - 1;
    }
    return 0;
}

/* Where the content ends: at the first control token that the template writes behind a user's. */
static uint32_t closed(const tini_turns *turns, uint32_t table, tini_words content) {
    static const uint8_t behind[] = {TINI_TURN_END_USER, TINI_TURN_ANSWER};
    int32_t end = -1;
    for (uint32_t n = 0; n < 2 && end < 0; n++) {
        const uint32_t *first = turns->first + table * TINI_TURN_TEXTS + behind[n];
        for (uint32_t k = first[0]; k < first[1] && end < 0; k++)
            end = turns->parts[k].token;
    }
    uint32_t at = content.at;
    while (at < content.count && (end < 0 || content.tokens[at] != end))
        at++;
    return at;
}

/* Whether the text ends where a content begins: what is before a first message does, where there is nothing between. */
static int is_opening(const uint32_t *table, uint32_t text) {
    return (text != TINI_TURN_START && text != TINI_TURN_END_SYSTEM) ||
           table[TINI_TURN_FIRST_USER] == table[TINI_TURN_FIRST_USER + 1];
}

tini_words tini_question(const tin_model *model, const int32_t *prompt, uint32_t count) {
    const tini_turns *turns = tini_model_turns(model);
    tini_words whole = tini_words_of(model, prompt, count), content = whole, found;
    for (uint32_t at = count; turns->header && at--;) {
        uint32_t longest = 0, table = 0, opening = 0;
        if (!is_control(whole.tokenizer, prompt[at]))
            continue;
        for (uint32_t n = 0; n < turns->header->tables * OPENINGS; n++) {
            uint32_t begin = n / OPENINGS * TINI_TURN_TEXTS, text = openings[n % OPENINGS], length = 0;
            if (is_opening(turns->first + begin, text))
                length = opened(turns, begin + text, whole, at, &found);
            if (length <= longest)
                continue;
            longest = length;
            content = found;
            table = n / OPENINGS;
            opening = n % OPENINGS;
        }
        if (longest && opening < OF_A_TOOL) {
            content.count = closed(turns, table, content);
            return content;
        }
    }
    return whole;
}

TINI_REGION_END
