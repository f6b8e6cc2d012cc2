#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "gate.h"

TINI_REGION_NEON

void tini_gelu_erf_mul_neon(float *out, const float *gate, const float *up, uint32_t n) {
    uint32_t done = tini_neon_gate(out, gate, up, n, TINI_ACT_GELU_ERF);
    tini_gelu_erf_mul_scalar(out + done, gate + done, up + done, n - done);
}

TINI_REGION_END
#endif
