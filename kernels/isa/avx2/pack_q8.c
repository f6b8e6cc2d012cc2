#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../scalar/kv_q8.h"

TINI_REGION_AVX2

#define TINI_LANES __m256
#define TINI_LANES_PACK tini_avx2_pack
#define TINI_LANES_MAX _mm256_max_ps
#define TINI_LANES_MIN _mm256_min_ps
#include "../../core/base/pack_lanes.h"

void tini_pack_q8_avx2(uint8_t *block, const float *x, size_t stride) {
    tini_avx2_pack(block, x, stride);
}

TINI_REGION_END
#endif
