/* Matmul with 8-bit activations by SMLAD: two products of 16 bits, added to 32. A word holds four inputs of a row; its even
 * bytes meet the even activations and its odd ones the odd.
 *
 * Bits equal the scalar's, because every integer sum is exact: 32 products of at most 255 * 127 (and floats: weights.h). */
#ifndef TINI_ARMDSP_BLOCKS_H
#define TINI_ARMDSP_BLOCKS_H

#include <arm_acle.h>

#include "weights.h"

TINI_REGION_ARMDSP

/* A sub-block's activations as pairs of int16: inputs 4g and 4g + 2, then 4g + 1 and 4g + 3. */
typedef struct tini_armdsp_x {
    int16x2_t even[8], odd[8];
    tini_arm_about about;
} tini_armdsp_x;

TINI_INLINE uint32_t tini_armdsp_word(const void *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

TINI_INLINE tini_armdsp_x tini_armdsp_load_x(const tini_q8 *x, const int format) {
    tini_armdsp_x q;
    q.about = (tini_arm_about){x->scale, x->scale * (float)x->sum, x->sum, 0};
    TINI_UNROLL
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t four = tini_armdsp_word(x->q + 4 * g);
        q.even[g] = __sxtb16((int8x4_t)four);
        q.odd[g] = __sxtb16((int8x4_t)__ror(four, 8));
    }
    if (tini_arm_split(format)) {
        TINI_UNROLL
        for (uint32_t g = 0; g < 4; g++) {
            q.about.head = __smlad(q.even[g], 0x00010001, q.about.head);
            q.about.head = __smlad(q.odd[g], 0x00010001, q.about.head);
        }
    }
    return q;
}

/* The numbers of group g, four bytes, of a plane of `bits` an input. */
TINI_INLINE uint32_t tini_armdsp_plane(const uint8_t *plane, uint32_t g, const uint32_t bits) {
    const uint32_t mask = 0x01010101u * ((1u << bits) - 1u);
    return tini_armdsp_word(plane + 4 * TINI_TILE * (g % bits)) >> g / bits * bits & mask;
}

/* IQ4_NL's values for two of four places, as int16. */
TINI_INLINE int16x2_t tini_armdsp_values(uint32_t places) {
    return (int16x2_t)((uint16_t)tini_iq4_nl[places & 15] | (uint32_t)(uint16_t)tini_iq4_nl[places >> 16 & 15]
                                                                << 16);
}

/* sum + group g's four products. low, high: the row's first words in the two planes. */
TINI_INLINE int32_t tini_armdsp_add(int32_t sum, const uint8_t *low, const uint8_t *high, uint32_t g,
                                    const tini_armdsp_x *x, const int format) {
    const tini_kind kind = tini_kind_of(format);
    uint32_t w = tini_armdsp_plane(low, g, kind.low);
    if (kind.high)
        w |= tini_armdsp_plane(high, g, kind.high) << kind.low;
    uint32_t even = w & 0x00ff00ffu, odd = w >> 8 & 0x00ff00ffu;
    if (format == TINI_FORMAT_IQ4_NL)
        even = (uint32_t)tini_armdsp_values(even), odd = (uint32_t)tini_armdsp_values(odd);
    sum = __smlad((int16x2_t)even, x->even[g], sum);
    return __smlad((int16x2_t)odd, x->odd[g], sum);
}

/* Sub-block s of a tile's block w: what each of its rows adds. */
TINI_INLINE void tini_armdsp_block(float acc[TINI_TILE], const uint8_t *w, uint32_t s, const tini_armdsp_x *x,
                                   const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint8_t *high =
        w + TINI_TILE * (kind.halves + kind.scales) + 4 * TINI_TILE * s * (kind.low + kind.high);
    const uint8_t *low = high + 4 * TINI_TILE * kind.high;
    /* Two rows, so that activations are loaded half as often. */
    for (uint32_t lane = 0; lane < TINI_TILE; lane += 2, low += 8, high += 8) {
        int32_t first[2] = {0, 0}, last[2] = {0, 0};
        TINI_UNROLL
        for (uint32_t g = 0; g < 4; g++) {
            first[0] = tini_armdsp_add(first[0], low, high, g, x, format);
            first[1] = tini_armdsp_add(first[1], low + 4, high + 4, g, x, format);
            last[0] = tini_armdsp_add(last[0], low, high, g + 4, x, format);
            last[1] = tini_armdsp_add(last[1], low + 4, high + 4, g + 4, x, format);
        }
        acc[lane] = tini_arm_add(acc[lane], w, s, lane, first[0], last[0], &x->about, format);
        acc[lane + 1] = tini_arm_add(acc[lane + 1], w, s, lane + 1, first[1], last[1], &x->about, format);
    }
}

TINI_INLINE void tini_armdsp_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t blocks = m->inputs / kind.inputs, subs = kind.inputs / TINI_BLOCK;
    const size_t block_bytes = TINI_TILE * tini_kind_bytes(&kind);
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        for (uint32_t t = 0; t < m->rows; t++) {
            const uint8_t *w = m->weights + tile * blocks * block_bytes;
            const tini_q8 *x = tini_row_q8(m, t);
            float acc[TINI_TILE] = {0};
            for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
                for (uint32_t s = 0; s < subs; s++, x++) {
                    const tini_armdsp_x q = tini_armdsp_load_x(x, format);
                    tini_armdsp_block(acc, w, s, &q, format);
                }
            }
            tini_tile_store(m, tile, t, acc);
        }
    }
}

TINI_REGION_END

#endif
