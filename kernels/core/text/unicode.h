/* Made by scripts/unicode_tables.py from Unicode 16.0.0; the tables are in unicode.c. */
#ifndef TINI_UNICODE_H
#define TINI_UNICODE_H

#include <stdint.h>

/* White space is the property White_Space; UPPER is Lu and Lt, LOWER is Ll, LETTER is Lm and Lo, MARK is M,
 * NUMBER is N. All from UPPER on are letters. */
enum { TINI_OTHER, TINI_MARK, TINI_SPACE, TINI_NUMBER, TINI_UPPER, TINI_LOWER, TINI_LETTER };
enum { TINI_UNICODE_GROUPS = 1793 };

/* The row of tini_unicode_blocks for each 512 code points; past the end all are OTHER. */
extern const uint8_t tini_unicode_groups[TINI_UNICODE_GROUPS];

/* The row of tini_unicode_classes for each 16 code points. */
extern const uint16_t tini_unicode_blocks[97 * 32];

/* Two classes a byte, the lower code point in the low four bits. Bit 3 is set where a character may change when
 * text is normalized (NFC), or may change the ones before it. */
extern const uint8_t tini_unicode_classes[546 * 8];

static inline uint32_t tini_unicode_entry(uint32_t code) {
    uint32_t group = code / 512;
    if (group >= TINI_UNICODE_GROUPS)
        return TINI_OTHER;
    uint32_t block = tini_unicode_blocks[tini_unicode_groups[group] * 32 + (code / 16 & 31)];
    return tini_unicode_classes[block * 8 + (code & 15) / 2] >> 4 * (code & 1) & 15;
}

static inline uint32_t tini_unicode_class(uint32_t code) {
    return tini_unicode_entry(code) & 7;
}

#endif
