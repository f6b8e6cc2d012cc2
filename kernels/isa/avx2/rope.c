#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/kernel.h"

TINI_REGION_AVX2

#define TINI_LANES __m256
#define TINI_LANES_ROPE tini_rope_avx2
#include "../../core/base/rope_lanes.h"

TINI_REGION_END
#endif
