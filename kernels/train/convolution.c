#include "convolution.h"
#include "../core/base/isa.h"
#include "../core/base/math.h"
#include "../pack/sets.h"

/* Channels whose gradients are at hand at once. */
enum { TINI_CONVOLVED = 256 };

/* Where a token's sum is from: the rows of its latest tokens, its own first; those before the sequence are not there. */
typedef struct tini_reach {
    uint32_t count, rows[TINI_TAPS_MAX];
} tini_reach;

/* A row's gradient: the sum over k < count of slopes[k] times the tap of lag + k; and `more`, if it is not NULL. */
typedef struct tini_reached_by {
    uint32_t lag, count;
    const float *slopes[TINI_TAPS_MAX], *more;
} tini_reached_by;

typedef struct tini_convolution_set {
    void (*forward)(const tini_convolution *, const uint8_t *, const uint8_t *, const tini_reach *, uint8_t *,
                    uint32_t, uint32_t);
    /* From the gradient of a token's result to that of its sum, and what that adds to those of taps. */
    void (*slope)(const tini_convolution *, const uint8_t *, const uint8_t *, const tini_reach *,
                  const uint8_t *, float *, uint8_t *, uint32_t, uint32_t);
    void (*gather)(const tini_convolution *, const uint8_t *, const tini_reached_by *, uint8_t *, int, uint32_t,
                   uint32_t);
} tini_convolution_set;

/* What convolve_back has at hand: the slopes of a sequence's latest tokens, in turns, and what the other sequences' first
 * tokens leave to the prefix's last ones, its last first. */
typedef struct tini_convolve_room {
    float slopes[TINI_TAPS_MAX][TINI_CONVOLVED], early[TINI_TAPS_MAX][TINI_CONVOLVED];
} tini_convolve_room;

TINI_REGION_SCALAR

static uint32_t tini_before_it(const tini_convolution *c, uint32_t begin) {
    return begin < c->shared ? 0 : c->shared;
}

static tini_reach tini_reach_of(const tini_convolution *c, uint32_t begin, uint32_t at) {
    tini_reach reach = {0};
    const uint32_t before = tini_before_it(c, begin);
    for (; reach.count < c->taps && reach.count <= at + before; reach.count++)
        reach.rows[reach.count] = reach.count <= at ? begin + at - reach.count : before - (reach.count - at);
    return reach;
}

static const uint8_t *tini_row_of(const tini_convolution *c, const void *matrix, uint32_t row) {
    return (const uint8_t *)matrix + (c->narrow ? 2 : 4) * (size_t)row * c->channels;
}

/* Gathers the gradient of the token that no later one reaches, taps - 1 tokens before `at`; of one before the sequence, what
 * the sequence leaves to it. */
static void tini_gather_row(const tini_convolution_set *set, const tini_convolution *c, uint32_t sequence,
                            uint32_t at, const float *taps, tini_convolve_room *room, void *to_row,
                            uint32_t first, uint32_t end) {
    const uint32_t begin = c->spans[2 * sequence], length = c->spans[2 * sequence + 1] - begin,
                   history = c->taps - 1, behind = at < history ? history - at : 0, row = at - history;
    if (behind > tini_before_it(c, begin))
        return;
    tini_reached_by by = {.lag = behind};
    for (uint32_t token = at + behind - history; token <= at && token < length; token++)
        by.slopes[by.count++] = room->slopes[token % c->taps];
    if (behind) {
        by.more = room->early[behind - 1];
        set->gather(c, (const uint8_t *)taps, &by, (uint8_t *)room->early[behind - 1], 0, first, end);
        return;
    }
    if (begin < c->shared && length - row <= history)
        by.more = room->early[length - row - 1];
    uint8_t *to = (uint8_t *)to_row + (c->narrow ? 2 : 4) * ((size_t)(begin + row) * c->channels + first);
    set->gather(c, (const uint8_t *)taps, &by, to, c->narrow, first, end);
}

static void tini_convolve_back_one(const tini_convolution_set *set, const tini_convolution *c,
                                   uint32_t sequence, const void *row, const float *taps, const void *gradient,
                                   tini_convolve_room *room, void *to_row, float *to_taps, uint32_t first,
                                   uint32_t end) {
    const uint32_t begin = c->spans[2 * sequence], length = c->spans[2 * sequence + 1] - begin;
    for (uint32_t at = 0; length && at < length + c->taps - 1; at++) {
        if (at < length) {
            const tini_reach reach = tini_reach_of(c, begin, at);
            set->slope(c, row, (const uint8_t *)taps, &reach, tini_row_of(c, gradient, begin + at),
                       room->slopes[at % c->taps], (uint8_t *)to_taps, first, end);
        }
        tini_gather_row(set, c, sequence, at, taps, room, to_row, first, end);
    }
}

TINI_REGION_END

#define TINI_SET_FILE "../train/convolution_set.h"
#include "../pack/each_set.h"

#define TINI_WAYS(set) {tini_convolution_##set, tini_convolution_slope_##set, tini_convolution_gather_##set},
static const tini_convolution_set tini_convolution_sets[] = {TINI_SETS(TINI_WAYS)};

void tini_convolve(const tini_convolution *c, const void *row, const float *taps, void *out, uint32_t first,
                   uint32_t end) {
    const tini_convolution_set *set = tini_convolution_sets + tini_set_best(c->passed_over);
    for (uint32_t s = 0; s < c->sequences; s++)
        for (uint32_t at = 0; at < c->spans[2 * s + 1] - c->spans[2 * s]; at++) {
            const tini_reach reach = tini_reach_of(c, c->spans[2 * s], at);
            set->forward(c, row, (const uint8_t *)taps, &reach,
                         (uint8_t *)tini_row_of(c, out, c->spans[2 * s] + at), first, end);
        }
}

/* The prefix comes last: the other sequences leave gradients to it. */
void tini_convolve_back(const tini_convolution *c, const void *row, const float *taps, const void *gradient,
                        void *to_row, float *to_taps, uint32_t first, uint32_t end) {
    const tini_convolution_set *set = tini_convolution_sets + tini_set_best(c->passed_over);
    const uint32_t own = c->shared > 0;
    for (uint32_t channel = first, until; channel < end; channel = until) {
        until = end - channel < TINI_CONVOLVED ? end : channel + TINI_CONVOLVED;
        tini_convolve_room room;
        memset(room.early, 0, sizeof room.early);
        for (uint32_t s = own; s < c->sequences; s++)
            tini_convolve_back_one(set, c, s, row, taps, gradient, &room, to_row, to_taps, channel, until);
        if (own)
            tini_convolve_back_one(set, c, 0, row, taps, gradient, &room, to_row, to_taps, channel, until);
    }
}
