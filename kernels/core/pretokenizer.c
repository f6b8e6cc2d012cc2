#include "pretokenizer.h"
#include "unicode.h"

enum { PAST_TEXT = TINI_SPACE + 1 }; /* the class of what is past the text */

typedef struct character {
    uint32_t class, bytes;
} character;

static int continues(const uint8_t *text, size_t length, uint32_t count) {
    if (length <= count)
        return 0;
    for (uint32_t i = 1; i <= count; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return 1;
}

/* Well-formed UTF-8 as Unicode's table 3-7 has it: no overlong forms, no surrogates, at most U+10FFFF. */
static character read_character(const uint8_t *text, size_t length) {
    if (length == 0)
        return (character){PAST_TEXT, 0};
    uint32_t lead = text[0], code;
    if (lead < 0x80)
        return (character){tini_unicode_class(lead), 1};
    if (lead >= 0xC2 && lead < 0xE0 && continues(text, length, 1))
        return (character){tini_unicode_class((lead & 31) << 6 | (text[1] & 63u)), 2};
    if (lead >= 0xE0 && lead < 0xF0 && continues(text, length, 2)) {
        code = (lead & 15) << 12 | (text[1] & 63u) << 6 | (text[2] & 63u);
        if (code >= 0x800 && (code < 0xD800 || code > 0xDFFF))
            return (character){tini_unicode_class(code), 3};
    }
    if (lead >= 0xF0 && lead < 0xF5 && continues(text, length, 3)) {
        code = (lead & 7) << 18 | (text[1] & 63u) << 12 | (text[2] & 63u) << 6 | (text[3] & 63u);
        if (code >= 0x10000 && code < 0x110000)
            return (character){tini_unicode_class(code), 4};
    }
    return (character){TINI_OTHER, 1};
}

/* Bytes of the characters of one class that text begins with. */
static size_t run_of(const uint8_t *text, size_t length, uint32_t class) {
    size_t at = 0;
    character c;
    while ((c = read_character(text + at, length - at)).class == class)
        at += c.bytes;
    return at;
}

/* 's 't 'm 'd 're 've 'll, or 0. */
static size_t contraction(const uint8_t *text, size_t length) {
    if (length < 2 || text[0] != '\'')
        return 0;
    uint8_t a = text[1], b = length > 2 ? text[2] : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* White space up to where a word begins: its last character is left to the word, unless it is the only one. */
static size_t white_space(const uint8_t *text, size_t length, int digits_alone) {
    size_t at = 0, last = 0;
    character c;
    while ((c = read_character(text + at, length - at)).class == TINI_SPACE) {
        last = at;
        at += c.bytes;
    }
    int ends = c.class == PAST_TEXT || (digits_alone && c.class == TINI_NUMBER);
    return ends || last == 0 ? at : last;
}

/* GPT-2's pattern (Radford et al. 2019), leftmost alternative first:
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * With digits_alone every number is a piece and ends the text that the pattern sees before it. */
static size_t split(const uint8_t *text, size_t length, int digits_alone) {
    size_t bytes = contraction(text, length);
    if (bytes)
        return bytes;
    size_t space = text[0] == ' ';
    character c = read_character(text + space, length - space);
    if (digits_alone && c.class == TINI_NUMBER)
        return space ? space : c.bytes;
    if (c.class == TINI_SPACE || c.class == PAST_TEXT)
        return white_space(text, length, digits_alone);
    return space + run_of(text + space, length - space, c.class);
}

static size_t split_gpt2(const uint8_t *text, size_t length) {
    return split(text, length, 0);
}

static size_t split_smollm(const uint8_t *text, size_t length) {
    return split(text, length, 1);
}

static const struct {
    const char *name;
    tini_split_fn *split;
} pretokenizers[] = {
    {"gpt-2", split_gpt2},
    {"smollm", split_smollm},
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
