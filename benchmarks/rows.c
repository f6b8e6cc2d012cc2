/* Repeats calls of the kernels that rows.py times. */
#include <time.h>

#include "../kernels/core/base/kernel.h"

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

#define TIMED(repeat, call)                                     \
    double start = now_ns();                                    \
    for (uint32_t i = 0; i < (repeat); i++)                     \
        call;                                                   \
    return (now_ns() - start) / (repeat)

/* Nanoseconds a call; call i reads cache i % caches. */
double bench_attention(tini_attention_fn *f, const tini_kv *kv, uint32_t caches, const tini_attention *a, uint32_t repeat) {
    TIMED(repeat, f(&kv[i % caches], a));
}

double bench_kv_append(tini_kv_append_fn *f, const tini_kv *kv, const float *key, const float *value, uint32_t repeat) {
    TIMED(repeat, f(kv, i % kv->capacity, key, value));
}

double bench_quantize_q8(tini_quantize_q8_fn *f, tini_q8 *out, const float *x, uint32_t n, uint32_t repeat) {
    TIMED(repeat, f(out, x, n));
}

double bench_rms_norm(tini_rms_norm_fn *f, float *out, const float *x, const float *weight, uint32_t n, uint32_t repeat) {
    TIMED(repeat, f(out, x, weight, n, 1e-5f));
}

double bench_silu_mul(tini_gate_fn *f, float *out, const float *gate, const float *up, uint32_t n, uint32_t repeat) {
    TIMED(repeat, f(out, gate, up, n));
}

double bench_rope(tini_rope_fn *f, float *x, const float *table, uint32_t heads, uint32_t head_dim, uint32_t repeat) {
    TIMED(repeat, f(x, table, heads, head_dim, head_dim / 2));
}

/* Bytes a nanosecond that one core reads of a block larger than its caches. */
double bench_read(const uint64_t *block, size_t bytes, uint32_t repeat) {
    uint64_t sum = 0;
    double start = now_ns();
    for (uint32_t r = 0; r < repeat; r++)
        for (size_t i = 0; i < bytes / 8; i += 8)
            sum += block[i] + block[i + 1] + block[i + 2] + block[i + 3] + block[i + 4] + block[i + 5] + block[i + 6] + block[i + 7];
    double elapsed = now_ns() - start;
    volatile uint64_t sink = sum;
    (void)sink;
    return (double)bytes * repeat / elapsed;
}
