/* A pass computes rows of one or more sessions together, so that they share one reading of the weights. It can
 * stop after any part of an op and continue later. */
#ifndef TINI_PASS_H
#define TINI_PASS_H

#include "../base/isa.h"
#include "adapter.h"
#include "input.h"
#include "kv.h"
#include "program.h"
#include "recurrent.h"

/* Rows of a block: attention processes so many at once. */
#define TINI_BLOCK_ROWS 4u

/* Consecutive rows of one session, at most TINI_BLOCK_ROWS; all of one image, or none. */
typedef struct tini_block {
    const tini_caches *caches;
    const tini_input *input;
    uint32_t row, rows; /* first row in the pass; number of rows */
    uint32_t position;  /* of the first row, behind a prefix */
    uint32_t span;      /* the first of input's that ends behind it */
} tini_block;

/* The input of an encoder: height by width patches, [height * width] rows of floats, and the number of states
 * for them. */
typedef struct tini_encoder_input {
    const float *patches;
    uint32_t height, width, states;
} tini_encoder_input;

/* Consecutive rows with the same adapters, which share one reading of them. */
typedef struct tini_shared_rows {
    const tini_adapters *adapters;
    uint32_t row, rows;
} tini_shared_rows;

/* The position of a block's first row in its input. */
static inline uint32_t tini_block_place(const tini_block *block) {
    return block->position - block->caches->before;
}

/* The image of a block's rows, or NULL. */
static inline const tini_span *tini_block_image(const tini_block *block) {
    const tini_input *input = block->input;
    if (block->span == input->span_count || input->spans[block->span].first > tini_block_place(block))
        return NULL;
    return &input->spans[block->span];
}

/* Bytes planned for a block or a group, and for a pointer, independent of a pointer's size. */
#define TINI_BLOCK_ROOM 32u
#define TINI_POINTER_ROOM 8u
_Static_assert(sizeof(tini_block) <= TINI_BLOCK_ROOM && sizeof(tini_shared_rows) <= TINI_BLOCK_ROOM,
               "room of a block");
_Static_assert(sizeof(void *) <= TINI_POINTER_ROOM, "room of a pointer");

typedef struct tini_pass {
    const tini_program *program;
    const tini_kernels *kernels;
    const tin_executor *executor; /* or NULL */
    uint8_t *arena;
    float *logits;                           /* [most_logits][vocab]; an encoder's states */
    const tini_encoder_input *encoder_input; /* of an encoder */
    tini_block *blocks;                      /* [most_rows] */
    tini_states **runs; /* [most_rows] of the sessions with rows in the pass, where the program has states */
    /* For adapters with a sum of ranks up to `rank`: [most_rows] groups, and the rows' products with A, of up to three
     * matrices, as floats and as q8. */
    tini_shared_rows *groups;
    float *low;
    tini_q8 *low_q8;
    uint32_t rank, group_count;
    uint32_t most_rows, most_logits;
    uint32_t rows, logit_rows; /* the last logit_rows of the rows get logits */
    uint32_t block_count, logit_block, run_count;
    /* The logits to compute, in tiles of TINI_TILE tokens: all, or those in tile_list, ascending. tile_bits
     * gathers them. */
    uint32_t *tile_list, *tile_bits, tile_count;
    int every_tile;
    uint32_t op, stage, item;         /* where to continue; stage 0 precedes an op */
    uint32_t serial;                  /* how often it has begun: earlier logits are overwritten */
    uint32_t sessions;                /* that have rows in it */
    float ns_per_work[TINI_OP_COUNT]; /* measured, for work in slices; 0 until it was */
    /* Also measured: the time of the current pass, of a pass of one row, and of one more row of a small pass; 0
     * until measured. */
    uint64_t ns;
    float row_ns, more_ns;
} tini_pass;

/* A time budget; clock NULL: no bound. */
typedef struct tini_budget {
    uint64_t (*clock_ns)(void *);
    void *context;
    uint64_t start, ns;
} tini_budget;

static inline uint64_t tini_budget_spent(const tini_budget *budget) {
    return budget->clock_ns ? budget->clock_ns(budget->context) - budget->start : 0;
}

/* A budget of `ns` from now on; 0: no bound. */
static inline tini_budget tini_budget_begin(uint64_t (*clock_ns)(void *), void *context, uint64_t ns) {
    tini_budget budget = {.context = context, .ns = ns};
    if (ns) {
        budget.clock_ns = clock_ns;
        budget.start = clock_ns(context);
    }
    return budget;
}

/* Places a pass's parts in one block of memory, for so many rows of each kind, with adapters of that rank.
 * Returns its bytes, a multiple of TIN_ALIGNMENT. Sets the pointers unless `memory` is NULL. */
uint64_t tini_pass_place(tini_pass *pass, const tini_program *program, uint32_t rows, uint32_t logit_rows,
                         uint32_t rank, uint8_t *memory);

/* Begins an empty pass; then rows are added, first those without logits of every session, then (after
 * tini_pass_logits_begin) those with. Returns the first row's number. */
void tini_pass_begin(tini_pass *pass);
void tini_pass_logits_begin(tini_pass *pass);
uint32_t tini_pass_add(tini_pass *pass, const tini_caches *caches, tini_states *states,
                       const tini_adapters *adapters, const tini_input *input, uint32_t position,
                       uint32_t rows);

/* Begins a pass of an encoder: all patches of an image, which must stay valid. caches: of the encoder. */
void tini_pass_encode(tini_pass *pass, const tini_caches *caches, const tini_encoder_input *image);

/* Call this once all sessions with logit rows have set the bits of their tiles in pass->tile_bits, or
 * pass->every_tile. No other logits are computed. */
void tini_pass_begun(tini_pass *pass);

/* Continues until the end (1) or until the budget is spent (0). Some work is always done. */
int tini_pass_run(tini_pass *pass, const tini_budget *budget);

/* The cost of one more row of a small pass, 1 to 256, in 256ths of a pass of one row. 0 until measured, which
 * takes passes of both kinds under a budget. */
uint32_t tini_pass_row_cost(const tini_pass *pass);

#endif
