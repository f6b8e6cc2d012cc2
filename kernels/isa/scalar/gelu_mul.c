#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* (gate / (1 + exp(-(gate * (A + B * (gate * gate)))))) * up, with tini_exp: gelu's tanh form. For gate far below
 * zero the first factor is -0. */
void tini_gelu_mul_scalar(float *out, const float *gate, const float *up, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        float g = gate[i], x = g * (TINI_GELU_A + TINI_GELU_B * (g * g));
        out[i] = (g / (1.0f + tini_exp(-x))) * up[i];
    }
}

TINI_REGION_END
