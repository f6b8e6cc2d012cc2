/* Matmul with float activations on AVX-512: a register holds one input of a tile's 16 rows. */
#ifndef TINI_AVX512VNNI_FLOATS_H
#define TINI_AVX512VNNI_FLOATS_H

#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/formats.h"
#include "blocks.h"
#include "store.h"

TINI_REGION_AVX512VNNI

TINI_INLINE __m512 tini_avx512_weights(const uint8_t *p, const int format) {
    if (format == TINI_FORMAT_F32)
        return _mm512_loadu_ps(p);
    if (format == TINI_FORMAT_F16)
        return tini_avx512_halves(p);
    __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

TINI_INLINE __m512 tini_avx512_load_f32(const float *p) {
    return _mm512_load_ps(p);
}

TINI_INLINE void tini_avx512_store_f32(float *p, __m512 v) {
    _mm512_store_ps(p, v);
}

#define TINI_SET(name) tini_avx512_##name
#define TINI_PARTS 1
#define TINI_TILES 4
#include "../x86/floats.h"
#undef TINI_SET
#undef TINI_PARTS
#undef TINI_TILES

TINI_REGION_END

#endif
