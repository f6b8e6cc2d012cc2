#include "../../core/base/region.h"
#if TIN_HAVE_NEON
#include "../../core/base/kernel.h"
#include "exp.h"

TINI_REGION_NEON

TINI_INLINE void tini_neon_narrow(int8_t *to, const int32x4_t q[8]) {
    for (uint32_t k = 0; k < 8; k += 4) {
        int16x8_t low = vcombine_s16(vmovn_s32(q[k]), vmovn_s32(q[k + 1])),
                  high = vcombine_s16(vmovn_s32(q[k + 2]), vmovn_s32(q[k + 3]));
        vst1q_s8(to + 4 * k, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    }
}

#define TINI_LANES float32x4_t
#define TINI_LANES_SOFTMAX tini_neon_softmax
#define TINI_LANES_EXP tini_neon_exp
#define TINI_LANES_MAX vmaxq_f32
#define TINI_LANES_NARROW(to, q) tini_neon_narrow(to, (const int32x4_t *)(q))
#include "../../core/base/softmax_lanes.h"

void tini_softmax_q8_neon(const tini_softmax *s) {
    tini_neon_softmax(s);
}

TINI_REGION_END
#endif
