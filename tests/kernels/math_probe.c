/* The inline functions of core/base/math.h over arrays, for test_math.py. */
#include "../../kernels/core/base/math.h"

#define PROBE(to, name, from)                             \
    void probe_##name(to *out, const from *x, size_t n) { \
        for (size_t i = 0; i < n; i++)                    \
            out[i] = tini_##name(x[i]);                   \
    }

PROBE(float, exp, float)
PROBE(double, log, double)
PROBE(float, softplus, float)
PROBE(int32_t, nearest, float)
PROBE(float, sqrt, float)
PROBE(float, f16_to_f32, uint16_t)
PROBE(uint16_t, f32_to_f16, float)
PROBE(uint16_t, f32_to_bf16, float)

void probe_sin_cos(float *sine, float *cosine, const double *angle, size_t n) {
    for (size_t i = 0; i < n; i++)
        tini_sin_cos(angle[i], &sine[i], &cosine[i]);
}
