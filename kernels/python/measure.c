/* What the machine can do at most, for `tinsmith bench`: bytes read from memory, int8 multiply-adds. Each call
 * works on the calling thread without the GIL and says when it began and ended, so that Python starts several
 * at once. */
#include "module.h"

#include "core/base/region.h"

#include <string.h>
#include <time.h>

#if TIN_HAVE_AVX2
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

/* Written by every measurement, so that no compiler drops the work. */
static volatile int64_t sink;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#if TIN_HAVE_AVX2
static int runs(const char *isa) {
    for (uint32_t k = 0; tin_isa_name(k); k++)
        if (!strcmp(tin_isa_name(k), isa))
            return 1;
    return 0;
}
#endif

enum { LINE = 512 }; /* bytes of a step of the reading loops: several loads in flight */

/* bytes: a multiple of LINE. Four sums, so that adding does not wait for the add before. */
TINI_INLINE int64_t read_words(const unsigned char *data, size_t bytes) {
    int64_t sums[LINE / 8] = {0};
    for (size_t at = 0; at < bytes; at += LINE) {
        int64_t words[LINE / 8];
        memcpy(words, data + at, LINE);
        for (int k = 0; k < LINE / 8; k++)
            sums[k] ^= words[k];
    }
    int64_t sum = 0;
    for (int k = 0; k < LINE / 8; k++)
        sum ^= sums[k];
    return sum;
}

static int64_t read_plain(const unsigned char *data, size_t bytes) {
    return read_words(data, bytes);
}

/* int8 multiply-adds of one step of the loops below, and the loops: `steps` of them in registers. Enough
 * accumulators that the multiplier never waits for a result. */
enum { CHAINS = 12 };

#if TIN_HAVE_AVX512VNNI
TINI_REGION_AVX512VNNI
static int64_t read_avx512(const unsigned char *data, size_t bytes) {
    __m512i sums[LINE / 64];
    for (int k = 0; k < LINE / 64; k++)
        sums[k] = _mm512_setzero_si512();
    for (size_t at = 0; at < bytes; at += LINE)
        for (int k = 0; k < LINE / 64; k++)
            sums[k] = _mm512_xor_si512(sums[k], _mm512_loadu_si512(data + at + 64 * k));
    for (int k = 1; k < LINE / 64; k++)
        sums[0] = _mm512_xor_si512(sums[0], sums[k]);
    return _mm512_reduce_add_epi64(sums[0]);
}

static int64_t dots_avx512vnni(uint64_t steps) {
    __m512i sums[CHAINS], a = _mm512_set1_epi8((char)(sink + 3)), b = _mm512_set1_epi8((char)(sink + 5));
    for (int k = 0; k < CHAINS; k++)
        sums[k] = _mm512_setzero_si512();
    for (uint64_t s = 0; s < steps; s++)
        for (int k = 0; k < CHAINS; k++)
            sums[k] = _mm512_dpbusd_epi32(sums[k], a, b);
    for (int k = 1; k < CHAINS; k++)
        sums[0] = _mm512_add_epi32(sums[0], sums[k]);
    return _mm512_reduce_add_epi32(sums[0]);
}
TINI_REGION_END
#endif

#if TIN_HAVE_AVX2
TINI_REGION_AVX2
static int64_t read_avx2(const unsigned char *data, size_t bytes) {
    return read_words(data, bytes);
}

/* Two instructions for 32 products in pairs, a third to sum the pairs: what the set offers. The empty asm
 * changes a as far as the compiler knows, or it would multiply once for all steps. */
static int64_t dots_avx2(uint64_t steps) {
    __m256i sums[CHAINS], a = _mm256_set1_epi8((char)(sink + 3)), b = _mm256_set1_epi8((char)(sink + 5));
    const __m256i ones = _mm256_set1_epi16(1);
    for (int k = 0; k < CHAINS; k++)
        sums[k] = _mm256_setzero_si256();
    for (uint64_t s = 0; s < steps; s++)
        for (int k = 0; k < CHAINS; k++) {
            __asm__ volatile("" : "+x"(a));
            __m256i pairs = _mm256_maddubs_epi16(a, b);
            sums[k] = _mm256_add_epi32(sums[k], _mm256_madd_epi16(pairs, ones));
        }
    for (int k = 1; k < CHAINS; k++)
        sums[0] = _mm256_add_epi32(sums[0], sums[k]);
    int32_t lanes[8];
    memcpy(lanes, &sums[0], sizeof lanes);
    return lanes[0];
}
TINI_REGION_END
#endif

