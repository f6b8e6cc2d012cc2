/* The small scales of a super-block, for a tile's 16 rows at once. */
#ifndef TINI_X86_SCALES_H
#define TINI_X86_SCALES_H

#include "../../core/base/quants.h"
#include "../avx2/rows.h"

TINI_REGION_AVX2

/* As tini_group_of gives them, [k][row]: k is a sub-block where it has one scale (q4_k, q5_k), else half of one. All
 * fit a signed byte. */
typedef struct tini_small {
    int8_t scale[16][TINI_TILE], minimum[16][TINI_TILE];
} tini_small;

/* Bits left .. left + 5, say, of each byte: (v >> right) & mask. */
TINI_INLINE __m256i tini_avx2_bits(__m256i v, const int right, const int mask) {
    return _mm256_and_si256(_mm256_srli_epi16(v, right), _mm256_set1_epi8((char)mask));
}

/* (high << 4 | low) - offset. */
TINI_INLINE void tini_avx2_store_small(void *to, __m256i low, __m256i high, const int offset) {
    __m256i v = _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
    _mm256_storeu_si256((__m256i *)to, _mm256_sub_epi8(v, _mm256_set1_epi8((char)offset)));
}

/* p: the bytes of the scales, [k][row]. */
TINI_INLINE void tini_avx2_small(tini_small *small, const uint8_t *p, const int format) {
    if (format == TINI_FORMAT_Q6_K || format >= TINI_FORMAT_WIDE)
        memcpy(small->scale, p, sizeof small->scale);
    if (format == TINI_FORMAT_Q2_K) {
        for (int k = 0; k < 16; k += 2) {
            __m256i v = tini_avx2_bytes(p + TINI_TILE * k), none = _mm256_setzero_si256();
            tini_avx2_store_small(small->scale[k], tini_avx2_bits(v, 0, 15), none, 0);
            tini_avx2_store_small(small->minimum[k], tini_avx2_bits(v, 4, 15), none, 0);
        }
    }
    if (format == TINI_FORMAT_Q3_K) {
        for (int k = 0; k < 4; k += 2) {
            __m256i a = tini_avx2_bytes(p + TINI_TILE * k), b = tini_avx2_bytes(p + TINI_TILE * (k + 4));
            __m256i high = tini_avx2_bytes(p + TINI_TILE * (k + 8));
            tini_avx2_store_small(small->scale[k], tini_avx2_bits(a, 0, 15), tini_avx2_bits(high, 0, 3), 32);
            tini_avx2_store_small(small->scale[k + 4], tini_avx2_bits(b, 0, 15), tini_avx2_bits(high, 2, 3),
                                  32);
            tini_avx2_store_small(small->scale[k + 8], tini_avx2_bits(a, 4, 15), tini_avx2_bits(high, 4, 3),
                                  32);
            tini_avx2_store_small(small->scale[k + 12], tini_avx2_bits(b, 4, 15), tini_avx2_bits(high, 6, 3),
                                  32);
        }
    }
    if (format == TINI_FORMAT_IQ4_XS) {
        for (int k = 0; k < 4; k++) { /* each store's second half is written again by the next */
            __m256i low = tini_avx2_bytes(p + TINI_TILE * (k + 2));
            __m256i high = tini_avx2_bits(tini_avx2_bytes(p + TINI_TILE * (k / 2)), k % 2 * 4, 15);
            tini_avx2_store_small(small->scale[2 * k], tini_avx2_bits(low, 0, 15), tini_avx2_bits(high, 0, 3),
                                  32);
            tini_avx2_store_small(small->scale[2 * k + 1], tini_avx2_bits(low, 4, 15),
                                  tini_avx2_bits(high, 2, 3), 32);
        }
    }
    if (format == TINI_FORMAT_Q4_K || format == TINI_FORMAT_Q5_K) {
        for (int k = 0; k < 4; k += 2) {
            __m256i a = tini_avx2_bytes(p + TINI_TILE * k), b = tini_avx2_bytes(p + TINI_TILE * (k + 4));
            __m256i low = tini_avx2_bytes(p + TINI_TILE * (k + 8));
            tini_avx2_store_small(small->scale[k], tini_avx2_bits(a, 0, 63), _mm256_setzero_si256(), 0);
            tini_avx2_store_small(small->minimum[k], tini_avx2_bits(b, 0, 63), _mm256_setzero_si256(), 0);
            tini_avx2_store_small(small->scale[k + 4], tini_avx2_bits(low, 0, 15), tini_avx2_bits(a, 6, 3), 0);
            tini_avx2_store_small(small->minimum[k + 4], tini_avx2_bits(low, 4, 15), tini_avx2_bits(b, 6, 3),
                                  0);
        }
    }
}

/* In the first 32 bits: the sums of q[0 .. 15] and q[16 .. 31], as a pair of int16. */
TINI_INLINE __m128i tini_avx2_half_sums(const int8_t *q) {
    const __m256i top = _mm256_set1_epi8(-128); /* q + 128 is unsigned */
    __m256i eights = _mm256_sad_epu8(_mm256_xor_si256(tini_avx2_bytes(q), top), _mm256_setzero_si256());
    __m256i sums = _mm256_add_epi64(eights, _mm256_shuffle_epi32(eights, 0x4e));
    sums = _mm256_sub_epi16(sums, _mm256_set1_epi16(16 * 128));
    return _mm_unpacklo_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

TINI_REGION_END

#endif
