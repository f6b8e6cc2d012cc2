#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_NEON

#define TINI_LANES float32x4_t
#define TINI_LANES_COUNT 1
#define TINI_LANES_CHANNELS tini_neon_channels
#define TINI_LANES_EXP tini_neon_exp
#define TINI_LANES_CONV tini_conv_neon
#include "../../core/base/conv_lanes.h"

TINI_REGION_END
#endif
