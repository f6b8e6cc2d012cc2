#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_NEON

#define TINI_LANES float32x4_t
#define TINI_LANES_RMS_NORM tini_rms_norm_neon
#include "../../core/base/rms_norm_lanes.h"

TINI_REGION_END
#endif
