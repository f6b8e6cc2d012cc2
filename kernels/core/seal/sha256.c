#include "sha256.h"
#include "../base/region.h"

#include <string.h>

/* Whether this build can use the processor's own instructions for it: x86's SHA, ARM64's SHA2. */
#if TIN_HAVE_AVX2
#define SHA256_OWN 1
#include <cpuid.h>
#include <immintrin.h>
#elif TIN_HAVE_NEON && (!defined(__clang__) || __clang_major__ >= 17 || defined(__ARM_FEATURE_SHA2))
#define SHA256_OWN 1
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#else
#define SHA256_OWN 0
#endif

TINI_REGION_SCALAR

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t sha256_rotated(uint32_t x, int by) {
    return x >> by | x << (32 - by);
}

/* One round: the eight words of the state stay in place, and their names go round. */
#define SHA256_ROUND(a, b, c, d, e, f, g, h, t)                                                    \
    do {                                                                                           \
        uint32_t t1 = h + (sha256_rotated(e, 6) ^ sha256_rotated(e, 11) ^ sha256_rotated(e, 25)) + \
                      (g ^ (e & (f ^ g))) + sha256_k[t] + w[(t) % 16];                             \
        d += t1;                                                                                   \
        h = t1 + (sha256_rotated(a, 2) ^ sha256_rotated(a, 13) ^ sha256_rotated(a, 22)) +          \
            ((a & b) | (c & (a | b)));                                                             \
    } while (0)

static void sha256_plain(uint32_t state[8], const uint8_t *p, size_t blocks) {
    while (blocks--) {
        uint32_t w[16]; /* the latest words of the schedule, word t at t % 16 */
        for (int i = 0; i < 16; i++, p += 4)
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5],
                 g = state[6], h = state[7];
        for (int t = 0; t < 64; t += 8) {
            for (int i = t; t >= 16 && i < t + 8; i++) {
                uint32_t x = w[(i + 1) % 16], y = w[(i + 14) % 16];
                w[i % 16] += (sha256_rotated(x, 7) ^ sha256_rotated(x, 18) ^ x >> 3) + w[(i + 9) % 16] +
                             (sha256_rotated(y, 17) ^ sha256_rotated(y, 19) ^ y >> 10);
            }
            SHA256_ROUND(a, b, c, d, e, f, g, h, t);
            SHA256_ROUND(h, a, b, c, d, e, f, g, t + 1);
            SHA256_ROUND(g, h, a, b, c, d, e, f, t + 2);
            SHA256_ROUND(f, g, h, a, b, c, d, e, t + 3);
            SHA256_ROUND(e, f, g, h, a, b, c, d, t + 4);
            SHA256_ROUND(d, e, f, g, h, a, b, c, t + 5);
            SHA256_ROUND(c, d, e, f, g, h, a, b, t + 6);
            SHA256_ROUND(b, c, d, e, f, g, h, a, t + 7);
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

TINI_REGION_END

#if TIN_HAVE_AVX2
TINI_TARGET("sha,sse4.1")
/* The same by the processor's own rounds, four at a time: one register holds a, b, e, f and one c, d, g, h. */
static void sha256_own(uint32_t state[8], const uint8_t *p, size_t blocks) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)state);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
    low = _mm_shuffle_epi32(low, 0xb1);
    high = _mm_shuffle_epi32(high, 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; blocks--; p += 64) {
        __m128i w[4], before[2] = {abef, cdgh};
        for (int g = 0; g < 4; g++)
            w[g] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * g)), order);
        TINI_UNROLL
        for (int g = 0; g < 16; g++) {
            __m128i *now = &w[g % 4], next = w[(g + 3) % 4];
            if (g >= 4) {
                __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*now, w[(g + 1) % 4]),
                                            _mm_alignr_epi8(next, w[(g + 2) % 4], 4));
                *now = _mm_sha256msg2_epu32(sum, next);
            }
            const void *k = sha256_k + 4 * g;
            __m128i words = _mm_add_epi32(*now, _mm_loadu_si128((const __m128i *)k));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, words);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(words, 0x0e));
        }
        abef = _mm_add_epi32(abef, before[0]);
        cdgh = _mm_add_epi32(cdgh, before[1]);
    }
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(high, low, 8));
}

static int sha256_has_own(void) {
    uint32_t a, b, c, d;
    return __get_cpuid_count(1, 0, &a, &b, &c, &d) && (c >> 19 & 1) /* SSE4.1 */ &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) /* SHA */;
}
TINI_REGION_END
#elif SHA256_OWN
#if defined(__clang__)
TINI_TARGET("sha2")
#else
TINI_TARGET("+sha2")
#endif
/* The same by the processor's own rounds, four at a time. */
static void sha256_own(uint32_t state[8], const uint8_t *p, size_t blocks) {
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; blocks--; p += 64) {
        uint32x4_t w[4], before[2] = {abcd, efgh};
        for (int g = 0; g < 4; g++)
            w[g] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16 * g)));
        TINI_UNROLL
        for (int g = 0; g < 16; g++) {
            uint32x4_t *now = &w[g % 4], old = abcd;
            if (g >= 4)
                *now = vsha256su1q_u32(vsha256su0q_u32(*now, w[(g + 1) % 4]), w[(g + 2) % 4], w[(g + 3) % 4]);
            uint32x4_t words = vaddq_u32(*now, vld1q_u32(sha256_k + 4 * g));
            abcd = vsha256hq_u32(abcd, efgh, words);
            efgh = vsha256h2q_u32(efgh, old, words);
        }
        abcd = vaddq_u32(abcd, before[0]);
        efgh = vaddq_u32(efgh, before[1]);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

static int sha256_has_own(void) {
#if defined(__linux__)
    return (int)(getauxval(AT_HWCAP) >> 6 & 1);
#elif defined(__APPLE__) || defined(__ARM_FEATURE_SHA2)
    return 1;
#else
    return 0;
#endif
}
TINI_REGION_END
#endif

TINI_REGION_COLD

static void sha256_blocks(uint32_t state[8], const uint8_t *p, size_t blocks) {
#if SHA256_OWN
    if (blocks && sha256_has_own()) {
        sha256_own(state, p, blocks);
        return;
    }
#endif
    sha256_plain(state, p, blocks);
}

tini_sha256 tini_sha256_begin(void) {
    return (tini_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                                   0x1f83d9ab, 0x5be0cd19}};
}

void tini_sha256_add(tini_sha256 *h, const void *data, size_t size) {
    const uint8_t *p = data;
    size_t buffered = h->bytes % 64;
    h->bytes += size;
    if (buffered + size < 64) {
        memcpy(h->block + buffered, p, size);
        return;
    }
    if (buffered) {
        memcpy(h->block + buffered, p, 64 - buffered);
        sha256_blocks(h->state, h->block, 1);
        p += 64 - buffered;
        size -= 64 - buffered;
    }
    sha256_blocks(h->state, p, size / 64);
    memcpy(h->block, p + size / 64 * 64, size % 64);
}

void tini_sha256_end(tini_sha256 *h, uint8_t digest[32]) {
    uint64_t bits = 8 * h->bytes;
    uint8_t tail[72] = {0x80};
    size_t zeros = (119 - h->bytes % 64) % 64; /* up to 8 bytes before the end of a block */
    for (int i = 0; i < 8; i++)
        tail[1 + zeros + (size_t)i] = (uint8_t)(bits >> (56 - 8 * i));
    tini_sha256_add(h, tail, 9 + zeros);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}

TINI_REGION_END
