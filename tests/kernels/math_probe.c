/* The inline functions of core/base/math.h over arrays, for test_math.py. */
#include "../../kernels/core/base/math.h"

void probe_exp(float *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = tini_exp(x[i]);
}

void probe_log(double *out, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = tini_log(x[i]);
}

void probe_softplus(float *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = tini_softplus(x[i]);
}

void probe_nearest(int32_t *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = tini_nearest(x[i]);
}

void probe_sqrt(float *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = tini_sqrt(x[i]);
}

void probe_f16_to_f32(float *out, const uint16_t *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = tini_f16_to_f32(x[i]);
}

void probe_f32_to_f16(uint16_t *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = tini_f32_to_f16(x[i]);
}

void probe_f32_to_bf16(uint16_t *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        out[i] = tini_f32_to_bf16(x[i]);
}

void probe_sin_cos(float *sine, float *cosine, const double *angle, size_t n) {
    for (size_t i = 0; i < n; i++)
        tini_sin_cos(angle[i], &sine[i], &cosine[i]);
}
