/* The loops of tini_tries; fit.c includes them once for each instruction set, inside its region, with TINI_TRY(name)
 * giving the names. low and high are no constants here: knowing them, compilers make branches of the bounds. */

/* Of the tries q = level(x * inverse), the one that leaves the least sum of weight (x - d q)^2 with the d that suits it:
 * the sum of weight x q over that of weight q^2. Returns that d. */
static float TINI_TRY(scales)(const float *x, const float *weight, const float *inverse, uint32_t n, float low,
                              float high) {
    float xq[TINI_TRIES] = {0}, qq[TINI_TRIES] = {0};
    for (uint32_t i = 0; i < n; i++) {
        const float wx = weight[i] * x[i];
        TINI_TOGETHER
        for (uint32_t c = 0; c < TINI_TRIES; c++) {
            float q = tini_level(x[i] * inverse[c], low, high);
            xq[c] += wx * q;
            qq[c] += weight[i] * q * q;
        }
    }
    return tini_best_scale(xq, qq);
}

TINI_INLINE float TINI_TRY(codes_of)(const float *x, const float *weight, const float *inverse, uint32_t n,
                                     const int format) {
    float xq[TINI_TRIES] = {0}, qq[TINI_TRIES] = {0};
    for (uint32_t i = 0; i < n; i++) {
        const float wx = weight[i] * x[i];
        TINI_TOGETHER
        for (uint32_t c = 0; c < TINI_TRIES; c++) {
            float q = tini_code_value(x[i] * inverse[c], format);
            xq[c] += wx * q;
            qq[c] += weight[i] * q * q;
        }
    }
    return tini_best_scale(xq, qq);
}

/* As scales, with q from the values of codes. */
static float TINI_TRY(codes)(const float *x, const float *weight, const float *inverse, uint32_t n,
                             int format) {
    return format == TINI_FORMAT_IQ3_NL ? TINI_TRY(codes_of)(x, weight, inverse, n, TINI_FORMAT_IQ3_NL)
                                        : TINI_TRY(codes_of)(x, weight, inverse, n, TINI_FORMAT_IQ4_NL);
}

/* As scales, for lines: q = level((x - from) * inverse). The line is for x + mean; x's own weighted mean is 0. */
static tini_line TINI_TRY(lines)(const float *x, const float *weight, float mean, const float *inverse,
                                 const float *from, uint32_t n, float low, float high, int below) {
    float sum = 0.0f, sq[TINI_TRIES] = {0}, xq[TINI_TRIES] = {0}, qq[TINI_TRIES] = {0};
    for (uint32_t i = 0; i < n; i++) {
        const float wx = weight[i] * x[i];
        sum += weight[i];
        TINI_TOGETHER
        for (uint32_t c = 0; c < TINI_TRIES; c++) {
            float q = tini_level((x[i] - from[c]) * inverse[c], low, high);
            float wq = weight[i] * q;
            sq[c] += wq;
            xq[c] += wx * q;
            qq[c] += wq * q;
        }
    }
    return tini_best_line(sum, mean, sq, xq, qq, below);
}

/* Of the tries x ~ d level((x - from) / d) + from, the one with the least sum of weight times squared error. */
static uint32_t TINI_TRY(points)(const float *x, const float *weight, const float *d, const float *from,
                                 uint32_t n, float low, float high) {
    float inverse[TINI_TRIES], gain[TINI_TRIES] = {0};
    TINI_TOGETHER
    for (uint32_t c = 0; c < TINI_TRIES; c++)
        inverse[c] = tini_inverse(d[c]);
    for (uint32_t i = 0; i < n; i++) {
        TINI_TOGETHER
        for (uint32_t c = 0; c < TINI_TRIES; c++) {
            float q = tini_level((x[i] - from[c]) * inverse[c], low, high);
            float e = x[i] - (d[c] * q + from[c]);
            gain[c] -= weight[i] * e * e;
        }
    }
    return tini_largest(gain);
}

/* Of the tries x ~ d times a value of IQ4_NL's codes, the one with the least sum of weight times squared error. */
static uint32_t TINI_TRY(code_points)(const float *x, const float *weight, const float *d, uint32_t n) {
    float inverse[TINI_TRIES], gain[TINI_TRIES] = {0};
    TINI_TOGETHER
    for (uint32_t c = 0; c < TINI_TRIES; c++)
        inverse[c] = tini_inverse(d[c]);
    for (uint32_t i = 0; i < n; i++) {
        TINI_TOGETHER
        for (uint32_t c = 0; c < TINI_TRIES; c++) {
            float e = x[i] - d[c] * tini_code_value(x[i] * inverse[c], TINI_FORMAT_IQ4_NL);
            gain[c] -= weight[i] * e * e;
        }
    }
    return tini_largest(gain);
}
