/* The kernel vocabulary: the computation of each op, in units and layouts that all instruction sets share.
 *
 * The bit contract: for finite inputs, each function has ONE result, defined by kernels/isa/scalar/. All
 * arithmetic is IEEE float32, round to nearest even, with separate multiply and add. */
#ifndef TINI_KERNEL_H
#define TINI_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "../../include/tin.h"
#include "../../kernels.def"
#include "region.h"

#define TINI_BLOCK 32u     /* inputs that share a scale */
#define TINI_TILE 16u      /* output rows of a packed tile; also positions of a key group */
#define TINI_KV_TILE 64u   /* positions of an attention tile, at fixed absolute positions */
#define TINI_HEAD_DIM 512u /* the most elements of a head */

/* 32 activations as int8. `x[i] ~ scale * q[i]`, q in [-127, 127]; sum is the exact sum of q. */
typedef struct tini_q8 {
    float scale;
    int32_t sum;
    int8_t q[TINI_BLOCK];
} tini_q8;

/* out[t][o] = ((sum over inputs of W[o][i] * x[t][i]) + bias[o]) + residual[t][o], bias and residual optional.
 *
 * weights   packed tiles (see pack/pack.h) of the whole tensor, 32-byte aligned
 * x         [rows][inputs] f32, or [rows][inputs / 32] tini_q8, by the format; rows x_stride BYTES apart
 * out       [rows] f32, rows out_stride FLOATS apart
 * residual  as out, rows residual_stride floats apart, or NULL; may be the same memory as out
 * bias      [outputs] f32 or NULL
 * next      what is read after the weights, which memory may be asked for before their end; NULL: what lies behind them */
typedef struct tini_matmul {
    const uint8_t *weights;
    const void *x;
    float *out;
    const float *residual;
    const float *bias;
    const uint8_t *next;
    size_t x_stride, out_stride, residual_stride;
    uint32_t rows, inputs, outputs;
} tini_matmul;

/* Computes output rows of the tiles [tile_begin, tile_end): outputs 16 * tile_begin up to
 * min(16 * tile_end, outputs). Never writes past `outputs`. */
typedef void tini_matmul_fn(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end);

/* matmul_q8_0 of 32 inputs, the last 16 of them zeros in every row of x and absent from the weights. It reads
 * the first TINI_HALF_BYTES of each tile. */
typedef void tini_half_fn(const tini_matmul *m, uint32_t tile_begin, uint32_t tile_end);

#define TINI_HALF_BYTES (18u * TINI_TILE)

/* out[n / 32] = blocks of x[n]; n a multiple of 32. */
typedef void tini_quantize_q8_fn(tini_q8 *out, const float *x, uint32_t n);

/* out[n] = (x[n] * (1 / sqrt(mean(x^2) + eps))) * weight[n]; out may be x. */
typedef void tini_rms_norm_fn(float *out, const float *x, const float *weight, uint32_t n, float eps);

/* out[n] = ((x - mean(x)) * (1 / sqrt(mean((x - mean(x))^2) + eps))) * weight[n] + bias[n]; out may be x. */
typedef void tini_layer_norm_fn(float *out, const float *x, const float *weight, const float *bias, uint32_t n,
                                float eps);

/* The function that a GATED op applies to its gate; NONE leaves it. GELU is the tanh form, GELU_ERF the exact
 * one. */
enum {
    TINI_ACT_SILU = 0,
    TINI_ACT_GELU = 1,
    TINI_ACT_SIGMOID = 2,
    TINI_ACT_NONE = 3,
    TINI_ACT_GELU_ERF = 4,
    TINI_ACT_COUNT
};

/* out[n] = act(gate) * up, act being silu, gelu, sigmoid or exact gelu; out may be gate or up. */
typedef void tini_gate_fn(float *out, const float *gate, const float *up, uint32_t n);

/* Rotates, in place, the first 2 * half values of each head of one row x[heads][head_dim]: the pair
 * (x[i], x[i + half]) by the angle whose cosine and sine are table[i], table[half + i], i < half. */
