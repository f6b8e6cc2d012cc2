#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_AVX2

#define TINI_LANES __m256
#define TINI_LANES_COUNT 2
#define TINI_LANES_CHANNELS tini_avx2_channels
#define TINI_LANES_EXP tini_avx2_exp
#define TINI_LANES_CONV tini_conv_avx2
#include "../../core/base/conv_lanes.h"

TINI_REGION_END
#endif
