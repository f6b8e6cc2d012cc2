/* Short causal depthwise convolutions over a packed row of sequences, forward and backward, as layers with a state have
 * them before it.
 *
 * Matrices are float32, or bfloat16 (rounded to nearest even) where `narrow`. Training is not under the bit contract;
 * results depend on the instruction set, not on threads.
 */
#ifndef TINI_TRAIN_CONVOLUTION_H
#define TINI_TRAIN_CONVOLUTION_H

#include <stdint.h>

enum { TINI_TAPS_MAX = 8 };

/* Row r is token r. Sequence s has the rows from spans[2 s] to before spans[2 s + 1]. It continues the first `shared`
 * rows; these, if any, are a sequence themselves, the first. silu: of the sum. */
typedef struct tini_convolution {
    uint32_t rows, channels, taps, shared, passed_over, sequences;
    int narrow, silu;
    const uint32_t *spans;
} tini_convolution;

/* Of row [rows][channels] with taps [taps + 1][channels], float32, the last but one the token's own and the last what is added,
 * to out [rows][channels]: the channels from `first` to before `end`; rows of no sequence are left as they are. The caller
 * has checked the sizes and spans. */
void tini_convolve(const tini_convolution *c, const void *row, const float *taps, void *out, uint32_t first,
                   uint32_t end);

/* From the gradient of out to that of row, like it; adds to that of taps, float32, which may be NULL. */
void tini_convolve_back(const tini_convolution *c, const void *row, const float *taps, const void *gradient,
                        void *to_row, float *to_taps, uint32_t first, uint32_t end);

#endif
