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
 * Where 8 inputs have 7 bits of signs, the number of minuses is even. A scale is 2 b + 1 for its bits b. */
#ifndef TINI_WORDS_H
#define TINI_WORDS_H

#include <string.h>

#include "formats.h"
#include "grids.h"
#include "kernel.h"

TINI_REGION_SCALAR

TINI_INLINE uint32_t tini_word(const uint8_t *words, uint32_t k, const uint32_t stride) {
    uint32_t word;
    memcpy(&word, words + (size_t)k * stride, 4);
    return word;
}

/* d is what the small scales multiply: of these formats, some count in fractions. */
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

/* Each byte of the word times 3^n, then its trit (0, 1 or 2), plus 127. */
TINI_INLINE uint32_t tini_trits(uint32_t word, uint32_t power) {
    uint32_t even = (word & 0x00ff00ffu) * power & 0x00ff00ffu;
    uint32_t odd = (word >> 8 & 0x00ff00ffu) * power & 0x00ff00ffu;
    even = even * 3 >> 8 & 0x00ff00ffu;
    odd = odd * 3 & 0xff00ff00u;
    return (even | odd) + 0x7f7f7f7fu;
}

/* Group g, inputs 4g .. 4g + 3, of sub-block s of tq1_0. */
TINI_INLINE uint32_t tini_trits_four(const uint8_t *words, const uint32_t stride, uint32_t s, uint32_t g) {
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    const uint32_t run = s < 5 ? s : (s - 5) * 2 + g / 4;
    if (s < 5)
        return tini_trits(tini_word(words, g, stride), powers[run]);
    if (run < 5)
        return tini_trits(tini_word(words, 8 + g % 4, stride), powers[run]);
    return tini_trits(tini_word(words, 12, stride), powers[g % 4]);
}

/* Four levels, a byte each, of a grid's entry: of two bits, or of four. */
TINI_INLINE uint32_t tini_two_bits(uint32_t levels) {
    levels = (levels | levels << 12) & 0x000f000fu;
    return (levels | levels << 6) & 0x03030303u;
}

TINI_INLINE uint32_t tini_four_bits(uint32_t levels) {
    levels = (levels | levels << 8) & 0x00ff00ffu;
    return (levels | levels << 4) & 0x0f0f0f0fu;
}

/* What levels stand for: 8, 25, 43; 4, 12, .. 52, 62; 1, 3, .. 15. */
TINI_INLINE uint32_t tini_level_values(uint32_t levels, const int format) {
    switch (format) {
    case TINI_FORMAT_IQ3_S:
        return levels * 2 + 0x01010101u;
    case TINI_FORMAT_IQ3_XXS:
        return levels * 8 + 0x04040404u + ((levels & levels >> 1 & levels >> 2 & 0x01010101u) << 1);
    }
    return levels * 17 + 0x08080808u + (levels >> 1 & 0x01010101u);
}

/* Four values, the i-th negative where bit i of signs is set, plus 128: no byte carries into the next. */
TINI_INLINE uint32_t tini_signed_values(uint32_t values, uint32_t signs) {
    const uint32_t flip = ((signs & 15) * 0x00204081u & 0x01010101u) * 127;
    return (values ^ flip) + (0x80808080u - flip);
}

/* The eighth sign, of which there are an even number. */
TINI_INLINE uint32_t tini_eight_signs(uint32_t seven) {
    uint32_t odd = seven ^ seven >> 4;
    odd ^= odd >> 2;
    return seven | ((odd ^ odd >> 1) & 1) << 7;
}

TINI_INLINE uint32_t tini_signs(const uint8_t *words, const uint32_t stride, uint32_t s, uint32_t h,
                                const int format) {
    switch (format) {
    case TINI_FORMAT_IQ3_S:
        return tini_word(words, 18 + s, stride) >> 8 * h & 255;
    case TINI_FORMAT_IQ2_S:
        return tini_word(words, 8 + s, stride) >> 8 * h & 255;
    case TINI_FORMAT_IQ2_XS:
        return tini_eight_signs(tini_word(words, 2 * s + h / 2, stride) >> (16 * (h % 2) + 9) & 127);
    case TINI_FORMAT_IQ2_XXS:
        return tini_eight_signs(tini_word(words, 2 * s + 1, stride) >> 7 * h & 127);
    }
    return tini_eight_signs(tini_word(words, 16 + s, stride) >> 7 * h & 127);
}

