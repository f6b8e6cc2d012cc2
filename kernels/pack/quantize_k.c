/* Floats to blocks of 256. Those of the K formats, and IQ4_XS: each group's own scale (and minimum) first, as if it could be any number;
 * then the super-block's, that suits those of the groups that matter; then each group's small whole ones, by trying those around the first. */
#include "quantize.h"

TINI_REGION_SCALAR

/* Six bits each, as tini_group_of reads them. */
static void tini_store_pairs(uint8_t out[12], const uint8_t scale[8], const uint8_t minimum[8]) {
    for (uint32_t s = 0; s < 4; s++) {
        out[s] = (uint8_t)(scale[s] | (scale[s + 4] & 48) << 2);
        out[s + 4] = (uint8_t)(minimum[s] | (minimum[s + 4] & 48) << 2);
        out[s + 8] = (uint8_t)((scale[s + 4] & 15) | (minimum[s + 4] & 15) << 4);
    }
}

static void tini_store_sixes(uint8_t out[12], const uint8_t scale[16]) {
    memset(out, 0, 12);
    for (uint32_t g = 0; g < 16; g++) {
        out[g % 8] |= (uint8_t)((scale[g] & 15) << g / 8 * 4);
        out[8 + g % 4] |= (uint8_t)(scale[g] >> 4 << g / 4 * 2);
    }
}

/* Where a group's small numbers are sought: the whole numbers around t, four for `which` 0 .. 3. */
static float tini_around(float t, uint32_t which, float most) {
    return tini_bounded(tini_level(t - 0.5f, 0.0f, most) + (float)which - 1.0f, 0.0f, most);
}

/* The unit of which groups' numbers [n] are small whole multiples, from low to high: with the largest at or near `level`,
 * and the least error where it matters; share[n]: of each group's importance. */
static float tini_fit_unit(const tini_tries *tries, const float *numbers, const float *share, uint32_t n,
                           float low, float high, float level) {
    float extreme = 0.0f, most = 0.0f, inverse[TINI_TRIES], x[16], weight[16];
    for (uint32_t g = 0; g < n; g++) {
        extreme = tini_abs(numbers[g]) > tini_abs(extreme) ? numbers[g] : extreme;
        most = share[g] > most ? share[g] : most;
    }
    if (!(tini_abs(extreme) > 1e-30f))
        return 0.0f;
    for (uint32_t g = 0; g < n; g++) {
        x[g] = numbers[g] / extreme; /* so that squares of small numbers stay */
        weight[g] = most > 0.0f && most <= FLT_MAX ? share[g] / most : 1.0f;
        weight[g] = weight[g] > 1e-6f ? weight[g] : 1e-6f;
    }
    for (uint32_t c = 0; c < TINI_TRIES; c++)
        inverse[c] = level * (1.0f + ((float)c - 13.0f) * (1.0f / 160.0f));
    return tries->scales(x, weight, inverse, n, low, high) * extreme;
}

/* x ~ d scale q - m minimum with q from 0 to high, scale and minimum from 0 to most. Changing a group's scale, its
 * minimum moves so that the mean of the weights stays. */
static int tini_quantize_lines(const tini_tries *tries, tini_quants *out, const float *x, const float *weight,
                               const float *share, uint32_t n, float high, float most) {
    float mean[16], part[32], steps[16], depths[16];
    tini_line line[16];
    uint8_t scale[16], minimum[16];
    for (uint32_t g = 0; g < 256 / n; g++) {
        memcpy(part, x + g * n, n * sizeof *part);
        mean[g] = tini_center(part, weight + g * n, n);
        line[g] = tini_fit_line(tries, part, weight + g * n, mean[g], n, high, 1);
        steps[g] = line[g].d;
        depths[g] = -line[g].minimum;
    }
    const float wide = tini_fit_unit(tries, steps, share, 256 / n, 0.0f, most, most);
    const float deep = tini_fit_unit(tries, depths, share, 256 / n, 0.0f, most, most);
    const float d = tini_half_round(wide), m = tini_half_round(deep);
    out->half[0] = tini_f32_to_f16(d);
    out->half[1] = tini_f32_to_f16(m);
    for (uint32_t g = 0; g < 256 / n; g++) {
        const float *v = x + g * n;
        float scales[TINI_TRIES], minimums[TINI_TRIES], step[TINI_TRIES], from[TINI_TRIES];
        float q_mean = (mean[g] - line[g].minimum) * tini_inverse(line[g].d);
        for (uint32_t c = 0; c < TINI_TRIES; c++) {
            scales[c] = tini_around(line[g].d * tini_inverse(d), c % 4, most);
            step[c] = scales[c] * d;
            minimums[c] = tini_around((step[c] * q_mean - mean[g]) * tini_inverse(m), c / 4, most);
            from[c] = -(minimums[c] * m);
        }
        uint32_t best = tries->points(v, weight + g * n, step, from, n, 0.0f, high);
        scale[g] = (uint8_t)scales[best];
        minimum[g] = (uint8_t)minimums[best];
        for (uint32_t i = 0; i < n; i++)
            out->q[g * n + i] = (uint8_t)tini_level((v[i] - from[best]) * tini_inverse(step[best]), 0.0f, high);
    }
    if (n == 32)
        tini_store_pairs(out->scale, scale, minimum);
    else
        for (uint32_t g = 0; g < 16; g++)
            out->scale[g] = (uint8_t)(scale[g] | minimum[g] << 4);
    return tini_half_overflows(wide) || tini_half_overflows(deep) ? -2 : 0;
}

