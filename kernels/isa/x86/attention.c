#include "attention.h"
#if TIN_HAVE_AVX2

TINI_REGION_AVX2

static void tini_scores_f16(tini_queries *s, const tini_f16_steps *steps) {
    const float ones[TINI_PANEL] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
    for (uint32_t d = 0; d < s->head_dim; d += TINI_WIDE) {
        tini_product m = {.out_stride = TINI_KV_TILE,
                          .factor = d ? ones : NULL,
                          .lanes = TINI_KV_TILE,
                          .b = (const uint8_t *)s->wide,
                          .row_bytes = sizeof s->wide[0],
                          .end = s->head_dim - d < TINI_WIDE ? s->head_dim - d : TINI_WIDE,
                          .ahead = s->values + 128 * d};
        if (s->count <= TINI_FEW) {
            m.b = s->keys + 32 * d;
            m.source = TINI_HALVES;
            m.row_bytes = 32;
            m.register_bytes = (size_t)s->head_dim * 32;
        } else {
            steps->widen_keys(s, d, m.end);
        }
        for (uint32_t i = 0, n; i < s->count; i += n) {
            const float *q[TINI_PANEL];
            n = m.queries = tini_queries_panel(s, i);
            for (uint32_t k = 0; k < n; k++)
                q[k] = s->q[i + k] + d;
            m.out = s->weights[i];
            m.a = q;
            steps->multiply(&m);
        }
    }
}

static void tini_outputs_f16(tini_queries *s, const tini_f16_steps *steps) {
    for (uint32_t d = 0; d < s->head_dim; d += TINI_WIDE) {
        uint32_t count = s->head_dim - d < TINI_WIDE ? s->head_dim - d : TINI_WIDE;
        tini_product m = {.b = (const uint8_t *)s->wide,
                          .row_bytes = sizeof s->wide[0],
                          .lanes = count > TINI_LANES ? 2 * TINI_LANES : TINI_LANES,
                          .ahead = s->ahead + 128 * d};
        if (s->count <= TINI_FEW && count == TINI_WIDE) {
            m.b = s->values + 2 * d;
            m.source = TINI_HALVES;
            m.row_bytes = (size_t)s->head_dim * 2;
            m.register_bytes = 32;
        } else {
            steps->widen_values(s, d, count, m.lanes);
        }
        tini_queries_gather(s, &m, (const float (*)[TINI_KV_TILE])s->weights, d, steps->multiply);
    }
}

void tini_attention_f16_walk(const tini_kv *kv, const tini_attention *a, const tini_f16_steps *steps) {
    const size_t bytes = (size_t)kv->head_dim * 2;
    tini_queries s; /* large: not cleared */
    for (uint32_t from = 0; from < a->rows * a->heads; from += s.count) {
        tini_queries_take(&s, kv, a, from);
        for (uint32_t base = s.first[0] - s.first[0] % TINI_KV_TILE; base <= s.last[s.count - 1];
             base += TINI_KV_TILE) {
            tini_queries_tile(&s, kv, base, bytes);
            tini_scores_f16(&s, steps);
            steps->weigh(&s, a);
            tini_outputs_f16(&s, steps);
        }
        tini_queries_finish(&s, a);
    }
}

static void tini_outputs_q8(tini_q8_queries *t, const tini_q8_steps *steps) {
    tini_queries *s = &t->s;
    const uint32_t blocks = s->head_dim / TINI_BLOCK, header = blocks * 2 * TINI_TILE;
    for (uint32_t b = 0; b < blocks; b++) {
        steps->scale(t, s->values + b * 2 * TINI_TILE);
        tini_product m = {.source = TINI_BYTES,
                          .lanes = TINI_LANES,
                          .b = s->values + header + b * TINI_BLOCK,
                          .row_bytes = s->head_dim,
                          .group_bytes = header,
                          .ahead = s->ahead + (size_t)b * TINI_KV_TILE * (TINI_BLOCK + 2)};
        if (s->count > TINI_FEW) {
            steps->widen(s, m.b, m.row_bytes, m.group_bytes);
            m.source = TINI_FLOATS;
            m.b = (const uint8_t *)s->wide;
            m.row_bytes = sizeof s->wide[0];
        }
        tini_queries_gather(s, &m, (const float (*)[TINI_KV_TILE])t->weights, b * TINI_BLOCK, steps->multiply);
    }
}

void tini_attention_q8_walk(const tini_kv *kv, const tini_attention *a, const tini_q8_steps *steps) {
    const size_t bytes = tini_kv_place_bytes(TIN_KV_Q8, kv->head_dim);
    tini_q8_queries t; /* large: not cleared */
    tini_queries *s = &t.s;
    t.group_bytes = TINI_TILE * bytes;
    for (uint32_t from = 0; from < a->rows * a->heads; from += s->count) {
        tini_queries_take(s, kv, a, from);
        for (uint32_t b = 0; b < kv->head_dim / TINI_BLOCK; b++)
            for (uint32_t i = 0; i < s->count; i++)
                tini_quantize_q8_avx2(&t.q[b * s->count + i], s->q[i] + b * TINI_BLOCK, TINI_BLOCK);
        for (uint32_t base = s->first[0] - s->first[0] % TINI_KV_TILE; base <= s->last[s->count - 1];
             base += TINI_KV_TILE) {
            tini_queries_tile(s, kv, base, bytes);
            steps->scores(&t);
            steps->weigh(s, a);
            tini_outputs_q8(&t, steps);
        }
        tini_queries_finish(s, a);
    }
}

TINI_REGION_END
#endif
