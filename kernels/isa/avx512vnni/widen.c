#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include <immintrin.h>

#include "../../core/base/quants.h"
#include "widen.h"

TINI_REGION_AVX512VNNI

typedef uint32_t tini_avx512_words __attribute__((vector_size(64)));
typedef uint8_t tini_avx512_sixteen __attribute__((vector_size(16)));

#define TINI_WIDEN_SET(name) tini_avx512_##name
#define TINI_WORDS tini_avx512_words
#define TINI_BYTES tini_avx512_sixteen
#define TINI_LOOK_UP(place) ((TINI_WORDS)_mm512_i32gather_epi32((__m512i)(place), tini_grids, 2) & 0xffffu)
#include "../x86/widen.h"
#undef TINI_WIDEN_SET
#undef TINI_WORDS
#undef TINI_BYTES
#undef TINI_LOOK_UP

TINI_REGION_END
#endif
