/* Ops that take each row by itself: embeddings, norms, gates, sums and slices. */
#ifndef TINI_OP_ROWS_H
#define TINI_OP_ROWS_H

#include "op.h"

#define tini_items_embed tini_block_items
#define tini_items_norm tini_row_items
#define tini_work_norm tini_norm_work
#define tini_items_quantize tini_row_items
#define tini_work_quantize tini_norm_work
#define tini_items_gated tini_row_items
#define tini_items_add tini_row_items
#define tini_work_add tini_norm_work
#define tini_items_slice tini_row_items
#define tini_work_slice tini_norm_work

uint64_t tini_work_embed(const tini_run *r);
void tini_run_embed(const tini_run *r, uint32_t item, uint32_t end);
void tini_run_norm(const tini_run *r, uint32_t item, uint32_t end);
void tini_run_quantize(const tini_run *r, uint32_t item, uint32_t end);
uint64_t tini_work_gated(const tini_run *r);
void tini_run_gated(const tini_run *r, uint32_t item, uint32_t end);
void tini_run_add(const tini_run *r, uint32_t item, uint32_t end);
void tini_run_slice(const tini_run *r, uint32_t item, uint32_t end);

#endif
