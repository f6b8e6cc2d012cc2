#include "../../core/base/region.h"
#if TIN_HAVE_AVX2
#include "gate.h"

TINI_REGION_AVX2

void tini_gelu_erf_mul_avx2(float *out, const float *gate, const float *up, uint32_t n) {
    uint32_t done = tini_avx2_gate(out, gate, up, n, TINI_ACT_GELU_ERF);
    tini_gelu_erf_mul_scalar(out + done, gate + done, up + done, n - done);
}

TINI_REGION_END
#endif
