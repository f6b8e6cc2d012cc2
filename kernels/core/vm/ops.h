/* Running the op that a pass has come to. Its work is cut into items by OUTPUT elements, which any threads may take in any
 * order and at any time: no output depends on how items are grouped. */
#ifndef TINI_OPS_H
#define TINI_OPS_H

#include "pass.h"

/* A matmul's kernels take so many tiles at once where there are many rows; parts end between such, where they can. */
enum { TINI_ITEMS_AT_ONCE = 4, TINI_MANY_ROWS = 48 };

/* Items: the smallest parts of the op at hand, by output elements; and about how many multiply-adds each takes. */
uint32_t tini_op_items(const tini_pass *pass, uint64_t *work);

/* Computes `count` of them from `first` on, on the pass's executor; in_time: it must not be late. */
void tini_op_run(const tini_pass *pass, uint32_t first, uint32_t count, uint64_t work, int in_time);

#endif
