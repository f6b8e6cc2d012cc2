/* Float functions with one result on every machine: no libm, no table, no fused operation. Half precision is
 * converted by integer arithmetic, so a host that flushes denormals does not change it. */
#ifndef TINI_MATH_H
#define TINI_MATH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "region.h"

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#elif defined(_MSC_VER) && !defined(__clang__)
#include <math.h>
#endif

#define TINI_INFINITY ((float)(1e300 * 1e300))

/* exp(x) = 2^n * (1 + (r + r^2 * P(r))), n = round(x / ln 2), r = x - n ln 2, |r| < 0.35. P is a minimax fit
 * whose own relative error is 3e-9. ln 2 is in two parts, of which n times the first is exact. */
#define TINI_EXP_LOWEST (-87.3f) /* below, the result is 0 */
#define TINI_EXP_HIGHEST (88.0f) /* above, the result is infinite */
#define TINI_EXP_LOG2E (0x1.715476p+0f)
#define TINI_EXP_LN2_HIGH (0x1.63p-1f)
#define TINI_EXP_LN2_LOW (-0x1.bd0106p-13f)
#define TINI_EXP_P0 (0x1.fffffcp-2f)
#define TINI_EXP_P1 (0x1.555490p-3f)
#define TINI_EXP_P2 (0x1.5558f8p-5f)
#define TINI_EXP_P3 (0x1.123b02p-7f)
#define TINI_EXP_P4 (0x1.6a2256p-10f)

/* x + c - c rounds x to the nearest integer, ties to even, for |x| < 2^22. */
#define TINI_ROUND_F32 (0x1.8p+23f)
#define TINI_ROUND_F64 (0x1.8p+52)

TINI_REGION_SCALAR

TINI_INLINE uint32_t tini_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

TINI_INLINE float tini_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Little-endian loads from bytes of any alignment. */
TINI_INLINE uint16_t tini_load_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

TINI_INLINE float tini_load_f32(const uint8_t *p) {
    float x;
    memcpy(&x, p, sizeof x);
    return x;
}

TINI_INLINE float tini_abs(float x) {
    return tini_float(tini_bits(x) & 0x7fffffffu);
}

/* Correctly rounded, as IEEE asks of every square root. Compilers tend to turn the plain builtin into a call
 * that can set errno; the instruction needs none. */
TINI_INLINE float tini_sqrt(float x) {
#if defined(__SSE2__) || defined(_M_X64)
    return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
#elif defined(_MSC_VER) && !defined(__clang__)
    return sqrtf(x);
#else
    return __builtin_sqrtf(x);
#endif
}

/* The nearest integer, ties to even, for |x| < 2^22: the low bits of x + 1.5 * 2^23. Any other x, a NaN too, gives some
 * integer, where a cast would be undefined. */
TINI_INLINE int32_t tini_nearest(float x) {
    return (int32_t)(tini_bits(x + TINI_ROUND_F32) - tini_bits(TINI_ROUND_F32));
}

/* exp(x) for x in [-87.3, 88]; anything else gives some number. */
TINI_INLINE float tini_exp_within(float x) {
    int32_t whole = tini_nearest(x * TINI_EXP_LOG2E);
    float n = (float)whole;
    float r = (x - n * TINI_EXP_LN2_HIGH) - n * TINI_EXP_LN2_LOW;
    float p = TINI_EXP_P4;
    p = p * r + TINI_EXP_P3;
    p = p * r + TINI_EXP_P2;
    p = p * r + TINI_EXP_P1;
    p = p * r + TINI_EXP_P0;
    float y = (p * (r * r) + r) + 1.0f;
    return y * tini_float(((uint32_t)whole + 127u) << 23);
}

/* exp(x) within 1.5 ulp for x in [-87.3, 88]; 0 below, infinity above; exp(0) is exactly 1. */
TINI_INLINE float tini_exp(float x) {
    return x < TINI_EXP_LOWEST ? 0.0f : x > TINI_EXP_HIGHEST ? TINI_INFINITY : tini_exp_within(x);
}

/* tini_exp of x <= 88 without a branch, so that compilers make lanes of a loop; 0 of what is no number. */
TINI_INLINE float tini_exp_below(float x) {
    return tini_float(tini_bits(tini_exp_within(x)) & (0u - (uint32_t)(x >= TINI_EXP_LOWEST)));
}

