/* Ops that multiply rows by a matrix, the logits among them; and what the experts' products take of them. */
#ifndef TINI_OP_MATMUL_H
#define TINI_OP_MATMUL_H

#include "op.h"

tini_matmul_fn *tini_matmul_of(const tini_run *r, uint32_t format);
uint64_t tini_matmul_work(const tini_run *r);

#endif
