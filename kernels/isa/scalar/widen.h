/* tini_widen by vectors: what a set's widen.c includes, with what core/base/words_lanes.h wants and
 *
 * TINI_WIDEN_SET(name)  a name of the set
 *
 * and two functions of such names: `look_up` puts the points of the grid that are at `count` places, a multiple of 32, and
 * `store_bytes` stores the low byte of each word. The numbers are the scalar's. */

#define TINI_LANES (sizeof(TINI_WORDS) / sizeof(uint32_t))
#define TINI_EACH TINI_UNROLL
#define TINI_WORDS_OF(name) TINI_WIDEN_SET(name)
#include "../../core/base/words_lanes.h"
#undef TINI_WORDS_OF

/* A loop for each format, as it is short. */
TINI_INLINE void TINI_WIDEN_SET(take_apart)(tini_parts *parts, uint8_t *scales, const uint8_t *words,
                                            const uint32_t bits, const int format) {
    for (uint32_t s = 0; s < TINI_SUBS; s++) {
        for (uint32_t row = 0; row < TINI_TILE; row += TINI_LANES) {
            const uint8_t *at = words + 4 * row;
            TINI_UNROLL for (uint32_t half = 0; half < 2; half++)
                TINI_WIDEN_SET(store_bytes)(scales + TINI_TILE * (2 * s + half) + row,
                                            TINI_WIDEN_SET(words_scale)(at, 64, s, half, format));
            TINI_UNROLL for (uint32_t k = 0; k < bits; k++) {
                const TINI_WORDS places = TINI_WIDEN_SET(places)(at, 64, s, k / 2 * 4 + k % 2, format);
                memcpy(parts->places[bits * s + k] + 2 * row, &places, sizeof places);
            }
            const TINI_WORDS signs = TINI_WIDEN_SET(signs)(at, 64, s, format);
            memcpy(parts->signs[s] + row, &signs, sizeof signs);
        }
    }
}

TINI_INLINE void TINI_WIDEN_SET(put_together)(uint8_t *numbers, const tini_parts *parts, const uint8_t *table,
                                              const uint32_t bits) {
    for (uint32_t s = 0; s < TINI_SUBS; s++, numbers += TINI_BLOCK * TINI_TILE) {
        for (uint32_t row = 0; row < TINI_TILE; row += TINI_LANES) {
            TINI_WORDS point[4], signs, out[8];
            TINI_UNROLL for (uint32_t k = 0; k < bits; k++)
                memcpy(&point[k], parts->points[bits * s + k] + 2 * row, sizeof point[k]);
            memcpy(&signs, parts->signs[s] + row, sizeof signs);
            TINI_WIDEN_SET(sub_numbers)(out, point, signs, table, bits, 0);
            TINI_UNROLL for (uint32_t g = 0; g < 8; g++)
                memcpy(numbers + 4 * (TINI_TILE * g + row), &out[g], sizeof out[g]);
        }
    }
}

TINI_INLINE void TINI_WIDEN_SET(widen_trits)(uint8_t *scales, uint8_t *numbers, const uint8_t *words) {
    memset(scales, 1, TINI_TILE * TINI_WIDE_SCALES);
    for (uint32_t s = 0; s < TINI_SUBS; s++) {
        for (uint32_t g = 0; g < 8; g++, numbers += 4 * TINI_TILE) {
            for (uint32_t row = 0; row < TINI_TILE; row += TINI_LANES) {
                const TINI_WORDS four = TINI_WIDEN_SET(trits_four)(words + 4 * row, 64, s, g);
                memcpy(numbers + 4 * row, &four, sizeof four);
            }
        }
    }
}

void TINI_WIDEN_SET(widen)(uint8_t *wide, const uint8_t *words, int format) {
    enum { AHEAD = 4096 }; /* bytes, where memory is asked for; it may lie past the end */
    const tini_kind kind = tini_kind_of(format);
    const tini_grid grid = tini_grid_of(format);
    uint8_t *numbers = wide + TINI_TILE * TINI_WIDE_SCALES;
    tini_parts parts;
    tini_ask(words + AHEAD, TINI_TILE * tini_kind_bytes(&kind));
    switch (format) {
#define TINI_TAKE_APART(NAME, bits)                                                \
    case TINI_FORMAT_##NAME:                                                       \
        TINI_WIDEN_SET(take_apart)(&parts, wide, words, bits, TINI_FORMAT_##NAME); \
        break;
        TINI_TAKE_APART(IQ3_S, 4)
        TINI_TAKE_APART(IQ3_XXS, 4)
        TINI_TAKE_APART(IQ2_S, 2)
        TINI_TAKE_APART(IQ2_XS, 2)
        TINI_TAKE_APART(IQ2_XXS, 2)
#undef TINI_TAKE_APART
    default:
        TINI_WIDEN_SET(widen_trits)(wide, numbers, words);
        return;
    }
    const uint32_t values[4] = {tini_level_values(0x03020100, format) + 0x80808080u,
                                tini_level_values(0x07060504, format) + 0x80808080u};
    const uint8_t *table = (const uint8_t *)values;
    TINI_WIDEN_SET(look_up)(parts.points[0], parts.places[0], TINI_SUBS * grid.bits * 2 * TINI_TILE, &grid);
    if (grid.bits == 2)
        TINI_WIDEN_SET(put_together)(numbers, &parts, table, 2);
    else
        TINI_WIDEN_SET(put_together)(numbers, &parts, table, 4);
}
#undef TINI_EACH
#undef TINI_LANES
