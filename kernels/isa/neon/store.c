#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "store.h"

TINI_REGION_NEON

void tini_neon_store(const tini_matmul *m, uint32_t first, uint32_t outputs, uint32_t t, uint32_t rows,
                     const float32x4_t *lanes, uint32_t count) {
    float *out = m->out + t * m->out_stride + first;
    const float *bias = m->bias ? m->bias + first : NULL;
    const float *residual = m->residual ? m->residual + t * m->residual_stride + first : NULL;
    const size_t out_step = rows * m->out_stride + outputs, residual_step = rows * m->residual_stride + outputs;
    for (; count && first < m->outputs; count--, first += outputs, out += out_step) {
        float32x4_t y = *lanes++;
        const float *from = residual;
        if (residual)
            residual += residual_step;
        if (m->outputs - first >= 4) {
            if (bias)
                y = vaddq_f32(y, vld1q_f32(m->bias + first));
            if (from)
                y = vaddq_f32(y, vld1q_f32(from));
            vst1q_f32(out, y);
            continue;
        }
        float four[4];
        vst1q_f32(four, y);
        TINI_NEON_ROLLED
        for (uint32_t lane = 0; lane < m->outputs - first; lane++) {
            float x = four[lane];
            if (bias)
                x = x + m->bias[first + lane];
            if (residual)
                x = x + from[lane];
            out[lane] = x;
        }
    }
}

TINI_REGION_END
#endif
