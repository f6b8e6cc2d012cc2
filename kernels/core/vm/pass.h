/* A pass: rows of one or more sessions on their way through the program, together, so that they share the reading of
 * the weights. It can stop after any part of an op and go on later. */
#ifndef TINI_PASS_H
#define TINI_PASS_H

#include "../base/isa.h"
#include "adapter.h"
#include "input.h"
#include "kv.h"
#include "program.h"
#include "recurrent.h"

/* Rows of a block: what attention takes at once. */
#define TINI_BLOCK_ROWS 4u

/* Consecutive rows of one session, at most TINI_BLOCK_ROWS; all of one image, or none. */
typedef struct tini_block {
    const tini_caches *caches;
    const tini_input *input;
    uint32_t row, rows; /* first row in the pass, and how many */
    uint32_t position;  /* of the first row, behind a prefix */
    uint32_t span;      /* the first of input's that ends behind it */
} tini_block;

/* What an encoder sees: height by width patches, [height * width] rows of floats, and how many states they make. */
typedef struct tini_encoder_input {
    const float *patches;
    uint32_t height, width, states;
} tini_encoder_input;

/* Consecutive rows with the same adapters, which share the reading of these. */
typedef struct tini_shared_rows {
    const tini_adapters *adapters;
    uint32_t row, rows;
} tini_shared_rows;

/* The place of a block's first row among its input's. */
static inline uint32_t tini_block_place(const tini_block *block) {
    return block->position - block->caches->before;
}

/* The image that a block's rows are of, or NULL. */
static inline const tini_span *tini_block_image(const tini_block *block) {
    const tini_input *input = block->input;
    if (block->span == input->span_count || input->spans[block->span].first > tini_block_place(block))
        return NULL;
    return &input->spans[block->span];
}

/* What memory is planned for, whatever a pointer's size: bytes of a block or a group, and of a pointer. */
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
    /* Where rows may have adapters whose ranks together are at most `rank`: [most_rows], and of up to three matrices the
     * rows' products with A, as floats and as q8. */
    tini_shared_rows *groups;
    float *low;
    tini_q8 *low_q8;
    uint32_t rank, group_count;
    uint32_t most_rows, most_logits;
    uint32_t rows, logit_rows; /* the last logit_rows of the rows are those whose logits are wanted */
    uint32_t block_count, logit_block, run_count;
    /* Of the logits, tiles of TINI_TILE tokens: all, or those in tile_list, ascending; tile_bits: where they are gathered. */
    uint32_t *tile_list, *tile_bits, tile_count;
    int every_tile;
    uint32_t op, stage, item;         /* where to go on; stage 0 is what comes before an op */
    uint32_t serial;                  /* how often it has begun: the logits of the time before are gone */
    uint32_t sessions;                /* that have rows in it */
    float ns_per_work[TINI_OP_COUNT]; /* measured, for work in slices; 0 until it was */
    /* Measured there too: of the pass under way, of one of a single row, and of 256 such what a row more of a small one
     * costs; 0 until they were. */
    uint64_t ns;
    float row_ns, more_ns;
} tini_pass;

/* A stretch of time: clock NULL is without end. */
typedef struct tini_budget {
    uint64_t (*clock_ns)(void *);
    void *context;
    uint64_t start, ns;
} tini_budget;

static inline uint64_t tini_budget_spent(const tini_budget *budget) {
    return budget->clock_ns ? budget->clock_ns(budget->context) - budget->start : 0;
}

/* A budget of `ns` from now on; 0 is without end. */
static inline tini_budget tini_budget_begin(uint64_t (*clock_ns)(void *), void *context, uint64_t ns) {
    tini_budget budget = {.context = context, .ns = ns};
    if (ns) {
        budget.clock_ns = clock_ns;
        budget.start = clock_ns(context);
    }
    return budget;
}

/* Places of a pass's parts for that many rows of each kind, with adapters of that rank, in one block of memory: its bytes,
 * a multiple of TIN_ALIGNMENT. Sets the pointers when `memory` is not NULL. */
uint64_t tini_pass_place(tini_pass *pass, const tini_program *program, uint32_t rows, uint32_t logit_rows,
                         uint32_t rank, uint8_t *memory);

/* Begins an empty pass; then rows are added, first those without logits of every session, then (after
 * tini_pass_logits_begin) those with. Returns the first row's number. */
void tini_pass_begin(tini_pass *pass);
void tini_pass_logits_begin(tini_pass *pass);
uint32_t tini_pass_add(tini_pass *pass, const tini_caches *caches, tini_states *states,
                       const tini_adapters *adapters, const tini_input *input, uint32_t position,
                       uint32_t rows);

/* Begins a pass of an encoder: all patches of an image, which stays there. caches: of the encoder. */
void tini_pass_encode(tini_pass *pass, const tini_caches *caches, const tini_encoder_input *image);

/* Which logits a row is for, as bits of pass->tile_bits, has been gathered, or pass->every_tile set, by all that have rows
 * with logits: none of the others is computed. */
void tini_pass_begun(tini_pass *pass);

/* Goes on until the end (1) or until the budget is spent (0). Some work is always done. */
int tini_pass_run(tini_pass *pass, const tini_budget *budget);

/* What a row more of a small pass costs, of 256 of a pass of one row: 1 to 256, or 0 where that was not measured, which
 * takes passes of both kinds under a budget. */
uint32_t tini_pass_row_cost(const tini_pass *pass);

#endif
