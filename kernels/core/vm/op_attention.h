/* Ops of attention: rotations, appending to the caches, and reading them. */
#ifndef TINI_OP_ATTENTION_H
#define TINI_OP_ATTENTION_H

#include "op.h"

#define tini_items_rope_table tini_block_items
#define tini_items_rope tini_row_items
#define tini_work_rope tini_norm_work
#define tini_items_kv_append tini_block_items

uint64_t tini_work_rope_table(const tini_run *r);
void tini_run_rope_table(const tini_run *r, uint32_t item, uint32_t end);
void tini_run_rope(const tini_run *r, uint32_t item, uint32_t end);
uint64_t tini_work_kv_append(const tini_run *r);
void tini_run_kv_append(const tini_run *r, uint32_t item, uint32_t end);
uint32_t tini_items_attention(const tini_run *r);
uint64_t tini_work_attention(const tini_run *r);
void tini_run_attention(const tini_run *r, uint32_t item, uint32_t end);

#endif
