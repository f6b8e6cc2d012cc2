/* WebAssembly SIMD. A build has it in all its functions or in none. */
#ifndef TINI_WASMSIMD_SET_H
#define TINI_WASMSIMD_SET_H

#if !defined(TIN_SCALAR_ONLY) && defined(__wasm_simd128__)
#define TIN_HAVE_WASMSIMD 1
#else
#define TIN_HAVE_WASMSIMD 0
#endif

#define TINI_REGION_WASMSIMD TINI_REGION_SCALAR

#define TIN_KERNELS_wasmsimd(X)               \
    TIN_FORMATS(TINI_HAS_MATMUL, X, wasmsimd) \
    X(half_q8_0, wasmsimd)                    \
    X(quantize_q8, wasmsimd)                  \
    X(rms_norm, wasmsimd)                     \
    X(layer_norm, wasmsimd)                   \
    X(silu_mul, wasmsimd)                     \
    X(gelu_mul, wasmsimd)                     \
    X(sigmoid_mul, wasmsimd)                  \
    X(gelu_erf_mul, wasmsimd)                 \
    X(rope, wasmsimd)                         \
    X(kv_append_f16, wasmsimd)                \
    X(attention_f16, wasmsimd)                \
    X(pack_q8, wasmsimd)                      \
    X(softmax_q8, wasmsimd)                   \
    X(conv, wasmsimd)                         \
    X(delta, wasmsimd)

#define TIN_RATE_wasmsimd 5.0, 4.0, 1.5

/* Whether this processor, under this system, runs it. */
int tini_runs_wasmsimd(void);

#endif
