/* Attention over a packed row of sequences, forward and backward: for training, where torch's operations on many short
 * sequences are a tenth as fast as the processor.
 *
 * Training is not under the bit contract; results depend on the instruction set, not on threads.
 */
#ifndef TINI_TRAIN_ATTENTION_H
#define TINI_TRAIN_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

/* Row r is token r. Sequence s has the rows from spans[2 s] to before spans[2 s + 1], and sees, before its own, the
 * first `shared` rows, which are a sequence of their own if there are any. Head h reads the keys and values of
 * group h / (heads / groups). window: how many latest tokens a token sees, its own included, 0 for all; passed_over:
 * how many of the processor's better instruction sets are not used; cap: of scores, 0 for none; together: of each row
 * that it sees the rows from together[2 r] to before together[2 r + 1] too, itself among them, whatever comes after it and
 * however long the window; NULL for none. */
typedef struct tini_packed_row {
    uint32_t rows, heads, groups, width, shared, window, passed_over, sequences;
    const uint32_t *spans, *together;
    float scale, cap;
} tini_packed_row;

/* float32, [rows][heads][width] and [rows][groups][width]. */
typedef struct tini_packed_inputs {
    const float *query, *key, *value;
} tini_packed_inputs;

/* Gradients of the inputs, in their shapes; early: what each sequence leaves to the shared rows, [sequences][2][shared]
 * [groups][width], first of keys, then of values, which the caller adds to theirs. */
typedef struct tini_packed_gradients {
    float *query, *key, *value, *early;
} tini_packed_gradients;

/* Bytes of working memory that each call takes. */
size_t tini_attend_memory(const tini_packed_row *row);

/* Writes out [rows][heads][width] for the sequences from `first` to before `end`; rows of no sequence are left as they
 * are. The caller has checked that the spans lie in the row, end after the shared rows, and do not overlap, and that what a
 * sequence's row sees together lies in its span. */
void tini_attend(const tini_packed_row *row, const tini_packed_inputs *in, float *out, uint32_t first,
                 uint32_t end, void *memory);

/* The same backward, from the gradient of out. */
void tini_attend_back(const tini_packed_row *row, const tini_packed_inputs *in, const float *gradient,
                      const tini_packed_gradients *to, uint32_t first, uint32_t end, void *memory);

#endif
