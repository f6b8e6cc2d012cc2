#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"
#include "../../core/base/math.h"
#include "exp.h"

TINI_REGION_WASMSIMD

#define TINI_LANES tini_wasm_floats4
#define TINI_LANES_SUM tini_wasm_sum
#define TINI_LANES_LAYER_NORM tini_layer_norm_wasmsimd
#include "../../core/base/layer_norm_lanes.h"

TINI_REGION_END
#endif
