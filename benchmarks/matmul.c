/* Timing loops for benchmarks/matmul.py: matmuls, and what the processor can do at best. */
#define _POSIX_C_SOURCE 199309L
#include <string.h>
#include <time.h>

#include "../kernels/core/base/isa.h"

#if TIN_HAVE_AVX2
#include <immintrin.h>
#endif

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of `calls` matmuls over all tiles, in ranges of `range` tiles; the weights come from `copies` places,
 * `copy_bytes` apart, in turn from `first` on. */
double bench_matmul(const char *isa, const char *op, const tini_matmul *matmul, size_t copy_bytes,
                    uint32_t copies, uint32_t first, uint32_t calls, uint32_t range) {
    const tini_kernels *k = tini_kernels_select(isa);
    tini_matmul_fn *f = NULL;
#define FIND_KERNEL(a, name, type)                        \
    if (!strncmp(op, "matmul_", 7) && !strcmp(op, #name)) \
        f = (tini_matmul_fn *)(void (*)(void))k->name;
    TIN_KERNELS(FIND_KERNEL, )
    uint32_t tiles = (matmul->outputs + TINI_TILE - 1) / TINI_TILE;
    double start = seconds();
    for (uint32_t call = 0; call < calls; call++) {
        tini_matmul m = *matmul;
        m.weights += (first + call) % copies * copy_bytes;
        for (uint32_t tile = 0; tile < tiles; tile += range)
            f(&m, tile, tile + range < tiles ? tile + range : tiles);
    }
    return seconds() - start;
}

/* Seconds to read `bytes`, a multiple of 1024, from p on: four streams, as several tiles would be. */
#if TIN_HAVE_AVX2
TINI_REGION_AVX2
double bench_read(const uint8_t *p, size_t bytes) {
    __m256i sums[4] = {_mm256_setzero_si256()};
    double start = seconds();
    for (size_t i = 0; i < bytes / 4; i += 64) {
        for (size_t k = 0; k < 4; k++) {
            const __m256i *from = (const __m256i *)(const void *)(p + k * (bytes / 4) + i);
            _mm_prefetch((const char *)(from + 64), _MM_HINT_T0);
            sums[k] = _mm256_xor_si256(
                sums[k], _mm256_xor_si256(_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1)));
        }
    }
    volatile __m256i keep =
        _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3]));
    (void)keep;
    return seconds() - start;
}
TINI_REGION_END
#else
double bench_read(const uint8_t *p, size_t bytes) {
    uint64_t sums[8] = {0};
    double start = seconds();
    for (size_t i = 0; i < bytes; i += sizeof sums) {
        uint64_t part[8];
        memcpy(part, p + i, sizeof part);
        for (int k = 0; k < 8; k++)
            sums[k] ^= part[k];
    }
    volatile uint64_t keep = 0;
    for (int k = 0; k < 8; k++)
        keep ^= sums[k];
    return seconds() - start;
}
#endif

/* `rounds` times twelve independent 4-way dot products. Each returns the multiply-adds of a round. */
#if TIN_HAVE_AVX2
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

TINI_REGION_AVX2
static uint32_t peak_avx2(uint32_t rounds) {
    for (uint32_t i = 0; i < rounds; i++) {
#define X(k)                                                    \
    __asm__ volatile("vpmaddubsw %%ymm15, %%ymm14, %%ymm13\n\t" \
                     "vpaddw %%ymm13, %%ymm" #k ", %%ymm" #k::  \
                         : "xmm13", "xmm" #k);
        TWELVE(X)
#undef X
    }
    return 12 * 32;
}

static uint32_t peak_avxvnni(uint32_t rounds) {
    for (uint32_t i = 0; i < rounds; i++) {
#define X(k) __asm__ volatile("%{vex%} vpdpbusd %%ymm15, %%ymm14, %%ymm" #k::: "xmm" #k);
        TWELVE(X)
#undef X
    }
    return 12 * 32;
}
TINI_REGION_END

TINI_REGION_AVX512VNNI
static uint32_t peak_avx512vnni(uint32_t rounds) {
    for (uint32_t i = 0; i < rounds; i++) {
#define X(k) __asm__ volatile("vpdpbusd %%zmm15, %%zmm14, %%zmm" #k::: "xmm" #k);
        TWELVE(X)
#undef X
    }
    return 12 * 64;
}
TINI_REGION_END
#endif

/* Multiply-adds a second of the set's 8-bit dot product; 0 where there is no such loop. */
double bench_int8_peak(const char *isa, uint32_t rounds) {
    uint32_t (*f)(uint32_t) = NULL;
#if TIN_HAVE_AVX2
    f = !strcmp(isa, "avx2") ? peak_avx2 : !strcmp(isa, "avxvnni") ? peak_avxvnni : f;
    f = !strcmp(isa, "avx512vnni") ? peak_avx512vnni : f;
#endif
    if (!f)
        return 0;
    double start = seconds();
    uint32_t each = f(rounds);
    return (double)each * rounds / (seconds() - start);
}
