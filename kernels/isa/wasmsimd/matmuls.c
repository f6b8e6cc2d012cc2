#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../scalar/half.h"
#include "blocks.h"
#include "floats.h"

TINI_REGION_WASMSIMD

TIN_FORMATS(TINI_MATMUL, wasmsimd, tini_wasm_matmul)

TINI_HALF_Q8_0(wasmsimd)

TINI_REGION_END
#endif
