#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* Squares add up in 16 partial sums, element i in lane i % 16, in order; the lanes by tini_sum16's tree.
 * s = 1 / sqrt(sum / n + eps); out = (x * s) * weight. */
void tini_rms_norm_scalar(float *out, const float *x, const float *weight, uint32_t n, float eps) {
    float lanes[16] = {0};
    for (uint32_t i = 0; i < n; i++)
        lanes[i % 16] = lanes[i % 16] + x[i] * x[i];
    float s = 1.0f / tini_sqrt(tini_sum16(lanes) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++)
        out[i] = (x[i] * s) * weight[i];
}

TINI_REGION_END
