#include "../../core/base/region.h"
#if TIN_HAVE_ARMDSP
#include "blocks.h"

TINI_REGION_ARMDSP

void tini_matmul_q4_0_armdsp(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_armdsp_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q4_0);
}

TINI_REGION_END
#endif
