#include "../../core/region.h"
#if TIN_HAVE_AVX512VNNI
#include "attention.h"

/* Bits equal the scalar's: scores have one lane a position and sum over head_dim in order; the weights' 16 partial sums
 * are one register; outputs have one lane an element and sum over positions in order, of which none is added that
 * the query does not see. Up to six queries, of one row or of several, share each key and value that is loaded and widened. */

TINI_REGION_AVX512VNNI

/* Scores of queries [h, h + queries) at 16 * groups positions from `first` on. Keys [group][head_dim][16]. */
TINI_INLINE void tini_avx512_scores(tini_block *b, uint32_t h, uint32_t first, const uint32_t queries,
                                    const uint32_t groups, float scale) {
    const uint32_t head_dim = b->head_dim;
    const uint8_t *keys = b->keys + (size_t)first * head_dim * 2;
    const size_t group_bytes = (size_t)head_dim * 32;
    const uint8_t *soon = b->values + (size_t)first * head_dim * 2;
    const float *q = b->q[h];
    __m512 sum[TINI_PANEL_QUERIES][4];
    for (uint32_t i = 0; i < queries; i++)
        for (uint32_t g = 0; g < groups; g++)
            sum[i][g] = _mm512_setzero_ps();
    for (uint32_t d = 0; d < head_dim; d++, keys += 32, q++) {
        __m512 key[4];
        for (uint32_t g = 0; g < groups; g++)
            key[g] = tini_avx512_halves(keys + g * group_bytes);
        if (queries <= 4)
            for (uint32_t line = 0; line < groups; line += 2, soon += 64)
                _mm_prefetch((const char *)soon, _MM_HINT_T0);
        for (uint32_t i = 0; i < queries; i++) {
            __m512 element = _mm512_set1_ps(q[i * TINI_HEAD_DIM]);
            for (uint32_t g = 0; g < groups; g++)
                sum[i][g] = _mm512_add_ps(sum[i][g], _mm512_mul_ps(element, key[g]));
        }
    }
    for (uint32_t i = 0; i < queries; i++)
        for (uint32_t g = 0; g < groups; g++)
            _mm512_storeu_ps(b->weights[h + i] + first + 16 * g, _mm512_mul_ps(sum[i][g], _mm512_set1_ps(scale)));
}

TINI_INLINE void tini_avx512_panel_scores(tini_block *b, uint32_t h, const uint32_t queries, float scale) {
    uint32_t p = b->lowest & ~15u;
    for (; p == 0 && b->highest > 48; p += 64)
        tini_avx512_scores(b, h, p, queries, 4, scale);
    for (; p < b->highest; p += 16)
        tini_avx512_scores(b, h, p, queries, 1, scale);
}

/* acc = acc * alpha, then + the values of positions [begin, end), for queries [h, h + queries) and 16 * registers elements from
 * `first` on, of which the last register has those in `lanes`. Values [position][head_dim]. */
TINI_INLINE void tini_avx512_gather(tini_block *b, uint32_t h, uint32_t begin, uint32_t end, uint32_t first,
                                    const uint32_t queries, const uint32_t registers, __mmask16 lanes) {
    const size_t stride = (size_t)b->head_dim * 2;
    const uint8_t *values = b->values + begin * stride + first * 2;
    const uint8_t *soon = b->ahead + begin * stride + first * 2;
    const float *weights = b->weights[h];
    __m512 acc[TINI_PANEL_QUERIES][4];
    for (uint32_t i = 0; i < queries; i++)
        for (uint32_t k = 0; k < registers; k++)
            acc[i][k] = _mm512_mul_ps(_mm512_loadu_ps(b->acc[h + i] + first + 16 * k), _mm512_set1_ps(b->alpha[h + i]));
    for (uint32_t p = begin; p < end; p++, values += stride, soon += stride) {
        __m512 v[4];
        for (uint32_t k = 0; k < registers; k++)
            v[k] = registers == 1 ? _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, values))
                                  : tini_avx512_halves(values + 32 * k);
        if (queries <= 4)
            for (uint32_t line = 0; line < registers; line += 2)
                _mm_prefetch((const char *)soon + 32 * line, _MM_HINT_T0);
        for (uint32_t i = 0; i < queries; i++) {
            __m512 weight = _mm512_set1_ps(weights[i * TINI_KV_TILE + p]);
            for (uint32_t k = 0; k < registers; k++)
                acc[i][k] = _mm512_add_ps(acc[i][k], _mm512_mul_ps(weight, v[k]));
        }
    }
    for (uint32_t i = 0; i < queries; i++)
        for (uint32_t k = 0; k < registers; k++)
            _mm512_storeu_ps(b->acc[h + i] + first + 16 * k, acc[i][k]);
}

