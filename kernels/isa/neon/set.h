/* NEON, which every 64-bit ARM has. */
#ifndef TINI_NEON_SET_H
#define TINI_NEON_SET_H

#if !defined(TIN_SCALAR_ONLY) && (defined(__aarch64__) || defined(_M_ARM64)) && !defined(__AARCH64EB__) && \
    (defined(__GNUC__) || defined(__clang__))
#define TIN_HAVE_NEON 1
#else
#define TIN_HAVE_NEON 0
#endif

#define TINI_REGION_NEON TINI_REGION_SCALAR

#define TIN_KERNELS_neon(X)               \
    TIN_FORMATS(TINI_HAS_MATMUL, X, neon) \
    X(half_q8_0, neon)                    \
    X(quantize_q8, neon)                  \
    X(rms_norm, neon)                     \
    X(layer_norm, neon)                   \
    X(silu_mul, neon)                     \
    X(gelu_mul, neon)                     \
    X(sigmoid_mul, neon)                  \
    X(gelu_erf_mul, neon)                 \
    X(rope, neon)                         \
    X(kv_append_f16, neon)                \
    X(kv_append_q8, neon)                 \
    X(attention_f16, neon)                \
    X(attention_q8, neon)                 \
    X(pack_q8, neon)                      \
    X(softmax_q8, neon)                   \
    X(conv, neon)                         \
    X(delta, neon)

#define TIN_RATE_neon 6.0, 4.7, 1.5

/* Whether this processor, under this system, runs it. */
int tini_runs_neon(void);

#endif
