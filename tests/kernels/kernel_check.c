/* Every kernel of kernels.def, on every instruction set that this processor has, against the scalar one: the same
 * bytes. Needs libc and the kernels only, so that it runs under an emulator, in a WebAssembly engine or on a device.
 *
 *     kernel_check [SET...]     the sets named, each of which the processor must have; without names, all it has
 *
 * Prints "sets ..." and a line a kernel and set; exits 1 at the first difference, 2 where a set is missing.
 */
#include "kernel_matmul.h"

/* ---- rows ---- */

static void check_tini_quantize_q8_fn(tini_quantize_q8_fn *scalar, tini_quantize_q8_fn *vector) {
    for (uint32_t k = 0; k < 400; k++) {
        uint32_t n = TINI_BLOCK * (1 + k % 5);
        float *x = spread_floats(X, n), power = tini_float(below(230) << 23);
        for (uint32_t i = 0; i < n; i++) {
            x[i] = k % 4 == 0   ? (float)((int32_t)i - 48) / 2.0f /* ties, and 127 to make the scale 1 */
                   : k % 4 == 1 ? x[i] * power
                   : k % 8 == 2 ? (i % 3 ? 0.99e-30f : -1.01e-30f) * (float)below(2)
                                : x[i];
            if (k % 4 == 0 && i % TINI_BLOCK == 0)
                x[i] = below(2) ? 127.0f : -127.0f;
        }
        CASE("%u values, kind %u", n, k % 8);
        size_t bytes = n / TINI_BLOCK * sizeof(tini_q8);
        tini_q8 *a = place(OUT, bytes), *b = place(OTHER, bytes);
        scalar(a, x, n);
        vector(b, x, n);
        same(a, b, bytes);
        check_canaries();
    }
}

static void check_tini_rms_norm_fn(tini_rms_norm_fn *scalar, tini_rms_norm_fn *vector) {
    for (uint32_t k = 0; k < 300; k++) {
        uint32_t n = k < 100 ? 1 + k : k < 250 ? 1 + below(70) : 500 + below(200);
        float eps = k % 3 ? 1e-5f : 1e-6f;
        const float *x = spread_floats(X, n), *weight = spread_floats(Y, n);
        float *a = copy_floats(OUT, x, n), *b = copy_floats(OTHER, x, n);
        CASE("%u values, %s", n, k % 2 ? "in place" : "apart");
        scalar(a, k % 2 ? a : x, weight, n, eps);
        vector(b, k % 2 ? b : x, weight, n, eps);
        same(a, b, n * sizeof(float));
        check_canaries();
    }
}

static void check_tini_layer_norm_fn(tini_layer_norm_fn *scalar, tini_layer_norm_fn *vector) {
    for (uint32_t k = 0; k < 300; k++) {
        uint32_t n = k < 100 ? 1 + k : k < 250 ? 1 + below(70) : 500 + below(200);
        const float *x = spread_floats(X, n), *weight = spread_floats(Y, n), *bias = spread_floats(WEIGHTS, n);
        float *a = copy_floats(OUT, x, n), *b = copy_floats(OTHER, x, n);
        CASE("%u values, %s", n, k % 2 ? "in place" : "apart");
        scalar(a, k % 2 ? a : x, weight, bias, n, 1e-6f);
        vector(b, k % 2 ? b : x, weight, bias, n, 1e-6f);
        same(a, b, n * sizeof(float));
        check_canaries();
    }
}

