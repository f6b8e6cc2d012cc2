/* What a sub-block adds in formats of words (core/base/words.h), whose numbers come 128 higher. */
#ifndef TINI_SCALAR_WORDS_H
#define TINI_SCALAR_WORDS_H

#include "blocks.h"

TINI_REGION_SCALAR

TINI_INLINE float tini_words_add(float y, const tini_quants *w, uint32_t s, const tini_q8 *x,
                                 const int format) {
    const tini_group group = tini_group_of(w->scale, 2 * s, format);
    const int32_t sum = tini_dot(w->q + TINI_BLOCK * s, x->q, TINI_BLOCK, 128);
    const float d = tini_unit(format) * tini_f16_to_f32(w->half[0]);
    return y + (float)sum * (d * (float)group.scale * x->scale);
}

TINI_INLINE float tini_words_add_halves(float y, const tini_quants *w, uint32_t s, const tini_q8 *x,
                                        const int format) {
    const uint8_t *q = w->q + TINI_BLOCK * s;
    const tini_group first = tini_group_of(w->scale, 2 * s, format);
    const tini_group last = tini_group_of(w->scale, 2 * s + 1, format);
    int32_t sum = first.scale * tini_dot(q, x->q, 16, 128) + last.scale * tini_dot(q + 16, x->q + 16, 16, 128);
    return y + (float)sum * (tini_unit(format) * tini_f16_to_f32(w->half[0]) * x->scale);
}

TINI_REGION_END

#endif
