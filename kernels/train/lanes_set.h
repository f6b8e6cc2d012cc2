/* Vectors of one instruction set (each_set.h), for training's functions. They are those of GCC and clang; with other
 * compilers a vector is one float. */

#if defined(__GNUC__)
typedef float TINI_OF(tini_lane) __attribute__((vector_size(4 * TINI_LANES)));
typedef uint32_t TINI_OF(tini_lane_bits) __attribute__((vector_size(4 * TINI_LANES)));
typedef uint16_t TINI_OF(tini_lane_halves) __attribute__((vector_size(2 * TINI_LANES)));
#define TINI_WIDEN(halves) __builtin_convertvector(halves, TINI_OF(tini_lane_bits))
#define TINI_NARROW(bits) __builtin_convertvector(bits, TINI_OF(tini_lane_halves))
#else
typedef float TINI_OF(tini_lane);
typedef uint32_t TINI_OF(tini_lane_bits);
typedef uint16_t TINI_OF(tini_lane_halves);
#define TINI_WIDEN(halves) ((uint32_t)(halves))
#define TINI_NARROW(bits) ((uint16_t)(bits))
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

/* 1 / (1 + exp(-x)). */
TINI_INLINE LANE TINI_OF(tini_sigmoid)(LANE x) {
    LANE zero = {0}, bound = zero - 87.0f;
    LANE opposite = TINI_OF(tini_greater)(zero - TINI_OF(tini_greater)(x, bound), bound);
    return 1.0f / (1.0f + TINI_OF(tini_exponent)(opposite));
}

/* Values k, k + 1, … of a matrix. `room` values from k on are there: where they are fewer than a vector, it is filled
 * with zeros. */
TINI_INLINE LANE TINI_OF(tini_take)(const uint8_t *from, const int narrow, size_t k, uint32_t room) {
    const size_t count = room < LANES ? room : LANES;
    LANE lane = {0};
    if (!narrow) {
        memcpy(&lane, from + 4 * k, 4 * count);
        return lane;
    }
    TINI_OF(tini_lane_halves) halves = {0};
    memcpy(&halves, from + 2 * k, 2 * count);
    TINI_OF(tini_lane_bits) bits = TINI_WIDEN(halves) << 16;
    memcpy(&lane, &bits, sizeof lane);
    return lane;
}

TINI_INLINE void TINI_OF(tini_put)(uint8_t *to, const int narrow, size_t k, uint32_t room, LANE lane) {
    const size_t count = room < LANES ? room : LANES;
    if (!narrow) {
        memcpy(to + 4 * k, &lane, 4 * count);
        return;
    }
    TINI_OF(tini_lane_bits) bits;
    memcpy(&bits, &lane, sizeof bits);
    TINI_OF(tini_lane_halves) halves = TINI_NARROW((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    memcpy(to + 2 * k, &halves, 2 * count);
}

/* Calls per_vector(k, room) for each vector of a row of `width` values: whole ones apart, for whose copies the compiler
 * then needs no count. */
#define TINI_EACH(width, per_vector)               \
    do {                                           \
        uint32_t k = 0;                            \
        for (; k + LANES <= (width); k += LANES) { \
            per_vector(k, LANES);                  \
        }                                          \
        if (k < (width)) {                         \
            per_vector(k, (width) - k);            \
        }                                          \
    } while (0)
