#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include <arm_neon.h>

#include "../scalar/kv_q8.h"

TINI_REGION_NEON

#define TINI_LANES float32x4_t
#define TINI_LANES_PACK tini_neon_pack
#define TINI_LANES_MAX vmaxq_f32
#define TINI_LANES_MIN vminq_f32
#include "../../core/base/pack_lanes.h"

void tini_pack_q8_neon(uint8_t *block, const float *x, size_t stride) {
    tini_neon_pack(block, x, stride);
}

TINI_REGION_END
#endif
