/* Matmul with 8-bit activations on AVX2: a register holds four inputs of eight rows, half a tile.
 *
 * Bits equal the scalar's, because every integer sum is exact and floats are one lane a row, as in the scalar loop:
 *
 *   q4   VPMADDUBSW multiplies unsigned weights by signed activations and adds pairs into int16, at most
 *        2 * 15 * 127 = 3,810; the eight groups of a block reach 30,480, which int16 holds. q4_0 then takes 8 times
 *        the activations' sum off.
 *   q8   the weight's sign moves to the activation: |w| * (sign(w) * x). A pair reaches 2 * 128 * 127 = 32,512, so it
 *        does not saturate, but is widened to int32 before the next is added. (|-128| is 128 as an unsigned byte; an
 *        activation is never -128, so negating it is exact.) */
#ifndef TINI_AVX2_BLOCKS_H
#define TINI_AVX2_BLOCKS_H

#include <immintrin.h>

#include "../../core/kernel.h"
#include "../../core/program.h"
#include "../scalar/tile.h"
#include "rows.h"

TINI_REGION_AVX2

typedef struct tini_avx2_block {
    __m256i w[8]; /* inputs 4i .. 4i + 3 of each row: unsigned for q4, signed for q8 */
    __m256 d, minimum;
} tini_avx2_block;

TINI_INLINE size_t tini_avx2_block_bytes(const int format) {
    return TINI_TILE * (format == TINI_FORMAT_Q8_0 ? 34 : format == TINI_FORMAT_Q4_0 ? 18 : 20);
}

/* p: the tile's block; half: 0 or 1. */
TINI_INLINE tini_avx2_block tini_avx2_load(const uint8_t *p, uint32_t half, const int format) {
    tini_avx2_block block = {.d = tini_avx2_halves(p + 16 * half), .minimum = _mm256_setzero_ps()};
    p += 2 * TINI_TILE;
    if (format == TINI_FORMAT_Q4_1) {
        block.minimum = tini_avx2_halves(p + 16 * half);
        p += 2 * TINI_TILE;
    }
    p += 32 * half;
    if (format == TINI_FORMAT_Q8_0) {
        const __m256i top = _mm256_set1_epi8(-128);
        for (int i = 0; i < 8; i++)
            block.w[i] = _mm256_xor_si256(tini_avx2_bytes(p + 64 * i), top);
    } else {
        const __m256i nibble = _mm256_set1_epi8(15);
        for (int i = 0; i < 4; i++) {
            __m256i pair = tini_avx2_bytes(p + 64 * i);
            block.w[i] = _mm256_and_si256(pair, nibble);
            block.w[i + 4] = _mm256_and_si256(_mm256_srli_epi16(pair, 4), nibble);
        }
    }
    return block;
}

/* The eight rows' sums of w * q. */
TINI_INLINE __m256i tini_avx2_dot(const tini_avx2_block *block, const tini_q8 *x, const int format) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < 8; i++) {
        int32_t four;
        memcpy(&four, x->q + 4 * i, 4);
        __m256i w = block->w[i], q = _mm256_set1_epi32(four);
        if (format == TINI_FORMAT_Q8_0) {
            __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
        } else {
            sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, q));
        }
    }
    if (format != TINI_FORMAT_Q8_0)
        sum = _mm256_madd_epi16(sum, ones);
    if (format == TINI_FORMAT_Q4_0)
        sum = _mm256_sub_epi32(sum, _mm256_slli_epi32(_mm256_set1_epi32(x->sum), 3));
    return sum;
}

/* acc + this block's part of 8 outputs. */
TINI_INLINE __m256 tini_avx2_add_block(__m256 acc, const tini_avx2_block *block, const tini_q8 *x,
                                       const int format) {
    __m256 scale = _mm256_set1_ps(x->scale), sum = _mm256_cvtepi32_ps(tini_avx2_dot(block, x, format));
    acc = _mm256_add_ps(acc, _mm256_mul_ps(sum, _mm256_mul_ps(block->d, scale)));
    if (format == TINI_FORMAT_Q4_1) {
        __m256 total = _mm256_mul_ps(scale, _mm256_set1_ps((float)x->sum));
        acc = _mm256_add_ps(acc, _mm256_mul_ps(block->minimum, total));
    }
    return acc;
}

/* `halves` half tiles from `unit` on by `columns` rows of x, each weight loaded and unpacked once. */
TINI_INLINE void tini_avx2_patch(const tini_matmul *m, uint32_t unit, uint32_t t, const uint32_t halves,
                                 const uint32_t columns, const int format) {
    const uint32_t blocks = m->inputs / TINI_BLOCK;
    const size_t block_bytes = tini_avx2_block_bytes(format);
    const uint8_t *w = m->weights + unit / 2 * blocks * block_bytes;
    const tini_q8 *x[4];
    __m256 acc[4];
    for (uint32_t k = 0; k < halves * columns; k++)
        acc[k] = _mm256_setzero_ps();
    for (uint32_t c = 0; c < columns; c++)
        x[c] = tini_row_q8(m, t + c);
    for (uint32_t b = 0; b < blocks; b++, w += block_bytes) {
        for (uint32_t k = 0; k < halves; k++) {
            const tini_avx2_block block = tini_avx2_load(w, unit % 2 + k, format);
            for (uint32_t c = 0; c < columns; c++)
                acc[k * columns + c] = tini_avx2_add_block(acc[k * columns + c], &block, x[c] + b, format);
        }
    }
    for (uint32_t k = 0; k < halves; k++)
        for (uint32_t c = 0; c < columns; c++)
            tini_avx2_store(m, unit + k, t + c, acc[k * columns + c]);
}

TINI_INLINE void tini_avx2_matmul(const tini_matmul *m, uint32_t tile, uint32_t tile_end, const int format) {
    tile_end = tini_tile_limit(m, tile_end);
    for (; tile < tile_end; tile++) {
        uint32_t t = 0;
        for (; t + 4 <= m->rows; t += 4) {
            tini_avx2_patch(m, 2 * tile, t, 1, 4, format);
            tini_avx2_patch(m, 2 * tile + 1, t, 1, 4, format);
        }
        for (; t < m->rows; t++)
            tini_avx2_patch(m, 2 * tile, t, 2, 1, format);
    }
}

TINI_REGION_END

#endif
