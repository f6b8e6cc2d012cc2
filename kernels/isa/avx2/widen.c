#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/memory.h"
#include "../../core/base/quants.h"
#include "widen.h"

TINI_REGION_AVX2

typedef uint32_t tini_avx2_words __attribute__((vector_size(32)));

TINI_INLINE void tini_avx2_store_bytes(uint8_t *to, tini_avx2_words words) {
    const __m256i low = _mm256_set1_epi32(0x0c080400);
    const __m256i fours = _mm256_shuffle_epi8((__m256i)words, low);
    _mm_storel_epi64((__m128i *)(void *)to,
                     _mm_unpacklo_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1)));
}

/* One by one: gathers are no faster. */
TINI_INLINE void tini_avx2_look_up(uint16_t *points, const uint16_t *places, uint32_t count,
                                   const tini_grid *grid) {
    const uint16_t *from = grid->points;
    for (uint32_t i = 0; i < count; i += 8, places += 8) {
        __m128i found = _mm_cvtsi32_si128(from[places[0]]);
        found = _mm_insert_epi16(found, from[places[1]], 1);
        found = _mm_insert_epi16(found, from[places[2]], 2);
        found = _mm_insert_epi16(found, from[places[3]], 3);
        found = _mm_insert_epi16(found, from[places[4]], 4);
        found = _mm_insert_epi16(found, from[places[5]], 5);
        found = _mm_insert_epi16(found, from[places[6]], 6);
        found = _mm_insert_epi16(found, from[places[7]], 7);
        _mm_storeu_si128((__m128i *)(void *)(points + i), found);
    }
}

TINI_INLINE tini_avx2_words tini_avx2_values(tini_avx2_words levels, const uint8_t *table) {
    const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)table);
    return (tini_avx2_words)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), (__m256i)levels);
}

TINI_INLINE tini_avx2_words tini_avx2_negate(tini_avx2_words values, tini_avx2_words signs, const uint32_t g) {
    const __m128i first = _mm_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    const __m256i bytes = _mm256_broadcastsi128_si256(_mm_add_epi8(first, _mm_set1_epi8((char)(g / 2))));
    const __m256i bits = _mm256_set1_epi32(g % 2 ? (int)0x80402010 : 0x08040201);
    const __m256i minus =
        _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8((__m256i)signs, bytes), bits), bits);
    return (tini_avx2_words)_mm256_sub_epi8(_mm256_xor_si256((__m256i)values, minus), minus);
}

#define TINI_WIDEN_SET(name) tini_avx2_##name
#define TINI_WORDS tini_avx2_words
#define TINI_SELECT(mask, a, b) (((a) & (mask)) | ((b) & ~(mask)))
#define TINI_VALUES(levels, table, format) tini_avx2_values(levels, table)
#define TINI_NEGATE tini_avx2_negate
#include "../scalar/widen.h"
#undef TINI_WIDEN_SET
#undef TINI_WORDS
#undef TINI_SELECT
#undef TINI_VALUES
#undef TINI_NEGATE

TINI_REGION_END
#endif