/* round(127 * 2^t), for t <= 0; of what is no number, some number. With n = round(t), at least -16, and f = t - n, 127 * 2^f
 * is 127 and a fit of three terms whose relative error is 1.1e-4. */
#define TINI_WEIGHT_LOWEST (-16.0f) /* below -8 the result is 0 */
#define TINI_WEIGHT_P0 (127.0f)
#define TINI_WEIGHT_P1 (0x1.60300cp+6f)
#define TINI_WEIGHT_P2 (0x1.ec2b4cp+4f)
#define TINI_WEIGHT_P3 (0x1.bf1a3ap+2f)
TINI_INLINE int32_t tini_weight(float t) {
    t = t < TINI_WEIGHT_LOWEST ? TINI_WEIGHT_LOWEST : t;
    float shifted = t + TINI_ROUND_F32, f = t - (shifted - TINI_ROUND_F32);
    float y = ((TINI_WEIGHT_P3 * f + TINI_WEIGHT_P2) * f + TINI_WEIGHT_P1) * f + TINI_WEIGHT_P0;
    /* The shift drops all but the low bits of `shifted`, which are n's. */
    return tini_nearest(tini_float(tini_bits(y) + (tini_bits(shifted) << 23)));
}

/* 2 sqrt(2 / pi), and 0.044715 times that: gelu by tanh, 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), is
 * x / (1 + exp(-x (A + B x^2))). */
#define TINI_GELU_A (0x1.9884540000000p+0f)
#define TINI_GELU_B (0x1.2444f20000000p-4f)

/* The normal distribution, (1 + erf(x / sqrt(2))) / 2, within 4e-7 for any x: with z = |x| / sqrt(2) and
 * t = 1 / (1 + 0.45 z), half of erfc(z) is exp(-z^2) * t * P(t) / 2, P a minimax fit whose own relative error is 3e-7. */
#define TINI_NORMAL_Z (0x1.6a09e6p-1f)
#define TINI_NORMAL_T (0x1.cccccep-2f)
#define TINI_NORMAL_P0 (0x1.0402c6p-2f)
#define TINI_NORMAL_P1 (0x1.039a58p-2f)
#define TINI_NORMAL_P2 (0x1.d4907cp-3f)
#define TINI_NORMAL_P3 (0x1.7db3d4p-3f)
#define TINI_NORMAL_P4 (0x1.6bd306p-5f)
#define TINI_NORMAL_P5 (0x1.a2ec68p-3f)
#define TINI_NORMAL_P6 (-0x1.e73200p-3f)
#define TINI_NORMAL_P7 (0x1.0fa4eep-4f)
TINI_INLINE float tini_normal(float x) {
    float z = tini_abs(x) * TINI_NORMAL_Z, t = 1.0f / (1.0f + TINI_NORMAL_T * z);
    float p = TINI_NORMAL_P7;
    p = p * t + TINI_NORMAL_P6;
    p = p * t + TINI_NORMAL_P5;
    p = p * t + TINI_NORMAL_P4;
    p = p * t + TINI_NORMAL_P3;
    p = p * t + TINI_NORMAL_P2;
    p = p * t + TINI_NORMAL_P1;
    p = p * t + TINI_NORMAL_P0;
    float tail = 0.5f * (tini_exp(-(z * z)) * (p * t));
    return x < 0.0f ? tail : 1.0f - tail;
}

/* cap * tanh(x / cap), by 1 - 2 / (exp(2 t) + 1), within 1e-6 of cap. */
TINI_INLINE float tini_soft_cap(float x, float cap) {
    return cap * (1.0f - 2.0f / (tini_exp(2.0f * (x / cap)) + 1.0f));
}

/* The natural logarithm within 2.5 ulp, of normal x > 0: x = 2^n * m, m from sqrt(1/2) to sqrt(2), and the series of
 * log m = 2 artanh(z), z = (m - 1) / (m + 1), |z| < 0.172. ln 2 is in two parts, of which n times the first is exact. */
TINI_INLINE double tini_log(double x) {
    const uint64_t half = UINT64_C(0x3fe6a09e667f3bcd); /* sqrt(1/2) */
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t whole = (int64_t)(bits - half) >> 52;
    bits -= (uint64_t)whole << 52;
    double m, n = (double)whole;
    memcpy(&m, &bits, sizeof m);
    double z = (m - 1.0) / (m + 1.0), zz = z * z, p = 1.0 / 21.0;
    for (int k = 19; k >= 3; k -= 2)
        p = p * zz + 1.0 / k;
    return n * 0x1.62e42feep-1 + (2.0 * z + (2.0 * z * (p * zz) + n * 0x1.a39ef35793c76p-33));
}

