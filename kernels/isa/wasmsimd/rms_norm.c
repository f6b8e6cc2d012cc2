#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"
#include "../../core/base/math.h"
#include "exp.h"

TINI_REGION_WASMSIMD

#define TINI_LANES tini_wasm_floats4
#define TINI_LANES_RMS_NORM tini_rms_norm_wasmsimd
#include "../../core/base/rms_norm_lanes.h"

TINI_REGION_END
#endif
