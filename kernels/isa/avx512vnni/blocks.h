/* Matmul with 8-bit activations on AVX512-VNNI: a register holds four inputs of a tile's 16 rows.
 *
 * Bits equal the scalar's: VPDPBUSD multiplies unsigned weights by signed activations and adds into int32 without
 * saturation, so the integer sum is exact in any order. Weights are stored unsigned (q8_0 as w + 128, q4_0 as w + 8), and
 * the sum starts at -128 or -8 times the sum of the activations, which cancels that exactly. Floats are one lane a
 * row: per block one product of scales, one multiply, one add, as in the scalar loop. */
#ifndef TINI_AVX512VNNI_BLOCKS_H
#define TINI_AVX512VNNI_BLOCKS_H

#include <immintrin.h>

#include "../../core/kernel.h"
#include "../../core/program.h"
#include "../scalar/tile.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

typedef struct tini_avx512_block {
    __m512i w[8]; /* inputs 4i .. 4i + 3 of each row, unsigned */
    __m512 d, minimum;
} tini_avx512_block;

TINI_INLINE size_t tini_avx512_block_bytes(const int format) {
    return TINI_TILE * (format == TINI_FORMAT_Q8_0 ? 34 : format == TINI_FORMAT_Q4_0 ? 18 : 20);
}

TINI_INLINE tini_avx512_block tini_avx512_load(const uint8_t *p, const int format) {
    tini_avx512_block block = {.d = tini_avx512_halves(p), .minimum = _mm512_setzero_ps()};
    p += 2 * TINI_TILE;
    if (format == TINI_FORMAT_Q4_1) {
        block.minimum = tini_avx512_halves(p);
        p += 2 * TINI_TILE;
    }
    if (format == TINI_FORMAT_Q8_0) {
        for (int i = 0; i < 8; i++)
            block.w[i] = _mm512_loadu_si512(p + 64 * i);
    } else {
        const __m512i nibble = _mm512_set1_epi8(15);
        for (int i = 0; i < 4; i++) {
            __m512i pair = _mm512_loadu_si512(p + 64 * i);
            block.w[i] = _mm512_and_si512(pair, nibble);
            block.w[i + 4] = _mm512_and_si512(_mm512_srli_epi16(pair, 4), nibble);
        }
    }
    return block;
}

/* acc + this block's part of 16 outputs. */
TINI_INLINE __m512 tini_avx512_add_block(__m512 acc, const tini_avx512_block *block, const tini_q8 *x,
                                         const int format) {
    __m512i sum = _mm512_setzero_si512();
    if (format != TINI_FORMAT_Q4_1) {
        /* Unsigned, since a damaged file may have any bits stand where a sum should. */
        uint32_t offset = format == TINI_FORMAT_Q8_0 ? 128 : 8;
        sum = _mm512_set1_epi32((int32_t)(0u - offset * (uint32_t)x->sum));
    }
    for (int i = 0; i < 8; i++) {
        int32_t four;
        memcpy(&four, x->q + 4 * i, 4);
        sum = _mm512_dpbusd_epi32(sum, block->w[i], _mm512_set1_epi32(four));
    }
    __m512 scale = _mm512_set1_ps(x->scale);
    acc = _mm512_add_ps(acc, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(block->d, scale)));
    if (format == TINI_FORMAT_Q4_1) {
        __m512 total = _mm512_mul_ps(scale, _mm512_set1_ps((float)x->sum));
        acc = _mm512_add_ps(acc, _mm512_mul_ps(block->minimum, total));
    }
    return acc;
}

/* One tile by `columns` rows of x, each weight loaded and unpacked once. */
TINI_INLINE void tini_avx512_patch(const tini_matmul *m, uint32_t tile, uint32_t t, const uint32_t columns,
                                   const int format) {
    const uint32_t blocks = m->inputs / TINI_BLOCK;
    const size_t block_bytes = tini_avx512_block_bytes(format);
    const uint8_t *w = m->weights + tile * blocks * block_bytes;
    const tini_q8 *x[8];
    __m512 acc[8];
    for (uint32_t c = 0; c < columns; c++) {
        x[c] = tini_row_q8(m, t + c);
        acc[c] = _mm512_setzero_ps();
    }
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        const tini_avx512_block block = tini_avx512_load(w, format);
        for (uint32_t c = 0; c < columns; c++)
            acc[c] = tini_avx512_add_block(acc[c], &block, x[c] + b, format);
    }
    for (uint32_t c = 0; c < columns; c++)
        tini_avx512_store(m, tile, t + c, acc[c]);
}

TINI_INLINE void tini_avx512_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 8 <= m->rows; t += 8)
            tini_avx512_patch(m, tile, t, 8, format);
        for (; t + 4 <= m->rows; t += 4)
            tini_avx512_patch(m, tile, t, 4, format);
        for (; t < m->rows; t++)
            tini_avx512_patch(m, tile, t, 1, format);
    }
}

TINI_REGION_END

#endif
