#include "convolution.h"
#include "../core/base/isa.h"
#include "../core/base/math.h"
#include "../pack/sets.h"

/* Where a token's sum is from: the rows of its latest tokens, its own first; those before the sequence are not there. */
typedef struct tini_reach {
    uint32_t count, rows[TINI_TAPS_MAX];
} tini_reach;

typedef struct tini_convolution_set {
    void (*forward)(const tini_convolution *, const uint8_t *, const uint8_t *, const tini_reach *, uint8_t *,
                    uint32_t);
    void (*backward)(const tini_convolution *, const uint8_t *, const uint8_t *, const tini_reach *,
                     const uint8_t *, uint8_t *, uint8_t *, uint32_t);
} tini_convolution_set;

TINI_REGION_SCALAR

static tini_reach tini_reach_of(const tini_convolution *c, uint32_t begin, uint32_t at) {
    tini_reach reach = {0};
    const uint32_t before = begin < c->shared ? 0 : c->shared;
    for (; reach.count < c->taps && reach.count <= at + before; reach.count++)
        reach.rows[reach.count] = reach.count <= at ? begin + at - reach.count : before - (reach.count - at);
    return reach;
}

/* What a sequence's token is in the result, from a head on; the caller's `width` values. */
static uint8_t *tini_place(const tini_convolution *c, const tini_convolved *of, uint32_t sequence, uint32_t at,
                           uint32_t head) {
    const size_t size = (c->narrow ? 2 : 4) * (size_t)c->width;
    if (c->shared && !sequence)
        return (uint8_t *)of->prefix + ((size_t)head * c->shared + at) * size;
    const uint32_t others = c->sequences - (c->shared > 0), number = sequence - (c->shared > 0);
    return (uint8_t *)of->own + (((size_t)head * others + number) * c->longest + at) * size;
}

TINI_REGION_END

#define TINI_SET_FILE "../train/convolution_set.h"
#include "../pack/each_set.h"

#define TINI_WAYS(set) {tini_convolution_##set, tini_convolution_back_##set},
static const tini_convolution_set tini_convolution_sets[] = {TINI_SETS(TINI_WAYS)};

void tini_convolve(const tini_convolution *c, const void *row, const float *taps, const tini_convolved *to,
                   uint32_t first, uint32_t end) {
    const tini_convolution_set *set = tini_convolution_sets + tini_set_best(c->passed_over);
    for (uint32_t s = 0; s < c->sequences; s++)
        for (uint32_t at = 0; at < c->spans[2 * s + 1] - c->spans[2 * s]; at++) {
            const tini_reach reach = tini_reach_of(c, c->spans[2 * s], at);
            for (uint32_t head = first; head < end; head++)
                set->forward(c, row, (const uint8_t *)taps, &reach, tini_place(c, to, s, at, head), head);
        }
}

void tini_convolve_back(const tini_convolution *c, const void *row, const float *taps,
                        const tini_convolved *gradient, float *to_row, float *to_taps, uint32_t first,
                        uint32_t end) {
    const tini_convolution_set *set = tini_convolution_sets + tini_set_best(c->passed_over);
    for (uint32_t s = 0; s < c->sequences; s++)
        for (uint32_t at = 0; at < c->spans[2 * s + 1] - c->spans[2 * s]; at++) {
            const tini_reach reach = tini_reach_of(c, c->spans[2 * s], at);
            for (uint32_t head = first; head < end; head++)
                set->backward(c, row, (const uint8_t *)taps, &reach, tini_place(c, gradient, s, at, head),
                              (uint8_t *)to_row, (uint8_t *)to_taps, head);
        }
}
