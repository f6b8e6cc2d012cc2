#include "../../core/base/region.h"
#if TIN_HAVE_AVX512VNNI
#include "gate.h"

TINI_REGION_AVX512VNNI

void tini_gelu_erf_mul_avx512vnni(float *out, const float *gate, const float *up, uint32_t n) {
    tini_avx512_gate(out, gate, up, n, TINI_ACT_GELU_ERF);
}

TINI_REGION_END
#endif