static void check_tini_gate_fn(tini_gate_fn *scalar, tini_gate_fn *vector) {
    static const float edges[] = {87.3f, 88.0f, 88.1f, 0.0f, 3e38f, 1e-40f, 1.0f};
    for (uint32_t k = 0; k < 200; k++) {
        uint32_t n = k < 50 ? 1 + k : k < 190 ? 1 + below(50) : 3000 + below(99), in_place = k % 3;
        float *gate = spread_floats(X, n), *up = spread_floats(Y, n);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t bits = random_bits();
            if (k % 2 == 0)
                gate[i] = tini_float(tini_bits(edges[below(COUNT(edges))]) + below(5) - (bits & 1 ? 2 : 0));
            if (below(2))
                gate[i] = -gate[i] * (k % 2 ? 20.0f : 1.0f);
            if (k >= 190 && (bits >> 23 & 255) != 255)
                gate[i] = tini_float(bits);
            if (gate[i] != gate[i]) /* next to zero are NaNs, of which nothing is promised */
                gate[i] = 0.0f;
        }
        float *a = copy_floats(OUT, in_place == 2 ? up : gate, n);
        float *b = copy_floats(OTHER, in_place == 2 ? up : gate, n);
        CASE("%u values, in place %u", n, in_place);
        scalar(a, in_place == 1 ? a : gate, in_place == 2 ? a : up, n);
        vector(b, in_place == 1 ? b : gate, in_place == 2 ? b : up, n);
        same(a, b, n * sizeof(float));
        check_canaries();
    }
}

static void check_tini_rope_fn(tini_rope_fn *scalar, tini_rope_fn *vector) {
    for (uint32_t k = 0; k < 150; k++) {
        uint32_t heads = 1 + below(5), half = k < 70 ? 1 + k : 1 + below(130);
        uint32_t head_dim = 2 * half + below(2) * below(20), n = heads * head_dim;
        const float *x = spread_floats(X, n), *table = spread_floats(Y, 2 * half);
        float *a = copy_floats(OUT, x, n), *b = copy_floats(OTHER, x, n);
        CASE("heads %u, head_dim %u, half %u", heads, head_dim, half);
        scalar(a, table, heads, head_dim, half);
        vector(b, table, heads, head_dim, half);
        same(a, b, n * sizeof(float));
        check_canaries();
    }
}

/* ---- key-value caches ---- */

/* Cache types by the end of their kernels' names. */
static const struct cache {
    const char *name;
    uint32_t type, head_dim_step;
    tini_kv_append_fn *append;
} caches[] = {
    {"f16", TIN_KV_F16, 8, tini_kv_append_f16_scalar},
    {"q8", TIN_KV_Q8, 32, tini_kv_append_q8_scalar},
};

static const struct cache *cache_of_kernel(void) {
    const struct cache *c = caches;
    while (strcmp(c->name, strrchr(kernel, '_') + 1) != 0)
        if (++c == caches + COUNT(caches)) {
            printf("kernel_check.c does not know the cache of %s\n", kernel);
            exit(2);
        }
    return c;
}

/* Values take as many places as are given, in a q8 cache whole tiles, whose scales may be read before they are used. */
static tini_kv place_cache(const struct cache *c, uint32_t keys, uint32_t values, uint32_t capacity,
                           uint32_t value_places, uint32_t head_dim) {
    size_t bytes = tini_kv_place_bytes(c->type, head_dim);
    if (c->type == TIN_KV_Q8)
        value_places = capacity;
    return (tini_kv){.keys = place(keys, capacity * bytes),
                     .values = place(values, value_places * bytes),
                     .capacity = capacity,
                     .head_dim = head_dim};
}

/* Values past float16's range, its denormals and ties among them. */
static float cache_value(void) {
    uint32_t kind = below(8);
    float x = spread();
    return kind == 0   ? x * 1e5f * (float)below(4)
           : kind == 1 ? x * 1e-6f
           : kind == 2 ? 1.0f + (float)below(9) * 0x1p-12f
                       : x;
}

static void check_tini_kv_append_fn(tini_kv_append_fn *scalar, tini_kv_append_fn *vector) {
    static const uint32_t positions[] = {0, 1, 7, 15, 16, 31, 63, 64 + 20, 128 + 63};
    const struct cache *c = cache_of_kernel();
    for (uint32_t head_dim = c->head_dim_step; head_dim <= TINI_HEAD_DIM;
         head_dim += head_dim < 256 ? c->head_dim_step : 256) {
        tini_kv a = place_cache(c, KEYS, VALUES, 64, 64, head_dim);
        tini_kv b = place_cache(c, OTHER_KEYS, OTHER_VALUES, 64, 64, head_dim);
        for (uint32_t k = 0; k < COUNT(positions); k++) {
            float *key = spread_floats(X, head_dim), *value = spread_floats(Y, head_dim);
            for (uint32_t d = 0; d < head_dim; d++)
                key[d] = cache_value(), value[d] = cache_value();
            CASE("head_dim %u, position %u", head_dim, positions[k]);
            scalar(&a, positions[k], key, value);
            vector(&b, positions[k], key, value);
            same(a.keys, b.keys, 64 * tini_kv_place_bytes(c->type, head_dim));
            same(a.values, b.values, 64 * tini_kv_place_bytes(c->type, head_dim));
            check_canaries();
        }
    }
}

