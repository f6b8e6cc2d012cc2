#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "eight.h"

TINI_REGION_AVX512VNNI

/* Eight blocks. */
static void tini_avx512_quantize(tini_q8 *out, const float *x) {
    __m512 most[8];
    TINI_UNROLL
    for (uint32_t b = 0; b < 8; b++)
        most[b] = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(x + 32 * b)),
                                _mm512_abs_ps(_mm512_loadu_ps(x + 32 * b + 16)));
    const __m512 amax = tini_avx512_highs(most, _mm512_setzero_ps()), limit = _mm512_set1_ps(127.0f);
    const __mmask16 some = _mm512_cmp_ps_mask(amax, _mm512_set1_ps(1e-30f), _CMP_GE_OQ);
    _Alignas(64) float scale[16], inverse[16];
    _Alignas(64) int32_t sum[16];
    _mm512_store_ps(scale, _mm512_maskz_div_ps(some, amax, limit));
    _mm512_store_ps(inverse, _mm512_maskz_div_ps(some, limit, amax));
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    __m512i pairs[4], flipped[4];
    TINI_UNROLL
    for (uint32_t p = 0; p < 4; p++) {
        __m512i q[4];
        TINI_UNROLL
        for (uint32_t k = 0; k < 4; k++) {
            const __m512 y = _mm512_set1_ps(inverse[2 * p + k / 2]);
            q[k] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 64 * p + 16 * k), y));
        }
        pairs[p] = tini_avx512_pack(q);
        flipped[p] = _mm512_xor_si512(pairs[p], flip);
    }
    _mm512_store_si512(sum,
                       _mm512_sub_epi32(tini_avx512_byte_sums(flipped), _mm512_set1_epi32(128 * TINI_BLOCK)));
    TINI_UNROLL
    for (uint32_t b = 0; b < 8; b++) {
        out[b].scale = scale[b];
        out[b].sum = sum[b];
        tini_avx512_store_block(out[b].q, pairs, b);
    }
}

/* The conversion rounds to nearest even, as tini_nearest does, and no |q| exceeds 127, so packing does not clip. The sum of q
 * is that of q + 128, unsigned, less 32 * 128. */
void tini_quantize_q8_avx512vnni(tini_q8 *out, const float *x, uint32_t n) {
    uint32_t b = 0;
    for (; b + 8 <= n / TINI_BLOCK; b += 8, x += 8 * TINI_BLOCK)
        tini_avx512_quantize(out + b, x);
    for (; b < n / TINI_BLOCK; b++, x += TINI_BLOCK) {
        const __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
        __m512 most = _mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high));
        __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(most), _mm512_extractf32x8_ps(most, 1));
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        four = _mm_max_ss(four, _mm_movehdup_ps(four));
        if (!(_mm_cvtss_f32(four) >= 1e-30f)) {
            out[b] = (tini_q8){.scale = 0.0f};
            continue;
        }
        const __m128 limit = _mm_set1_ps(127.0f);
        four = _mm_div_ps(_mm_unpacklo_ps(four, limit), _mm_unpacklo_ps(limit, four)); /* scale, 1 / scale */
        const __m512 inverse = _mm512_broadcastss_ps(_mm_movehdup_ps(four));
        __m128i first = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low, inverse)));
        __m128i second = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high, inverse)));
        const __m128i flip = _mm_set1_epi8((char)0x80);
        __m128i sum = _mm_add_epi64(_mm_sad_epu8(_mm_xor_si128(first, flip), _mm_setzero_si128()),
                                    _mm_sad_epu8(_mm_xor_si128(second, flip), _mm_setzero_si128()));
        out[b].scale = _mm_cvtss_f32(four);
        out[b].sum = _mm_cvtsi128_si32(_mm_add_epi64(sum, _mm_unpackhi_epi64(sum, sum))) - 128 * 32;
        _mm_storeu_si128((__m128i *)(void *)out[b].q, first);
        _mm_storeu_si128((__m128i *)(void *)(out[b].q + 16), second);
    }
}

TINI_REGION_END
#endif
