/* Floats to GGUF blocks: those of 1 and of 32 inputs; quantize_k.c and quantize_words.c make those of 256. */
#include "pack.h"
#include "blocks.h"
#include "quantize.h"

TINI_REGION_SCALAR

static void tini_store_half(uint8_t *out, float x) {
    uint16_t half = tini_f32_to_f16(x);
    out[0] = (uint8_t)half;
    out[1] = (uint8_t)(half >> 8);
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

/* Q4_0 and Q5_0: x ~ d q, q from low to -low - 1. */
static int tini_quantize_scale(const tini_tries *tries, tini_quants *out, const float *x, const float *weight,
                               float low) {
    const float fit = tini_fit_scale(tries, x, weight, TINI_BLOCK, low);
    const float inverse = tini_inverse(tini_half_round(fit));
    out->half[0] = tini_f32_to_f16(fit);
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        out->q[i] = (uint8_t)(tini_level(x[i] * inverse, low, -low - 1.0f) - low);
    return tini_half_overflows(fit) ? -2 : 0;
}

/* Q4_1 and Q5_1: x ~ d q + minimum, q from 0 to high. */
static int tini_quantize_line(const tini_tries *tries, tini_quants *out, const float *x, const float *weight,
                              float high) {
    float part[TINI_BLOCK];
    memcpy(part, x, sizeof part);
    const float mean = tini_center(part, weight, TINI_BLOCK);
    const tini_line line = tini_fit_line(tries, part, weight, mean, TINI_BLOCK, high, 0);
    const float inverse = tini_inverse(tini_half_round(line.d)), minimum = tini_half_round(line.minimum);
    out->half[0] = tini_f32_to_f16(line.d);
    out->half[1] = tini_f32_to_f16(line.minimum);
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        out->q[i] = (uint8_t)tini_level((x[i] - minimum) * inverse, 0.0f, high);
    return tini_half_overflows(line.d) || tini_half_overflows(line.minimum) ? -2 : 0;
}

static int tini_quantize_codes(const tini_tries *tries, int format, tini_quants *out, const float *x,
                               const float *weight) {
    const tini_kind kind = tini_kind_of(format);
    const float fit = tini_fit_codes(tries, x, weight, TINI_BLOCK, format);
    const float inverse = tini_inverse(tini_half_round(fit));
    out->half[0] = tini_f32_to_f16(fit);
    for (uint32_t i = 0; i < TINI_BLOCK; i++)
        out->q[i] = tini_nearest_code(x[i] * inverse, &kind);
    return tini_half_overflows(fit) ? -2 : 0;
}

/* The inputs' importance with a mean of 1, or all 1 where none is given or none of them matters; returns what it was
 * multiplied by to be that, inverted, 1 where it was not. */
static float tini_weigh(float *weight, const float *importance, uint32_t n) {
    float sum = 0.0f;
    for (uint32_t i = 0; importance && i < n; i++)
        sum += importance[i];
    const int some = sum > 0.0f && sum <= FLT_MAX;
    const float share = some ? (float)n / sum : 0.0f;
    const int used = some && share <= FLT_MAX;
    for (uint32_t i = 0; i < n; i++)
        weight[i] = used ? importance[i] * share : 1.0f;
    return used ? sum / (float)n : importance ? 0.0f : 1.0f;
}

static int tini_quantize_plain(int format, uint8_t *out, float x) {
    uint16_t half;
    switch (format) {
    case TINI_FORMAT_F16:
        tini_store_half(out, x);
        return tini_half_overflows(x) ? -2 : 0;
    case TINI_FORMAT_BF16:
        half = tini_f32_to_bf16(x);
        out[0] = (uint8_t)half;
        out[1] = (uint8_t)(half >> 8);
        return (half & 0x7fff) == 0x7f80 ? -2 : 0;
    }
    memcpy(out, &x, 4);
    return 0;
}

static int tini_quantize_numbers(const tini_tries *tries, int format, tini_quants *out, const float *x,
                                 const float *weight, const float *share) {
    switch (format) {
    case TINI_FORMAT_Q4_0:
        return tini_quantize_scale(tries, out, x, weight, -8.0f);
    case TINI_FORMAT_Q4_1:
        return tini_quantize_line(tries, out, x, weight, 15.0f);
    case TINI_FORMAT_Q5_0:
        return tini_quantize_scale(tries, out, x, weight, -16.0f);
    case TINI_FORMAT_Q5_1:
        return tini_quantize_line(tries, out, x, weight, 31.0f);
    case TINI_FORMAT_IQ4_NL:
    case TINI_FORMAT_IQ3_NL:
        return tini_quantize_codes(tries, format, out, x, weight);
    }
    return tini_quantize_super(tries, format, out, x, weight, share);
}

static void tini_store_numbers(uint8_t *out, const tini_quants *w, int format) {
    switch (format) {
#define TINI_FORMAT_STORE(a, b, id, gguf, NAME, name, block, ...) \
    case id:                                                      \
        if (block > 1 && !tini_kind_of(id).words)                 \
            tini_quants_to_gguf(out, w, id);                      \
        break;
        TIN_FORMATS(TINI_FORMAT_STORE, , )
    }
}

int tini_quantize_block(const tini_tries *tries, int format, uint8_t *out, const float *x,
                        const float *importance) {
    const uint32_t inputs = tini_kind_of(format).inputs;
    for (uint32_t k = 0; k < (inputs ? inputs : 1); k++)
        if (tini_abs(x[k]) > FLT_MAX || x[k] != x[k])
            return -2;
    if (inputs == 0)
        return tini_quantize_plain(format, out, *x);
    if (format == TINI_FORMAT_Q8_0)
        return tini_quantize_block_q8_0(out, x);
    float weight[TINI_QUANTS], share[16];
    const uint32_t group = inputs == TINI_BLOCK ? TINI_BLOCK : tini_group_inputs(format);
    for (uint32_t i = 0; i < inputs; i += group)
        share[i / group] = tini_weigh(weight + i, importance ? importance + i : NULL, group);
    if (tini_kind_of(format).words)
        return tini_quantize_words(tries, format, out, x, weight, share);
    tini_quants w;
    int status = tini_quantize_numbers(tries, format, &w, x, weight, share);
    if (status == 0)
        tini_store_numbers(out, &w, format);
    return status;
}

int tini_quantize(int format, uint8_t *gguf, const float *x, uint32_t rows, uint32_t inputs,
                  const float *importance) {
    tini_layout layout = tini_layout_of(format);
    if (tini_gguf_size(format, rows, inputs) == 0)
        return -1;
    const tini_tries *tries = tini_tries_here();
    for (uint32_t row = 0; row < rows; row++) {
        for (uint32_t i = 0; i < inputs; i += layout.inputs, x += layout.inputs, gguf += layout.bytes) {
            int status = tini_quantize_block(tries, format, gguf, x, importance ? importance + i : NULL);
            if (status)
                return status;
        }
    }
    return 0;
}

TINI_REGION_END
