#include "pass.h"
#include "../base/memory.h"
#include "ops.h"

#include <string.h>

/* Rows of a small pass: those of a session with drafts. */
enum { SMALL_ROWS = 17 };

/* A budget below that is a part of some frame: a thread that the system puts aside would make it late. */
#define FRAME_NS UINT64_C(40000000)

uint64_t tini_pass_place(tini_pass *pass, const tini_program *program, uint32_t rows, uint32_t logit_rows,
                         uint32_t rank, uint8_t *memory) {
    uint64_t total = 0;
    uint64_t arena = tini_take(&total, program->header->row_bytes * rows);
    uint64_t logits = tini_take(&total, (uint64_t)logit_rows * program->header->vocab * sizeof(float));
    uint64_t blocks = tini_take(&total, (uint64_t)rows * TINI_BLOCK_ROOM);
    uint64_t tiles = (program->header->vocab + TINI_TILE - 1) / TINI_TILE;
    uint64_t tile_list = tini_take(&total, tiles * sizeof(uint32_t));
    uint64_t tile_bits = tini_take(&total, (tiles + 31) / 32 * sizeof(uint32_t));
    uint64_t runs = tini_take(&total, program->header->states ? (uint64_t)rows * TINI_POINTER_ROOM : 0);
    uint64_t groups = tini_take(&total, rank ? (uint64_t)rows * TINI_BLOCK_ROOM : 0);
    uint64_t products = 3 * (uint64_t)rows * rank;
    uint64_t low = tini_take(&total, products * sizeof(float));
    uint64_t low_q8 = tini_take(&total, products / TINI_BLOCK * sizeof(tini_q8));
    if (memory) {
        pass->program = program;
        pass->arena = memory + arena;
        pass->logits = (float *)(void *)(memory + logits);
        pass->blocks = (tini_block *)(void *)(memory + blocks);
        pass->tile_list = (uint32_t *)(void *)(memory + tile_list);
        pass->tile_bits = (uint32_t *)(void *)(memory + tile_bits);
        pass->runs = (tini_states **)(void *)(memory + runs);
        pass->groups = rank ? (tini_shared_rows *)(void *)(memory + groups) : NULL;
        pass->low = (float *)(void *)(memory + low);
        pass->low_q8 = (tini_q8 *)(void *)(memory + low_q8);
        pass->rank = rank;
        pass->most_rows = rows;
        pass->most_logits = logit_rows;
    }
    return total;
}

static uint32_t tiles_of(const tini_pass *pass) {
    return (pass->program->header->vocab + TINI_TILE - 1) / TINI_TILE;
}

void tini_pass_begin(tini_pass *pass) {
    pass->rows = pass->logit_rows = pass->block_count = pass->run_count = 0;
    pass->group_count = pass->op = pass->stage = pass->item = 0;
    pass->sessions = 0;
    pass->ns = 0;
    pass->serial++;
    pass->logit_block = UINT32_MAX;
    pass->every_tile = 0;
    memset(pass->tile_bits, 0, (tiles_of(pass) + 31) / 32 * sizeof *pass->tile_bits);
}

void tini_pass_begun(tini_pass *pass) {
    pass->tile_count = 0;
    for (uint32_t tile = 0; tile < tiles_of(pass) && !pass->every_tile; tile++)
        if (pass->tile_bits[tile >> 5] >> (tile & 31) & 1)
            pass->tile_list[pass->tile_count++] = tile;
}

void tini_pass_logits_begin(tini_pass *pass) {
    pass->logit_block = pass->block_count;
}

/* A session comes twice: with its rows without logits, of which there may be none, and with the others. */
static void add_run(tini_pass *pass, tini_states *states, uint32_t rows) {
    int logits = pass->logit_block != UINT32_MAX;
    if (!logits) {
        states->rows[1] = 0;
        pass->runs[pass->run_count++] = states;
    }
    states->row[logits] = pass->rows;
    states->rows[logits] = rows;
}

/* To the last group, where its rows have the same adapters. */
static void add_group(tini_pass *pass, const tini_adapters *adapters, uint32_t rows) {
    tini_shared_rows *last = pass->group_count ? &pass->groups[pass->group_count - 1] : NULL;
    if (last && last->row + last->rows == pass->rows && tini_same_adapters(last->adapters, adapters))
        last->rows += rows;
    else
        pass->groups[pass->group_count++] = (tini_shared_rows){adapters, pass->rows, rows};
}

/* Where the image ends that `position` is in, or the text before the next one; *span goes on to that one. */
static uint32_t input_border(const tini_input *input, uint32_t *span, uint32_t position) {
    const tini_span *at = input->spans + *span;
    if (*span < input->span_count && position == at->first + at->count)
        ++*span, ++at;
    if (*span == input->span_count)
        return UINT32_MAX;
    return position < at->first ? at->first : at->first + at->count;
}

