#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "blocks.h"

TINI_REGION_NEON

void tini_matmul_q4_0_neon(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_neon_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q4_0);
}

TINI_REGION_END
#endif
