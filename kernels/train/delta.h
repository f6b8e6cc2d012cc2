/* Gated delta rules over a packed row of sequences, forward and backward, with keys and queries brought to length 1:
 * S[t] = exp(rate) S[t-1] + step k^T (v - k exp(rate) S[t-1]), out[t] = q S[t] / root of the keys' length.
 *
 * Within a chunk of tokens what they write solves a unit triangular system and the rest is products of matrices: Yang et
 * al., "Gated Delta Networks", 2024, section 3.3. Chunks are cut at fixed places of a sequence, and the prefix that all
 * share is a sequence's first part: while it is shorter than a chunk, a token looks at what the prefix's tokens wrote, and no
 * state is made. Training is not under the bit contract; results depend on the instruction set, not on threads.
 */
#ifndef TINI_TRAIN_DELTA_H
#define TINI_TRAIN_DELTA_H

#include <stddef.h>
#include <stdint.h>

/* Row r is token r. Sequence s has the rows from spans[2 s] to before spans[2 s + 1]. It continues the first `shared`
 * rows; these, if any, are a sequence themselves, the first. heads: of values, a multiple of `groups`, the
 * heads of keys and queries; keys, values: values of a head of them; epsilon: added to the square of a length. */
typedef struct tini_packed_delta {
    uint32_t rows, heads, groups, keys, values, shared, passed_over, sequences;
    int narrow;
    float epsilon;
    const uint32_t *spans;
} tini_packed_delta;

/* mixed [rows][queries, keys: groups * keys each; values: heads * values], bfloat16 where `narrow`, else float32; rates
 * (at most 0) and steps [rows][heads] float32. */
typedef struct tini_packed_delta_inputs {
    const uint8_t *mixed;
    const float *rates, *steps;
} tini_packed_delta_inputs;

/* As the inputs; mixed is float32 where heads share their keys, whose gradients are then sums. */
typedef struct tini_packed_delta_gradients {
    uint8_t *mixed;
    float *rates, *steps;
} tini_packed_delta_gradients;

/* Bytes that each of the two needs at hand; zeros. */
size_t tini_packed_delta_memory(const tini_packed_delta *d);

/* out [rows][heads * values], like mixed, for the groups from `first` to before `end`. The caller has checked the sizes and
 * spans; rows of no sequence are left as they are. */
void tini_packed_delta_rule(const tini_packed_delta *d, const tini_packed_delta_inputs *in, void *out,
                            uint32_t first, uint32_t end, void *memory);

/* The same backward, from the gradient of out. */
void tini_packed_delta_rule_back(const tini_packed_delta *d, const tini_packed_delta_inputs *in,
                                 const void *gradient, const tini_packed_delta_gradients *to, uint32_t first,
                                 uint32_t end, void *memory);

#endif
