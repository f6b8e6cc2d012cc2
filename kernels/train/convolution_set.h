/* convolution.c for one instruction set (each_set.h): the channels of a token from `first` to before `end`. */
#include "lanes_set.h"

/* The sum over the token's reach of channels k, k + 1, …, and the bias. */
TINI_INLINE LANE TINI_OF(tini_reached)(const tini_convolution *c, const int narrow, const uint8_t *row,
                                       const uint8_t *taps, const tini_reach *reach, size_t k, uint32_t room) {
    LANE sum = TINI_OF(tini_take)(taps, 0, (size_t)c->taps * c->channels + k, room);
    for (size_t lag = 0; lag < reach->count; lag++) {
        LANE tap = TINI_OF(tini_take)(taps, 0, (c->taps - 1 - lag) * c->channels + k, room);
        sum += TINI_OF(tini_take)(row, narrow, (size_t)reach->rows[lag] * c->channels + k, room) * tap;
    }
    return sum;
}

TINI_INLINE void TINI_OF(tini_convolved)(const tini_convolution *c, const int narrow, const uint8_t *row,
                                         const uint8_t *taps, const tini_reach *reach, uint8_t *out,
                                         uint32_t first, uint32_t end) {
#define TINI_CONVOLVE(k, room)                                                        \
    LANE sum = TINI_OF(tini_reached)(c, narrow, row, taps, reach, first + (k), room); \
    TINI_OF(tini_put)                                                                 \
    (out, narrow, first + (k), room, c->silu ? sum * TINI_OF(tini_sigmoid)(sum) : sum)
    TINI_EACH(end - first, TINI_CONVOLVE);
#undef TINI_CONVOLVE
}

static void TINI_OF(tini_convolution)(const tini_convolution *c, const uint8_t *row, const uint8_t *taps,
                                      const tini_reach *reach, uint8_t *out, uint32_t first, uint32_t end) {
    if (c->narrow)
        TINI_OF(tini_convolved)(c, 1, row, taps, reach, out, first, end);
    else
        TINI_OF(tini_convolved)(c, 0, row, taps, reach, out, first, end);
}

/* Adds what a slope, of channels k, k + 1, …, gives the taps. */
TINI_INLINE void TINI_OF(tini_to_taps)(const tini_convolution *c, const int narrow, const uint8_t *row,
                                       const tini_reach *reach, LANE slope, uint8_t *to_taps, size_t k,
                                       uint32_t room) {
    const size_t bias = (size_t)c->taps * c->channels + k;
    TINI_OF(tini_put)(to_taps, 0, bias, room, TINI_OF(tini_take)(to_taps, 0, bias, room) + slope);
    for (size_t lag = 0; lag < reach->count; lag++) {
        const size_t tap = (c->taps - 1 - lag) * c->channels + k;
        LANE x = TINI_OF(tini_take)(row, narrow, (size_t)reach->rows[lag] * c->channels + k, room);
        TINI_OF(tini_put)(to_taps, 0, tap, room, TINI_OF(tini_take)(to_taps, 0, tap, room) + slope * x);
    }
}

TINI_INLINE void TINI_OF(tini_sloped)(const tini_convolution *c, const int narrow, const uint8_t *row,
                                      const uint8_t *taps, const tini_reach *reach, const uint8_t *gradient,
                                      float *slopes, uint8_t *to_taps, uint32_t first, uint32_t end) {
#define TINI_SLOPE(k, room)                                                          \
    const size_t column = (size_t)first + (k);                                       \
    LANE slope = TINI_OF(tini_take)(gradient, narrow, column, room);                 \
    if (c->silu) {                                                                   \
        LANE sum = TINI_OF(tini_reached)(c, narrow, row, taps, reach, column, room); \
        LANE s = TINI_OF(tini_sigmoid)(sum);                                         \
        slope *= s + sum * s * (1.0f - s);                                           \
    }                                                                                \
    TINI_OF(tini_put)((uint8_t *)slopes, 0, k, room, slope);                         \
    if (to_taps)                                                                     \
    TINI_OF(tini_to_taps)(c, narrow, row, reach, slope, to_taps, column, room)
    TINI_EACH(end - first, TINI_SLOPE);
#undef TINI_SLOPE
}

static void TINI_OF(tini_convolution_slope)(const tini_convolution *c, const uint8_t *row, const uint8_t *taps,
                                            const tini_reach *reach, const uint8_t *gradient, float *slopes,
                                            uint8_t *to_taps, uint32_t first, uint32_t end) {
    if (c->narrow)
        TINI_OF(tini_sloped)(c, 1, row, taps, reach, gradient, slopes, to_taps, first, end);
    else
        TINI_OF(tini_sloped)(c, 0, row, taps, reach, gradient, slopes, to_taps, first, end);
}

TINI_INLINE void TINI_OF(tini_gathered)(const tini_convolution *c, const int narrow, const uint8_t *taps,
                                        const tini_reached_by *by, uint8_t *to, uint32_t first, uint32_t end) {
#define TINI_GATHER(k, room)                                                            \
    LANE sum = {0};                                                                     \
    if (by->more)                                                                       \
        sum = TINI_OF(tini_take)((const uint8_t *)by->more, 0, k, room);                \
    for (size_t token = 0; token < by->count; token++) {                                \
        const size_t tap = (c->taps - 1 - by->lag - token) * c->channels + first + (k); \
        sum += TINI_OF(tini_take)((const uint8_t *)by->slopes[token], 0, k, room) *     \
               TINI_OF(tini_take)(taps, 0, tap, room);                                  \
    }                                                                                   \
    TINI_OF(tini_put)(to, narrow, k, room, sum)
    TINI_EACH(end - first, TINI_GATHER);
#undef TINI_GATHER
}

static void TINI_OF(tini_convolution_gather)(const tini_convolution *c, const uint8_t *taps,
                                             const tini_reached_by *by, uint8_t *to, int narrow, uint32_t first,
                                             uint32_t end) {
    if (narrow)
        TINI_OF(tini_gathered)(c, 1, taps, by, to, first, end);
    else
        TINI_OF(tini_gathered)(c, 0, taps, by, to, first, end);
}
