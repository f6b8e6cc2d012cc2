/* Ops of attention: rotations, appending to the caches, and reading them. */
#include "op.h"
#include "../base/math.h"
#include "../base/rows.h"

static uint64_t work_rope_table(const tini_run *r) {
    return (uint64_t)TINI_BLOCK_ROWS * 64 * tini_tensor_of(r, r->op->tensor[0])->inputs;
}

/* A token's, or in a stream an image's; of an encoder, a patch's row (1) or column (2). */
static uint32_t rotary_position(const tini_run *r, const tini_block *block, uint32_t k, uint32_t stream) {
    if (r->pass->program->side) {
        const uint32_t width = r->pass->encoder_input->width, patch = block->position + k;
        return stream == 1 ? patch / width : stream == 2 ? patch % width : patch;
    }
    return block->caches->before +
           tini_input_rotary(block->input, block->span, tini_block_place(block) + k, stream);
}

/* A file may say anything. */
static uint32_t stream_at(float number) {
    return number == 1.0f ? 1 : number == 2.0f ? 2 : 0;
}

static void run_rope_table(const tini_run *r, uint32_t item, uint32_t end) {
    const float *frequency = tini_vector_of(r, r->op->tensor[0]),
                *streams = tini_vector_of(r, r->op->tensor[1]);
    uint32_t half = tini_tensor_of(r, r->op->tensor[0])->inputs;
    for (; item < end; item++) {
        const tini_block *block = tini_block_of(r, item);
        for (uint32_t k = 0; k < block->rows; k++) {
            float *table = tini_value_at(r, r->op->out[0], block->row + k);
            float positions[3];
            for (uint32_t stream = 0; stream < 3; stream++)
                positions[stream] = (float)rotary_position(r, block, k, stream);
            for (uint32_t i = 0; i < half; i++)
                tini_sin_cos(positions[streams ? stream_at(streams[i]) : 0] * frequency[i], &table[half + i],
                             &table[i]);
            tini_scale_row(table, 2 * half, r->op->f[0]);
        }
    }
}

const tini_op_functions tini_functions_rope_table = {tini_block_items, work_rope_table, run_rope_table};

static void run_rope(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    uint32_t heads = op->u[0], half = tini_value_width(r, op->in[1]) / 2;
    for (uint32_t row = r->begin + item; row < r->begin + end; row++)
        r->pass->kernels->rope(tini_value_at(r, op->in[0], row), tini_value_at(r, op->in[1], row), heads,
                               tini_value_width(r, op->in[0]) / heads, half);
}

const tini_op_functions tini_functions_rope = {tini_row_items, tini_norm_work, run_rope};

/* Blocks of one session share groups of keys, but no two rows write the same bytes. */
static uint64_t work_kv_append(const tini_run *r) {
    return (uint64_t)TINI_BLOCK_ROWS * 8 * tini_value_width(r, r->op->in[0]);
}

static void run_kv_append(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    const tini_cache *c = &r->pass->program->caches[op->cache];
    for (; item < end; item++) {
        const tini_block *block = tini_block_of(r, item);
        tini_kv_append_fn *append = block->caches->type == TIN_KV_F16 ? r->pass->kernels->kv_append_f16
                                                                      : r->pass->kernels->kv_append_q8;
        for (uint32_t head = 0; head < c->heads; head++) {
            tini_kv kv = tini_caches_at(block->caches, op->cache, head);
            for (uint32_t k = 0; k < block->rows; k++) {
                const float *key = tini_value_at(r, op->in[0], block->row + k),
                            *value = tini_value_at(r, op->in[1], block->row + k);
                append(&kv, block->position + k, key + head * c->head_dim, value + head * c->head_dim);
            }
        }
    }
}

const tini_op_functions tini_functions_kv_append = {tini_block_items, work_kv_append, run_kv_append};

/* An item is the query heads of a block that share a key-value head, or one query head where there are few rows. Items
 * go through the blocks of one head first: neighbours are one call to the kernel, which reads keys once for many rows. */
static uint32_t attention_group(const tini_run *r) {
    uint32_t group = r->op->u[0] / r->pass->program->caches[r->op->cache].heads;
    return r->threads > 1 && tini_block_items(r) < r->threads ? 1 : group;
}

static uint32_t items_attention(const tini_run *r) {
    return tini_block_items(r) * (r->op->u[0] / attention_group(r));
}

/* Positions that the block's rows see even where they come after them; 0: none. */
static uint32_t visible_until(const tini_run *r, const tini_block *block) {
    if (!r->op->u[1])
        return 0;
    if (r->pass->program->side)
        return r->pass->rows;
    const tini_span *image = tini_block_image(block);
    return image ? block->caches->before + image->first + image->count : 0;
}

static uint64_t work_attention(const tini_run *r) {
    const tini_cache *c = &r->pass->program->caches[r->op->cache];
    uint64_t most = 0;
    for (uint32_t k = 0; k < tini_block_items(r); k++) {
        const tini_block *block = tini_block_of(r, k);
        uint32_t seen = block->position + block->rows, until = visible_until(r, block);
        seen = seen < until ? until : seen;
        if (c->window && seen > c->window)
            seen = c->window;
        uint64_t work = (uint64_t)block->rows * seen;
        most = work > most ? work : most;
    }
    return most * 4 * attention_group(r) * c->head_dim;
}

/* How many blocks from `block` on, at most `most`, are rows that follow each other in one session. */
static uint32_t joined_blocks(const tini_run *r, const tini_block *block, uint32_t most, uint32_t *rows) {
    uint32_t count = 1, until = visible_until(r, block);
    *rows = block->rows;
    while (count < most && block[count].caches == block->caches && visible_until(r, &block[count]) == until &&
           block[count].position == block->position + *rows)
        *rows += block[count++].rows;
    return count;
}

static void run_attention(const tini_run *r, uint32_t item, uint32_t end) {
    const tini_op *op = r->op;
    const tini_cache *c = &r->pass->program->caches[op->cache];
    uint32_t group = attention_group(r), blocks = tini_block_items(r), rows;
    while (item < end) {
        uint32_t head = item / blocks * group, left = blocks - item % blocks;
        const tini_block *block = tini_block_of(r, item % blocks);
        item += joined_blocks(r, block, left < end - item ? left : end - item, &rows);
        tini_kv kv = tini_caches_at(block->caches, op->cache, head / (op->u[0] / c->heads));
        tini_attention a = {
            .q = (const float *)tini_value_at(r, op->in[0], block->row) + head * c->head_dim,
            .out = (float *)tini_value_at(r, op->out[0], block->row) + head * c->head_dim,
            .q_stride = tini_value_width(r, op->in[0]),
            .out_stride = tini_value_width(r, op->out[0]),
            .rows = rows,
            .heads = group,
            .position = block->position,
            .window = c->window,
            .until = visible_until(r, block),
            .scale = op->f[0],
            .cap = op->f[1],
        };
        if (block->caches->type == TIN_KV_F16)
            r->pass->kernels->attention_f16(&kv, &a);
        else
            r->pass->kernels->attention_q8(&kv, &a);
    }
}

const tini_op_functions tini_functions_attention = {items_attention, work_attention, run_attention};
