/* AVX-512 with VNNI, on x86-64. */
#ifndef TINI_AVX512VNNI_SET_H
#define TINI_AVX512VNNI_SET_H

#include "../avx2/set.h"

#define TIN_HAVE_AVX512VNNI TIN_HAVE_AVX2

#define TINI_AVX512VNNI_FEATURES "avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
#define TINI_REGION_AVX512VNNI TINI_TARGET(TINI_AVX512VNNI_FEATURES)

#define TIN_KERNELS_avx512vnni(X)               \
    TIN_FORMATS(TINI_HAS_MATMUL, X, avx512vnni) \
    X(half_q8_0, avx512vnni)                    \
    X(quantize_q8, avx512vnni)                  \
    X(rms_norm, avx512vnni)                     \
    X(layer_norm, avx512vnni)                   \
    X(silu_mul, avx512vnni)                     \
    X(gelu_mul, avx512vnni)                     \
    X(sigmoid_mul, avx512vnni)                  \
    X(gelu_erf_mul, avx512vnni)                 \
    X(rope, avx512vnni)                         \
    X(attention_f16, avx512vnni)                \
    X(attention_q8, avx512vnni)                 \
    X(pack_q8, avx512vnni)                      \
    X(softmax_q8, avx512vnni)                   \
    X(conv, avx512vnni)                         \
    X(delta, avx512vnni)

#define TIN_RATE_avx512vnni 60.0, 28.0, 10.0

/* Whether this processor, under this system, runs it. */
int tini_runs_avx512vnni(void);

#endif