typedef void tini_rope_fn(float *x, const float *table, uint32_t heads, uint32_t head_dim, uint32_t half);

/* One key-value head's cache of a layer. Position p lies at place p % capacity: capacity is a multiple of
 * TINI_KV_TILE, and less than the positions of a session only where attention has a window (a ring). Places come
 * in groups of 16; place p is number p % 16 of group p / 16.
 *
 * f16  keys    [group][head_dim][16] float16: lanes hold positions, so a score is a sum over head_dim in order
 *      values  [group][16][head_dim] float16
 * q8   per 32 elements of a head (head_dim is a multiple of 32) a float16 scale d and 32 int8 q, for d * q:
 *      keys    [group][head_dim / 32] blocks of a packed Q8_0 tile (pack/pack.h), positions for rows: 16 d, then [8][16][4]
 *              q as bytes XOR 0x80
 *      values  [group]: [head_dim / 32][16] d, then [16][head_dim] q as they are */

typedef struct tini_kv {
    void *keys, *values;
    uint32_t capacity;
    uint32_t head_dim; /* a multiple of 8, at most TINI_HEAD_DIM */
} tini_kv;

/* Bytes of one position's keys, and of its values, in a cache of type TIN_KV_*. Whole groups lie one after the
 * other, so the keys of a cache are capacity times this. */
static inline size_t tini_kv_place_bytes(uint32_t type, uint32_t head_dim) {
    return type == TIN_KV_F16 ? (size_t)head_dim * 2
                              : (size_t)(head_dim + TINI_BLOCK - 1) / TINI_BLOCK * (TINI_BLOCK + 2);
}

/* Stores key[head_dim] and value[head_dim], rounded to the cache's type, at `position`. */
typedef void tini_kv_append_fn(const tini_kv *kv, uint32_t position, const float *key, const float *value);

/* Attention of `heads` query heads that share one key-value head, for `rows` queries at consecutive positions
 * from `position` on. Row r attends to the positions up to its own, position + r (with a window, to the last
 * `window` of them), and to later ones below `until`.
 *
 * q, out   [rows][heads][head_dim] f32, rows q_stride and out_stride FLOATS apart; out may be q with one stride */
typedef struct tini_attention {
    const float *q;
    float *out;
    size_t q_stride, out_stride;
    uint32_t rows, heads, position;
    uint32_t window; /* 0: all */
    uint32_t until;  /* every row also attends to cache positions below it: an image's; 0: none */
    float scale;
    float cap; /* scores s become cap * tanh(s / cap); 0: as they are */
} tini_attention;

/* The first position that the query at `position` attends to. */
static inline uint32_t tini_attention_first(const tini_attention *a, uint32_t position) {
    return a->window && position >= a->window ? position + 1 - a->window : 0;
}

/* The last position that it attends to. */
static inline uint32_t tini_attention_last(const tini_attention *a, uint32_t position) {
    return position < a->until ? a->until - 1 : position;
}

typedef void tini_attention_fn(const tini_kv *kv, const tini_attention *a);

/* An encoder's attention by integers is two products of Q8_0, as every other: of keys and the rounded queries,
 * and of values and the rounded weights. Its cache holds for each key-value head
 *
 *     keys    [group of 16 positions][head_dim / 32, rounded up] blocks of a packed tile of Q8_0, positions for rows; elements
 *             past head_dim are 0
 *     values  [tile of TINI_WHOLE_TILE positions] tiles of Q8_0: [head_dim / 16, rounded up][positions / 32, rounded up]
 *             blocks, elements for rows; positions past the last are 0
 *
 * each in capacity times tini_kv_place_bytes(TIN_KV_Q8, head_dim). */
#define TINI_WHOLE_TILE 256u

/* A block of a packed tile of Q8_0 (pack/pack.h), 32-byte aligned: x[i * stride + lane] is input i of row
 * `lane`. */
