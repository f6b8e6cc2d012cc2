/* Formats of words: blocks whose numbers are looked up or computed, not read from planes of bits.
 *
 * But for its float16 scale, a row's block is `words` words of 4 bytes, in GGUF's order and little-endian: `stride` bytes apart,
 * 4 in GGUF and 4 * TINI_TILE in a tile. Below, s is a sub-block of 32 inputs and pair h = 0 .. 3 its inputs 8h .. 8h + 7.
 *
 *   tq1_0    five trits a byte, the first at the top of byte * 3^n mod 256, of inputs 32 apart in words 0 .. 7 and 16 apart
 *            in words 8 .. 11, and four a byte of inputs 4 apart in word 12
 *   iq3_s    words 0 .. 15: a byte for each 4 inputs, the lower 8 bits of a grid point's place; 16, 17: the ninth bits; 18 ..
 *            25: signs; 26: a scale of 4 bits a sub-block
 *   iq3_xxs  0 .. 15: places; 16 .. 23, one a sub-block: four times 7 signs, a scale of 4 bits
 *   iq2_s    0 .. 7: a byte for each 8 inputs; 8 .. 15: signs; 16, 17: the places' bits 8 and 9; 18, 19: two scales a sub-block
 *   iq2_xs   0 .. 15: two halves, each 9 bits of place and 7 of signs; 16, 17: two scales a sub-block
 *   iq2_xxs  two words a sub-block: four places; four times 7 signs, a scale of 4 bits
 *
 * Where 8 inputs have 7 bits of signs, the number of minuses is even. A scale is 2 b + 1 for its bits b. Where a format has one
 * a sub-block, or none, both halves of the sub-block have it, or 1.
 *
 * A matmul widens a block at a time to numbers of 8 bits (isa/scalar/words.c), so that an instruction set has one for all. */
#ifndef TINI_WORDS_H
#define TINI_WORDS_H

#include <string.h>

#include "formats.h"
#include "grids.h"
#include "kernel.h"

TINI_REGION_SCALAR

/* What d is multiplied by: some of these formats count in fractions of it. */
TINI_INLINE float tini_unit(const int format) {
    switch (format) {
    case TINI_FORMAT_IQ2_XXS:
    case TINI_FORMAT_IQ2_XS:
    case TINI_FORMAT_IQ2_S:
        return 0.125f;
    case TINI_FORMAT_IQ3_XXS:
        return 0.25f;
    }
    return 1.0f;
}

/* What the points of a format are chosen from. */
typedef struct tini_grid {
    const uint16_t *points; /* as grids.c has them */
    uint32_t count, bits;   /* points, and bits of a level in one: 2 of eight inputs, or 4 of four */
} tini_grid;

/* What four levels, a byte each, stand for: 8, 25, 43; 4, 12, .. 52, 62; 1, 3, .. 15. */
TINI_INLINE uint32_t tini_level_values(uint32_t levels, const int format) {
    switch (format) {
    case TINI_FORMAT_IQ3_S:
        return levels * 2 + 0x01010101u;
    case TINI_FORMAT_IQ3_XXS:
        return levels * 8 + 0x04040404u + ((levels & levels >> 1 & levels >> 2 & 0x01010101u) << 1);
    }
    return levels * 17 + 0x08080808u + (levels >> 1 & 0x01010101u);
}

/* No bits where the format has none. */
TINI_INLINE tini_grid tini_grid_of(const int format) {
    tini_grid grid = {tini_grids, 0, 0};
    switch (format) {
#define TINI_GRID_CASE(NAME, size, width)            \
    case TINI_FORMAT_##NAME:                         \
        grid.points = tini_grids + TINI_GRID_##NAME; \
        grid.count = size;                           \
        grid.bits = width;                           \
        break;
        TINI_GRID_CASE(IQ2_XXS, 256, 2)
        TINI_GRID_CASE(IQ2_XS, 512, 2)
        TINI_GRID_CASE(IQ2_S, 1024, 2)
        TINI_GRID_CASE(IQ3_XXS, 256, 4)
        TINI_GRID_CASE(IQ3_S, 512, 4)
#undef TINI_GRID_CASE
    }
    return grid;
}

/* No byte carries into the next. */
TINI_INLINE uint32_t tini_negate(uint32_t values, uint32_t signs, uint32_t g) {
    const uint32_t flip = ((signs >> 4 * g & 15) * 0x00204081u & 0x01010101u) * 127;
    return ((values - 0x80808080u) ^ flip) + (0x80808080u - flip);
}

/* Whether both halves of a sub-block have one small scale. */
TINI_INLINE int tini_scales_are_even(const int format) {
    return format != TINI_FORMAT_IQ2_S && format != TINI_FORMAT_IQ2_XS;
}

#define TINI_WORDS uint32_t
#define TINI_WORDS_OF(name) tini_##name
#define TINI_EACH TINI_ROLLED
#define TINI_SELECT(mask, a, b) (((a) & (mask)) | ((b) & ~(mask)))
#define TINI_VALUES(levels, table, format) (tini_level_values(levels, format) + 0x80808080u)
#define TINI_NEGATE tini_negate
#include "words_lanes.h"
#undef TINI_WORDS
#undef TINI_WORDS_OF
#undef TINI_EACH
#undef TINI_SELECT
#undef TINI_VALUES
#undef TINI_NEGATE

TINI_REGION_END

/* q: the numbers of a row's block, plus 128; scale: the small scale of each 16. */
void tini_widen_row(uint8_t *q, uint8_t *scale, const uint8_t *words, uint32_t stride, int format);

/* What matmuls read instead: a format of planes as the others are, though no file has it. A row's block is its float16 scale, a
 * byte for each small scale and one for each number, plus 128. */
enum {
    TINI_FORMAT_WIDE = TINI_FORMAT_COUNT,
    TINI_FORMAT_EVEN, /* the same, where both scales of each sub-block are one */
    TINI_WIDE_HALVES = 2,
    TINI_WIDE_SCALES = 16,
    TINI_WIDE_BYTES = 2 + 16 + 256
};

/* A tile's block before its points and signs are numbers: of each sub-block, as words_lanes.h has them. */
enum { TINI_SUBS = 256 / TINI_BLOCK };
typedef struct tini_parts {
    _Alignas(64) uint16_t places[TINI_SUBS * 4][2 * TINI_TILE];
    uint16_t points[TINI_SUBS * 4][2 * TINI_TILE];
    uint32_t signs[TINI_SUBS][TINI_TILE];
} tini_parts;

/* wide, words: a tile's block, but for its float16 scales. */
typedef void tini_widen_fn(uint8_t *wide, const uint8_t *words, int format);

void tini_widen(uint8_t *wide, const uint8_t *words, int format);

#endif