/* The levels of pair h, as two entries of four inputs' levels (IQ3), or as one of eight's, halved. */
TINI_INLINE void tini_pair_levels(uint32_t levels[2], const uint8_t *words, const uint32_t stride, uint32_t s,
                                  uint32_t h, const int format) {
    uint32_t place = 0, high;
    switch (format) {
    case TINI_FORMAT_IQ3_S:
    case TINI_FORMAT_IQ3_XXS:
        place = tini_word(words, 2 * s + h / 2, stride) >> 16 * (h % 2);
        high = format == TINI_FORMAT_IQ3_S ? tini_word(words, 16 + s / 4, stride) >> (8 * (s % 4) + 2 * h) : 0;
        {
            const uint16_t *grid =
                tini_grids + (format == TINI_FORMAT_IQ3_S ? TINI_GRID_IQ3_S : TINI_GRID_IQ3_XXS);
            levels[0] = tini_four_bits(grid[(place & 255) | (high & 1) << 8]);
            levels[1] = tini_four_bits(grid[(place >> 8 & 255) | (high >> 1 & 1) << 8]);
        }
        return;
    case TINI_FORMAT_IQ2_S:
        high = tini_word(words, 16 + s / 4, stride) >> (8 * (s % 4) + 2 * h) & 3;
        place = TINI_GRID_IQ2_S + ((tini_word(words, s, stride) >> 8 * h & 255) | high << 8);
        break;
    case TINI_FORMAT_IQ2_XS:
        place = TINI_GRID_IQ2_XS + (tini_word(words, 2 * s + h / 2, stride) >> 16 * (h % 2) & 511);
        break;
    case TINI_FORMAT_IQ2_XXS:
        place = TINI_GRID_IQ2_XXS + (tini_word(words, 2 * s, stride) >> 8 * h & 255);
        break;
    }
    levels[0] = tini_two_bits(tini_grids[place] & 255u);
    levels[1] = tini_two_bits(tini_grids[place] >> 8);
}

/* The numbers of pair h, four a word, plus 128. */
TINI_INLINE void tini_pair(uint32_t out[2], const uint8_t *words, const uint32_t stride, uint32_t s, uint32_t h,
                           const int format) {
    if (format == TINI_FORMAT_TQ1_0) {
        out[0] = tini_trits_four(words, stride, s, 2 * h);
        out[1] = tini_trits_four(words, stride, s, 2 * h + 1);
        return;
    }
    const uint32_t signs = tini_signs(words, stride, s, h, format);
    tini_pair_levels(out, words, stride, s, h, format);
    out[0] = tini_signed_values(tini_level_values(out[0], format), signs);
    out[1] = tini_signed_values(tini_level_values(out[1], format), signs >> 4);
}

/* The small scale of the first (half = 0) or last 16 inputs of sub-block s. */
TINI_INLINE int32_t tini_words_scale(const uint8_t *words, const uint32_t stride, uint32_t s, uint32_t half,
                                     const int format) {
    uint32_t bits = 0;
    switch (format) {
    case TINI_FORMAT_TQ1_0:
        break;
    case TINI_FORMAT_IQ3_S:
        bits = tini_word(words, 26, stride) >> 4 * s & 15;
        break;
    case TINI_FORMAT_IQ3_XXS:
        bits = tini_word(words, 16 + s, stride) >> 28;
        break;
    case TINI_FORMAT_IQ2_S:
        bits = tini_word(words, 18 + s / 4, stride) >> (8 * (s % 4) + 4 * half) & 15;
        break;
    case TINI_FORMAT_IQ2_XS:
        bits = tini_word(words, 16 + s / 4, stride) >> (8 * (s % 4) + 4 * half) & 15;
        break;
    case TINI_FORMAT_IQ2_XXS:
        bits = tini_word(words, 2 * s + 1, stride) >> 28;
        break;
    }
    return (int32_t)(2 * bits + 1);
}

/* Sub-block s of `rows` rows of a tile, as a plane of 8 bits: w[8][rows][4], plus 128. words: the first row's. */
TINI_INLINE void tini_widen_numbers(uint8_t *w, const uint8_t *words, uint32_t s, const uint32_t rows,
                                    const int format) {
    TINI_UNROLL
    for (uint32_t h = 0; h < 4; h++) {
        for (uint32_t row = 0; row < rows; row++) {
            uint32_t pair[2];
            tini_pair(pair, words + 4 * row, 4 * TINI_TILE, s, h, format);
            memcpy(w + 4 * (2 * h * rows + row), &pair[0], 4);
            memcpy(w + 4 * ((2 * h + 1) * rows + row), &pair[1], 4);
        }
    }
}

/* And its small scales: scale[2][rows], of each half. */
TINI_INLINE void tini_widen(uint8_t *w, int8_t *scale, const uint8_t *words, uint32_t s, const uint32_t rows,
                            const int format) {
    tini_widen_numbers(w, words, s, rows, format);
    for (uint32_t half = 0; half < 2; half++)
        for (uint32_t row = 0; row < rows; row++)
            scale[half * rows + row] =
                (int8_t)tini_words_scale(words + 4 * row, 4 * TINI_TILE, s, half, format);
}

TINI_REGION_END

#endif
