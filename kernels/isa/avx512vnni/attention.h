/* What the attention kernels share on AVX-512: scores of a tile to weights. */
#ifndef TINI_AVX512VNNI_ATTENTION_H
#define TINI_AVX512VNNI_ATTENTION_H

#include "../scalar/attention.h"
#include "exp.h"
#include "rows.h"

TINI_REGION_AVX512VNNI

/* The positions [begin, end) of a tile as bits. */
TINI_INLINE uint64_t tini_avx512_seen(uint32_t begin, uint32_t end) {
    return begin >= end ? 0 : ~(uint64_t)0 << begin & ~(uint64_t)0 >> (TINI_KV_TILE - end);
}

/* Turns the scores of a tile into weights, and sets alpha. A position that is not seen weighs 0, which leaves a partial
 * sum as it was; a query that sees none has alpha = 1 and stays as it was. The largest score does not depend on the order
 * in which they are compared, and which zero it is does not matter to exp. */
TINI_INLINE void tini_avx512_weigh(tini_block *b) {
    float highest[16];
    _mm512_storeu_ps(highest, _mm512_loadu_ps(b->maximum));
    for (uint32_t h = 0; h < b->count; h++) {
        uint64_t seen = tini_avx512_seen(b->begin[h], b->end[h]);
        __m512 high = _mm512_set1_ps(b->maximum[h]);
        for (uint32_t k = 0; k < 4; k++)
            high = _mm512_mask_max_ps(high, (__mmask16)(seen >> 16 * k), high,
                                      _mm512_loadu_ps(b->weights[h] + 16 * k));
        highest[h] = _mm512_reduce_max_ps(high);
    }
    const __m512 now = _mm512_loadu_ps(highest), before = _mm512_loadu_ps(b->maximum);
    __mmask16 higher = _mm512_cmp_ps_mask(now, before, _CMP_NEQ_UQ);
    __m512 alpha = _mm512_mask_mov_ps(_mm512_set1_ps(1.0f), higher, tini_avx512_exp(_mm512_sub_ps(before, now)));
    _mm512_storeu_ps(b->alpha, alpha);
    _mm512_storeu_ps(b->maximum, now);
    for (uint32_t h = 0; h < b->count; h++) {
        uint64_t seen = tini_avx512_seen(b->begin[h], b->end[h]);
        const __m512 maximum = _mm512_set1_ps(highest[h]);
        __m512 lanes = _mm512_mul_ps(_mm512_loadu_ps(b->lanes[h]), _mm512_set1_ps(b->alpha[h]));
        for (uint32_t k = 0; k < 4; k++) {
            float *weights = b->weights[h] + 16 * k;
            __m512 weight = tini_avx512_exp(_mm512_sub_ps(_mm512_loadu_ps(weights), maximum));
            weight = _mm512_maskz_mov_ps((__mmask16)(seen >> 16 * k), weight);
            _mm512_storeu_ps(weights, weight);
            lanes = _mm512_add_ps(lanes, weight);
        }
        _mm512_storeu_ps(b->lanes[h], lanes);
    }
}

TINI_REGION_END

#endif
