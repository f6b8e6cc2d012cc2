/* Floats to the numbers of one block; quantize.c and quantize_k.c. */
#ifndef TINI_QUANTIZE_H
#define TINI_QUANTIZE_H

#include "fit.h"

/* A block of 256: x[256], weight[256] as tini_weigh leaves it for each group of inputs that
 * shares a scale, and share[], which it returns for each. Returns 0, or -2 where float16 can't hold a scale. */
int tini_quantize_super(const tini_tries *tries, int format, tini_quants *out, const float *x,
                        const float *weight, const float *share);

/* One block of any format, as tini_quantize says. */
int tini_quantize_block(const tini_tries *tries, int format, uint8_t *out, const float *x,
                        const float *importance);

/* Inputs of a super-block that share a scale. */
TINI_INLINE uint32_t tini_group_inputs(int format) {
    switch (format) {
    case TINI_FORMAT_TQ2_0:
        return 256;
    case TINI_FORMAT_Q4_K:
    case TINI_FORMAT_Q5_K:
    case TINI_FORMAT_IQ4_XS:
        return 32;
    }
    return 16;
}

#endif
