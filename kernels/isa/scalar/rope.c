#include "../../core/base/kernel.h"
#include "../../core/base/region.h"

TINI_REGION_REFERENCE

/* (a, b) = (x[i], x[i + half]) becomes (a * cos - b * sin, b * cos + a * sin): two products each, then one add.
 */
void tini_rope_scalar(float *x, const float *table, uint32_t heads, uint32_t head_dim, uint32_t half) {
    for (uint32_t head = 0; head < heads; head++, x += head_dim) {
        for (uint32_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half], cosine = table[i], sine = table[half + i];
            x[i] = a * cosine - b * sine;
            x[i + half] = b * cosine + a * sine;
        }
    }
}

TINI_REGION_END
