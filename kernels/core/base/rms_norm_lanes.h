/* rms_norm on the lanes of a vector, of which some hold the scalar's 16 partial sums; the last n % 16 elements continue from
 * their lanes. Included with these, which it undefines:
 *
 * TINI_LANES           a vector of floats
 * TINI_LANES_RMS_NORM  a name for the function */

void TINI_LANES_RMS_NORM(float *out, const float *x, const float *weight, uint32_t n, float eps) {
    typedef TINI_LANES loose __attribute__((aligned(4), may_alias));
    enum { WIDTH = sizeof(TINI_LANES) / 4, PARTS = 16 / WIDTH };
    TINI_LANES part[PARTS] = {{0}};
    float lanes[16];
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const loose *v = (const void *)(x + i);
        TINI_UNROLL
        for (uint32_t k = 0; k < PARTS; k++)
            part[k] = part[k] + v[k] * v[k];
    }
    memcpy(lanes, part, sizeof lanes);
    TINI_ROLLED
    for (; i < n; i++)
        lanes[i % 16] = lanes[i % 16] + x[i] * x[i];
    const float s = 1.0f / tini_sqrt(tini_sum16(lanes) / (float)n + eps);
    for (i = 0; i + WIDTH <= n; i += WIDTH)
        *(loose *)(void *)(out + i) =
            *(const loose *)(const void *)(x + i) * s * *(const loose *)(const void *)(weight + i);
    TINI_ROLLED
    for (; i < n; i++)
        out[i] = (x[i] * s) * weight[i];
}

#undef TINI_LANES
#undef TINI_LANES_RMS_NORM
