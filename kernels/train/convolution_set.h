/* convolution.c for one instruction set (each_set.h): a token's values of one head. */
#include "lanes_set.h"

/* The sum over the token's reach of values k, k + 1, … of a head, and the bias; `column` is its first. */
TINI_INLINE LANE TINI_OF(tini_reached)(const tini_convolution *c, const int narrow, const uint8_t *row,
                                       const uint8_t *taps, const tini_reach *reach, size_t column, uint32_t k,
                                       uint32_t room) {
    const size_t channels = (size_t)c->heads * c->width;
    LANE sum = TINI_OF(tini_take)(taps, 0, c->taps * channels + column + k, room);
    for (uint32_t lag = 0; lag < reach->count; lag++) {
        LANE tap = TINI_OF(tini_take)(taps, 0, (c->taps - 1 - lag) * channels + column + k, room);
        sum += TINI_OF(tini_take)(row, narrow, reach->rows[lag] * channels + column + k, room) * tap;
    }
    return sum;
}

TINI_INLINE void TINI_OF(tini_convolved_head)(const tini_convolution *c, const int narrow, const uint8_t *row,
                                              const uint8_t *taps, const tini_reach *reach, uint8_t *out,
                                              uint32_t head) {
    const size_t column = (size_t)head * c->width;
#define TINI_CONVOLVE(k, room)                                                      \
    LANE sum = TINI_OF(tini_reached)(c, narrow, row, taps, reach, column, k, room); \
    TINI_OF(tini_put)(out, narrow, k, room, c->silu ? sum * TINI_OF(tini_sigmoid)(sum) : sum)
    TINI_EACH(c->width, TINI_CONVOLVE);
#undef TINI_CONVOLVE
}

/* What the gradient of a value adds to those of the rows and taps that it is a sum of. */
TINI_INLINE void TINI_OF(tini_convolved_head_back)(const tini_convolution *c, const int narrow,
                                                   const uint8_t *row, const uint8_t *taps,
                                                   const tini_reach *reach, const uint8_t *gradient,
                                                   uint8_t *to_row, uint8_t *to_taps, uint32_t head) {
    const size_t channels = (size_t)c->heads * c->width, column = (size_t)head * c->width;
#define TINI_CONVOLVE_BACK(k, room)                                                                     \
    LANE slope = TINI_OF(tini_take)(gradient, narrow, k, room);                                         \
    if (c->silu) {                                                                                      \
        LANE sum = TINI_OF(tini_reached)(c, narrow, row, taps, reach, column, k, room);                 \
        LANE s = TINI_OF(tini_sigmoid)(sum);                                                            \
        slope *= s + sum * s * (1.0f - s);                                                              \
    }                                                                                                   \
    if (to_taps) {                                                                                      \
        const size_t bias = c->taps * channels + column + k;                                            \
        TINI_OF(tini_put)(to_taps, 0, bias, room, TINI_OF(tini_take)(to_taps, 0, bias, room) + slope);  \
    }                                                                                                   \
    for (uint32_t lag = 0; lag < reach->count; lag++) {                                                 \
        const size_t x = reach->rows[lag] * channels + column + k,                                      \
                     tap = (c->taps - 1 - lag) * channels + column + k;                                 \
        TINI_OF(tini_put)                                                                               \
        (to_row, 0, x, room,                                                                            \
         TINI_OF(tini_take)(to_row, 0, x, room) + slope * TINI_OF(tini_take)(taps, 0, tap, room));      \
        if (to_taps)                                                                                    \
            TINI_OF(tini_put)                                                                           \
        (to_taps, 0, tap, room,                                                                         \
         TINI_OF(tini_take)(to_taps, 0, tap, room) + slope * TINI_OF(tini_take)(row, narrow, x, room)); \
    }
    TINI_EACH(c->width, TINI_CONVOLVE_BACK);
#undef TINI_CONVOLVE_BACK
}

static void TINI_OF(tini_convolution)(const tini_convolution *c, const uint8_t *row, const uint8_t *taps,
                                      const tini_reach *reach, uint8_t *out, uint32_t head) {
    if (c->narrow)
        TINI_OF(tini_convolved_head)(c, 1, row, taps, reach, out, head);
    else
        TINI_OF(tini_convolved_head)(c, 0, row, taps, reach, out, head);
}

static void TINI_OF(tini_convolution_back)(const tini_convolution *c, const uint8_t *row, const uint8_t *taps,
                                           const tini_reach *reach, const uint8_t *gradient, uint8_t *to_row,
                                           uint8_t *to_taps, uint32_t head) {
    if (c->narrow)
        TINI_OF(tini_convolved_head_back)(c, 1, row, taps, reach, gradient, to_row, to_taps, head);
    else
        TINI_OF(tini_convolved_head_back)(c, 0, row, taps, reach, gradient, to_row, to_taps, head);
}
