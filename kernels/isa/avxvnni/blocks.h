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
#include "../avx2/half_tile.h"
#include "../scalar/half.h"
#include "../scalar/tile.h"

TINI_REGION_AVXVNNI

typedef struct tini_avxvnni_sums {
    __m256i half[2]; /* of inputs 0 .. 15 and 16 .. 31, or the first of all 32 */
} tini_avxvnni_sums;

TINI_INLINE __m256i tini_avxvnni_scale(const int8_t *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
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

#define TINI_SET(name) tini_avxvnni_##name
#define TINI_VECTOR(name) tini_avx2_##name
#define TINI_PARTS 2
#define TINI_TILES 1
#define TINI_BEGINS 1
#define TINI_LEAST 3
#include "../x86/patch.h"
#undef TINI_SET
#undef TINI_VECTOR
#undef TINI_PARTS
#undef TINI_TILES
#undef TINI_BEGINS
#undef TINI_LEAST

TINI_REGION_END

#endif
