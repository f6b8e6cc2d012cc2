#include "pretokenizer.h"
#include "../base/utf8.h"
#include "unicode.h"

enum { PAST_TEXT = 8 }; /* the class of what is past the text */

typedef struct character {
    uint32_t class, bytes;
} character;

static inline character read_character(const uint8_t *text, size_t length) {
    uint32_t code, bytes;
    if (length == 0)
        return (character){PAST_TEXT, 0};
    bytes = tini_utf8_read(text, length, &code);
    return (character){tini_unicode_class(code), bytes};
}

/* Sets of classes, one bit each. */
enum {
    MARKS = 1 << TINI_MARK,
    SPACES = 1 << TINI_SPACE,
    NUMBERS = 1 << TINI_NUMBER,
    LETTERS = 1 << TINI_UPPER | 1 << TINI_LOWER | 1 << TINI_LETTER,
    WORDS = LETTERS | MARKS,
    SYMBOLS = 1 << TINI_OTHER | MARKS,
    /* A letter that is neither upper nor lower case counts as both, as a mark does. */
    BEGINNINGS = 1 << TINI_UPPER | 1 << TINI_LETTER | MARKS,
    ENDINGS = 1 << TINI_LOWER | 1 << TINI_LETTER | MARKS
};

static inline int is_in(character c, uint32_t set) {
    return (int)(set >> c.class & 1);
}

/* Bytes of the characters of a set that text begins with, at most `most` characters. */
static inline size_t run_of(const uint8_t *text, size_t length, uint32_t set, uint32_t most) {
    size_t at = 0;
    for (; most; most--) {
        character c = read_character(text + at, length - at);
        if (!is_in(c, set))
            break;
        at += c.bytes;
    }
    return at;
}

static int is_break(uint8_t byte) {
    return byte == '\r' || byte == '\n';
}

