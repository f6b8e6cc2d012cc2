#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "../x86/matmuls.h"
#include "blocks.h"

TINI_REGION_AVX2

TIN_FORMATS(TINI_SMALL_MATMUL, avx2, tini_avx2_matmul)

void tini_half_q8_0_avx2(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_avx2_half_q8(m, tile_begin, tile_end, tini_matmul_q8_0_avx2);
}

TINI_REGION_END
#endif
