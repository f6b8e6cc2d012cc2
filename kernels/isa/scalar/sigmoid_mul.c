#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* (1 / (1 + exp(-gate))) * up, with tini_exp. */
void tini_sigmoid_mul_scalar(float *out, const float *gate, const float *up, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        out[i] = (1.0f / (1.0f + tini_exp(-gate[i]))) * up[i];
}

TINI_REGION_END
