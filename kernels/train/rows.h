/* What training computes along the rows of a matrix between its products, in one pass where torch's operations take
 * five: RMS norms, gated activations and both at once, forward and backward.
 *
 * A matrix is float32, or bfloat16 (rounded to nearest even) where `narrow`. Training is not under the bit contract.
 */
#ifndef TINI_TRAIN_ROWS_H
#define TINI_TRAIN_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* passed_over: how many of the processor's better instruction sets are not used; epsilon: of a norm. */
typedef struct tini_rows {
    uint32_t rows, width, passed_over;
    int narrow;
    float epsilon;
} tini_rows;

/* out[r][k] = weight[k] * x[r][k] / sqrt(mean over k of x[r][k]^2 + epsilon); x float32, out as `narrow` says. */
void tini_rms_norm(const tini_rows *m, const float *x, const float *weight, void *out);

/* From the gradient of out, as `narrow` says, to that of x, float32. */
void tini_rms_norm_back(const tini_rows *m, const float *x, const float *weight, const void *gradient,
                        float *to);

/* out = silu(gate) * up; all as `narrow` says. */
void tini_gated(const tini_rows *m, const void *gate, const void *up, void *out);

/* From the gradient of out to those of gate and up. */
void tini_gated_back(const tini_rows *m, const void *gate, const void *up, const void *gradient, void *to_gate,
                     void *to_up);

/* out[r][k] = weight[k] * x[r][k] / sqrt(mean over k of x[r][k]^2 + epsilon) * silu(gate[r][k]); but for weight, which is
 * float32, all as `narrow` says. */
void tini_gated_norm(const tini_rows *m, const void *x, const void *gate, const float *weight, void *out);

/* From the gradient of out to those of x and gate. */
void tini_gated_norm_back(const tini_rows *m, const void *x, const void *gate, const float *weight,
                          const void *gradient, void *to_x, void *to_gate);

#endif
