#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_WASMSIMD

#define TINI_LANES tini_wasm_floats4
#define TINI_LANES_ROPE tini_rope_wasmsimd
#include "../../core/base/rope_lanes.h"

TINI_REGION_END
#endif
