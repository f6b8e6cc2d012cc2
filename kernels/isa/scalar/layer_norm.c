#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* Two sums, of x and of the squares of d = x - mean, each in 16 partial sums, element i in lane i % 16, in order; the lanes
 * by tini_sum16's tree. s = 1 / sqrt(sum / n + eps); out = (d * s) * weight + bias. */
void tini_layer_norm_scalar(float *out, const float *x, const float *weight, const float *bias, uint32_t n,
                            float eps) {
    float lanes[16] = {0}, squares[16] = {0};
    for (uint32_t i = 0; i < n; i++)
        lanes[i % 16] = lanes[i % 16] + x[i];
    float mean = tini_sum16(lanes) / (float)n;
    for (uint32_t i = 0; i < n; i++) {
        float d = x[i] - mean;
        squares[i % 16] = squares[i % 16] + d * d;
    }
    float s = 1.0f / tini_sqrt(tini_sum16(squares) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++)
        out[i] = ((x[i] - mean) * s) * weight[i] + bias[i];
}

TINI_REGION_END
