/* Vectors of one instruction set (each_set.h), for training's functions. They are those of GCC and clang; with other
 * compilers a vector is one float. */

#if defined(__GNUC__)
typedef float TINI_OF(tini_lane) __attribute__((vector_size(4 * TINI_LANES)));
typedef uint32_t TINI_OF(tini_lane_bits) __attribute__((vector_size(4 * TINI_LANES)));
#else
typedef float TINI_OF(tini_lane);
typedef uint32_t TINI_OF(tini_lane_bits);
#endif
#define LANE TINI_OF(tini_lane)
#define LANES ((uint32_t)(sizeof(LANE) / sizeof(float)))

TINI_INLINE LANE TINI_OF(tini_load)(const float *from) {
    LANE lane;
    memcpy(&lane, from, sizeof lane);
    return lane;
}

TINI_INLINE void TINI_OF(tini_store)(float *to, LANE lane) {
    memcpy(to, &lane, sizeof lane);
}

/* The greater of each pair of floats; b where one is a NaN. */
TINI_INLINE LANE TINI_OF(tini_greater)(LANE a, LANE b) {
#if defined(__GNUC__)
    TINI_OF(tini_lane_bits) first = (TINI_OF(tini_lane_bits))(a > b);
    return (LANE)(((TINI_OF(tini_lane_bits))a & first) | ((TINI_OF(tini_lane_bits))b & ~first));
#else
    return a > b ? a : b;
#endif
}

TINI_INLINE float TINI_OF(tini_total)(LANE lane) {
    float each[sizeof(LANE) / sizeof(float)];
    TINI_OF(tini_store)(each, lane);
    for (uint32_t half = LANES / 2; half; half /= 2)
        for (uint32_t k = 0; k < half; k++)
            each[k] += each[k + half];
    return each[0];
}

/* exp(x) by tini_exp's polynomial, for x from -87 to 87. */
TINI_INLINE LANE TINI_OF(tini_exponent)(LANE x) {
    LANE shifted = x * TINI_EXP_LOG2E + TINI_ROUND_F32, n = shifted - TINI_ROUND_F32,
         r = (x - n * TINI_EXP_LN2_HIGH) - n * TINI_EXP_LN2_LOW, p = r * TINI_EXP_P4 + TINI_EXP_P3, scale;
    p = p * r + TINI_EXP_P2;
    p = p * r + TINI_EXP_P1;
    p = p * r + TINI_EXP_P0;
    TINI_OF(tini_lane_bits) power;
    memcpy(&power, &shifted, sizeof power);
    power = (power - tini_bits(TINI_ROUND_F32) + 127u) << 23;
    memcpy(&scale, &power, sizeof scale);
    return ((p * (r * r) + r) + 1.0f) * scale;
}
