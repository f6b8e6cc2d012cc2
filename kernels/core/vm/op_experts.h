/* Ops of a mixture of experts: routes, and what goes by them. */
#ifndef TINI_OP_EXPERTS_H
#define TINI_OP_EXPERTS_H

#include "op.h"

#define tini_items_expert_gather tini_row_items
#define tini_work_expert_gather tini_norm_work
#define tini_items_expert_sum tini_row_items

uint32_t tini_items_route(const tini_run *r);
uint64_t tini_work_route(const tini_run *r);
void tini_run_route(const tini_run *r, uint32_t item, uint32_t end);
void tini_run_expert_gather(const tini_run *r, uint32_t item, uint32_t end);
uint32_t tini_items_expert_matmul(const tini_run *r);
uint64_t tini_work_expert_matmul(const tini_run *r);
void tini_run_expert_matmul(const tini_run *r, uint32_t item, uint32_t end);
uint64_t tini_work_expert_sum(const tini_run *r);
void tini_run_expert_sum(const tini_run *r, uint32_t item, uint32_t end);

#endif