/* All elements; alpha is 1 from then on. */
TINI_INLINE void tini_avx512_gather_all(tini_block *b, uint32_t h, uint32_t begin, uint32_t end,
                                        const uint32_t queries) {
    uint32_t d = 0;
    for (; d + 64 <= b->head_dim; d += 64)
        tini_avx512_gather(b, h, begin, end, d, queries, 4, 0xffff);
    for (; d < b->head_dim; d += 16)
        tini_avx512_gather(b, h, begin, end, d, queries, 1, tini_avx512_first(b->head_dim - d));
    for (uint32_t i = 0; i < queries; i++)
        b->alpha[h + i] = 1.0f;
}

static void tini_avx512_gather_one(tini_block *b, uint32_t h, uint32_t begin, uint32_t end) {
    if (begin < end)
        tini_avx512_gather_all(b, h, begin, end, 1);
}

TINI_INLINE void tini_avx512_panel_gather(tini_block *b, uint32_t h, const uint32_t queries) {
    uint32_t low = 0, high = TINI_KV_TILE; /* what all see */
    for (uint32_t i = 0; i < queries; i++) {
        low = b->begin[h + i] > low ? b->begin[h + i] : low;
        high = b->end[h + i] < high ? b->end[h + i] : high;
    }
    if (low >= high)
        low = high = TINI_KV_TILE;
    for (uint32_t i = 0; i < queries; i++)
        tini_avx512_gather_one(b, h + i, b->begin[h + i], low < b->end[h + i] ? low : b->end[h + i]);
    if (low == high)
        return;
    tini_avx512_gather_all(b, h, low, high, queries);
    for (uint32_t i = 0; i < queries; i++)
        tini_avx512_gather_one(b, h + i, high, b->end[h + i]);
}

#define TINI_AVX512_PANELS(b, step, ...)                                             \
    for (uint32_t h = 0, n; h < (b)->count; h += n)                                  \
        switch (n = tini_block_panel((b)->count - h)) {                              \
        case 6: step(b, h, 6, ##__VA_ARGS__); break;                                 \
        case 4: step(b, h, 4, ##__VA_ARGS__); break;                                 \
        case 3: step(b, h, 3, ##__VA_ARGS__); break;                                 \
        case 2: step(b, h, 2, ##__VA_ARGS__); break;                                 \
        default: step(b, h, 1, ##__VA_ARGS__);                                       \
        }

void tini_attention_f16_avx512vnni(const tini_kv *kv, const tini_attention *a) {
    const size_t bytes = (size_t)kv->head_dim * 2;
    tini_block b;
    for (uint32_t query = 0; query < a->rows * a->heads; query += b.count) {
        tini_block_begin(&b, kv, a, query);
        for (uint32_t base = b.base; base <= b.last; base += TINI_KV_TILE) {
            tini_block_tile(&b, kv, base, bytes, bytes);
            TINI_AVX512_PANELS(&b, tini_avx512_panel_scores, a->scale)
            tini_avx512_weigh(&b);
            TINI_AVX512_PANELS(&b, tini_avx512_panel_gather)
        }
        tini_block_end(&b, a);
    }
}

TINI_REGION_END
#endif
