#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/quants.h"
#include "widen.h"

TINI_REGION_AVX2

typedef uint32_t tini_avx2_words __attribute__((vector_size(32)));
typedef uint8_t tini_avx2_eight __attribute__((vector_size(8)));

#define TINI_WIDEN_SET(name) tini_avx2_##name
#define TINI_WORDS tini_avx2_words
#define TINI_BYTES tini_avx2_eight
#define TINI_LOOK_UP(place) \
    ((TINI_WORDS)_mm256_i32gather_epi32((const int *)(const void *)tini_grids, (__m256i)(place), 2) & 0xffffu)
#include "../x86/widen.h"
#undef TINI_WIDEN_SET
#undef TINI_WORDS
#undef TINI_BYTES
#undef TINI_LOOK_UP

TINI_REGION_END
#endif