/* 's 't 'm 'd 're 've 'll in this case or, with any_case, in any (U+017F is a long s); or 0. */
static size_t contraction(const uint8_t *text, size_t length, int any_case) {
    if (length < 2 || text[0] != '\'')
        return 0;
    uint8_t fold = any_case ? 0x20 : 0, a = text[1] | fold, b = length > 2 ? text[2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (any_case && length > 2 && text[1] == 0xC5 && text[2] == 0xBF)
        return 3;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* White space up to where a word begins: its last character is left to the word, unless it is the only one.
 * breaks: up to the last line break in it, if there is one. */
static size_t white_space(const uint8_t *text, size_t length, int digits_alone, int breaks) {
    size_t at = 0, last = 0, broken = 0;
    character c;
    while ((c = read_character(text + at, length - at)).class == TINI_SPACE) {
        last = at;
        at += c.bytes;
        if (breaks && is_break(text[last]))
            broken = at;
    }
    int ends = c.class == PAST_TEXT || (digits_alone && c.class == TINI_NUMBER);
    return broken ? broken : ends || last == 0 ? at : last;
}

/* ---- GPT-2 --------------------------------------------------------------------------------------------------- */

/* GPT-2's pattern (Radford et al. 2019), leftmost alternative first:
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * With digits_alone every number is a piece and ends the text that the pattern sees before it. */
static size_t split(const uint8_t *text, size_t length, int digits_alone) {
    size_t bytes = contraction(text, length, 0);
    if (bytes)
        return bytes;
    size_t space = text[0] == ' ';
    character c = read_character(text + space, length - space);
    if (digits_alone && c.class == TINI_NUMBER)
        return space ? space : c.bytes;
    if (c.class == TINI_SPACE || c.class == PAST_TEXT)
        return white_space(text, length, digits_alone, 0);
    uint32_t set = is_in(c, LETTERS) ? LETTERS : is_in(c, NUMBERS) ? NUMBERS : SYMBOLS;
    return space + run_of(text + space, length - space, set, UINT32_MAX);
}

static size_t split_gpt2(const uint8_t *text, size_t length) {
    return split(text, length, 0);
}

static size_t split_smollm(const uint8_t *text, size_t length) {
    return split(text, length, 1);
}

/* ---- Words that take the character before them ------------------------------------------------------------------ */

/* What all these patterns end with, `slash` being / or nothing and M, in one of them, no symbol:
 *   |\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n slash]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t split_rest(const uint8_t *text, size_t length, character c, uint32_t symbols, uint32_t digits,
                         int slash) {
    if (c.class == TINI_NUMBER)
        return run_of(text, length, NUMBERS, digits);
    size_t at = text[0] == ' ', some = run_of(text + at, length - at, symbols, UINT32_MAX);
    if (!some)
        return white_space(text, length, 0, 1);
    at += some;
    while (at < length && (is_break(text[at]) || (slash && text[at] == '/')))
        at++;
    return at;
}

/* Llama 3, Qwen 2 and Qwen 3.5, W being \p{L} or, with marks, [\p{L}\p{M}]:
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?W+ and the rest. */
static inline size_t split_words(const uint8_t *text, size_t length, uint32_t word, uint32_t digits) {
    size_t bytes = contraction(text, length, 1);
    if (bytes)
        return bytes;
    character c = read_character(text, length);
    if (is_in(c, word))
        return run_of(text, length, word, UINT32_MAX);
    if (c.class != TINI_NUMBER && !is_break(text[0])) {
        size_t run = run_of(text + c.bytes, length - c.bytes, word, UINT32_MAX);
        if (run)
            return c.bytes + run;
    }
    return split_rest(text, length, c, SYMBOLS & ~word, digits, 0);
}

static size_t split_llama3(const uint8_t *text, size_t length) {
    return split_words(text, length, LETTERS, 3);
}

static size_t split_qwen2(const uint8_t *text, size_t length) {
    return split_words(text, length, LETTERS, 1);
}

static size_t split_qwen35(const uint8_t *text, size_t length) {
    return split_words(text, length, WORDS, 1);
}

/* ---- Words cut where a capital follows ---------------------------------------------------------------------------- */

/* B*E+, B being [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and E [\p{Ll}\p{Lm}\p{Lo}\p{M}]; what B* takes too much is given back,
 * the last first. 0 when there is no match. */
static size_t cased_word(const uint8_t *text, size_t length) {
    size_t at = 0, both = 0; /* both: behind the last that is in B and E */
    character c;
    while (is_in(c = read_character(text + at, length - at), BEGINNINGS)) {
        at += c.bytes;
        if (is_in(c, ENDINGS))
            both = at;
    }
    return is_in(c, ENDINGS) ? at + run_of(text + at, length - at, ENDINGS, UINT32_MAX) : both;
}

/* OpenAI's o200k and Mistral's tekken, with P [^\r\n\p{L}\p{N}] and C the contractions or nothing:
 *   P?B*E+C?|P?B+E*C? and the rest. */
static size_t split_cased(const uint8_t *text, size_t length, uint32_t digits, int contractions) {
    character c = read_character(text, length);
    size_t before = !is_in(c, LETTERS | NUMBERS) && !is_break(text[0]) ? c.bytes : 0, word = 0;
    if (before && (word = cased_word(text + before, length - before)))
        word += before;
    if (!word)
        word = cased_word(text, length);
    if (!word && (word = run_of(text + before, length - before, BEGINNINGS, UINT32_MAX)))
        word += before;
    if (!word)
        return split_rest(text, length, c, SYMBOLS, digits, 1);
    return word + (contractions ? contraction(text + word, length - word, 1) : 0);
}

static size_t split_o200k(const uint8_t *text, size_t length) {
    return split_cased(text, length, 3, 1);
}

static size_t split_tekken(const uint8_t *text, size_t length) {
    return split_cased(text, length, 1, 0);
}

/* ---- The table ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    tini_split_fn *split;
} pretokenizers[] = {
    {"gpt-2", split_gpt2},    {"smollm", split_smollm}, {"llama-bpe", split_llama3}, {"qwen2", split_qwen2},
    {"qwen35", split_qwen35}, {"gpt-4o", split_o200k},  {"tekken", split_tekken},
};

enum { PRETOKENIZERS = sizeof pretokenizers / sizeof pretokenizers[0] };

tini_split_fn *tini_split_find(const char *name) {
    for (uint32_t k = 0; k < PRETOKENIZERS; k++) {
        const char *a = pretokenizers[k].name, *b = name;
        while (*a && *a == *b)
            a++, b++;
        if (*a == *b)
            return pretokenizers[k].split;
    }
    return NULL;
}

const char *tini_split_name(uint32_t k) {
    return k < PRETOKENIZERS ? pretokenizers[k].name : NULL;
}
