/* Matmul with 8-bit activations by SMLAD: two products of 16 bits, added to 32. A word holds four inputs of a row; its even
 * bytes meet the even activations and its odd ones the odd.
 *
 * Bits equal the scalar's, because every integer sum is exact: 32 products of at most 255 * 127 (and floats: weights.h). */
#ifndef TINI_ARMDSP_BLOCKS_H
#define TINI_ARMDSP_BLOCKS_H

#include <arm_acle.h>

#include "../scalar/words.h"
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
    if (tini_scales_by_half(format)) {
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

/* The numbers of two of four codes, as int16. */
TINI_INLINE uint32_t tini_armdsp_numbers(const uint8_t *codes, uint32_t places) {
    return codes[places & 15] | (uint32_t)codes[places >> 16 & 15] << 16;
}

/* *sum + the products of two bytes of a word, or two halves of its bytes, which `take` gets from %2 to %0 as int16.
 * Volatile keeps the order that is written here, in which few values are alive; compilers would rather spill. */
#define TINI_ARMDSP_MULTIPLY(take, sum, w, nibbles, x)                \
    do {                                                              \
        uint32_t two;                                                 \
        __asm__ volatile(take "\n\tsmlad %1, %0, %3, %1"              \
                         : "=&r"(two), "+r"(*(sum))                   \
                         : "r"(w), "r"((uint32_t)(x)), "r"(nibbles)); \
    } while (0)

/* *sum + the products of a word of four bytes. */
TINI_INLINE void tini_armdsp_bytes(int32_t *sum, uint32_t w, int16x2_t even, int16x2_t odd) {
    TINI_ARMDSP_MULTIPLY("uxtb16 %0, %2", sum, w, w, even);
    TINI_ARMDSP_MULTIPLY("uxtb16 %0, %2, ror #8", sum, w, w, odd);
}

/* *sum + the products of a word's lower, or upper, four bits of each byte. nibbles: 0x000f000f. */
TINI_INLINE void tini_armdsp_nibbles(int32_t *sum, uint32_t w, uint32_t nibbles, const int upper,
                                     int16x2_t even, int16x2_t odd) {
    if (upper) {
        TINI_ARMDSP_MULTIPLY("and %0, %4, %2, lsr #4", sum, w, nibbles, even);
        TINI_ARMDSP_MULTIPLY("and %0, %4, %2, lsr #12", sum, w, nibbles, odd);
    } else {
        TINI_ARMDSP_MULTIPLY("and %0, %4, %2", sum, w, nibbles, even);
        TINI_ARMDSP_MULTIPLY("and %0, %4, %2, lsr #8", sum, w, nibbles, odd);
    }
}

/* Rows a step of the loop below takes: as many as registers hold. */
enum { TINI_ARMDSP_ROWS = 4 };

/* sums[half][row] of the products of the four rows that begin at low and high, their first words in the two planes. */
TINI_INLINE void tini_armdsp_rows(int32_t sums[2][TINI_ARMDSP_ROWS], const uint8_t *low, const uint8_t *high,
                                  const tini_armdsp_x *x, const int format) {
    const tini_kind kind = tini_kind_of(format);
    uint32_t nibbles = 0x000f000fu, w[TINI_ARMDSP_ROWS];
    __asm__("" : "+r"(nibbles)); /* in a register, where a shift comes with the AND */
    TINI_UNROLL
    for (uint32_t g = 0; g < 8; g++) {
        int32_t *sum = sums[tini_scales_by_half(format) ? g / 4 : 0];
        if (kind.low == 4 && !kind.high && !kind.codes) {
            if (g >= 4)
                break;
            TINI_UNROLL
            for (uint32_t k = 0; k < TINI_ARMDSP_ROWS; k++)
                w[k] = tini_armdsp_word(low + 4 * TINI_TILE * g + 4 * k);
            TINI_UNROLL
            for (uint32_t k = 0; k < TINI_ARMDSP_ROWS; k++)
                tini_armdsp_nibbles(&sum[k], w[k], nibbles, 0, x->even[g], x->odd[g]);
            TINI_UNROLL
            for (uint32_t k = 0; k < TINI_ARMDSP_ROWS; k++)
                tini_armdsp_nibbles(&sum[k], w[k], nibbles, 1, x->even[g + 4], x->odd[g + 4]);
            continue;
        }
        TINI_UNROLL
        for (uint32_t k = 0; k < TINI_ARMDSP_ROWS; k++) {
            uint32_t four = tini_armdsp_plane(low + 4 * k, g, kind.low);
            if (kind.high)
                four |= tini_armdsp_plane(high + 4 * k, g, kind.high) << kind.low;
            if (!kind.codes) {
                tini_armdsp_bytes(&sum[k], four, x->even[g], x->odd[g]);
                continue;
            }
            sum[k] = __smlad((int16x2_t)tini_armdsp_numbers(kind.codes, four), x->even[g], sum[k]);
            sum[k] = __smlad((int16x2_t)tini_armdsp_numbers(kind.codes, four >> 8), x->odd[g], sum[k]);
        }
    }
}

/* Sub-block s of a tile's block w: what each of its rows adds. */
TINI_INLINE void tini_armdsp_block(float acc[TINI_TILE], const uint8_t *w, uint32_t s, const tini_armdsp_x *x,
                                   const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint8_t *high =
        w + TINI_TILE * (kind.halves + kind.scales) + 4 * TINI_TILE * s * (kind.low + kind.high);
    const uint8_t *low = high + 4 * TINI_TILE * kind.high;
    for (uint32_t lane = 0; lane < TINI_TILE; lane += TINI_ARMDSP_ROWS) {
        int32_t sums[2][TINI_ARMDSP_ROWS] = {{0}, {0}};
        tini_armdsp_rows(sums, low + 4 * lane, high + 4 * lane, x, format);
        TINI_UNROLL
        for (uint32_t k = 0; k < TINI_ARMDSP_ROWS; k++)
            acc[lane + k] =
                tini_arm_add(acc[lane + k], w, s, lane + k, sums[0][k], sums[1][k], &x->about, format);
    }
}

TINI_NOINLINE void tini_armdsp_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end);

TINI_INLINE void tini_armdsp_matmul_q8(const tini_matmul *m, uint32_t tile, uint32_t tile_end,
                                       const int format) {
    if (tini_kind_of(format).words) {
        tini_words_matmul(m, tile, tile_end, format, tini_widen, tini_armdsp_matmul_wide);
        return;
    }
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

TINI_NOINLINE void tini_armdsp_matmul_wide(const tini_matmul *m, uint32_t tile, uint32_t tile_end) {
    tini_armdsp_matmul_q8(m, tile, tile_end, TINI_FORMAT_WIDE);
}

TINI_REGION_END

#endif
