#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include <immintrin.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_AVX2

#define TINI_LANES __m256
#define TINI_LANES_RMS_NORM tini_rms_norm_avx2
#include "../../core/base/rms_norm_lanes.h"

TINI_REGION_END
#endif
