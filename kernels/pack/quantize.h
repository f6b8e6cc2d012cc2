/* Floats to the numbers of one block; quantize.c, quantize_k.c and quantize_words.c. */
#ifndef TINI_QUANTIZE_H
#define TINI_QUANTIZE_H

#include "fit.h"

/* A block of 256: x[256], weight[256] as tini_weigh leaves it for each group of inputs that
 * shares a scale, and share[], which it returns for each. Returns 0, or -2 where float16 can't hold a scale. */
int tini_quantize_super(const tini_tries *tries, int format, tini_quants *out, const float *x,
                        const float *weight, const float *share);

/* The same for formats of words, to GGUF's bytes. */
int tini_quantize_words(const tini_tries *tries, int format, uint8_t *out, const float *x, const float *weight,
                        const float *share);

/* The numbers of such a block anew, its scales as they are: input after input, or eight after eight, with error feedback
 * (feedback.c). cost[256]: of the inputs' errors. */
void tini_round_words(int format, uint8_t *block, float *x, float *error, const float *cost,
                      const float *factor, uint32_t inputs);

/* One block of any format, as tini_quantize says. */
int tini_quantize_block(const tini_tries *tries, int format, uint8_t *out, const float *x,
                        const float *importance);

/* Inputs of a super-block that share a scale. */
TINI_INLINE uint32_t tini_group_inputs(int format) {
    switch (format) {
    case TINI_FORMAT_TQ2_0:
    case TINI_FORMAT_TQ1_0:
        return 256;
    case TINI_FORMAT_Q4_K:
    case TINI_FORMAT_Q5_K:
    case TINI_FORMAT_IQ4_XS:
    case TINI_FORMAT_IQ3_S:
    case TINI_FORMAT_IQ3_XXS:
    case TINI_FORMAT_IQ2_XXS:
        return 32;
    }
    return 16;
}

#endif
