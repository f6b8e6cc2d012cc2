#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "blocks.h"
#include "floats.h"

TINI_REGION_WASMSIMD

TIN_FORMATS(TINI_MATMUL, wasmsimd, tini_wasm_matmul)

TINI_REGION_END
#endif
