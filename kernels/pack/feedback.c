/* Blocks with error feedback: what an input loses by rounding is made up for by the inputs after it.
 *
 * GPTQ (Frantar et al., 2022). With H the mean of x x^T over a matrix's inputs and U the upper triangular factor of
 * U^T U = H^-1, rounding w[i] by e U[i][i] and taking e U[i][j] off each w[j] behind it leaves the least output error
 * that is possible with the first i inputs as they are. 1 / U[i][i]^2 is then what an error of input i costs, and so
 * what weighs it when a block's scale is fitted. Rows don't touch each other. */
#include "pack.h"
#include "blocks.h"
#include "quantize.h"
#include "../core/base/isa.h"

enum {
    ROWS = 8,
    COLUMNS = 128
}; /* a stretch of U, of 256 inputs at most, serves this many rows from the cache */

TINI_REGION_SCALAR
#define TINI_SPREAD(name) tini_spread_##name##_scalar
#include "spread.h"
#undef TINI_SPREAD
TINI_REGION_END

#if TIN_HAVE_AVX2
TINI_REGION_AVX2
#define TINI_SPREAD(name) tini_spread_##name##_avx2
#include "spread.h"
#undef TINI_SPREAD
TINI_REGION_END
#endif

typedef void (*tini_spread)(float *x, const float *error, const float *factor, uint32_t n, uint32_t inputs,
                            uint32_t from, uint32_t to);

static tini_spread tini_spread_here(void) {
#if TIN_HAVE_AVX2
    if (tini_kernels_select("avx2"))
        return tini_spread_errors_avx2;
#endif
    return tini_spread_errors_scalar;
}

TINI_REGION_SCALAR

/* The numbers of one block, its scales as they are, input after input. x[n]: the block's weights, changed by what
 * earlier ones lost; error[n]: what each lost, over U[i][i]. */
static void tini_round_block(int format, tini_quants *w, float *x, float *error, const float *factor,
                             uint32_t inputs) {
    const tini_kind kind = tini_kind_of(format);
    const uint32_t levels = format == TINI_FORMAT_TQ2_0 ? 3u : 1u << (kind.low + kind.high);
    const float high = (float)(levels - 1u), d = tini_f16_to_f32(w->half[0]);
    float lowest[TINI_QUANTS], next[TINI_QUANTS];
    TINI_FILLED(&lowest);
    TINI_FILLED(&next);
    memset(w->q, 0, kind.inputs);
    tini_quants_floats(lowest, w, format);
    memset(w->q, 1, kind.inputs);
    tini_quants_floats(next, w, format);
    for (uint32_t i = 0; i < kind.inputs; i++) {
        const float *row = factor + (size_t)i * inputs, step = next[i] - lowest[i];
        float value;
        if (kind.codes) {
            const tini_group group = tini_group_of(w->scale, i / 16, format);
            const float scale = kind.scales ? d * (float)group.scale : d;
            w->q[i] = tini_nearest_code(x[i] * tini_inverse(scale), &kind);
            value = scale * (float)tini_whole(w->q[i], &kind);
        } else {
            const float level = tini_level((x[i] - lowest[i]) * tini_inverse(step), 0.0f, high);
            w->q[i] = (uint8_t)level;
            value = lowest[i] + step * level;
        }
        error[i] = (x[i] - value) / row[i];
        for (uint32_t j = i + 1; j < kind.inputs; j++)
            x[j] -= error[i] * row[j];
    }
}

int tini_quantize_feedback(int format, uint8_t *gguf, float *x, uint32_t rows, uint32_t inputs,
                           const float *factor, float *cost) {
    const tini_layout layout = tini_layout_of(format);
    const size_t width = tini_gguf_size(format, 1, inputs);
    const uint32_t n = layout.inputs;
    if (width == 0)
        return -1;
    if (tini_kind_of(format).inputs == 0)
        return tini_quantize(format, gguf, x, rows, inputs, NULL);
    const tini_spread spread = tini_spread_here();
    const tini_tries *tries = tini_tries_here();
    for (uint32_t i = 0; i < inputs; i++) {
        const float own = factor[(size_t)i * inputs + i];
        if (!(own > 0.0f && own <= FLT_MAX))
            return -3;
        cost[i] = 1.0f / (own * own);
    }
    for (uint32_t first = 0; first < rows; first += ROWS) {
        const uint32_t last = rows - first < ROWS ? rows : first + ROWS;
        for (uint32_t at = 0; at < inputs; at += n) {
            const float *own = factor + (size_t)at * inputs + at;
            float error[ROWS * TINI_QUANTS];
            for (uint32_t row = first; row < last; row++) {
                float *part = x + (size_t)row * inputs + at;
                uint8_t *block = gguf + row * width + (size_t)(at / n) * layout.bytes;
                int status = tini_quantize_block(tries, format, block, part, cost + at);
                if (status)
                    return status;
                if (tini_kind_of(format).words) {
                    tini_round_words(format, block, part, error + (row - first) * n, cost + at, own, inputs);
                    continue;
                }
                tini_quants w;
                tini_quants_from_gguf(&w, block, format);
                tini_round_block(format, &w, part, error + (row - first) * n, own, inputs);
                tini_quants_to_gguf(block, &w, format);
            }
            for (uint32_t from = at + n; from < inputs; from += COLUMNS) {
                const uint32_t to = inputs - from < COLUMNS ? inputs : from + COLUMNS;
                for (uint32_t row = first; row < last; row++)
                    spread(x + (size_t)row * inputs, error + (row - first) * n, factor + (size_t)at * inputs, n,
                           inputs, from, to);
            }
        }
    }
    return 0;
}

TINI_REGION_END
