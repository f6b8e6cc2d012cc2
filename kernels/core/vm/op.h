/* The op that a pass has come to, and where its operands lie: what the files of ops (op_*.c) share. Each kind of op has in
 * one of them, by its name in ops.def, a tini_functions_<name>. */
#ifndef TINI_OP_H
#define TINI_OP_H

#include "pass.h"

typedef struct tini_run {
    const tini_pass *pass;
    const tini_op *op;
    uint32_t begin, end;  /* rows */
    uint32_t first_block; /* the block of row `begin` */
    uint32_t threads;
    uint32_t first, count, jobs; /* items at hand, and into how many parts they are cut */
} tini_run;

typedef struct tini_op_functions {
    uint32_t (*items)(const tini_run *r);                        /* how many items there are */
    uint64_t (*work)(const tini_run *r);                         /* about how many multiply-adds one takes */
    void (*run)(const tini_run *r, uint32_t item, uint32_t end); /* computes the items [item, end) */
} tini_op_functions;

#define TINI_OP_FUNCTIONS(number, NAME, name) extern const tini_op_functions tini_functions_##name;
TIN_OPS(TINI_OP_FUNCTIONS)

static inline size_t tini_value_row_bytes(const tini_run *r, uint32_t value) {
    return tini_row_bytes(&r->pass->program->values[value]);
}

static inline void *tini_value_at(const tini_run *r, uint32_t value, uint32_t row) {
    size_t begin = (size_t)r->pass->program->values[value].offset * r->pass->most_rows;
    return r->pass->arena + begin + row * tini_value_row_bytes(r, value);
}

static inline const tini_tensor *tini_tensor_of(const tini_run *r, uint32_t tensor) {
    return &r->pass->program->tensors[tensor];
}

static inline const uint8_t *tini_weights_of(const tini_run *r, uint32_t tensor) {
    return r->pass->program->weights + tini_tensor_of(r, tensor)->offset;
}

static inline const float *tini_vector_of(const tini_run *r, uint32_t tensor) {
    return tensor == TINI_NONE ? NULL : (const float *)(const void *)tini_weights_of(r, tensor);
}

static inline uint32_t tini_value_width(const tini_run *r, uint32_t value) {
    return r->pass->program->values[value].width;
}

/* Ops whose items are rows. */
static inline uint32_t tini_row_items(const tini_run *r) {
    return r->end - r->begin;
}

static inline uint64_t tini_norm_work(const tini_run *r) {
    return 4 * (uint64_t)tini_value_width(r, r->op->in[0]);
}

/* Ops whose items are blocks of rows. */
static inline uint32_t tini_block_items(const tini_run *r) {
    return r->pass->block_count - r->first_block;
}

static inline const tini_block *tini_block_of(const tini_run *r, uint32_t item) {
    return &r->pass->blocks[r->first_block + item];
}

#endif
