/* Ops that multiply rows by a matrix, the logits among them. */
#ifndef TINI_OP_MATMUL_H
#define TINI_OP_MATMUL_H

#include "op.h"

#define tini_work_logits tini_work_matmul

tini_matmul_fn *tini_matmul_of(const tini_run *r, uint32_t format);
uint32_t tini_items_matmul(const tini_run *r);
uint64_t tini_work_matmul(const tini_run *r);
void tini_run_matmul(const tini_run *r, uint32_t item, uint32_t item_end);
uint32_t tini_items_logits(const tini_run *r);
void tini_run_logits(const tini_run *r, uint32_t item, uint32_t end);

#endif
