/* Matmul with 8-bit activations on AVX-VNNI: a register holds four inputs of eight rows, half a tile.
 *
 * VPDPBUSD multiplies unsigned weights by signed activations and adds into int32 without saturation. */
#ifndef TINI_AVXVNNI_BLOCKS_H
#define TINI_AVXVNNI_BLOCKS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/formats.h"
#include "../x86/fetch.h"
#include "../x86/scales.h"
#include "../avx2/store.h"
#include "../scalar/half.h"
#include "../scalar/tile.h"

TINI_REGION_AVXVNNI

typedef __m256i tini_avxvnni_ints;
typedef __m256 tini_avxvnni_floats;
typedef uint16_t tini_avxvnni_u16 __attribute__((vector_size(32)));
typedef uint32_t tini_avxvnni_u32 __attribute__((vector_size(32)));

typedef struct tini_avxvnni_sums {
    __m256i half[2]; /* of inputs 0 .. 15 and 16 .. 31, or the first of all 32 */
} tini_avxvnni_sums;

TINI_INLINE __m256i tini_avxvnni_load(const uint8_t *p) {
    return tini_avx2_bytes(p);
}

TINI_INLINE __m256i tini_avxvnni_spread_byte(int x) {
    return _mm256_set1_epi8((char)x);
}

TINI_INLINE __m256i tini_avxvnni_spread_i32(int32_t x) {
    return _mm256_set1_epi32(x);
}

TINI_INLINE __m256 tini_avxvnni_spread_f32(float x) {
    return _mm256_set1_ps(x);
}

TINI_INLINE __m256i tini_avxvnni_spread_first(__m128i x) {
    return _mm256_broadcastd_epi32(x);
}

TINI_INLINE __m256i tini_avxvnni_right(__m256i v, const int n) {
    return (__m256i)(n < 0 ? (tini_avxvnni_u16)v << (n < 0 ? -n : 0) : (tini_avxvnni_u16)v >> (n < 0 ? 0 : n));
}

TINI_INLINE __m256i tini_avxvnni_mask(__m256i a, __m256i b) {
    return _mm256_and_si256(a, b);
}

/* a | (b & c) */
TINI_INLINE __m256i tini_avxvnni_or_and(__m256i a, __m256i b, __m256i c) {
    return _mm256_or_si256(a, _mm256_and_si256(b, c));
}

TINI_INLINE __m256i tini_avxvnni_add(__m256i a, __m256i b) {
    return _mm256_add_epi32(a, b);
}

TINI_INLINE __m256i tini_avxvnni_subtract(__m256i a, __m256i b) {
    return _mm256_sub_epi32(a, b);
}

/* v * power, a power of two. */
TINI_INLINE __m256i tini_avxvnni_times_power(__m256i v, const int power) {
    return (__m256i)((tini_avxvnni_u32)v * (uint32_t)power);
}

TINI_INLINE __m256i tini_avxvnni_multiply_pairs(__m256i a, __m256i b) {
    return _mm256_madd_epi16(a, b);
}

TINI_INLINE __m256 tini_avxvnni_to_floats(__m256i v) {
    return _mm256_cvtepi32_ps(v);
}

TINI_INLINE __m256 tini_avxvnni_plus(__m256 a, __m256 b) {
    return _mm256_add_ps(a, b);
}

TINI_INLINE __m256 tini_avxvnni_minus(__m256 a, __m256 b) {
    return _mm256_sub_ps(a, b);
}

TINI_INLINE __m256 tini_avxvnni_times(__m256 a, __m256 b) {
    return _mm256_mul_ps(a, b);
}

TINI_INLINE __m256 tini_avxvnni_negative(__m256 a) {
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}

TINI_INLINE __m256i tini_avxvnni_scale(const int8_t *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

TINI_INLINE __m256 tini_avxvnni_small_floats(const int8_t *p) {
    return _mm256_cvtepi32_ps(tini_avxvnni_scale(p));
}

/* Each row's (a * factor, b * factor) as int16. */
TINI_INLINE __m256i tini_avxvnni_pairs(const int8_t *a, const int8_t *b, int factor) {
    __m128i bytes = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)(const void *)a),
                                      _mm_loadl_epi64((const __m128i *)(const void *)b));
    return _mm256_mullo_epi16(_mm256_cvtepi8_epi16(bytes), _mm256_set1_epi16((int16_t)factor));
}

/* Eight-bit weights are stored unsigned. */
TINI_INLINE int tini_avxvnni_offset(const int format) {
    return tini_kind_of(format).offset;
}

TINI_INLINE __m256i tini_avxvnni_eight_bits(__m256i w) {
    return w;
}

TINI_INLINE __m256i tini_avxvnni_numbers(__m256i w, const tini_kind *kind) {
    __m128i numbers = _mm_loadu_si128((const __m128i *)(const void *)kind->codes);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(numbers), w);
}

TINI_INLINE void tini_avxvnni_begin(tini_avxvnni_sums *sum, int32_t value) {
    sum->half[0] = _mm256_set1_epi32(value);
    sum->half[1] = _mm256_setzero_si256();
}

/* The i-th of eight. */
TINI_INLINE void tini_avxvnni_dot(tini_avxvnni_sums *sum, __m256i w, __m256i q, const uint32_t i, __m256i scale,
                                  const int format) {
    (void)scale;
    const uint32_t half = tini_scales_by_half(format) && i >= 4;
    sum->half[half] = _mm256_dpbusd_avx_epi32(sum->half[half], w, q);
}

/* The sum, or that of the halves times their scales. */
TINI_INLINE __m256i tini_avxvnni_dot_total(const tini_avxvnni_sums *sum, __m256i first, __m256i last,
                                           const int format) {
    if (!tini_scales_by_half(format))
        return sum->half[0];
    return _mm256_add_epi32(_mm256_mullo_epi32(sum->half[0], first), _mm256_mullo_epi32(sum->half[1], last));
}

TINI_INLINE __m256 tini_avxvnni_halves(const void *p) {
    return tini_avx2_halves(p);
}

TINI_INLINE void tini_avxvnni_store(const tini_matmul *m, uint32_t unit, uint32_t t, const __m256 *y,
                                    uint32_t halves, uint32_t columns) {
    tini_avx2_store(m, unit, t, y, halves, columns);
}

#define TINI_SET(name) tini_avxvnni_##name
#define TINI_PARTS 2
#define TINI_TILES 1
#define TINI_BEGINS 1
#define TINI_LEAST 3
#include "../x86/patch.h"
#undef TINI_SET
#undef TINI_PARTS
#undef TINI_TILES
#undef TINI_BEGINS
#undef TINI_LEAST

TINI_REGION_END

#endif
