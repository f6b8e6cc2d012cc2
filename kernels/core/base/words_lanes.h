/* words.h for one word, or for those of as many rows as a vector has lanes: included with
 *
 * TINI_WORDS           uint32_t, or a vector of them
 * TINI_WORDS_OF(name)  a name for it
 * TINI_LOOK_UP(place)  tini_grids at the place, or at those of all lanes */

TINI_INLINE TINI_WORDS TINI_WORDS_OF(word)(const uint8_t *words, uint32_t k, const uint32_t stride) {
    TINI_WORDS word;
    memcpy(&word, words + (size_t)k * stride, sizeof word);
    return word;
}

/* Each byte of the word times 3^n, then its trit (0, 1 or 2), plus 127. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(trits)(TINI_WORDS word, uint32_t power) {
    TINI_WORDS even = (word & 0x00ff00ffu) * power & 0x00ff00ffu;
    TINI_WORDS odd = (word >> 8 & 0x00ff00ffu) * power & 0x00ff00ffu;
    even = even * 3 >> 8 & 0x00ff00ffu;
    odd = odd * 3 & 0xff00ff00u;
    return (even | odd) + 0x7f7f7f7fu;
}

/* Group g, inputs 4g .. 4g + 3, of sub-block s of tq1_0. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(trits_four)(const uint8_t *words, const uint32_t stride, uint32_t s,
                                                 uint32_t g) {
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    const uint32_t run = s < 5 ? s : (s - 5) * 2 + g / 4;
    if (s < 5)
        return TINI_WORDS_OF(trits)(TINI_WORDS_OF(word)(words, g, stride), powers[run]);
    if (run < 5)
        return TINI_WORDS_OF(trits)(TINI_WORDS_OF(word)(words, 8 + g % 4, stride), powers[run]);
    return TINI_WORDS_OF(trits)(TINI_WORDS_OF(word)(words, 12, stride), powers[g % 4]);
}

/* Four levels, a byte each, of a grid's entry: of two bits, or of four. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(two_bits)(TINI_WORDS levels) {
    levels = (levels | levels << 12) & 0x000f000fu;
    return (levels | levels << 6) & 0x03030303u;
}

TINI_INLINE TINI_WORDS TINI_WORDS_OF(four_bits)(TINI_WORDS levels) {
    levels = (levels | levels << 8) & 0x00ff00ffu;
    return (levels | levels << 4) & 0x0f0f0f0fu;
}

/* What levels stand for: 8, 25, 43; 4, 12, .. 52, 62; 1, 3, .. 15. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(level_values)(TINI_WORDS levels, const int format) {
    switch (format) {
    case TINI_FORMAT_IQ3_S:
        return levels * 2 + 0x01010101u;
    case TINI_FORMAT_IQ3_XXS:
        return levels * 8 + 0x04040404u + ((levels & levels >> 1 & levels >> 2 & 0x01010101u) << 1);
    }
    return levels * 17 + 0x08080808u + (levels >> 1 & 0x01010101u);
}

/* Four values, the i-th negative where bit i of signs is set, plus 128: no byte carries into the next. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(signed_values)(TINI_WORDS values, TINI_WORDS signs) {
    const TINI_WORDS flip = ((signs & 15) * 0x00204081u & 0x01010101u) * 127;
    return (values ^ flip) + (0x80808080u - flip);
}

/* The eighth sign, of which there are an even number. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(eight_signs)(TINI_WORDS seven) {
    TINI_WORDS odd = seven ^ seven >> 4;
    odd ^= odd >> 2;
    return seven | ((odd ^ odd >> 1) & 1) << 7;
}

TINI_INLINE TINI_WORDS TINI_WORDS_OF(signs)(const uint8_t *words, const uint32_t stride, uint32_t s, uint32_t h,
                                            const int format) {
    switch (format) {
    case TINI_FORMAT_IQ3_S:
        return TINI_WORDS_OF(word)(words, 18 + s, stride) >> 8 * h & 255;
    case TINI_FORMAT_IQ2_S:
        return TINI_WORDS_OF(word)(words, 8 + s, stride) >> 8 * h & 255;
    case TINI_FORMAT_IQ2_XS:
        return TINI_WORDS_OF(eight_signs)(
            TINI_WORDS_OF(word)(words, 2 * s + h / 2, stride) >> (16 * (h % 2) + 9) & 127);
    case TINI_FORMAT_IQ2_XXS:
        return TINI_WORDS_OF(eight_signs)(TINI_WORDS_OF(word)(words, 2 * s + 1, stride) >> 7 * h & 127);
    }
    return TINI_WORDS_OF(eight_signs)(TINI_WORDS_OF(word)(words, 16 + s, stride) >> 7 * h & 127);
}

/* The levels of pair h, of its first and its last four inputs. */
TINI_INLINE void TINI_WORDS_OF(pair_levels)(TINI_WORDS levels[2], const uint8_t *words, const uint32_t stride,
                                            uint32_t s, uint32_t h, const int format) {
    TINI_WORDS place, high, entry;
    if (format == TINI_FORMAT_IQ3_S || format == TINI_FORMAT_IQ3_XXS) {
        place = TINI_WORDS_OF(word)(words, 2 * s + h / 2, stride) >> 16 * (h % 2);
        entry = (place & 255) + (format == TINI_FORMAT_IQ3_S ? TINI_GRID_IQ3_S : TINI_GRID_IQ3_XXS);
        place = (place >> 8 & 255) + (format == TINI_FORMAT_IQ3_S ? TINI_GRID_IQ3_S : TINI_GRID_IQ3_XXS);
        if (format == TINI_FORMAT_IQ3_S) {
            high = TINI_WORDS_OF(word)(words, 16 + s / 4, stride) >> (8 * (s % 4) + 2 * h);
            entry = entry + ((high & 1) << 8);
            place = place + ((high >> 1 & 1) << 8);
        }
        levels[0] = TINI_WORDS_OF(four_bits)(TINI_LOOK_UP(entry));
        levels[1] = TINI_WORDS_OF(four_bits)(TINI_LOOK_UP(place));
        return;
    }
    if (format == TINI_FORMAT_IQ2_S) {
        high = TINI_WORDS_OF(word)(words, 16 + s / 4, stride) >> (8 * (s % 4) + 2 * h) & 3;
        place = ((TINI_WORDS_OF(word)(words, s, stride) >> 8 * h & 255) | high << 8) + TINI_GRID_IQ2_S;
    } else if (format == TINI_FORMAT_IQ2_XS) {
        place = (TINI_WORDS_OF(word)(words, 2 * s + h / 2, stride) >> 16 * (h % 2) & 511) + TINI_GRID_IQ2_XS;
    } else {
        place = (TINI_WORDS_OF(word)(words, 2 * s, stride) >> 8 * h & 255) + TINI_GRID_IQ2_XXS;
    }
    entry = TINI_LOOK_UP(place);
    levels[0] = TINI_WORDS_OF(two_bits)(entry & 255);
    levels[1] = TINI_WORDS_OF(two_bits)(entry >> 8);
}

