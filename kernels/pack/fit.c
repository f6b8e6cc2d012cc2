#include "fit.h"
#include "../core/base/isa.h"

/* Before a loop over the tries: vectors are made of it only where it is not unrolled before. */
#if defined(__clang__)
#define TINI_TOGETHER TINI_PRAGMA(clang loop vectorize(enable) unroll(disable))
#elif defined(__GNUC__)
#define TINI_TOGETHER TINI_PRAGMA(GCC unroll 1)
#else
#define TINI_TOGETHER
#endif

TINI_REGION_SCALAR

/* The place of the largest, the first of equals. */
static uint32_t tini_largest(const float gain[TINI_TRIES]) {
    float most = gain[0];
    for (uint32_t c = 1; c < TINI_TRIES; c++)
        most = gain[c] > most ? gain[c] : most;
    uint32_t place = 0;
    while (place < TINI_TRIES - 1 && gain[place] < most)
        place++;
    return place;
}

/* sum weight x^2 less sum weight (x - d q)^2 is xq^2 / qq at the best d, xq / qq. */
TINI_NOINLINE float tini_best_scale(const float xq[TINI_TRIES], const float qq[TINI_TRIES]) {
    float d[TINI_TRIES], gain[TINI_TRIES];
    TINI_TOGETHER
    for (uint32_t c = 0; c < TINI_TRIES; c++) {
        d[c] = xq[c] / (qq[c] > 1e-30f ? qq[c] : TINI_INFINITY);
        gain[c] = d[c] * xq[c];
    }
    return d[tini_largest(gain)];
}

/* The line of least squares through each try's q, or that through 0 where the minimum would be above; the best of them. */
TINI_NOINLINE tini_line tini_best_line(float sum, float mean, const float sq[TINI_TRIES],
                                       const float xq[TINI_TRIES], const float qq[TINI_TRIES], int below) {
    float d[TINI_TRIES], minimum[TINI_TRIES], gain[TINI_TRIES];
    const float share = 1.0f / sum, whole_gain = sum * mean * mean, most = below ? 0.0f : TINI_INFINITY;
    TINI_TOGETHER
    for (uint32_t c = 0; c < TINI_TRIES; c++) {
        float q_mean = sq[c] * share, spread = qq[c] - sq[c] * q_mean;
        float slope = xq[c] / (spread > 1e-30f ? spread : TINI_INFINITY), least = mean - slope * q_mean;
        float whole = xq[c] + mean * sq[c]; /* the sum of weight (x + mean) q */
        float direct = whole / (qq[c] > 1e-30f ? qq[c] : TINI_INFINITY);
        float plain = slope * xq[c] + whole_gain, through = direct * whole;
        d[c] = least > most ? direct : slope;
        minimum[c] = least > most ? 0.0f : least;
        gain[c] = least > most ? through : plain;
    }
    uint32_t best = tini_largest(gain);
    return (tini_line){d[best], minimum[best]};
}

TINI_REGION_END

TINI_REGION_SCALAR
#define TINI_TRY(name) tini_try_##name##_scalar
#include "tries.h"
#undef TINI_TRY
TINI_REGION_END

static const tini_tries tini_tries_scalar = {tini_try_scales_scalar, tini_try_lines_scalar,
                                             tini_try_points_scalar, tini_try_codes_scalar,
                                             tini_try_code_points_scalar};

#if TIN_HAVE_AVX2
TINI_REGION_AVX2
#define TINI_TRY(name) tini_try_##name##_avx2
#include "tries.h"
#undef TINI_TRY
TINI_REGION_END

static const tini_tries tini_tries_avx2 = {tini_try_scales_avx2, tini_try_lines_avx2, tini_try_points_avx2,
                                           tini_try_codes_avx2, tini_try_code_points_avx2};
#endif

const tini_tries *tini_tries_here(void) {
#if TIN_HAVE_AVX2
    if (tini_kernels_select("avx2"))
        return &tini_tries_avx2;
#endif
    return &tini_tries_scalar;
}

TINI_REGION_SCALAR

static float tini_extreme(const float *x, uint32_t n) {
    float extreme = 0.0f;
    for (uint32_t i = 0; i < n; i++)
        extreme = tini_abs(x[i]) > tini_abs(extreme) ? x[i] : extreme;
    return extreme;
}

/* Values around `inverse`, each 1 / 160 from the next, and 1 / d. */
static void tini_finer(float tries[TINI_TRIES], float d) {
    for (uint32_t c = 0; c < TINI_TRIES; c++)
        tries[c] = tini_inverse(d) * (1.0f + ((float)c - 8.0f) * (1.0f / 160.0f));
}

