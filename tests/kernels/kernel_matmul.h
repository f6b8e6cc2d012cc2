/* The matrix products of kernel_check.c, in every weight format. */
#ifndef KERNEL_MATMUL_H
#define KERNEL_MATMUL_H

#include "kernel_case.h"

enum { READS_f32, READS_q8 };

static const struct format {
    const char *name;
    uint32_t inputs, bytes, reads;
} formats[] = {
#define A_FORMAT(a, b, id, gguf, NAME, name, inputs, bytes, activations, ...) \
    {#name, inputs, bytes, READS_##activations},
    TIN_FORMATS(A_FORMAT, , )};

/* half_q8_0's: 16 of 32 inputs are there. */
static const struct format half = {"half_q8_0", TINI_BLOCK, 18, READS_q8};

/* The bytes of a tile's block (pack/pack.h) that are floats, which must be finite; the others take any bits. */
static const struct floats {
    const char *format;
    enum { FLOAT32, FLOAT16, BFLOAT16 } type;
    uint32_t begin, end;
} floats[] = {
    {"f32", FLOAT32, 0, 64},     {"f16", FLOAT16, 0, 32},    {"bf16", BFLOAT16, 0, 32},
    {"q8_0", FLOAT16, 0, 32},    {"q4_0", FLOAT16, 0, 32},   {"q4_1", FLOAT16, 0, 64},
    {"q5_0", FLOAT16, 0, 32},    {"q5_1", FLOAT16, 0, 64},   {"q4_k", FLOAT16, 0, 64},
    {"q5_k", FLOAT16, 0, 64},    {"q6_k", FLOAT16, 0, 32},   {"q3_k", FLOAT16, 0, 32},
    {"q2_k", FLOAT16, 0, 64},    {"iq4_nl", FLOAT16, 0, 32}, {"iq4_xs", FLOAT16, 0, 32},
    {"tq2_0", FLOAT16, 0, 32},   {"tq1_0", FLOAT16, 0, 32},  {"iq3_s", FLOAT16, 0, 32},
    {"iq3_xxs", FLOAT16, 0, 32}, {"iq2_s", FLOAT16, 0, 32},  {"iq2_xs", FLOAT16, 0, 32},
    {"iq2_xxs", FLOAT16, 0, 32}, {"iq3_nl", FLOAT16, 0, 32}, {"half_q8_0", FLOAT16, 0, 32},
};

static uint16_t random_half(void) {
    uint32_t half = random_bits() & 0xffff;
    if (below(2) || (half >> 10 & 31) == 31)
        return tini_f32_to_f16(spread());
    return (uint16_t)half;
}

static void fill_floats(const struct floats *range, uint8_t *block) {
    for (uint32_t at = range->begin; at < range->end; at += range->type == FLOAT32 ? 4 : 2) {
        float x = spread();
        uint16_t half = range->type == FLOAT16 ? random_half() : tini_f32_to_bf16(x);
        if (range->type == FLOAT32)
            memcpy(block + at, &x, 4);
        else
            memcpy(block + at, &half, 2);
    }
}

static const uint8_t *random_weights(const struct format *f, uint32_t outputs, uint32_t blocks) {
    uint32_t bytes = f->bytes * TINI_TILE, count = (outputs + TINI_TILE - 1) / TINI_TILE * blocks, found = 0;
    uint8_t *weights = place(WEIGHTS, (size_t)count * bytes), *block = weights;
    for (uint32_t b = 0; b < count; b++, block += bytes) {
        static const uint8_t extreme[] = {0x00, 0xff, 0x80, 0x7f};
        if (below(6) == 0)
            memset(block, extreme[below(4)], bytes);
        else
            for (uint32_t i = 0; i < bytes; i++)
                block[i] = (uint8_t)random_bits();
        for (uint32_t k = 0; k < COUNT(floats); k++)
            if (strcmp(floats[k].format, f->name) == 0)
                fill_floats(&floats[k], block), found = 1;
    }
    if (!found) {
        printf("kernel_matmul.h does not say which bytes of a %s block are floats\n", f->name);
        exit(2);
    }
    return weights;
}

static void random_q8(tini_q8 *x, uint32_t blocks) {
    const tini_kernels *scalar = tini_kernels_select("scalar");
    for (uint32_t b = 0; b < blocks; b++, x++) {
        float values[TINI_BLOCK];
        for (uint32_t i = 0; i < TINI_BLOCK; i++)
            values[i] = spread();
        scalar->quantize_q8(x, values, TINI_BLOCK);
        uint32_t kind = below(6);
        if (kind > 2)
            continue;
        x->sum = 0;
        for (uint32_t i = 0; i < TINI_BLOCK; i++) {
            x->q[i] = (int8_t)(kind == 0 ? -127 : kind == 1 ? 127 : (int32_t)below(255) - 127);
            x->sum += x->q[i];
        }
    }
}

/* The last 16 inputs are zeros. */
static void halve_q8(tini_q8 *x) {
    x->sum = 0;
    for (uint32_t i = 0; i < TINI_BLOCK; i++) {
        x->q[i] = i < TINI_BLOCK / 2 ? x->q[i] : 0;
        x->sum += x->q[i];
    }
}

/* rows rows of x, each followed by `gap` blocks (or floats) of NaN bits. */
static void random_rows(const struct format *f, tini_matmul *m, uint32_t gap) {
    uint32_t q8 = f->reads == READS_q8, n = q8 ? m->inputs / TINI_BLOCK : m->inputs;
    size_t unit = q8 ? sizeof(tini_q8) : sizeof(float);
    m->x_stride = (n + gap) * unit;
    uint8_t *x = place(X, m->rows * m->x_stride - gap * unit);
    m->x = x;
    for (uint32_t t = 0; t < m->rows; t++, x += m->x_stride) {
        if (q8)
            random_q8((tini_q8 *)(void *)x, n);
        if (f == &half)
            halve_q8((tini_q8 *)(void *)x);
        if (!q8)
            for (uint32_t i = 0; i < n; i++)
                ((float *)(void *)x)[i] = spread();
    }
}

static void check_matmul(const struct format *f, tini_matmul_fn *scalar, tini_matmul_fn *vector, uint32_t rows,
                         uint32_t blocks, uint32_t outputs) {
    uint32_t residual = below(3), gap = below(3), tiles = (outputs + TINI_TILE - 1) / TINI_TILE;
    tini_matmul m = {.rows = rows, .inputs = blocks * f->inputs, .outputs = outputs};
    m.weights = random_weights(f, outputs, blocks);
    random_rows(f, &m, gap);
    m.next = below(2) ? (const uint8_t *)m.x : NULL; /* changes nothing */
    m.bias = below(2) ? spread_floats(Y, outputs) : NULL;
    m.out_stride = outputs + below(2) * (1 + below(5));
    size_t n = (rows - 1) * m.out_stride + outputs;
    float *outs[2] = {spread_floats(OUT, n), NULL};
    outs[1] = copy_floats(OTHER, outs[0], n);
    if (residual == 1) {
        m.residual_stride = outputs + gap;
        m.residual = spread_floats(Z, (rows - 1) * m.residual_stride + outputs);
    }
    uint32_t cut = below(tiles + 1), cut2 = cut + below(tiles + 1 - cut);
    CASE("rows %u, inputs %u, outputs %u, tiles cut at %u and %u, bias %d, residual %u, strides %zu %zu", rows,
         m.inputs, outputs, cut, cut2, m.bias != NULL, residual, m.x_stride, m.out_stride);
    for (int k = 0; k < 2; k++) {
        m.out = outs[k];
        if (residual == 2) { /* in place */
            m.residual_stride = m.out_stride;
            m.residual = outs[k];
        }
        if (k == 0) {
            scalar(&m, 0, tiles);
        } else {
            vector(&m, cut2, tiles + below(3));
            vector(&m, 0, cut);
            vector(&m, cut, cut2);
        }
    }
    same(outs[0], outs[1], n * sizeof(float));
    check_canaries();
}

static void check_tini_matmul_fn(tini_matmul_fn *scalar, tini_matmul_fn *vector) {
    static const uint32_t outputs[] = {1, 8, 9, 15, 16, 17, 31, 32, 33, 48, 65, 128, 145};
    static const uint32_t rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 17};
    static const uint32_t many[] = {1, 2, 3, 7, 17}, few[] = {1, 2, 7, 32, 33, 90};
    const struct format *f = formats;
    while (strcmp(f->name, kernel + strlen("matmul_")) != 0)
        f++;
    for (uint32_t o = 0; o < COUNT(outputs); o++) {
        for (uint32_t r = 0; r < COUNT(rows); r++) {
            uint32_t blocks = f->inputs > 1 ? many[(o + r) % COUNT(many)] : few[(o + r) % COUNT(few)];
            check_matmul(f, scalar, vector, rows[r], blocks, outputs[o]);
        }
    }
}

static void check_tini_half_fn(tini_half_fn *scalar, tini_half_fn *vector) {
    static const uint32_t outputs[] = {1, 15, 16, 17, 48, 64, 65, 145};
    for (uint32_t o = 0; o < COUNT(outputs); o++)
        for (uint32_t rows = 1; rows < 10; rows++)
            check_matmul(&half, scalar, vector, rows, 1, outputs[o]);
}

#endif
