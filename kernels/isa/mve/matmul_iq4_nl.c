#include "../../core/base/region.h"
#if TIN_HAVE_MVE
#include "blocks.h"

TINI_REGION_MVE

void tini_matmul_iq4_nl_mve(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_mve_matmul(m, tile_begin, tile_end, TINI_FORMAT_IQ4_NL);
}

TINI_REGION_END
#endif
