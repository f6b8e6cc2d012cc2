/* Matmul with float activations on AVX2: a register holds one input of eight rows, half a tile. */
#ifndef TINI_AVX2_FLOATS_H
#define TINI_AVX2_FLOATS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/formats.h"
#include "blocks.h"
#include "store.h"

TINI_REGION_AVX2

TINI_INLINE __m256 tini_avx2_weights(const uint8_t *p, const int format) {
    if (format == TINI_FORMAT_F32)
        return _mm256_loadu_ps((const float *)(const void *)p);
    if (format == TINI_FORMAT_F16)
        return tini_avx2_halves(p);
    __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

TINI_INLINE __m256 tini_avx2_load_f32(const float *p) {
    return _mm256_load_ps(p);
}

TINI_INLINE void tini_avx2_store_f32(float *p, __m256 v) {
    _mm256_store_ps(p, v);
}

#define TINI_SET(name) tini_avx2_##name
#define TINI_PARTS 2
#define TINI_TILES 1
#include "../x86/floats.h"
#undef TINI_SET
#undef TINI_PARTS
#undef TINI_TILES

TINI_REGION_END

#endif