/* log(1 + exp(x)) within 2.5 ulp and 2^-53; above 20, x. */
TINI_INLINE float tini_softplus(float x) {
    return x > 20.0f ? x : (float)tini_log(1.0 + (double)tini_exp(x));
}

/* Exact. */
TINI_INLINE float tini_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 1023u;
    if (exponent == 0)
        return tini_float(tini_bits((float)mantissa * 0x1p-24f) | sign);
    return tini_float(sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13);
}

/* Nearest even; too large becomes infinite; a NaN stays one. */
TINI_INLINE uint16_t tini_f32_to_f16(float x) {
    uint32_t bits = tini_bits(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x47800000u) /* 2^16 */
        return (uint16_t)(sign | 0x7c00u);
    uint32_t exponent = magnitude >> 23, shift = 13, kept = magnitude - (112u << 23);
    if (exponent < 113) { /* below 2^-14: a half's denormal, in units of 2^-24 */
        if (exponent < 102)
            return (uint16_t)sign;
        shift = 126 - exponent;
        kept = (magnitude & 0x7fffffu) | 0x800000u;
    }
    uint32_t half = kept >> shift, rest = kept & ((1u << shift) - 1u), middle = 1u << (shift - 1);
    half += rest > middle || (rest == middle && (half & 1u));
    return (uint16_t)(sign | half); /* a carry into the exponent is the right result */
}

/* Exact. */
TINI_INLINE float tini_bf16_to_f32(uint16_t h) {
    return tini_float((uint32_t)h << 16);
}

/* Nearest even; a NaN stays one. */
TINI_INLINE uint16_t tini_f32_to_bf16(float x) {
    uint32_t bits = tini_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 64u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Sine and cosine of `angle` radians, |angle| <= 1e6, each correctly rounded to float but for ties within
 * 1e-14.
 *
 * Arithmetic is float64: k = round(angle * 2 / pi), r = angle - k pi / 2 with pi / 2 in three parts, of which k
 * times the first two is exact; then Taylor series on |r| <= pi / 4. */
TINI_INLINE void tini_sin_cos(double angle, float *sine, float *cosine) {
    double turns = angle * 0x1.45f306dc9c883p-1 + TINI_ROUND_F64; /* k in its low bits */
    double k = turns - TINI_ROUND_F64;
    double r = ((angle - k * 0x1.921fb544p+0) - k * 0x1.0b4611a6p-34) - k * 0x1.3198a2e037073p-69;
    double z = r * r;
    double s = -1.0 / 1307674368000.0;
    s = s * z + 1.0 / 6227020800.0;
    s = s * z - 1.0 / 39916800.0;
    s = s * z + 1.0 / 362880.0;
    s = s * z - 1.0 / 5040.0;
    s = s * z + 1.0 / 120.0;
    s = s * z - 1.0 / 6.0;
    s = s * z * r + r;
    double c = 1.0 / 20922789888000.0;
    c = c * z - 1.0 / 87178291200.0;
    c = c * z + 1.0 / 479001600.0;
    c = c * z - 1.0 / 3628800.0;
    c = c * z + 1.0 / 40320.0;
    c = c * z - 1.0 / 720.0;
    c = c * z + 1.0 / 24.0;
    c = c * z - 0.5;
    c = c * z + 1.0;
    uint64_t quadrant;
    memcpy(&quadrant, &turns, sizeof quadrant);
    quadrant &= 3;
    double out_s = quadrant & 1 ? c : s, out_c = quadrant & 1 ? s : c;
    *sine = (float)(quadrant & 2 ? -out_s : out_s);
    *cosine = (float)(quadrant == 1 || quadrant == 2 ? -out_c : out_c);
}

/* The sum of 16 partial sums, by a fixed tree. */
TINI_INLINE float tini_sum16(const float lanes[16]) {
    float s[8];
    for (int i = 0; i < 8; i++)
        s[i] = lanes[i] + lanes[i + 8];
    for (int i = 0; i < 4; i++)
        s[i] = s[i] + s[i + 4];
    return (s[0] + s[2]) + (s[1] + s[3]);
}

TINI_REGION_END

#endif
