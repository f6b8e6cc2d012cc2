#include "../../core/base/region.h"
#if TIN_HAVE_NEONDOT
#include "../neon/attention_q8.h"

TINI_REGION_NEONDOT

void tini_attention_q8_neondot(const tini_kv *kv, const tini_attention *a) {
    tini_neon_attention_q8(kv, a, tini_matmul_q8_0_neondot);
}

TINI_REGION_END
#endif