/* Positions that no row sees are NaN bits; without a window, values end at the last one seen. */
static void check_attention(tini_attention_fn *scalar, tini_attention_fn *vector, tini_attention a,
                            uint32_t head_dim) {
    const struct cache *c = cache_of_kernel();
    uint32_t last = tini_attention_last(&a, a.position + a.rows - 1),
             first = tini_attention_first(&a, a.position);
    uint32_t capacity = (last / TINI_KV_TILE + 1 - (a.window ? first / TINI_KV_TILE : 0)) * TINI_KV_TILE;
    uint32_t in_place = below(2), wide = (a.heads + below(2)) * head_dim;
    tini_kv kv = place_cache(c, KEYS, VALUES, capacity, a.window ? capacity : last + 1, head_dim);
    for (uint32_t p = first; p <= last; p++) {
        float key[TINI_HEAD_DIM], value[TINI_HEAD_DIM];
        for (uint32_t d = 0; d < head_dim; d++)
            key[d] = spread(), value[d] = spread();
        c->append(&kv, p, key, value);
    }
    size_t n = (a.rows - 1) * (size_t)wide + a.heads * head_dim;
    const float *q = spread_floats(X, n);
    float *outs[2] = {copy_floats(OUT, q, n), copy_floats(OTHER, q, n)};
    CASE("rows %u, heads %u, head_dim %u, position %u, window %u, until %u, capacity %u, %s", a.rows, a.heads,
         head_dim, a.position, a.window, a.until, capacity, in_place ? "in place" : "apart");
    a.q_stride = a.out_stride = wide;
    for (int k = 0; k < 2; k++) {
        a.out = outs[k];
        a.q = in_place ? outs[k] : q;
        (k ? vector : scalar)(&kv, &a);
    }
    same(outs[0], outs[1], n * sizeof(float));
    check_canaries();
}

static void check_tini_attention_fn(tini_attention_fn *scalar, tini_attention_fn *vector) {
    static const uint32_t positions[] = {0,  1,  7,  8,  14, 15,  16,  31,  47,
                                         60, 62, 63, 64, 65, 120, 127, 128, 300};
    static const uint32_t rows[] = {1, 2, 3, 4, 5, 8, 11}, windows[] = {0, 1, 20, 64, 100, 0};
    static const uint32_t heads[] = {1, 2, 3, 4, 5, 7, 8, 1, 3},
                          sizes[] = {64, 8, 80, 24, 128, 72, 16, 256, TINI_HEAD_DIM};
    const struct cache *c = cache_of_kernel();
    for (uint32_t k = 0; k < COUNT(positions); k++) {
        for (uint32_t n = 0; n < COUNT(heads); n++) {
            uint32_t step = c->head_dim_step, head_dim = (sizes[n] + step - 1) / step * step;
            tini_attention a = {.rows = rows[(k + n) % COUNT(rows)],
                                .heads = heads[n],
                                .position = positions[k],
                                .window = windows[(k + n / 2) % COUNT(windows)],
                                .scale = 0.125f,
                                .cap = (k + n) % 4 ? 0.0f : 2.5f};
            if ((k + n) % 3 == 0) /* some of the rows, all of them and those after them */
                a.until = a.position + below(90);
            if (head_dim > 80 && k % 3 != n % 3)
                continue;
            check_attention(scalar, vector, a, head_dim);
        }
    }
}

/* ---- an encoder's attention by integers ---- */

