/* layer_norm on the lanes of a vector, of which some hold the scalar's 16 partial sums; the last n % 16 elements continue from
 * their lanes. Included with these, which it undefines:
 *
 * TINI_LANES             a vector of floats
 * TINI_LANES_SUM         a name for a sum, of elements or of their squared differences from the mean
 * TINI_LANES_LAYER_NORM  a name for the function */

TINI_INLINE float TINI_LANES_SUM(const float *x, uint32_t n, float mean, const int squares) {
    typedef TINI_LANES loose __attribute__((aligned(4), may_alias));
    enum { WIDTH = sizeof(TINI_LANES) / 4, PARTS = 16 / WIDTH };
    TINI_LANES part[PARTS] = {{0}};
    float lanes[16];
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const loose *v = (const void *)(x + i);
        TINI_UNROLL
        for (uint32_t k = 0; k < PARTS; k++) {
            TINI_LANES d = v[k];
            if (squares) {
                d = d - mean;
                d = d * d;
            }
            part[k] = part[k] + d;
        }
    }
    memcpy(lanes, part, sizeof lanes);
    TINI_ROLLED
    for (; i < n; i++) {
        float d = squares ? x[i] - mean : x[i];
        lanes[i % 16] = lanes[i % 16] + (squares ? d * d : d);
    }
    return tini_sum16(lanes);
}

void TINI_LANES_LAYER_NORM(float *out, const float *x, const float *weight, const float *bias, uint32_t n,
                           float eps) {
    typedef TINI_LANES loose __attribute__((aligned(4), may_alias));
    enum { WIDTH = sizeof(TINI_LANES) / 4 };
    const float mean = TINI_LANES_SUM(x, n, 0.0f, 0) / (float)n;
    const float s = 1.0f / tini_sqrt(TINI_LANES_SUM(x, n, mean, 1) / (float)n + eps);
    uint32_t i = 0;
    for (; i + WIDTH <= n; i += WIDTH) {
        const loose *v = (const void *)(x + i), *w = (const void *)(weight + i), *b = (const void *)(bias + i);
        *(loose *)(void *)(out + i) = (*v - mean) * s * *w + *b;
    }
    TINI_ROLLED
    for (; i < n; i++)
        out[i] = ((x[i] - mean) * s) * weight[i] + bias[i];
}

#undef TINI_LANES
#undef TINI_LANES_SUM
#undef TINI_LANES_LAYER_NORM