typedef void tini_pack_q8_fn(uint8_t *block, const float *x, size_t stride);
#define TINI_PACKED_Q8 (34u * TINI_TILE)

/* Softmax of a tile of scores, with the largest one and the sum of the weights of the tiles before it.
 *
 * scores   [rows][TINI_WHOLE_TILE], of which `count` are of positions
 * weights  [rows][TINI_WHOLE_TILE / 32]: of count / 32 blocks, rounded up
 * maximum, sum, alpha  [rows]: -infinity and 0 before the first tile; alpha is what takes outputs so far to the new maximum
 * scale    positive */
typedef struct tini_softmax {
    const float *scores;
    tini_q8 *weights;
    float *maximum, *sum, *alpha;
    uint32_t rows, count;
    float scale;
} tini_softmax;

typedef void tini_softmax_fn(const tini_softmax *s);

/* Causal convolution of each channel by itself over `rows` consecutive tokens. A tile is 16 channels.
 *
 * weights   tiles [taps][16] f32, the last tap for the token itself
 * bias      [channels] f32, or NULL
 * from, to  tiles [taps - 1][16] f32: the inputs of the tokens before the first, and before the one after the last, oldest
 *           first; may be the same memory
 * x, out    [rows] f32, apart, rows x_stride and out_stride FLOATS apart; a tile's channels from 16 * tile on
 * silu      whether out = y / (1 + exp(-y)) of the sums y */
typedef struct tini_conv {
    const float *weights, *bias, *from, *x;
    float *to, *out;
    size_t x_stride, out_stride;
    uint32_t rows, taps, silu;
} tini_conv;

/* The 16 inputs of a tile at time t, 0 for the oldest in `from`, taps - 1 for the first row. */
static inline const float *tini_conv_input(const tini_conv *c, uint32_t tile, uint32_t t) {
    uint32_t before = c->taps - 1;
    return t < before ? c->from + ((size_t)tile * before + t) * TINI_TILE
                      : c->x + (t - before) * c->x_stride + (size_t)tile * TINI_TILE;
}

/* Computes the tiles [tile_begin, tile_end). */
typedef void tini_conv_fn(const tini_conv *c, uint32_t tile_begin, uint32_t tile_end);

/* The gated delta rule (Yang et al., "Gated Delta Networks", 2024) of one head over `rows` consecutive tokens:
 * for each, the state S [inputs][columns] becomes d * S + k (b (v - d * S^T k))^T, and the output is scale * S^T
 * q. A tile is 16 columns.
 *
 * from, to     tiles [inputs][16] f32: S before the first token, and after the last; may be the same memory
 * q, k         [rows][inputs] f32, rows qk_stride FLOATS apart; inputs a multiple of 4
 * v, out       [rows] f32, rows v_stride and out_stride FLOATS apart; a tile's columns from 16 * tile on
 * decay, beta  [rows] f32: d and b
 *
 * plain: the selective state update instead (Dao and Gu, "Transformers are SSMs", 2024), which corrects nothing:
 * S becomes d * S + k (b v)^T, and the output is scale * S^T q + skip * v. */
typedef struct tini_delta {
    const float *from, *q, *k, *v, *decay, *beta;
    float *to, *out;
    size_t qk_stride, v_stride, out_stride;
    uint32_t rows, inputs, plain;
    float scale, skip;
} tini_delta;

/* Computes the tiles [tile_begin, tile_end). */
typedef void tini_delta_fn(const tini_delta *d, uint32_t tile_begin, uint32_t tile_end);

/* The scalar functions and the vector versions that this build may hold. */
#define TINI_KERNEL_TYPE(a, op, type) typedef type tini_kernel_##op;
TIN_KERNELS(TINI_KERNEL_TYPE, )

#define TINI_DECLARE(op, isa) tini_kernel_##op tini_##op##_##isa;
#define TINI_DECLARE_SET(name, have) TINI_IF(have)(TIN_KERNELS_##name(TINI_DECLARE))
TIN_ISAS(TINI_DECLARE_SET)

#endif