/* x ~ d scale q with q from low to -low - 1, in groups of 16; scale from least to -least - 1. out->scale: scale - base. */
static int tini_quantize_scales(const tini_tries *tries, tini_quants *out, const float *x, const float *weight,
                                const float *share, float low, float least, float base) {
    const float from[TINI_TRIES] = {0};
    float fit[16];
    for (uint32_t g = 0; g < 16; g++)
        fit[g] = tini_fit_scale(tries, x + 16 * g, weight + 16 * g, 16, low);
    const float unit = tini_fit_unit(tries, fit, share, 16, least, -least - 1.0f, least),
                d = tini_half_round(unit);
    out->half[0] = tini_f32_to_f16(d);
    for (uint32_t g = 0; g < 16; g++) {
        const float *v = x + 16 * g;
        float scales[TINI_TRIES], step[TINI_TRIES];
        float middle = tini_level(fit[g] * tini_inverse(d), least, -least - 1.0f);
        for (uint32_t c = 0; c < TINI_TRIES; c++) {
            scales[c] = tini_bounded(middle + (float)c - 8.0f, least, -least - 1.0f);
            step[c] = scales[c] * d;
        }
        uint32_t best = tries->points(v, weight + 16 * g, step, from, 16, low, -low - 1.0f);
        out->scale[g] = (uint8_t)(int32_t)(scales[best] - base);
        for (uint32_t i = 0; i < 16; i++)
            out->q[16 * g + i] = (uint8_t)(tini_level(v[i] * tini_inverse(step[best]), low, -low - 1.0f) - low);
    }
    return tini_half_overflows(unit) ? -2 : 0;
}

/* IQ4_XS: x ~ d scale times a value of IQ4_NL's codes, in groups of 32; scale from -32 to 31. */
static int tini_quantize_super_codes(const tini_tries *tries, tini_quants *out, const float *x,
                                     const float *weight, const float *share) {
    const tini_kind kind = tini_kind_of(TINI_FORMAT_IQ4_XS);
    float fit[8];
    for (uint32_t g = 0; g < 8; g++)
        fit[g] = tini_fit_codes(tries, x + 32 * g, weight + 32 * g, 32, TINI_FORMAT_IQ4_XS);
    const float unit = tini_fit_unit(tries, fit, share, 8, -32.0f, 31.0f, -32.0f), d = tini_half_round(unit);
    out->half[0] = tini_f32_to_f16(unit);
    memset(out->scale, 0, 6);
    for (uint32_t g = 0; g < 8; g++) {
        float scales[TINI_TRIES], step[TINI_TRIES];
        float middle = tini_level(fit[g] * tini_inverse(d), -32.0f, 31.0f);
        for (uint32_t c = 0; c < TINI_TRIES; c++) {
            scales[c] = tini_bounded(middle + (float)c - 8.0f, -32.0f, 31.0f);
            step[c] = scales[c] * d;
        }
        uint32_t best = tries->code_points(x + 32 * g, weight + 32 * g, step, 32);
        uint32_t scale = (uint32_t)(int32_t)(scales[best] + 32.0f);
        out->scale[2 + g / 2] |= (uint8_t)((scale & 15) << g % 2 * 4);
        out->scale[g / 4] |= (uint8_t)(scale >> 4 << g % 4 * 2);
        for (uint32_t i = 32 * g; i < 32 * g + 32; i++)
            out->q[i] = tini_nearest_code(x[i] * tini_inverse(step[best]), &kind);
    }
    return tini_half_overflows(unit) ? -2 : 0;
}

/* TQ2_0: x ~ d q, q one of -1, 0 and 1. */
static int tini_quantize_ternary(const tini_tries *tries, tini_quants *out, const float *x,
                                 const float *weight) {
    const float fit = tini_fit_ternary(tries, x, weight, 256), inverse = tini_inverse(tini_half_round(fit));
    out->half[0] = tini_f32_to_f16(fit);
    for (uint32_t i = 0; i < 256; i++)
        out->q[i] = (uint8_t)(tini_level(x[i] * inverse, -1.0f, 1.0f) + 1.0f);
    return tini_half_overflows(fit) ? -2 : 0;
}

int tini_quantize_super(const tini_tries *tries, int format, tini_quants *out, const float *x,
                        const float *weight, const float *share) {
    int status = -1;
    uint8_t scale[16];
    switch (format) {
    case TINI_FORMAT_Q4_K:
        return tini_quantize_lines(tries, out, x, weight, share, 32, 15.0f, 63.0f);
    case TINI_FORMAT_Q5_K:
        return tini_quantize_lines(tries, out, x, weight, share, 32, 31.0f, 63.0f);
    case TINI_FORMAT_Q2_K:
        return tini_quantize_lines(tries, out, x, weight, share, 16, 3.0f, 15.0f);
    case TINI_FORMAT_Q6_K:
        return tini_quantize_scales(tries, out, x, weight, share, -32.0f, -128.0f, 0.0f);
    case TINI_FORMAT_Q3_K:
        status = tini_quantize_scales(tries, out, x, weight, share, -4.0f, -32.0f, -32.0f);
        memcpy(scale, out->scale, 16);
        tini_store_sixes(out->scale, scale);
        break;
    case TINI_FORMAT_IQ4_XS:
        return tini_quantize_super_codes(tries, out, x, weight, share);
    case TINI_FORMAT_TQ2_0:
        return tini_quantize_ternary(tries, out, x, weight);
    }
    return status;
}

TINI_REGION_END
