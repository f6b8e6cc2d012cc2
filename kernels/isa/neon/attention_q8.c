#include "../../core/region.h"
#if TIN_HAVE_NEON
#include "attention_q8.h"

TINI_REGION_NEON

void tini_attention_q8_neon(const tini_kv *kv, const tini_attention *a) {
    tini_neon_attention_q8(kv, a, tini_matmul_q8_0_neon);
}

TINI_REGION_END
#endif
