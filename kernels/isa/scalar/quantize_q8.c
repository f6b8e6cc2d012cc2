#include "../../core/base/kernel.h"
#include "../../core/base/math.h"

TINI_REGION_REFERENCE

/* Per block of 32: amax = max |x|. Below 1e-30 the block is zero (scale 0, q 0, sum 0). Else scale = amax / 127
 * and q = round(x * (127 / amax)), ties to even, which never leaves [-127, 127]; sum is the exact sum of q. */
void tini_quantize_q8_scalar(tini_q8 *out, const float *x, uint32_t n) {
    for (uint32_t b = 0; b < n / TINI_BLOCK; b++, x += TINI_BLOCK) {
        float amax = 0.0f;
        for (uint32_t i = 0; i < TINI_BLOCK; i++)
            amax = tini_abs(x[i]) > amax ? tini_abs(x[i]) : amax;
        tini_q8 block = {.scale = 0.0f};
        if (amax >= 1e-30f) {
            float inverse = 127.0f / amax;
            block.scale = amax / 127.0f;
            for (uint32_t i = 0; i < TINI_BLOCK; i++) {
                block.q[i] = (int8_t)tini_nearest(x[i] * inverse);
                block.sum += block.q[i];
            }
        }
        out[b] = block;
    }
}

TINI_REGION_END