uint32_t tini_pass_add(tini_pass *pass, const tini_caches *caches, tini_states *states,
                       const tini_adapters *adapters, const tini_input *input, uint32_t position,
                       uint32_t rows) {
    uint32_t first = pass->rows;
    if (states->bytes)
        add_run(pass, states, rows);
    if (adapters->count && rows && pass->groups) /* where they add to matrices, there is room for them */
        add_group(pass, adapters, rows);
    for (uint32_t done = 0, span = tini_input_span(input, position); done < rows;) {
        uint32_t end = input_border(input, &span, position + done), left = end - (position + done);
        left = left < rows - done ? left : rows - done;
        left = left < TINI_BLOCK_ROWS ? left : TINI_BLOCK_ROWS;
        pass->blocks[pass->block_count++] = (tini_block){
            .caches = caches,
            .input = input,
            .row = first + done,
            .rows = left,
            .position = caches->before + position + done,
            .span = span,
        };
        done += left;
    }
    pass->rows += rows;
    if (pass->logit_block != UINT32_MAX)
        pass->logit_rows += rows;
    return first;
}

void tini_pass_encode(tini_pass *pass, const tini_caches *caches, const tini_encoder_input *image) {
    uint32_t rows = image->height * image->width;
    tini_pass_begin(pass);
    pass->encoder_input = image;
    for (; pass->rows < rows; pass->rows += TINI_BLOCK_ROWS) {
        uint32_t left = rows - pass->rows;
        pass->blocks[pass->block_count++] = (tini_block){
            .caches = caches,
            .row = pass->rows,
            .rows = left < TINI_BLOCK_ROWS ? left : TINI_BLOCK_ROWS,
            .position = pass->rows,
        };
    }
    pass->rows = rows;
    pass->logit_rows = image->states;
}

/* How many of `items` to do next. Half of the time that is left by what items of this kind took, so that a wrong
 * draft costs little; the rest follows in ever smaller parts. 0 when not even one fits. */
static uint32_t affordable(const tini_pass *pass, uint32_t kind, uint32_t items, uint64_t work, uint64_t left) {
    float each = pass->ns_per_work[kind] * (float)work;
    if (each == 0.0f)
        return 1;
    float count = (float)left / (2.0f * each);
    if (count >= (float)items)
        return items;
    return count >= 1.0f ? (uint32_t)count : (float)left >= each;
}

/* Measurements drift, and a preempted thread spoils one: the newest counts for a quarter, and at most four times
 * what was known. */
static void learn(tini_pass *pass, uint32_t kind, uint64_t work, uint64_t ns) {
    float *known = &pass->ns_per_work[kind], now = (float)ns / (float)work;
    if (*known == 0.0f)
        *known = now;
    else
        *known += 0.25f * ((now < 4.0f * *known ? now : 4.0f * *known) - *known);
}

/* Runs what is left of the stage at hand; 0 when the budget is spent. */
static int run_stage(tini_pass *pass, const tini_budget *budget, uint64_t *spent, int *idle) {
    uint32_t kind = pass->program->ops[pass->op].kind;
    uint64_t work;
    uint32_t items = tini_op_items(pass, &work);
    while (pass->item < items) {
        uint32_t count = items - pass->item;
        if (budget->clock_ns) {
            uint32_t fit = 0;
            if (*spent < budget->ns)
                fit = affordable(pass, kind, count, work, budget->ns - *spent);
            if (!fit && !*idle)
                return 0;
            count = fit ? fit : 1;
            if (count > TINI_ITEMS_AT_ONCE && count < items - pass->item)
                count -= count % TINI_ITEMS_AT_ONCE;
        }
        tini_op_run(pass, pass->item, count, work, budget->clock_ns && budget->ns < FRAME_NS);
        pass->item += count;
        *idle = 0;
        if (budget->clock_ns) {
            uint64_t now = tini_budget_spent(budget);
            learn(pass, kind, work * count, now - *spent);
            *spent = now;
        }
    }
    return 1;
}

static float drift(float known, float now) {
    return known == 0.0f ? now : known + 0.25f * (now - known);
}

/* What small passes cost by their rows: how many drafts are worth it depends on that. */
static void learn_rows(tini_pass *pass) {
    float ns = (float)pass->ns;
    if (pass->rows == 1)
        pass->row_ns = drift(pass->row_ns, ns);
    else if (pass->row_ns > 0.0f && pass->rows <= SMALL_ROWS)
        pass->more_ns = drift(pass->more_ns, (ns - pass->row_ns) / (float)(pass->rows - 1));
}

uint32_t tini_pass_row_cost(const tini_pass *pass) {
    if (!(pass->row_ns > 0.0f && pass->more_ns > 0.0f))
        return 0;
    float cost = 256.0f * pass->more_ns / pass->row_ns;
    return cost < 1.0f ? 1 : cost > 256.0f ? 256 : (uint32_t)cost;
}

static int run_ops(tini_pass *pass, const tini_budget *budget) {
    int idle = 1;
    for (; pass->op < pass->program->header->ops; pass->op++, pass->stage = 0) {
        uint64_t spent = tini_budget_spent(budget);
        for (; pass->stage < 2; pass->stage++, pass->item = 0)
            if (!run_stage(pass, budget, &spent, &idle))
                return 0;
    }
    return 1;
}

int tini_pass_run(tini_pass *pass, const tini_budget *budget) {
    uint64_t begun = tini_budget_spent(budget);
    int done = run_ops(pass, budget);
    if (budget->clock_ns) {
        pass->ns += tini_budget_spent(budget) - begun;
        if (done)
            learn_rows(pass);
    }
    return done;
}
