#include "logits.h"
#include "../core/base/isa.h"
#include "../core/base/math.h"
#include "../pack/sets.h"

typedef struct tini_logits_set {
    /* The greatest value times scale. */
    float (*peak)(const tini_logits *, const uint8_t *);
    /* Puts the weights; returns their sum. */
    float (*weigh)(const tini_logits *, uint8_t *, float);
} tini_logits_set;

#define TINI_SET_FILE "../train/logits_set.h"
#include "../pack/each_set.h"

#define TINI_WAYS(set) {tini_logits_peak_##set, tini_logits_weigh_##set},
static const tini_logits_set tini_logits_sets[] = {TINI_SETS(TINI_WAYS)};

TINI_REGION_SCALAR

static float tini_logit(const tini_logits *l, const uint8_t *row, size_t at) {
    const uint8_t *from = row + at * (l->narrow ? 2 : 4);
    return l->scale * (l->narrow ? tini_float((uint32_t)tini_load_u16(from) << 16) : tini_load_f32(from));
}

static void tini_weigh_row(const tini_logits_set *set, const tini_logits *l, uint8_t *row, int64_t target,
                           const tini_logits_sums *sums, size_t r) {
    const size_t size = l->narrow ? 2 : 4;
    const float before = sums->top[r], peak = set->peak(l, row);
    const int inside = target >= (int64_t)l->begin && target - (int64_t)l->begin < (int64_t)l->width;
    if (peak > before) {
        size_t place = 0;
        while (place + 1 < l->width && tini_logit(l, row, place) != peak)
            place++;
        sums->best[r] = l->begin + (int64_t)place;
        sums->top[r] = peak;
    }
    sums->shrink[r] = peak > before ? tini_exp(before - peak) : 1.0f;
    uint8_t *own = row + (inside ? (size_t)(target - l->begin) * size : 0);
    if (inside) { /* A difference would lose what the others are, where the target's share is near to 1. */
        const uint32_t none = l->scale > 0.0f ? 0xff800000u : 0x7f800000u;
        const uint16_t narrow = (uint16_t)(none >> 16);
        sums->right[r] = tini_logit(l, row, (size_t)(target - l->begin));
        memcpy(own, l->narrow ? (const void *)&narrow : &none, size);
    }
    sums->others[r] = sums->others[r] * sums->shrink[r] + set->weigh(l, row, sums->top[r]);
    if (inside)
        memset(own, 0, size);
}

TINI_REGION_END

void tini_weigh_logits(const tini_logits *l, void *logits, const int64_t *targets,
                       const tini_logits_sums *sums) {
    const tini_logits_set *set = tini_logits_sets + tini_set_best(l->passed_over);
    const size_t size = (l->narrow ? 2 : 4) * (size_t)l->width;
    for (size_t r = 0; r < l->rows; r++)
        tini_weigh_row(set, l, (uint8_t *)logits + r * size, targets[r], sums, r);
}