/* A grid that puts the value farthest from 0 at the lowest level and near it, or near the highest; then a finer one. With
 * 32 levels and more it does not go far: clipped values' errors are of one sign, and may add up along a model. (Reaching 5
 * times as far, SmolLM2's Q4_K_M, most of which is Q5_0, had a third more KL divergence.) */
float tini_fit_scale(const tini_tries *tries, const float *x, const float *weight, uint32_t n, float low) {
    const float extreme = tini_extreme(x, n), step = low * (low > -16.0f ? -0.03125f : -0.00625f);
    float inverse[TINI_TRIES];
    if (!(tini_abs(extreme) > 1e-30f))
        return 0.0f;
    for (uint32_t c = 0; c < 8; c++) {
        float level = low + step * ((float)c - 2.0f);
        inverse[c] = level / extreme;
        inverse[c + 8] = (-level - 0.5f * step) / extreme;
    }
    tini_finer(inverse, tries->scales(x, weight, inverse, n, low, -low - 1.0f));
    return tries->scales(x, weight, inverse, n, low, -low - 1.0f);
}

float tini_fit_codes(const tini_tries *tries, const float *x, const float *weight, uint32_t n, int format) {
    const tini_kind kind = tini_kind_of(format);
    const float extreme = tini_extreme(x, n), low = (float)tini_whole(0, &kind),
                high = (float)tini_whole(tini_last_code(&kind), &kind), step = 5.0f * low / -127.0f;
    float inverse[TINI_TRIES];
    if (!(tini_abs(extreme) > 1e-30f))
        return 0.0f;
    for (uint32_t c = 0; c < 8; c++) {
        inverse[c] = (low + step * ((float)c - 3.0f)) / extreme;
        inverse[c + 8] = (high - step * ((float)c - 3.0f)) / extreme;
    }
    tini_finer(inverse, tries->codes(x, weight, inverse, n, format));
    return tries->codes(x, weight, inverse, n, format);
}

/* Scales from the largest value down, each a sixth below the one before; then twice finer ones. */
float tini_fit_ternary(const tini_tries *tries, const float *x, const float *weight, uint32_t n) {
    const float extreme = tini_abs(tini_extreme(x, n));
    float inverse[TINI_TRIES];
    if (!(extreme > 1e-30f))
        return 0.0f;
    inverse[0] = 1.0f / extreme;
    for (uint32_t c = 1; c < TINI_TRIES; c++)
        inverse[c] = inverse[c - 1] * 1.2f;
    for (uint32_t round = 0; round < 2; round++)
        tini_finer(inverse, tries->scales(x, weight, inverse, n, -1.0f, 1.0f));
    return tries->scales(x, weight, inverse, n, -1.0f, 1.0f);
}

float tini_center(float *x, const float *weight, uint32_t n) {
    float sum = 0.0f, moment = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        sum += weight[i];
        moment += weight[i] * x[i];
    }
    const float mean = moment / sum;
    for (uint32_t i = 0; i < n; i++)
        x[i] -= mean;
    return mean;
}

/* A grid of lines that reach from up to 0.4 levels past the lowest value to 0.8 short of it, and so at the highest; then a
 * finer one around the best. */
tini_line tini_fit_line(const tini_tries *tries, const float *x, const float *weight, float mean, uint32_t n,
                        float high, int below) {
    float low = x[0], top = x[0], inverse[TINI_TRIES], from[TINI_TRIES];
    for (uint32_t i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        top = x[i] > top ? x[i] : top;
    }
    low = below && low > -mean ? -mean : low;
    if (!(top - low > 1e-30f))
        return (tini_line){0.0f, below && mean > 0.0f ? 0.0f : mean};
    const float step = (top - low) / high;
    for (uint32_t c = 0; c < TINI_TRIES; c++) {
        const uint32_t column = c % 4, row = c / 4;
        float first = 0.4f * ((float)column - 1.0f), last = 0.4f * ((float)row - 1.0f);
        from[c] = low + step * first;
        inverse[c] = 1.0f / (step * (1.0f - (first + last) / high));
    }
    tini_line line = tries->lines(x, weight, mean, inverse, from, n, 0.0f, high, below);
    for (uint32_t c = 0; c < TINI_TRIES; c++) {
        const uint32_t column = c % 4, row = c / 4;
        float first = 0.25f * ((float)column - 1.5f), last = 0.25f * ((float)row - 1.5f);
        from[c] = line.minimum - mean + line.d * first;
        inverse[c] = tini_inverse(line.d * (1.0f - (first + last) / high));
    }
    return tries->lines(x, weight, mean, inverse, from, n, 0.0f, high, below);
}

TINI_REGION_END
