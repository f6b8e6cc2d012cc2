#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "blocks.h"

TINI_REGION_WASMSIMD

void tini_matmul_q4_0_wasmsimd(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end) {
    tini_wasm_matmul(m, tile_begin, tile_end, TINI_FORMAT_Q4_0);
}

TINI_REGION_END
#endif
