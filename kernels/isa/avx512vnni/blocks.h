/* Matmul with 8-bit activations on AVX512-VNNI: a register holds four inputs of a tile's 16 rows.
 *
 * VPDPBUSD multiplies unsigned weights by signed activations and adds into int32 without saturation. */
#ifndef TINI_AVX512VNNI_BLOCKS_H
#define TINI_AVX512VNNI_BLOCKS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/formats.h"
#include "../scalar/words.h"
#include "../x86/fetch.h"
#include "../x86/scales.h"
#include "../scalar/half.h"
#include "../scalar/tile.h"
#include "store.h"
#include "two_blocks.h"
#include "widen.h"

TINI_REGION_AVX512VNNI

typedef __m512i tini_avx512_ints;
typedef __m512 tini_avx512_floats;
typedef uint16_t tini_avx512_u16 __attribute__((vector_size(64)));
typedef uint32_t tini_avx512_u32 __attribute__((vector_size(64)));

typedef struct tini_avx512_sums {
    __m512i half[2]; /* of inputs 0 .. 15 and 16 .. 31, or the first of all 32 */
} tini_avx512_sums;

TINI_INLINE __m512i tini_avx512_load(const uint8_t *p) {
    return _mm512_loadu_si512(p);
}

TINI_INLINE __m512i tini_avx512_spread_byte(int x) {
    return _mm512_set1_epi8((char)x);
}

TINI_INLINE __m512i tini_avx512_spread_i32(int32_t x) {
    return _mm512_set1_epi32(x);
}

TINI_INLINE __m512 tini_avx512_spread_f32(float x) {
    return _mm512_set1_ps(x);
}

TINI_INLINE __m512i tini_avx512_spread_first(__m128i x) {
    return _mm512_broadcastd_epi32(x);
}

TINI_INLINE __m512i tini_avx512_right(__m512i v, const int n) {
    return (__m512i)(n < 0 ? (tini_avx512_u16)v << (n < 0 ? -n : 0) : (tini_avx512_u16)v >> (n < 0 ? 0 : n));
}

TINI_INLINE __m512i tini_avx512_mask(__m512i a, __m512i b) {
    return _mm512_and_si512(a, b);
}

/* a | (b & c) */
TINI_INLINE __m512i tini_avx512_or_and(__m512i a, __m512i b, __m512i c) {
    return _mm512_ternarylogic_epi32(a, b, c, 0xf8);
}

TINI_INLINE __m512i tini_avx512_add(__m512i a, __m512i b) {
    return _mm512_add_epi32(a, b);
}

TINI_INLINE __m512i tini_avx512_subtract(__m512i a, __m512i b) {
    return _mm512_sub_epi32(a, b);
}

/* v * power, a power of two. */
TINI_INLINE __m512i tini_avx512_times_power(__m512i v, const int power) {
    return (__m512i)((tini_avx512_u32)v * (uint32_t)power);
}

TINI_INLINE __m512i tini_avx512_multiply_pairs(__m512i a, __m512i b) {
    return _mm512_madd_epi16(a, b);
}

TINI_INLINE __m512 tini_avx512_to_floats(__m512i v) {
    return _mm512_cvtepi32_ps(v);
}

TINI_INLINE __m512 tini_avx512_plus(__m512 a, __m512 b) {
    return _mm512_add_ps(a, b);
}

TINI_INLINE __m512 tini_avx512_minus(__m512 a, __m512 b) {
    return _mm512_sub_ps(a, b);
}

TINI_INLINE __m512 tini_avx512_times(__m512 a, __m512 b) {
    return _mm512_mul_ps(a, b);
}

TINI_INLINE __m512 tini_avx512_negative(__m512 a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}

TINI_INLINE __m512i tini_avx512_scale(const int8_t *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}

TINI_INLINE __m512 tini_avx512_small_floats(const int8_t *p) {
    return _mm512_cvtepi32_ps(tini_avx512_scale(p));
}

/* Each row's (a * factor, b * factor) as int16. */
TINI_INLINE __m512i tini_avx512_pairs(const int8_t *a, const int8_t *b, int factor) {
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)a);
    __m128i y = _mm_loadu_si128((const __m128i *)(const void *)b);
    __m256i bytes = _mm256_set_m128i(_mm_unpackhi_epi8(x, y), _mm_unpacklo_epi8(x, y));
    return _mm512_mullo_epi16(_mm512_cvtepi8_epi16(bytes), _mm512_set1_epi16((int16_t)factor));
}

/* Eight-bit weights are stored unsigned. */
TINI_INLINE int tini_avx512_offset(const int format) {
    return tini_kind_of(format).offset;
}

TINI_INLINE __m512i tini_avx512_eight_bits(__m512i w) {
    return w;
}

TINI_INLINE __m512i tini_avx512_numbers(__m512i w, const tini_kind *kind) {
    __m128i numbers = _mm_loadu_si128((const __m128i *)(const void *)kind->codes);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(numbers), w);
}

TINI_INLINE void tini_avx512_begin(tini_avx512_sums *sum, int32_t value) {
    sum->half[0] = _mm512_set1_epi32(value);
    sum->half[1] = _mm512_setzero_si512();
}

/* The i-th of eight. */
TINI_INLINE void tini_avx512_dot(tini_avx512_sums *sum, __m512i w, __m512i q, const uint32_t i, __m512i scale,
                                 const int format) {
    (void)scale;
    const uint32_t half = (tini_scales_by_half(format) || format == TINI_FORMAT_EVEN) && i >= 4;
    sum->half[half] = _mm512_dpbusd_epi32(sum->half[half], w, q);
}

/* The sum, or that of the halves times their scales. */
TINI_INLINE __m512i tini_avx512_dot_total(const tini_avx512_sums *sum, __m512i first, __m512i last,
                                          const int format) {
    if (format == TINI_FORMAT_EVEN)
        return _mm512_mullo_epi32(_mm512_add_epi32(sum->half[0], sum->half[1]), first);
    if (!tini_scales_by_half(format))
        return sum->half[0];
    return _mm512_add_epi32(_mm512_mullo_epi32(sum->half[0], first), _mm512_mullo_epi32(sum->half[1], last));
}

#define TINI_SET(name) tini_avx512_##name
#define TINI_VECTOR TINI_SET
#define TINI_PARTS 1
#define TINI_TILES 2
#define TINI_BEGINS 1
#define TINI_LEAST 2
#define TINI_WIDEN tini_avx512_widen
#define TINI_EVENS 1
#define TINI_TWO_BLOCKS tini_avx512_two_blocks
#include "../x86/patch.h"
#undef TINI_WIDEN
#undef TINI_EVENS
#undef TINI_TWO_BLOCKS
#undef TINI_SET
#undef TINI_VECTOR
#undef TINI_PARTS
#undef TINI_TILES
#undef TINI_BEGINS
#undef TINI_LEAST

TINI_REGION_END

#endif
