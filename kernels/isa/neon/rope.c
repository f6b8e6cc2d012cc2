#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"

TINI_REGION_NEON

#define TINI_LANES float32x4_t
#define TINI_LANES_ROPE tini_rope_neon
#include "../../core/base/rope_lanes.h"

TINI_REGION_END
#endif
