/* words.h for one word, or for those of as many rows as a vector has lanes: included with
 *
 * TINI_WORDS                         uint32_t, or a vector of them
 * TINI_WORDS_OF(name)                a name for it
 * TINI_EACH                          before a loop over a sub-block's words: TINI_UNROLL or TINI_ROLLED
 * TINI_SELECT(mask, a, b)            bits of a where the mask has them, else of b
 * TINI_VALUES(levels, table, format) what the level in each byte stands for, plus 128; the table: that of each level
 * TINI_NEGATE(values, signs, g)      those, negative in byte i where bit 4 g + i of the signs is set, plus 128 */

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

/* Each byte's eighth sign above seven: the number of minuses is even. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(eight_signs)(TINI_WORDS seven) {
    TINI_WORDS odd = seven ^ seven >> 4;
    odd ^= odd >> 2;
    return seven | ((odd ^ odd >> 1) & 0x01010101u) << 7;
}

/* The signs of sub-block s, those of pair h in byte h. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(signs)(const uint8_t *words, const uint32_t stride, uint32_t s,
                                            const int format) {
    TINI_WORDS first, last;
    switch (format) {
    case TINI_FORMAT_IQ3_S:
        return TINI_WORDS_OF(word)(words, 18 + s, stride);
    case TINI_FORMAT_IQ2_S:
        return TINI_WORDS_OF(word)(words, 8 + s, stride);
    case TINI_FORMAT_IQ2_XS:
        first = TINI_WORDS_OF(word)(words, 2 * s, stride);
        last = TINI_WORDS_OF(word)(words, 2 * s + 1, stride);
        return TINI_WORDS_OF(eight_signs)((first >> 9 & 0x7f) | (first >> 17 & 0x7f00) |
                                          (last << 7 & 0x7f0000) | (last >> 1 & 0x7f000000));
    }
    first = TINI_WORDS_OF(word)(words, format == TINI_FORMAT_IQ2_XXS ? 2 * s + 1 : 16 + s, stride);
    return TINI_WORDS_OF(eight_signs)((first & 0x7f) | (first << 1 & 0x7f00) | (first << 2 & 0x7f0000) |
                                      (first << 3 & 0x7f000000));
}

/* The places in their grid of points k and k + 2 of sub-block s, in the lower and the upper half; k is 0 or 1, or where points
 * have four inputs 4 or 5 too. */
TINI_INLINE TINI_WORDS TINI_WORDS_OF(places)(const uint8_t *words, const uint32_t stride, uint32_t s,
                                             const uint32_t k, const int format) {
    if (format == TINI_FORMAT_IQ2_XS) {
        const TINI_WORDS first = TINI_WORDS_OF(word)(words, 2 * s, stride),
                         last = TINI_WORDS_OF(word)(words, 2 * s + 1, stride);
        return (first >> 16 * k & 0x1ff) | (last << 16 * (1 - k) & 0x1ff0000);
    }
    const uint32_t at = format == TINI_FORMAT_IQ2_S ? s : 2 * s + k / 4;
    const TINI_WORDS place = TINI_WORDS_OF(word)(words, at, stride) >> 8 * (k % 4) & 0x00ff00ff;
    const uint32_t bits = format == TINI_FORMAT_IQ3_S ? 1 : format == TINI_FORMAT_IQ2_S ? 2 : 0;
    if (!bits)
        return place;
    const uint32_t mask = ((1u << bits) - 1) << 8;
    const TINI_WORDS high = TINI_WORDS_OF(word)(words, 16 + s / 4, stride) >> 8 * (s % 4);
    return place | (high << (8 - bits * k) & mask) | (high << (24 - bits * (k + 2)) & mask << 16);
}

/* Entries k and k + 2, and k + 1 and k + 3, to bytes in the order of inputs: byte i of the first word has in its lower half
 * entry k's levels of input i (and 4 + i), in its upper half entry k + 1's. */
TINI_INLINE void TINI_WORDS_OF(levels)(TINI_WORDS out[2], TINI_WORDS even, TINI_WORDS odd) {
    const TINI_WORDS low = TINI_SELECT(0x0f0f0f0fu, even, odd << 4);
    const TINI_WORDS high = TINI_SELECT(0x0f0f0f0fu, even >> 4, odd);
    out[0] = TINI_SELECT(0xffffu, low, high << 16);
    out[1] = TINI_SELECT(0xffffu, low >> 16, high);
}

/* A sub-block's numbers plus 128, inputs 4g .. 4g + 3 in word g, of its signs and of the entries at its places. bits: of a
 * level. */
TINI_INLINE void TINI_WORDS_OF(sub_numbers)(TINI_WORDS out[8], const TINI_WORDS *point, TINI_WORDS signs,
                                            const uint8_t *table, const uint32_t bits, const int format) {
    (void)table, (void)format;
    TINI_WORDS level[4];
    TINI_UNROLL for (uint32_t k = 0; k < bits; k += 2) TINI_WORDS_OF(levels)(level + k, point[k], point[k + 1]);
    TINI_EACH for (uint32_t g = 0; g < 8; g++) {
        const TINI_WORDS four =
            level[g * bits / 8] >> bits * (g % (8 / bits)) & 0x01010101u * ((1u << bits) - 1);
        out[g] = TINI_NEGATE(TINI_VALUES(four, table, format), signs, g);
    }
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
