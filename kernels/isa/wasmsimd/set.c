#include "../../core/base/region.h"
#if TIN_HAVE_WASMSIMD

/* An engine without SIMD would have refused the module. */
int tini_runs_wasmsimd(void) {
    return 1;
}

#endif
