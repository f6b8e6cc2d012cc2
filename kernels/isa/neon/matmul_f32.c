#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "floats.h"

TINI_REGION_NEON

void tini_matmul_f32_neon(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_neon_float_matmul(m, tile_begin, tile_end, TINI_FORMAT_F32);
}

TINI_REGION_END
#endif
