#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* (gate * p) * up, p = tini_normal(gate): gelu's exact form. */
void tini_gelu_erf_mul_scalar(float *out, const float *gate, const float *up, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = (gate[i] * tini_normal(gate[i])) * up[i];
}

TINI_REGION_END
