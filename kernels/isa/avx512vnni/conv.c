#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_AVX512VNNI

#define TINI_LANES __m512
#define TINI_LANES_COUNT 1
#define TINI_LANES_CHANNELS tini_avx512_channels
#define TINI_LANES_EXP tini_avx512_exp
#define TINI_LANES_CONV tini_conv_avx512vnni
#include "../../core/base/conv_lanes.h"

TINI_REGION_END
#endif
