#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "blocks.h"

TINI_REGION_WASMSIMD

void tini_matmul_q2_k_wasmsimd(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_wasm_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q2_K);
}

TINI_REGION_END
#endif
