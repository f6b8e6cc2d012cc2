#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "../x86/matmuls.h"
#include "blocks.h"

TINI_REGION_AVX512VNNI

TIN_FORMATS(TINI_SMALL_MATMUL, avx512vnni, tini_avx512_matmul)

void tini_half_q8_0_avx512vnni(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_avx512_half_q8(m, tile_begin, tile_end, tini_matmul_q8_0_avx512vnni);
}

TINI_REGION_END
#endif