static void check_tini_pack_q8_fn(tini_pack_q8_fn *scalar, tini_pack_q8_fn *vector) {
    for (uint32_t k = 0; k < 60; k++) {
        uint32_t stride = TINI_TILE + below(9), n = (TINI_BLOCK - 1) * stride + TINI_TILE;
        float *x = spread_floats(X, n);
        for (uint32_t i = 0; i < n; i++)
            x[i] = k % 4 ? cache_value() : x[i] * (float)below(2);
        uint8_t *a = place(OUT, TINI_PACKED_Q8), *b = place(OTHER, TINI_PACKED_Q8);
        CASE("stride %u", stride);
        scalar(a, x, stride);
        vector(b, x, stride);
        same(a, b, TINI_PACKED_Q8);
        check_canaries();
    }
}

/* A tile, and then some positions of the next; what is none of them is NaN bits. */
static void check_tini_softmax_fn(tini_softmax_fn *scalar, tini_softmax_fn *vector) {
    enum { BLOCKS = TINI_WHOLE_TILE / TINI_BLOCK, MOST = 9 };
    for (uint32_t k = 0; k < 60; k++) {
        uint32_t rows = 1 + k % MOST, last = k % 4 ? 1 + below(TINI_WHOLE_TILE) : TINI_WHOLE_TILE;
        float state[2][3][MOST], power = tini_float((117 + below(20)) << 23);
        for (uint32_t r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++)
                state[v][0][r] = -TINI_INFINITY, state[v][1][r] = state[v][2][r] = 0.0f;
        for (uint32_t count = TINI_WHOLE_TILE, tile = 0; tile < 2; tile++, count = last) {
            float *scores = spread_floats(X, rows * TINI_WHOLE_TILE);
            for (uint32_t i = 0; i < rows * TINI_WHOLE_TILE; i++)
                scores[i] = i % TINI_WHOLE_TILE < count ? scores[i] * power : tini_float(0x7fffffffu);
            size_t bytes = ((rows - 1) * BLOCKS + (count + TINI_BLOCK - 1) / TINI_BLOCK) * sizeof(tini_q8);
            tini_q8 *weights[2] = {place(OUT, bytes), place(OTHER, bytes)};
            CASE("rows %u, count %u", rows, count);
            for (int v = 0; v < 2; v++) {
                memset(weights[v], 0, bytes);
                (v ? vector : scalar)(&(tini_softmax){scores, weights[v], state[v][0], state[v][1], state[v][2],
                                                      rows, count, 0.125f});
            }
            same(weights[0], weights[1], bytes);
            for (int v = 0; v < 3; v++)
                same(state[0][v], state[1][v], rows * sizeof(float));
            check_canaries();
        }
    }
}

/* ---- recurrent states ---- */

/* In place: the state in OUT (or OTHER) is read where it is written. */
static void check_tini_conv_fn(tini_conv_fn *scalar, tini_conv_fn *vector) {
    for (uint32_t k = 0; k < 200; k++) {
        uint32_t tiles = 1 + below(11), taps = 2 + k % 3, channels = tiles * TINI_TILE, in_place = below(2);
        tini_conv c = {.rows = 1 + below(k % 4 ? 6 : 40), .taps = taps, .silu = below(2)};
        c.x_stride = channels + below(2) * 7;
        c.out_stride = channels + below(2) * 5;
        size_t floats = (size_t)channels * (taps - 1), n = (c.rows - 1) * c.out_stride + channels;
        float *weights = spread_floats(WEIGHTS, (size_t)channels * (taps + 1));
        c.weights = weights;
        c.bias = below(2) ? weights + (size_t)channels * taps : NULL;
        c.x = spread_floats(X, (c.rows - 1) * c.x_stride + channels);
        const float *before = spread_floats(Y, floats);
        float *states[2] = {copy_floats(KEYS, before, floats), copy_floats(VALUES, before, floats)};
        float *outs[2] = {spread_floats(OUT, n), NULL};
        outs[1] = copy_floats(OTHER, outs[0], n);
        uint32_t cut = below(tiles + 1);
        CASE("tiles %u cut at %u, taps %u, rows %u, silu %u, in place %u", tiles, cut, taps, c.rows, c.silu,
             in_place);
        for (int v = 0; v < 2; v++) {
            c.out = outs[v];
            c.to = states[v];
            c.from = in_place ? c.to : before;
            if (v == 0) {
                scalar(&c, 0, tiles);
            } else {
                vector(&c, cut, tiles);
                vector(&c, 0, cut);
            }
        }
        same(outs[0], outs[1], n * sizeof(float));
        same(states[0], states[1], floats * sizeof(float));
        check_canaries();
    }
}

