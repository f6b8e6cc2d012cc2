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

/* Row r is token r. Sequence s has the rows from spans[2 s] to before spans[2 s + 1] and goes on from the first `shared`
 * rows, which are a sequence of their own, the first, if there are any. A head has `width` channels; longest: rows of
 * the longest of the other sequences. silu: of the sum. */
typedef struct tini_convolution {
    uint32_t rows, heads, width, taps, shared, longest, passed_over, sequences;
    int narrow, silu;
    const uint32_t *spans;
} tini_convolution;

/* What it makes of row [rows][heads * width] with taps [taps + 1][heads * width], float32, the last but one the token's own
 * and the last what is added: of the shared rows prefix [heads][shared][width], and of the other sequences own [heads][sequences][longest][width],
 * whose rows past a sequence's end are left as they are. */
typedef struct tini_convolved {
    void *prefix, *own;
} tini_convolved;

/* Of the heads from `first` to before `end`. The caller has checked the sizes and spans. */
void tini_convolve(const tini_convolution *c, const void *row, const float *taps, const tini_convolved *to,
                   uint32_t first, uint32_t end);

/* The same backward: adds to the gradients of row and of taps, float32; to_taps may be NULL. */
void tini_convolve_back(const tini_convolution *c, const void *row, const float *taps,
                        const tini_convolved *gradient, float *to_row, float *to_taps, uint32_t first,
                        uint32_t end);

#endif
