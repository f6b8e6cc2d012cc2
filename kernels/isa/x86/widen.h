/* What each set's widen.c includes, with
 *
 * TINI_WIDEN_SET(name)          a name of the set
 * TINI_WORDS, TINI_BYTES  vectors of words, and of as many bytes
 * TINI_LOOK_UP(place)     tini_grids at each place (core/base/words_lanes.h) */

#define TINI_WORDS_OF(name) TINI_WIDEN_SET(name)
#include "../../core/base/words_lanes.h"
#undef TINI_WORDS_OF

TINI_INLINE void TINI_WIDEN_SET(widen_rows)(uint8_t *scales, uint8_t *numbers, const uint8_t *words,
                                            const int format) {
    for (uint32_t s = 0; s < TINI_QUANTS / TINI_BLOCK; s++) {
        for (uint32_t half = 0; half < 2; half++, scales += TINI_TILE) {
            const TINI_BYTES scale =
                __builtin_convertvector(TINI_WIDEN_SET(words_scale)(words, 64, s, half, format), TINI_BYTES);
            memcpy(scales, &scale, sizeof scale);
        }
        for (uint32_t h = 0; h < 4; h++, numbers += 128) {
            TINI_WORDS pair[2];
            TINI_WIDEN_SET(pair)(pair, words, 64, s, h, format);
            memcpy(numbers, &pair[0], sizeof pair[0]);
            memcpy(numbers + 64, &pair[1], sizeof pair[1]);
        }
    }
}

/* The format is asked for again and again, but only once for so many rows: six loops would take a kilobyte each. */
void TINI_WIDEN_SET(widen)(uint8_t *wide, const uint8_t *words, int format) {
    uint8_t *numbers = wide + TINI_TILE * TINI_WIDE_SCALES;
    for (uint32_t row = 0; row < TINI_TILE; row += sizeof(TINI_BYTES))
        TINI_WIDEN_SET(widen_rows)(wide + row, numbers + 4 * row, words + 4 * row, format);
}
