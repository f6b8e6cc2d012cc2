/* Ops with a recurrent state: the causal convolution, and the gated delta rule. */
#ifndef TINI_OP_RECURRENT_H
#define TINI_OP_RECURRENT_H

#include "op.h"

#define tini_items_conv tini_state_items
#define tini_work_conv tini_state_work
#define tini_items_delta tini_state_items
#define tini_work_delta tini_state_work

uint32_t tini_state_items(const tini_run *r);
uint64_t tini_state_work(const tini_run *r);
void tini_run_conv(const tini_run *r, uint32_t item, uint32_t end);
void tini_run_delta(const tini_run *r, uint32_t item, uint32_t end);

#endif
