/* logits.c for one instruction set (each_set.h). */
#include "lanes_set.h"

TINI_INLINE float TINI_OF(tini_peak_of)(const tini_logits *l, const int narrow, const uint8_t *row) {
    float each[sizeof(LANE) / sizeof(float)], peak = -TINI_INFINITY;
    LANE highest = (LANE){0} - TINI_INFINITY;
    uint32_t k = 0;
    for (; k + LANES <= l->width; k += LANES)
        highest = TINI_OF(tini_greater)(l->scale * TINI_OF(tini_take)(row, narrow, k, LANES), highest);
    TINI_OF(tini_store)(each, highest);
    for (uint32_t lane = 0; lane < LANES; lane++)
        peak = each[lane] > peak ? each[lane] : peak;
    if (k < l->width) {
        TINI_OF(tini_store)(each, l->scale * TINI_OF(tini_take)(row, narrow, k, l->width - k));
        for (uint32_t lane = 0; lane < l->width - k; lane++)
            peak = each[lane] > peak ? each[lane] : peak;
    }
    return peak;
}

TINI_INLINE float TINI_OF(tini_weights_of)(const tini_logits *l, const int narrow, uint8_t *row, float top) {
    const LANE lowest = (LANE){0} - 87.0f;
    LANE sum = {0};
#define TINI_WEIGHT(k, room)                                                \
    LANE x = l->scale * TINI_OF(tini_take)(row, narrow, k, room) - top;     \
    LANE weight = TINI_OF(tini_exponent)(TINI_OF(tini_greater)(x, lowest)); \
    if ((room) < LANES) {                                                   \
        float each[sizeof(LANE) / sizeof(float)] = {0};                     \
        memcpy(each, &weight, (room) * sizeof(float));                      \
        weight = TINI_OF(tini_load)(each);                                  \
    }                                                                       \
    sum += weight;                                                          \
    TINI_OF(tini_put)(row, narrow, k, room, weight)
    TINI_EACH(l->width, TINI_WEIGHT);
#undef TINI_WEIGHT
    return TINI_OF(tini_total)(sum);
}

static float TINI_OF(tini_logits_peak)(const tini_logits *l, const uint8_t *row) {
    return l->narrow ? TINI_OF(tini_peak_of)(l, 1, row) : TINI_OF(tini_peak_of)(l, 0, row);
}

static float TINI_OF(tini_logits_weigh)(const tini_logits *l, uint8_t *row, float top) {
    return l->narrow ? TINI_OF(tini_weights_of)(l, 1, row, top) : TINI_OF(tini_weights_of)(l, 0, row, top);
}
