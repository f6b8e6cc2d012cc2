#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_WASMSIMD

#define TINI_LANES tini_wasm_floats4
#define TINI_LANES_COUNT 2
#define TINI_LANES_CHANNELS tini_wasm_channels
#define TINI_LANES_EXP(x) ((TINI_LANES)tini_wasm_exp((v128_t)(x)))
#define TINI_LANES_CONV tini_conv_wasmsimd
#include "../../core/base/conv_lanes.h"

TINI_REGION_END
#endif
