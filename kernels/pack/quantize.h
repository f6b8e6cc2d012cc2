/* Floats to the numbers of one block; quantize.c and quantize_k.c. */
#ifndef TINI_QUANTIZE_H
#define TINI_QUANTIZE_H

#include "fit.h"

/* A block of 256 in one of the K formats: x[256], weight[256] as tini_weigh leaves it for each group of 16 or 32 that
 * shares a scale, and share[], which it returns for each. Returns 0, or -2 where float16 can't hold a scale. */
int tini_quantize_super(const tini_tries *tries, int format, tini_quants *out, const float *x,
                        const float *weight, const float *share);

/* One block of any format, as tini_quantize says. */
int tini_quantize_block(const tini_tries *tries, int format, uint8_t *out, const float *x,
                        const float *importance);

/* Inputs that share a small scale. */
TINI_INLINE uint32_t tini_group_inputs(int format) {
    return format == TINI_FORMAT_Q4_K || format == TINI_FORMAT_Q5_K ? 32 : 16;
}

#endif
