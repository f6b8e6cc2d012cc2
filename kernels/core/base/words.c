#include "words.h"

#include "quants.h"

TINI_REGION_SCALAR

TINI_INLINE void widen_row(uint8_t *q, uint8_t *scale, const uint8_t *words, uint32_t stride,
                           const int format) {
    const tini_grid grid = tini_grid_of(format);
    for (uint32_t s = 0; s < TINI_QUANTS / TINI_BLOCK; s++) {
        uint32_t point[4] = {0}, fours[8];
        if (grid.bits) {
            TINI_UNROLL for (uint32_t k = 0; k < grid.bits; k++) {
                point[k] = tini_places(words, stride, s, k / 2 * 4 + k % 2, format);
                point[k] = grid.points[point[k] & 0xffff] | (uint32_t)grid.points[point[k] >> 16] << 16;
            }
            tini_sub_numbers(fours, point, tini_signs(words, stride, s, format), NULL, grid.bits, format);
        }
        for (uint32_t g = 0; g < (grid.bits ? 0 : 8u); g++)
            fours[g] = tini_trits_four(words, stride, s, g);
        memcpy(q + TINI_BLOCK * s, fours, sizeof fours);
        for (uint32_t half = 0; half < 2; half++)
            scale[2 * s + half] = (uint8_t)tini_words_scale(words, stride, s, half, format);
    }
}

#define WIDEN(format) widen_row(q, scale, words, stride, format)
void tini_widen_row(uint8_t *q, uint8_t *scale, const uint8_t *words, uint32_t stride, int format) {
    switch (format) { TIN_FORMATS(TINI_WORDS_CASE, WIDEN, ) }
}
#undef WIDEN

void tini_widen(uint8_t *wide, const uint8_t *words, int format) {
    uint8_t q[TINI_QUANTS], scale[TINI_WIDE_SCALES];
    for (uint32_t lane = 0; lane < TINI_TILE; lane++, wide++) {
        tini_widen_row(q, scale, words + 4 * lane, 4 * TINI_TILE, format);
        for (uint32_t g = 0; g < TINI_WIDE_SCALES; g++)
            wide[TINI_TILE * g] = scale[g];
        uint8_t *numbers = wide + TINI_TILE * TINI_WIDE_SCALES + 3 * lane;
        for (uint32_t i = 0; i < TINI_QUANTS; i += 4)
            memcpy(numbers + TINI_TILE * i, q + i, 4);
    }
}

TINI_REGION_END
