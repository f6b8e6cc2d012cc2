#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_NEON

#define TINI_LANES float32x4_t
#define TINI_LANES_SUM tini_neon_sum
#define TINI_LANES_LAYER_NORM tini_layer_norm_neon
#include "../../core/base/layer_norm_lanes.h"

TINI_REGION_END
#endif
