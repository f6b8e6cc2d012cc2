#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/kernel.h"

TINI_REGION_AVX2

#define TINI_LANES __m256
#define TINI_LANES_COUNT 2
#define TINI_LANES_DELTA_ROW tini_avx2_delta_row
#define TINI_LANES_DELTA tini_delta_avx2
#include "../../core/base/delta_lanes.h"

TINI_REGION_END
#endif