#if defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#define PLAIN_WIDTH 16
static int64_t dots_plain(uint64_t steps) {
    int8x16_t a = vdupq_n_s8((int8_t)(sink + 3)), b = vdupq_n_s8((int8_t)(sink + 5));
    int32x4_t sums[CHAINS];
    for (int k = 0; k < CHAINS; k++)
        sums[k] = vdupq_n_s32(0);
    for (uint64_t s = 0; s < steps; s++)
        for (int k = 0; k < CHAINS; k++)
            sums[k] = vdotq_s32(sums[k], a, b);
    int64_t sum = 0;
    for (int k = 0; k < CHAINS; k++)
        sum += vaddvq_s32(sums[k]);
    return sum;
}
#else
#define PLAIN_WIDTH 16
/* Left to the compiler: the operands are read anew, since it can't know that they stay. */
static int64_t dots_plain(uint64_t steps) {
    static volatile int8_t source[2] = {3, 5};
    int8_t a[PLAIN_WIDTH], b[PLAIN_WIDTH];
    int32_t sums[CHAINS][PLAIN_WIDTH] = {{0}};
    for (uint64_t s = 0; s < steps; s++) {
        memset(a, source[0], sizeof a);
        memset(b, source[1], sizeof b);
        for (int k = 0; k < CHAINS; k++)
            for (int j = 0; j < PLAIN_WIDTH; j++)
                sums[k][j] += a[j] * b[j];
    }
    int64_t sum = 0;
    for (int k = 0; k < CHAINS; k++)
        sum += sums[k][0];
    return sum;
}
#endif

static PyObject *measure_read(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*:measure_read", &data))
        return NULL;
    if (data.len <= 0 || data.len % LINE) {
        PyBuffer_Release(&data);
        PyErr_Format(PyExc_ValueError, "give a buffer of a multiple of %d bytes", LINE);
        return NULL;
    }
    int64_t (*read)(const unsigned char *, size_t) = read_plain;
#if TIN_HAVE_AVX2
    if (runs("avx2"))
        read = read_avx2;
#endif
#if TIN_HAVE_AVX512VNNI
    if (runs("avx512vnni"))
        read = read_avx512;
#endif
    uint64_t begin, end;
    Py_BEGIN_ALLOW_THREADS begin = now_ns();
    sink = read(data.buf, (size_t)data.len);
    end = now_ns();
    Py_END_ALLOW_THREADS PyBuffer_Release(&data);
    return Py_BuildValue("(KK)", (unsigned long long)begin, (unsigned long long)end);
}

static PyObject *measure_int8(PyObject *module, PyObject *args) {
    (void)module;
    unsigned long long steps;
    if (!PyArg_ParseTuple(args, "O&:measure_int8", core_uint64, &steps))
        return NULL;
    int64_t (*dots)(uint64_t) = dots_plain;
    unsigned width = PLAIN_WIDTH;
#if TIN_HAVE_AVX2
    if (runs("avx2"))
        dots = dots_avx2, width = 32;
#endif
#if TIN_HAVE_AVX512VNNI
    if (runs("avx512vnni"))
        dots = dots_avx512vnni, width = 64;
#endif
    uint64_t begin, end;
    Py_BEGIN_ALLOW_THREADS begin = now_ns();
    sink = dots(steps);
    end = now_ns();
    Py_END_ALLOW_THREADS return Py_BuildValue("(KKK)", (unsigned long long)begin, (unsigned long long)end,
                                              (unsigned long long)steps * CHAINS * width);
}

PyMethodDef core_measure_functions[] = {
    {"measure_read", measure_read, METH_VARARGS,
     "measure_read(buffer) -> (begin, end) in ns of the monotonic clock: reads the buffer once, in order"},
    {"measure_int8", measure_int8, METH_VARARGS,
     "measure_int8(steps) -> (begin, end, int8 multiply-adds), times in ns of the monotonic clock"},
    {NULL, NULL, 0, NULL},
};
