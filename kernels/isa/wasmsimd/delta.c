#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_WASMSIMD

#define TINI_LANES tini_wasm_floats4
#define TINI_LANES_COUNT 2
#define TINI_LANES_DELTA_ROW tini_wasm_delta_row
#define TINI_LANES_DELTA tini_delta_wasmsimd
#include "../../core/base/delta_lanes.h"

TINI_REGION_END
#endif