/* The numbers of pair h, four a word, plus 128. */
TINI_INLINE void TINI_WORDS_OF(pair)(TINI_WORDS out[2], const uint8_t *words, const uint32_t stride, uint32_t s,
                                     uint32_t h, const int format) {
    if (format == TINI_FORMAT_TQ1_0) {
        out[0] = TINI_WORDS_OF(trits_four)(words, stride, s, 2 * h);
        out[1] = TINI_WORDS_OF(trits_four)(words, stride, s, 2 * h + 1);
        return;
    }
    const TINI_WORDS signs = TINI_WORDS_OF(signs)(words, stride, s, h, format);
    TINI_WORDS_OF(pair_levels)(out, words, stride, s, h, format);
    out[0] = TINI_WORDS_OF(signed_values)(TINI_WORDS_OF(level_values)(out[0], format), signs);
    out[1] = TINI_WORDS_OF(signed_values)(TINI_WORDS_OF(level_values)(out[1], format), signs >> 4);
}

/* The small scale of the first (half = 0) or last 16 inputs of sub-block s. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(words_scale)(const uint8_t *words, const uint32_t stride, uint32_t s,
                                                  uint32_t half, const int format) {
    TINI_WORDS bits = {0};
    switch (format) {
    case TINI_FORMAT_TQ1_0:
        break;
    case TINI_FORMAT_IQ3_S:
        bits = TINI_WORDS_OF(word)(words, 26, stride) >> 4 * s & 15;
        break;
    case TINI_FORMAT_IQ3_XXS:
        bits = TINI_WORDS_OF(word)(words, 16 + s, stride) >> 28;
        break;
    case TINI_FORMAT_IQ2_S:
        bits = TINI_WORDS_OF(word)(words, 18 + s / 4, stride) >> (8 * (s % 4) + 4 * half) & 15;
        break;
    case TINI_FORMAT_IQ2_XS:
        bits = TINI_WORDS_OF(word)(words, 16 + s / 4, stride) >> (8 * (s % 4) + 4 * half) & 15;
        break;
    case TINI_FORMAT_IQ2_XXS:
        bits = TINI_WORDS_OF(word)(words, 2 * s + 1, stride) >> 28;
        break;
    }
    return bits * 2 + 1;
}