static void check_tini_delta_fn(tini_delta_fn *scalar, tini_delta_fn *vector) {
    for (uint32_t k = 0; k < 100; k++) {
        uint32_t tiles = 1 + below(8), columns = tiles * TINI_TILE, in_place = below(2);
        tini_delta d = {.rows = 1 + below(7), .inputs = 4 * (1 + below(k % 4 ? 9 : 40)), .scale = 0.3f};
        d.plain = below(2);
        d.skip = 1.7f;
        d.qk_stride = 2 * d.inputs + below(2) * 3;
        d.v_stride = columns + below(2) * 7;
        d.out_stride = columns + below(2) * 5;
        size_t floats = (size_t)columns * d.inputs, n = (d.rows - 1) * d.out_stride + columns;
        d.q = spread_floats(X, (d.rows - 1) * d.qk_stride + 2 * d.inputs);
        d.k = d.q + d.inputs;
        d.v = spread_floats(Z, (d.rows - 1) * d.v_stride + columns);
        float *gates = spread_floats(WEIGHTS, 2 * d.rows);
        for (uint32_t i = 0; i < 2 * d.rows; i++)
            gates[i] = (float)below(1 << 16) * 0x1p-16f;
        d.decay = gates;
        d.beta = gates + d.rows;
        const float *before = spread_floats(Y, floats);
        float *states[2] = {copy_floats(KEYS, before, floats), copy_floats(VALUES, before, floats)};
        float *outs[2] = {spread_floats(OUT, n), NULL};
        outs[1] = copy_floats(OTHER, outs[0], n);
        uint32_t cut = below(tiles + 1);
        CASE("tiles %u cut at %u, inputs %u, rows %u, plain %u, in place %u", tiles, cut, d.inputs, d.rows,
             d.plain, in_place);
        for (int v = 0; v < 2; v++) {
            d.out = outs[v];
            d.to = states[v];
            d.from = in_place ? d.to : before;
            if (v == 0) {
                scalar(&d, 0, tiles);
            } else {
                vector(&d, cut, tiles);
                vector(&d, 0, cut);
            }
        }
        same(outs[0], outs[1], n * sizeof(float));
        same(states[0], states[1], floats * sizeof(float));
        check_canaries();
    }
}

/* ---- all of them ---- */

static void check_set(const tini_kernels *table) {
    const tini_kernels *scalar = tini_kernels_select("scalar"), *t;
    const char *from;
    set = table->isa;
#define CHECK_KERNEL(a, op, type)                                                    \
    kernel = #op;                                                                    \
    from = set;                                                                      \
    for (uint32_t k = 0; (t = tini_kernels_available(k)) != NULL && t != table; k++) \
        if (t->op == table->op) {                                                    \
            from = t->isa;                                                           \
            break;                                                                   \
        }                                                                            \
    if (from == set) {                                                               \
        state = 20260;                                                               \
        cases = 0;                                                                   \
        check_##type(scalar->op, table->op);                                         \
        printf("ok %s %s %u cases\n", kernel, set, cases);                           \
    } else {                                                                         \
        printf("inherits %s %s from %s\n", kernel, set, from);                       \
    }
    TIN_KERNELS(CHECK_KERNEL, )
    fflush(stdout);
}

int main(int count, char **names) {
    const tini_kernels *table;
    printf("sets");
    for (uint32_t k = 0; (table = tini_kernels_available(k)) != NULL; k++)
        printf(" %s", table->isa);
    printf("\n");
    make_slots();
    for (int i = 1; i < count; i++) {
        table = tini_kernels_select(names[i]);
        if (!table || strcmp(table->isa, names[i]) != 0) {
            printf("this build or processor has no set %s\n", names[i]);
            return 2;
        }
        check_set(table);
    }
    for (uint32_t k = 1; count == 1 && (table = tini_kernels_available(k)) != NULL; k++)
        check_set(table);
    return 0;
}
