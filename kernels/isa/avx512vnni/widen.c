#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include <immintrin.h>

#include "../../core/base/memory.h"
#include "../../core/base/quants.h"
#include "widen.h"

TINI_REGION_AVX512VNNI

typedef uint32_t tini_avx512_words __attribute__((vector_size(64)));

TINI_INLINE void tini_avx512_store_bytes(uint8_t *to, tini_avx512_words words) {
    _mm_storeu_si128((__m128i *)(void *)to, _mm512_cvtepi32_epi8((__m512i)words));
}

/* The points of 256 stand in eight registers, and the last six bits of a place say which of 64 in two. */
TINI_INLINE void tini_avx512_look_up(uint16_t *points, const uint16_t *places, uint32_t count,
                                     const tini_grid *grid) {
    for (uint32_t first = 0; first < grid->count; first += 256) {
        __m512i part[8];
        TINI_UNROLL for (uint32_t k = 0; k < 8; k++) part[k] =
            _mm512_loadu_si512(grid->points + first + 32 * k);
        for (uint32_t i = 0; i < count; i += 32) {
            const __m512i place = _mm512_loadu_si512(places + i);
            const __mmask32 odd = _mm512_test_epi16_mask(place, _mm512_set1_epi16(64));
            const __mmask32 last = _mm512_test_epi16_mask(place, _mm512_set1_epi16(128));
            const __mmask32 here = _mm512_cmpge_epu16_mask(place, _mm512_set1_epi16((short)first));
            __m512i found[4];
            TINI_UNROLL for (uint32_t k = 0; k < 4; k++) found[k] =
                _mm512_permutex2var_epi16(part[2 * k], place, part[2 * k + 1]);
            found[0] = _mm512_mask_mov_epi16(found[0], odd, found[1]);
            found[2] = _mm512_mask_mov_epi16(found[2], odd, found[3]);
            found[0] = _mm512_mask_mov_epi16(found[0], last, found[2]);
            if (first)
                found[0] = _mm512_mask_mov_epi16(_mm512_loadu_si512(points + i), here, found[0]);
            _mm512_storeu_si512(points + i, found[0]);
        }
    }
}

TINI_INLINE tini_avx512_words tini_avx512_values(tini_avx512_words levels, const uint8_t *table) {
    const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)table);
    return (tini_avx512_words)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), (__m512i)levels);
}

TINI_INLINE tini_avx512_words tini_avx512_negate(tini_avx512_words values, tini_avx512_words signs,
                                                 const uint32_t g) {
    const __m128i first = _mm_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    const __m512i bytes = _mm512_broadcast_i32x4(_mm_add_epi8(first, _mm_set1_epi8((char)(g / 2))));
    const __m512i bits = _mm512_set1_epi32(g % 2 ? (int)0x80402010 : 0x08040201);
    const __mmask64 minus = _mm512_test_epi8_mask(_mm512_shuffle_epi8((__m512i)signs, bytes), bits);
    return (tini_avx512_words)_mm512_mask_sub_epi8((__m512i)values, minus, _mm512_setzero_si512(),
                                                   (__m512i)values);
}

#define TINI_WIDEN_SET(name) tini_avx512_##name
#define TINI_WORDS tini_avx512_words
#define TINI_SELECT(mask, a, b) \
    ((TINI_WORDS)_mm512_ternarylogic_epi32(_mm512_set1_epi32((int)(mask)), (__m512i)(a), (__m512i)(b), 0xca))
#define TINI_VALUES(levels, table, format) tini_avx512_values(levels, table)
#define TINI_NEGATE tini_avx512_negate
#include "../scalar/widen.h"
#undef TINI_WIDEN_SET
#undef TINI_WORDS
#undef TINI_SELECT
#undef TINI_VALUES
#undef TINI_NEGATE

TINI_REGION_END
#endif
