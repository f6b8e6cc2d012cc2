#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "exp.h"
#include "rows.h"

TINI_REGION_AVX2

typedef int32_t tini_avx2_int32s __attribute__((vector_size(32)));

/* No q exceeds 127, so packing does not clip; what it leaves inside 128-bit halves is put back in order. */
TINI_INLINE void tini_avx2_narrow(int8_t *to, const tini_avx2_int32s q[4]) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32((__m256i)q[0], (__m256i)q[1]),
                                       _mm256_packs_epi32((__m256i)q[2], (__m256i)q[3]));
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permutevar8x32_epi32(bytes, order));
}

#define TINI_LANES __m256
#define TINI_LANES_SOFTMAX tini_avx2_softmax
#define TINI_LANES_EXP tini_avx2_exp
#define TINI_LANES_MAX _mm256_max_ps
#define TINI_LANES_NARROW(to, q) tini_avx2_narrow(to, (const tini_avx2_int32s *)(q))
#include "../../core/base/softmax_lanes.h"

void tini_softmax_q8_avx2(const tini_softmax *s) {
    tini_avx2_softmax(s);
}

TINI_REGION_END
#endif
