/* AVX2 and F16C, on x86-64. */
#ifndef TINI_AVX2_SET_H
#define TINI_AVX2_SET_H

#if !defined(TIN_SCALAR_ONLY) && defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define TIN_HAVE_AVX2 1
#else
#define TIN_HAVE_AVX2 0
#endif

#define TINI_AVX2_FEATURES "avx2,f16c"
#define TINI_REGION_AVX2 TINI_TARGET(TINI_AVX2_FEATURES)

#define TIN_KERNELS_avx2(X)               \
    TIN_FORMATS(TINI_HAS_MATMUL, X, avx2) \
    X(half_q8_0, avx2)                    \
    X(quantize_q8, avx2)                  \
    X(rms_norm, avx2)                     \
    X(layer_norm, avx2)                   \
    X(silu_mul, avx2)                     \
    X(gelu_mul, avx2)                     \
    X(sigmoid_mul, avx2)                  \
    X(gelu_erf_mul, avx2)                 \
    X(rope, avx2)                         \
    X(kv_append_f16, avx2)                \
    X(kv_append_q8, avx2)                 \
    X(attention_f16, avx2)                \
    X(attention_q8, avx2)                 \
    X(pack_q8, avx2)                      \
    X(softmax_q8, avx2)                   \
    X(conv, avx2)                         \
    X(delta, avx2)

#define TIN_RATE_avx2 16.0, 12.0, 6.0

/* Whether this processor, under this system, runs it. */
int tini_runs_avx2(void);

#endif
