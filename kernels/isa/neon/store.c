#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "store.h"

TINI_REGION_NEON

void tini_neon_store(const tini_matmul *m, uint32_t first, uint32_t outputs, uint32_t t, uint32_t rows,
                     const float32x4_t *lanes, uint32_t count) {
    const float *bias = m->bias ? m->bias + first : NULL;
    const float *residual = m->residual ? m->residual + t * m->residual_stride + first : NULL;
    const size_t out_step = rows * m->out_stride + outputs, residual_step = rows * m->residual_stride + outputs;
    const uint32_t left = first < m->outputs ? m->outputs - first : 0;
    const uint32_t fit = outputs ? left / 4 : left >= 4 ? count : 0, whole = fit < count ? fit : count;
    float *out = m->out + t * m->out_stride + first;
    for (uint32_t k = 0; k < whole; k++, out += out_step) {
        float32x4_t y = lanes[k];
        if (bias)
            y = vaddq_f32(y, vld1q_f32(bias + (size_t)k * outputs));
        if (residual)
            y = vaddq_f32(y, vld1q_f32(residual + k * residual_step));
        vst1q_f32(out, y);
    }
    for (uint32_t k = whole; k < count && k * outputs < left; k++, out += out_step) {
        float four[4];
        vst1q_f32(four, lanes[k]);
        TINI_NEON_ROLLED
        for (uint32_t lane = 0; lane < left - k * outputs; lane++) {
            float x = four[lane];
            if (bias)
                x = x + bias[k * outputs + lane];
            if (residual)
                x = x + residual[k * residual_step + lane];
            out[lane] = x;
        }
    }
}

void tini_neon_store_tile(const tini_matmul *m, uint32_t tile, uint32_t t, const float32x4_t lanes[4]) {
    const uint32_t first = tile * TINI_TILE;
    if (m->bias || m->outputs - first < TINI_TILE) {
        tini_neon_store(m, first, 4, t, 0, lanes, 4);
        return;
    }
    float *out = m->out + t * m->out_stride + first;
    float32x4_t y[4] = {lanes[0], lanes[1], lanes[2], lanes[3]};
    if (m->residual) {
        const float *residual = m->residual + t * m->residual_stride + first;
        for (uint32_t k = 0; k < 4; k++)
            y[k] = vaddq_f32(y[k], vld1q_f32(residual + 4 * k));
    }
    for (uint32_t k = 0; k < 4; k++)
        vst1q_f32(out + 4 * k, y[k]);
}

TINI_REGION_END
#endif
