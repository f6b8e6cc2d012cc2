#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* (gate / (1 + exp(-gate))) * up, with tini_exp: for gate < -88 the first factor is -0. */
void tini_silu_mul_scalar(float *out, const float *gate, const float *up, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = (gate[i] / (1.0f + tini_exp(-gate[i]))) * up[i];
}

TINI_REGION_END
