/* Characters of text that may not be well-formed. */
#ifndef TINI_UTF8_H
#define TINI_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define TINI_NO_CODE 0xFFFFFFFFu

/* Bytes of the character that text[length] begins with, and its code point. Well-formed is what Unicode's table 3-7
 * says: no overlong forms, no surrogates, at most U+10FFFF; any other byte is a character by itself, TINI_NO_CODE.
 * length > 0. */
static inline uint32_t tini_utf8_read(const uint8_t *text, size_t length, uint32_t *code) {
    uint32_t lead = text[0],
             count = lead < 0xE0   ? 2
                     : lead < 0xF0 ? 3
                                   : 4,
             value = lead & (0xFFu >> (count + 1));
    *code = lead;
    if (lead < 0x80)
        return 1;
    *code = TINI_NO_CODE;
    if (lead < 0xC2 || lead > 0xF4 || length < count)
        return 1;
    for (uint32_t i = 1; i < count; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 1;
        value = value << 6 | (text[i] & 63u);
    }
    if ((count == 3 && (value < 0x800 || (value >= 0xD800 && value < 0xE000))) ||
        (count == 4 && (value < 0x10000 || value > 0x10FFFF)))
        return 1;
    *code = value;
    return count;
}

/* Writes a code point as 1 to 4 bytes; returns how many. */
static inline uint32_t tini_utf8_write(uint32_t code, uint8_t *out) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    uint32_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (uint32_t i = count - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 63));
    out[0] = (uint8_t)((count == 2 ? 0xC0 : count == 3 ? 0xE0 : 0xF0) | code);
    return count;
}

#endif
