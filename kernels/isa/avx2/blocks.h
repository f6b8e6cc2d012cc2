/* Matmul with 8-bit activations on AVX2: a register holds four inputs of eight rows, half a tile.
 *
 * VPMADDUBSW multiplies unsigned weights by signed activations, at least -127, and adds pairs into int16:
 *
 *   4 bits and fewer  a pair is at most 2 * 15 * 127 = 3,810; a block's eight, 30,480, fit int16
 *   5 bits            2 * 31 * 127 = 7,874; four, 31,496
 *   6 bits            2 * 63 * 127 = 16,002; two, 32,004
 *   8 bits            the weight's sign moves to the activation: |w| * (sign(w) * x). A pair reaches 2 * 128 * 127 = 32,512.
 *                     (|-128| is 128 as an unsigned byte; an activation is never -128, so negating it is exact.)
 *
 * Codes count as the numbers they stand for: IQ3_NL's as 4 bits, IQ4_NL's as 8.
 *
 * So many are added before VPMADDWD widens them to int32, multiplying by the half's small scale where there is one. */
#ifndef TINI_AVX2_BLOCKS_H
#define TINI_AVX2_BLOCKS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/formats.h"
#include "../scalar/half.h"
#include "../scalar/tile.h"
#include "../scalar/words.h"
#include "../x86/fetch.h"
#include "../x86/scales.h"
#include "half_tile.h"
#include "widen.h"

TINI_REGION_AVX2

typedef struct tini_avx2_sums {
    __m256i pairs; /* int16 */
    __m256i total;
} tini_avx2_sums;

/* Weights whose sign moves to the activations. */
TINI_INLINE int tini_avx2_is_signed(const int format) {
    return tini_kind_of(format).offset == 128;
}

/* How many products of pairs int16 holds. */
TINI_INLINE uint32_t tini_avx2_run(const int format) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t bits = kind.low + kind.high;
    return tini_avx2_is_signed(format) ? 1 : bits == 6 ? 2 : bits == 5 || tini_scales_by_half(format) ? 4 : 8;
}

/* Each row's scale twice, as int16: what adds pairs multiplies too. */
TINI_INLINE __m256i tini_avx2_scale(const int8_t *p) {
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(bytes, bytes));
}

/* Signed weights have none. */
TINI_INLINE int tini_avx2_offset(const int format) {
    return tini_avx2_is_signed(format) ? 0 : tini_kind_of(format).offset;
}

TINI_INLINE __m256i tini_avx2_eight_bits(__m256i w) {
    return _mm256_xor_si256(w, _mm256_set1_epi8(-128));
}

TINI_INLINE __m256i tini_avx2_numbers(__m256i w, const tini_kind *kind) {
    __m128i numbers = _mm_loadu_si128((const __m128i *)(const void *)kind->codes);
    if (kind->offset == 128)
        numbers = _mm_xor_si128(numbers, _mm_set1_epi8(-128));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(numbers), w);
}

TINI_INLINE void tini_avx2_begin(tini_avx2_sums *sum, int32_t value) {
    (void)sum, (void)value;
}

/* The i-th of eight. The empty statements keep GCC from adding all eight in a tree, at the end, out of memory. */
TINI_INLINE void tini_avx2_dot(tini_avx2_sums *sum, __m256i w, __m256i q, const uint32_t i, __m256i scale,
                               const int format) {
    const uint32_t run = tini_avx2_run(format);
    __m256i pairs = tini_avx2_is_signed(format)
                        ? _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
                        : _mm256_maddubs_epi16(w, q);
    sum->pairs = i % run ? _mm256_add_epi16(sum->pairs, pairs) : pairs;
    if (i % run == run - 1) {
        __m256i wide =
            _mm256_madd_epi16(sum->pairs, tini_scales_by_half(format) ? scale : _mm256_set1_epi16(1));
        sum->total = i < run ? wide : _mm256_add_epi32(sum->total, wide);
        __asm__("" : "+x"(sum->total));
    } else {
        __asm__("" : "+x"(sum->pairs));
    }
}

TINI_INLINE __m256i tini_avx2_dot_total(const tini_avx2_sums *sum, __m256i first, __m256i last,
                                        const int format) {
    (void)first, (void)last, (void)format;
    return sum->total;
}

#define TINI_SET(name) tini_avx2_##name
#define TINI_VECTOR TINI_SET
#define TINI_PARTS 2
#define TINI_TILES 1
#define TINI_BEGINS 0
#define TINI_LEAST 3
#define TINI_WIDEN tini_avx2_widen
#include "../x86/patch.h"
#undef TINI_WIDEN
#undef TINI_SET
#undef TINI_VECTOR
#undef TINI_PARTS
#undef TINI_TILES
#undef TINI_BEGINS
#undef TINI_LEAST

TINI_REGION_END

#endif
