/* What a matmul adds for its rows' adapters (adapter.h): before its tiles A x, of all rows; then with each tile B t. */
#ifndef TINI_OP_LOW_RANK_H
#define TINI_OP_LOW_RANK_H

#include "op.h"

extern const tini_op_functions tini_low_rank;

/* Adds B t to the tiles [tile_begin, tile_end) of the op's k-th output. */
void tini_low_rank_add(const tini_run *r, uint32_t k, uint32_t tile_begin, uint32_t tile_end);

/* Asks memory for the A of the next matmul op: until then it has little else to do. */
void tini_low_rank_ask(const tini_run *r);

#endif
