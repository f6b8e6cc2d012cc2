#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../../core/base/kernel.h"

TINI_REGION_NEON

#define TINI_LANES float32x4_t
#define TINI_LANES_COUNT 4
#define TINI_LANES_DELTA_ROW tini_neon_delta_row
#define TINI_LANES_DELTA tini_delta_neon
#include "../../core/base/delta_lanes.h"

TINI_REGION_END
#endif
