/* Floats to GGUF blocks. Everything is plain float32 arithmetic in a fixed order, so the same weights give the
 * same file on every machine; inner loops keep eight partial sums, for compilers to vectorize. */
#include "pack.h"
#include "layout.h"
#include "../core/kernel.h"
#include "../core/math.h"

TINI_REGION_SCALAR

/* The sum of x[32] by halves, which it overwrites. */
static float tini_sum_block(float x[TINI_BLOCK]) {
    for (uint32_t i = 0; i < 16; i++)
        x[i] += x[i + 16];
    for (uint32_t i = 0; i < 8; i++)
        x[i] += x[i + 8];
    return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

static int32_t tini_clamp_nearest(float x, int32_t low, int32_t high) {
    int32_t q = tini_nearest(x);
    q = q < low ? low : q;
    return q > high ? high : q;
}

static float tini_half_round(float x) {
    return tini_f16_to_f32(tini_f32_to_f16(x));
}

static void tini_store_half(uint8_t *out, float x) {
    uint16_t half = tini_f32_to_f16(x);
    out[0] = (uint8_t)half;
    out[1] = (uint8_t)(half >> 8);
}

static int tini_half_overflows(float x) {
    return tini_abs(x) >= 65520.0f;
}

/* Nearest, halves away from zero, as C's round. */
static int32_t tini_round_away(float x) {
    int32_t whole = (int32_t)x;
    float rest = x - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/* llama.cpp's rule: d = max |x| / 127, q = round(x / d). Importance would change nothing worth having at 8
 * bits. */
static int tini_quantize_block_q8_0(uint8_t *out, const float *x) {
    float amax = 0.0f;
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        amax = tini_abs(x[i]) > amax ? tini_abs(x[i]) : amax;
    float d = amax / 127.0f, inverse = d != 0.0f ? 1.0f / d : 0.0f;
    tini_store_half(out, d);
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        out[2 + i] = (uint8_t)tini_round_away(x[i] * inverse);
    return tini_half_overflows(d) ? -2 : 0;
}

static int32_t tini_q4_0(float x, float inverse) {
    return tini_clamp_nearest(x * inverse, -8, 7);
}

typedef struct tini_scale_fit {
    float inverse; /* q = clamp(round(x * inverse)) */
    float d;       /* a float16 value */
    float gain;    /* by how much x - d q is a smaller error than x, squared and weighted */
} tini_scale_fit;

/* Replaces *best by the q of `inverse` with its least-squares scale where that is the smaller error. */
static int tini_try_scale(tini_scale_fit *best, const float *x, const float *weight, float inverse) {
    float xq_terms[TINI_BLOCK], qq_terms[TINI_BLOCK];
    for (uint32_t i = 0; i < TINI_BLOCK; i++) {
        float q = (float)tini_q4_0(x[i], inverse), wq = weight[i] * q;
        xq_terms[i] = wq * x[i];
        qq_terms[i] = wq * q;
    }
    float xq = tini_sum_block(xq_terms), qq = tini_sum_block(qq_terms);
    if (!(qq > 0.0f))
        return 0;
    float d = tini_half_round(xq / qq), gain = d * (2.0f * xq - d * qq);
    if (!(gain > best->gain))
        return 0;
    *best = (tini_scale_fit){inverse, d, gain};
    return 1;
}

/* The scale and q that minimize the weighted squared error: a grid of scales that put the extreme value at
 * -6.25 .. -9.25 and the like on the positive side, each with its least-squares scale; then the best one's q
 * and scale in turn until they stay. The extreme at -8 is llama.cpp's rule, so no block is worse than there. */
static int tini_quantize_block_q4_0(uint8_t *out, const float *x, const float *weight) {
    float extreme = 0.0f;
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        extreme = tini_abs(x[i]) > tini_abs(extreme) ? x[i] : extreme;
    tini_scale_fit best = {0.0f, 0.0f, 0.0f};
    if (tini_abs(extreme) >= 1e-30f) {
        for (uint32_t k = 0; k < 13; k++) {
            float level = 6.25f + 0.25f * (float)k;
            tini_try_scale(&best, x, weight, -level / extreme);
            tini_try_scale(&best, x, weight, level / extreme);
        }
        for (uint32_t k = 0; k < 4 && tini_abs(extreme) < 1e6f * tini_abs(best.d); k++)
            if (!tini_try_scale(&best, x, weight, 1.0f / best.d))
                break;
    }
    tini_store_half(out, best.d);
    for (uint32_t i = 0; i < TINI_BLOCK / 2; i++) {
        int32_t low = tini_q4_0(x[i], best.inverse) + 8;
        int32_t high = tini_q4_0(x[i + 16], best.inverse) + 8;
        out[2 + i] = (uint8_t)(low | high << 4);
    }
    return tini_half_overflows(extreme / 8.0f) ? -2 : 0;
}

typedef struct tini_line_fit {
    float inverse, offset; /* q = clamp(round((x - offset) * inverse)) */
    float d, minimum;      /* float16 values */
    float error;           /* of x - (d q + minimum), squared and weighted */
} tini_line_fit;

static int32_t tini_q4_1(float x, float offset, float inverse) {
    return tini_clamp_nearest((x - offset) * inverse, 0, 15);
}

static float tini_line_error(const float *x, const float *weight, const tini_line_fit *fit) {
    float terms[TINI_BLOCK];
    for (uint32_t i = 0; i < TINI_BLOCK; i++) {
        float q = (float)tini_q4_1(x[i], fit->offset, fit->inverse);
        float e = x[i] - (fit->d * q + fit->minimum);
        terms[i] = weight[i] * e * e;
    }
    return tini_sum_block(terms);
}

/* As tini_try_scale, for a line: least squares over (d, minimum), the minimum again after d is rounded. Sums
 * are of x - offset, which keeps their differences accurate. */
static int tini_try_line(tini_line_fit *best, const float *x, const float *weight, float inverse,
                         float offset) {
    float w_terms[TINI_BLOCK], x_terms[TINI_BLOCK], q_terms[TINI_BLOCK], xq_terms[TINI_BLOCK],
        qq_terms[TINI_BLOCK];
    for (uint32_t i = 0; i < TINI_BLOCK; i++) {
        float q = (float)tini_q4_1(x[i], offset, inverse), wq = weight[i] * q;
        w_terms[i] = weight[i];
        x_terms[i] = weight[i] * (x[i] - offset);
        q_terms[i] = wq;
        xq_terms[i] = wq * (x[i] - offset);
        qq_terms[i] = wq * q;
    }
    float sw = tini_sum_block(w_terms), sx = tini_sum_block(x_terms), sq = tini_sum_block(q_terms);
    float spread = sw * tini_sum_block(qq_terms) - sq * sq;
    float d = spread > 0.0f ? (sw * tini_sum_block(xq_terms) - sx * sq) / spread : 0.0f;
    tini_line_fit fit = {.inverse = inverse, .offset = offset, .d = tini_half_round(d)};
    fit.minimum = tini_half_round((sx - fit.d * sq) / sw + offset);
    fit.error = tini_line_error(x, weight, &fit);
    if (!(fit.error < best->error))
        return 0;
    *best = fit;
    return 1;
}

static int tini_quantize_block_q4_1(uint8_t *out, const float *x, const float *weight) {
    float low = x[0], high = x[0];
    for (uint32_t i = 1; i < TINI_BLOCK; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    tini_line_fit best = {.minimum = tini_half_round(low), .offset = low};
    best.error = tini_line_error(x, weight, &best);
    if (high - low >= 1e-30f) {
        for (uint32_t k = 0; k < 13; k++)
            tini_try_line(&best, x, weight, (13.5f + 0.25f * (float)k) / (high - low), low);
        for (uint32_t k = 0; k < 4 && high - low < 1e6f * tini_abs(best.d); k++)
            if (!tini_try_line(&best, x, weight, 1.0f / best.d, best.minimum))
                break;
    }
    tini_store_half(out, best.d);
    tini_store_half(out + 2, best.minimum);
    for (uint32_t i = 0; i < TINI_BLOCK / 2; i++) {
        int32_t first = tini_q4_1(x[i], best.offset, best.inverse);
        int32_t second = tini_q4_1(x[i + 16], best.offset, best.inverse);
        out[4 + i] = (uint8_t)(first | second << 4);
    }
    return tini_half_overflows(best.d) || tini_half_overflows(best.minimum) ? -2 : 0;
}

/* The block's importance, or all 1 where none is given or none of the block's inputs matters. */
static void tini_block_weights(float weight[TINI_BLOCK], const float *importance) {
    float sum = 0.0f;
    for (uint32_t i = 0; i < TINI_BLOCK; i++) {
        weight[i] = importance ? importance[i] : 0.0f;
        sum += weight[i];
    }
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        weight[i] = sum > 0.0f ? weight[i] : 1.0f;
}

static int tini_quantize_block(int format, uint8_t *out, const float *x, const float *importance) {
    float weight[TINI_BLOCK];
    uint16_t half;
    switch (format) {
    case TINI_FORMAT_F32:
        memcpy(out, x, 4);
        return 0;
    case TINI_FORMAT_F16:
        tini_store_half(out, *x);
        return tini_half_overflows(*x) ? -2 : 0;
    case TINI_FORMAT_BF16:
        half = tini_f32_to_bf16(*x);
        out[0] = (uint8_t)half;
        out[1] = (uint8_t)(half >> 8);
        return (half & 0x7fff) == 0x7f80 ? -2 : 0;
    case TINI_FORMAT_Q8_0:
        return tini_quantize_block_q8_0(out, x);
    case TINI_FORMAT_Q4_0:
        tini_block_weights(weight, importance);
        return tini_quantize_block_q4_0(out, x, weight);
    case TINI_FORMAT_Q4_1:
        tini_block_weights(weight, importance);
        return tini_quantize_block_q4_1(out, x, weight);
    }
    return -1;
}

int tini_quantizes(int format) {
    return format >= TINI_FORMAT_F32 && format <= TINI_FORMAT_Q4_1;
}

int tini_quantize(int format, uint8_t *gguf, const float *x, uint32_t rows, uint32_t inputs,
                  const float *importance) {
    tini_layout layout = tini_layout_of(format);
    if (!tini_quantizes(format) || tini_gguf_size(format, rows, inputs) == 0)
        return -1;
    for (uint32_t row = 0; row < rows; row++) {
        for (uint32_t i = 0; i < inputs; i += layout.inputs, x += layout.inputs, gguf += layout.bytes) {
            for (uint32_t k = 0; k < layout.inputs; k++)
                if (tini_abs(x[k]) > FLT_MAX || x[k] != x[k])
                    return -2;
            int status = tini_quantize_block(format, gguf, x, importance ? importance + i : NULL);
            if (status)
                return status;
        }
    }
    return 0;
}

TINI_REGION_END
