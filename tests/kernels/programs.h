/* Programs made op by op by chance: sound by the loader's own rules and hostile in all else. Operands lie over each other,
 * shapes are odd, every kind of op comes; a kind without a maker does not compile. */
#ifndef PROGRAMS_H
#define PROGRAMS_H

#include "../../kernels/core/vm/experts.h"
#include "../../kernels/core/base/kernel.h"
#include "../../kernels/core/vm/program.h"

#include <string.h>

enum { MOST = 400, MOST_OPS = 32, MOST_CACHES = 4, MOST_STATES = 4 };

/* ---- Chance ---- */

static uint64_t random_state;

static uint32_t any_word(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static uint32_t below(uint32_t n) {
    return any_word() % n;
}

static uint32_t from_to(uint32_t low, uint32_t high) {
    return low + below(high - low + 1);
}

static int one_in(uint32_t n) {
    return below(n) == 0;
}

static float any_float(void) {
    static const float some[] = {0, 1, -1, 1e-5f, 1e30f, -1e30f, 0.125f, 50};
    uint32_t k = below(12), bits = any_word();
    float x;
    memcpy(&x, &bits, sizeof x);
    return k < 8 ? some[k] : x;
}

/* ---- The program that is made ---- */

static tini_tensor tensors[MOST];
static tini_value values[MOST];
static tini_cache caches[MOST_CACHES];
static tini_state states[MOST_STATES];
static tini_op ops[MOST_OPS];
static tini_program_header head;

/* Inputs of a block, by format. */
#define BLOCK_OF(a, b, id, gguf, NAME, name, block, ...) [id] = (block),
static const uint32_t block_of[] = {TIN_FORMATS(BLOCK_OF, , )};
#undef BLOCK_OF

/* Of an encoder: the side of the squares that it merges (0: a program of text), the width of a patch, and of how many rows
 * the values at hand have one. */
static uint32_t side, patch, share;

/* A value of that shape: one that is there already, now and then, so that ops hand on what they made. */
static uint32_t value(uint32_t type, uint32_t width) {
    for (uint32_t tries = 0; tries < 4 && head.values && one_in(3); tries++) {
        uint32_t k = below(head.values);
        if (values[k].type == type && values[k].width == width && values[k].share == share)
            return k;
    }
    const tini_value v = {.type = (uint16_t)type, .share = (uint16_t)share, .width = width};
    uint64_t bytes = (tini_arena_bytes(&v) + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
    head.row_bytes = bytes > head.row_bytes ? bytes : head.row_bytes;
    values[head.values] = v;
    return head.values++;
}

static uint32_t floats(uint32_t width) {
    return value(TINI_VALUE_F32, width);
}

static uint32_t quantized(uint32_t width) {
    return value(TINI_VALUE_Q8, width);
}

/* One of these that is none of others[count]. */
static uint32_t apart(uint32_t type, uint32_t width, const uint32_t *others, uint32_t count) {
    for (;;) {
        uint32_t found = value(type, width), k = 0;
        while (k < count && others[k] != found)
            k++;
        if (k == count)
            return found;
    }
}

static uint32_t tensor(uint32_t format, uint32_t rows, uint32_t inputs) {
    tini_tensor t = {.format = format, .rows = rows, .inputs = inputs};
    t.bytes = tini_tensor_bytes(format, rows, inputs);
    t.offset = (head.weight_bytes + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
    head.weight_bytes = t.offset + t.bytes;
    tensors[head.tensors] = t;
    return head.tensors++;
}

static uint32_t vector(uint32_t width) {
    return tensor(TINI_FORMAT_F32, 1, width);
}

static uint32_t any_inputs(uint32_t format) {
    uint32_t block = block_of[format];
    return block == 1 ? from_to(1, 200) : block == 32 ? 32 * from_to(1, 9) : 256 * from_to(1, 2);
}

/* What a matmul by tensors of this format reads. */
static uint32_t activations(uint32_t format, uint32_t width) {
    return value(tini_format_activations(format), width);
}

static uint32_t routes(uint32_t chosen) {
    return floats(chosen * TINI_ROUTE_WIDTH);
}

/* A state that `fits`, or MOST_STATES. */
static uint32_t any_state(int (*fits)(const tini_state *)) {
    uint32_t first = head.states ? below(head.states) : 0;
    for (uint32_t k = 0; k < head.states; k++)
        if (fits(&states[(first + k) % head.states]))
            return (first + k) % head.states;
    return MOST_STATES;
}

/* ---- The ops: each fills in one that the loader takes. 0: not with these caches and states ---- */

static int make_embed(tini_op *o) {
    uint32_t format = below(TINI_FORMAT_COUNT), width = any_inputs(format);
    o->tensor[0] = tensor(format, head.vocab, width);
    o->out[0] = floats(width);
    return 1;
}

/* The first op embeds. */
static int make_given(tini_op *o) {
    o->in[0] = o->out[0] = floats(tensors[ops[0].tensor[0]].inputs);
    o->u[0] = from_to(1, 3);
    return 1;
}

static int make_norm(tini_op *o) {
    uint32_t heads = below(6), each = from_to(1, 90);
    if (one_in(2)) {
        heads = below(2);
        each = 32 * from_to(1, 8);
    }
    uint32_t width = (heads ? heads : 1) * each;
    o->u[0] = heads;
    o->in[0] = floats(width);
    o->out[0] = floats(width);
    o->tensor[0] = vector(each);
    if (one_in(2))
        o->tensor[1] = vector(each);
    if (one_in(2))
        o->in[1] = floats(width);
    if (width % TINI_BLOCK == 0 && one_in(2))
        o->out[1] = quantized(width);
    return 1;
}

static int make_quantize(tini_op *o) {
    uint32_t width = TINI_BLOCK * from_to(1, 12);
    o->in[0] = floats(width);
    o->out[0] = quantized(width);
    return 1;
}

static int make_matmul(tini_op *o) {
    uint32_t type = one_in(2) ? TINI_VALUE_Q8 : TINI_VALUE_F32, format;
    uint32_t width = type == TINI_VALUE_F32 ? from_to(1, 200)
                     : one_in(2)            ? 256 * from_to(1, 2)
                                            : 32 * from_to(1, 9);
    o->in[0] = value(type, width);
    for (uint32_t k = 0, count = from_to(1, 3); k < count; k++) {
        do
            format = below(TINI_FORMAT_COUNT);
        while (tini_format_activations(format) != type || width % block_of[format]);
        uint32_t rows = from_to(2, 70);
        o->tensor[k] = tensor(format, rows, width);
        o->out[k] = floats(rows);
        if (one_in(2))
            o->tensor[3 + k] = vector(rows);
        if (k == 0 && one_in(2))
            o->in[1] = floats(rows);
    }
    return 1;
}

static int make_rope_table(tini_op *o) {
    uint32_t half = from_to(1, 70);
    o->tensor[0] = vector(half);
    if (one_in(2))
        o->tensor[1] = vector(half);
    o->out[0] = floats(2 * half);
    return 1;
}

static int make_rope(tini_op *o) {
    uint32_t heads = from_to(1, 5), each = from_to(2, 80);
    o->u[0] = heads;
    o->in[0] = o->out[0] = floats(heads * each);
    o->in[1] = floats(2 * from_to(1, each / 2));
    return 1;
}

static int make_kv_append(tini_op *o) {
    o->cache = below(head.caches);
    uint32_t width = caches[o->cache].heads * caches[o->cache].head_dim;
    o->in[0] = floats(width);
    o->in[1] = floats(width);
    o->flags = 0;
    return 1;
}

static int make_attention(tini_op *o) {
    o->cache = below(head.caches);
    o->u[0] = caches[o->cache].heads * from_to(1, 7);
    o->u[1] = below(2);
    o->in[0] = floats(o->u[0] * caches[o->cache].head_dim);
    o->out[0] = floats(o->u[0] * caches[o->cache].head_dim);
    return 1;
}

static int make_kv_whole(tini_op *o) {
    return make_kv_append(o);
}

static int make_attention_whole(tini_op *o) {
    make_attention(o);
    o->u[1] = 0;
    o->f[0] = 0.25f;
    return 1;
}

static int make_gated(tini_op *o) {
    uint32_t width = one_in(2) ? from_to(1, 130) : TINI_BLOCK * from_to(1, 9);
    o->u[0] = below(TINI_ACT_COUNT);
    o->in[0] = floats(width);
    if (one_in(2))
        o->in[1] = floats(width);
    o->out[0] = floats(width);
    if (width % TINI_BLOCK == 0 && one_in(2))
        o->out[1] = quantized(width);
    return 1;
}

static int make_logits(tini_op *o) {
    uint32_t format = below(TINI_FORMAT_COUNT), width = any_inputs(format);
    o->tensor[0] = tensor(format, head.vocab, width);
    o->in[0] = activations(format, width);
    o->flags = TINI_FLAG_LOGIT_ROWS;
    return 1;
}

static int make_add(tini_op *o) {
    uint32_t width = from_to(1, 300);
    o->in[0] = floats(width);
    o->in[1] = floats(width);
    o->out[0] = floats(width);
    return 1;
}

static int make_scale(tini_op *o) {
    uint32_t width = from_to(1, 300);
    o->in[0] = floats(width);
    o->out[0] = floats(width);
    o->tensor[0] = vector(1);
    return 1;
}

static int make_slice(tini_op *o) {
    uint32_t groups = from_to(1, 6), from = from_to(1, 60), at = below(from), to = from_to(1, from - at);
    o->u[0] = groups;
    o->u[1] = at;
    o->in[0] = floats(groups * from);
    o->out[0] = apart(TINI_VALUE_F32, groups * to, o->in, 1);
    return 1;
}

static int make_join(tini_op *o) {
    uint32_t first = from_to(1, 200), second = from_to(1, 200);
    o->in[0] = floats(first);
    o->in[1] = floats(second);
    o->out[0] = apart(TINI_VALUE_F32, first + second, o->in, 2);
    return 1;
}

static int fits_conv(const tini_state *s) {
    return s->heads == 1;
}

static int make_conv(tini_op *o) {
    o->cache = any_state(fits_conv);
    if (o->cache == MOST_STATES)
        return 0;
    const tini_state *s = &states[o->cache];
    o->in[0] = floats(s->columns);
    o->out[0] = apart(TINI_VALUE_F32, s->columns, o->in, 1);
    o->tensor[0] = tensor(TINI_FORMAT_F32, s->columns, s->rows + 1);
    if (below(2))
        o->tensor[1] = vector(s->columns);
    o->u[0] = below(2);
    o->flags = 0;
    return 1;
}

static int fits_delta(const tini_state *s) {
    return s->rows % 4 == 0;
}

static int make_delta(tini_op *o) {
    o->cache = any_state(fits_delta);
    if (o->cache == MOST_STATES)
        return 0;
    const tini_state *s = &states[o->cache];
    do
        o->u[0] = from_to(1, s->heads);
    while (s->heads % o->u[0]);
    o->in[0] = floats(2 * o->u[0] * s->rows);
    o->in[1] = floats(s->heads * s->columns + below(3) * below(40));
    o->in[2] = floats(s->heads);
    o->in[3] = floats(s->heads);
    o->tensor[0] = vector(s->heads);
    o->tensor[1] = vector(s->heads);
    o->out[0] = apart(TINI_VALUE_F32, s->heads * s->columns, o->in, 4);
    o->flags = 0;
    return 1;
}

static int make_scan(tini_op *o) {
    o->cache = any_state(fits_delta);
    if (o->cache == MOST_STATES)
        return 0;
    const tini_state *s = &states[o->cache];
    uint32_t width = s->heads * s->columns;
    do
        o->u[0] = from_to(1, s->heads);
    while (s->heads % o->u[0]);
    o->in[0] = floats(width + 2 * o->u[0] * s->rows);
    o->in[1] = floats(s->heads);
    for (uint32_t k = 0; k < 3; k++)
        o->tensor[k] = vector(s->heads);
    o->out[0] = apart(TINI_VALUE_F32, width, o->in, 2);
    o->flags = 0;
    return 1;
}

static int make_route(tini_op *o) {
    uint32_t experts = from_to(1, 40);
    o->u[0] = from_to(1, experts);
    o->u[1] = below(2);
    o->in[0] = floats(experts);
    o->out[0] = routes(o->u[0]);
    return 1;
}

static int make_route_sigmoid(tini_op *o) {
    make_route(o);
    o->tensor[0] = vector(values[o->in[0]].width);
    o->f[1] = 1e-6f;
    return 1;
}

static int make_expert_matmul(tini_op *o) {
    uint32_t chosen = from_to(1, 6), experts = from_to(1, 8), part = TINI_TILE * from_to(1, 3);
    uint32_t format = below(TINI_FORMAT_COUNT), width = any_inputs(format);
    o->u[0] = chosen;
    o->tensor[0] = tensor(format, part * experts, width);
    o->in[0] = activations(format, chosen * width);
    o->in[1] = routes(chosen);
    o->out[0] = apart(TINI_VALUE_F32, chosen * part, o->in, 1);
    return 1;
}

static int make_expert_sum(tini_op *o) {
    uint32_t width = from_to(1, 90);
    o->u[1] = below(2);
    o->u[0] = o->u[1] ? 1 : from_to(1, 6);
    o->in[0] = floats(o->u[0] * width);
    o->in[1] = o->u[1] ? floats(from_to(1, 9)) : routes(o->u[0]);
    o->out[0] = floats(width);
    if (one_in(2))
        o->in[2] = floats(width);
    return 1;
}

static int make_expert_gather(tini_op *o) {
    uint32_t type = one_in(2) ? TINI_VALUE_Q8 : TINI_VALUE_F32;
    uint32_t width = type == TINI_VALUE_Q8 ? TINI_BLOCK * from_to(1, 4) : from_to(1, 120);
    o->u[0] = from_to(1, 6);
    o->in[1] = routes(o->u[0]);
    o->in[0] = value(type, width);
    o->out[0] = apart(type, o->u[0] * width, o->in, 1);
    return 1;
}

static int make_patches(tini_op *o) {
    o->out[0] = floats(patch);
    return 1;
}

static int make_position(tini_op *o) {
    static const uint32_t float_formats[] = {TINI_FORMAT_F32, TINI_FORMAT_F16, TINI_FORMAT_BF16};
    uint32_t grid = from_to(2, 9), width = from_to(1, 90);
    o->u[0] = below(TINI_GRID_COUNT);
    o->tensor[0] = tensor(float_formats[below(3)], grid * grid, width);
    o->in[0] = floats(width);
    o->out[0] = floats(width);
    return 1;
}

/* From here on, values are of squares. */
static int make_merge(tini_op *o) {
    uint32_t width = from_to(1, 90);
    o->u[0] = side;
    o->u[1] = below(2);
    share = 1;
    o->in[0] = floats(width);
    share = side * side;
    width *= o->u[1] ? 1 : side * side;
    o->out[0] = apart(TINI_VALUE_F32, width, o->in, 1);
    return 1;
}

static int make_states(tini_op *o) {
    o->in[0] = floats(head.vocab);
    return 1;
}

static int (*const makers[])(tini_op *) = {
#define MAKER(number, NAME, name) [number] = make_##name,
    TIN_OPS(MAKER)};

static uint64_t made[TINI_OP_COUNT];

static void add_op(uint32_t kind) {
    tini_op o = {.kind = kind, .flags = one_in(4) ? TINI_FLAG_LOGIT_ROWS : 0, .cache = TINI_NONE};
    for (uint32_t k = 0; k < 4; k++) {
        o.in[k] = o.out[k] = TINI_NONE;
        o.f[k] = any_float();
    }
    for (uint32_t k = 0; k < 6; k++)
        o.tensor[k] = TINI_NONE;
    if (side)
        o.flags = kind == TINI_OP_MERGE || kind == TINI_OP_STATES || share > 1 ? TINI_FLAG_LOGIT_ROWS : 0;
    if (makers[kind](&o)) {
        ops[head.ops++] = o;
        made[kind]++;
    }
}

static void make_caches(void) {
    head.caches = from_to(1, 3);
    uint32_t whole = one_in(2) ? 32 : 8; /* blocks of 32 fit both kinds of cache */
    for (uint32_t k = 0; k < head.caches; k++)
        caches[k] = (tini_cache){.heads = from_to(1, 4),
                                 .head_dim = whole * from_to(1, TINI_HEAD_DIM / whole / (one_in(4) ? 1 : 8)),
                                 .window = one_in(3) ? from_to(1, 90) : 0};
    head.states = one_in(3) ? 0 : from_to(1, MOST_STATES);
    for (uint32_t k = 0; k < head.states; k++)
        states[k] = (tini_state){.heads = one_in(2) ? 1 : from_to(1, 4),
                                 .rows = one_in(2) ? from_to(1, 6) : 4 * from_to(1, 6),
                                 .columns = TINI_TILE * from_to(1, 5)};
}

static void begin_program(uint32_t vocab, uint32_t context, uint32_t chunk) {
    head = (tini_program_header){.magic = TINI_PROGRAM_MAGIC,
                                 .version = TINI_PROGRAM_VERSION,
                                 .name_bytes = 1,
                                 .vocab = vocab,
                                 .context = context,
                                 .chunk = chunk};
    make_caches();
}

static void place_values(void) {
    head.row_bytes += TIN_ALIGNMENT * below(8);
    for (uint32_t k = 0; k < head.values; k++) { /* anywhere, so over each other */
        uint32_t places = (uint32_t)((head.row_bytes - tini_arena_bytes(&values[k])) / TIN_ALIGNMENT);
        values[k].offset = (uint64_t)TIN_ALIGNMENT * (one_in(6) ? places : below(places + 1));
    }
}

static int of_encoders_alone(uint32_t kind) {
    return (kind >= TINI_OP_PATCHES && kind <= TINI_OP_STATES) || kind == TINI_OP_KV_WHOLE ||
           kind == TINI_OP_ATTENTION_WHOLE;
}

static void make_program(uint32_t vocab) {
    side = patch = share = 0;
    begin_program(vocab, from_to(1, 200), from_to(1, 20));
    add_op(TINI_OP_EMBED);
    for (uint32_t k = from_to(1, 24); k; k--) {
        uint32_t kind;
        do
            kind = below(TINI_OP_COUNT);
        while (of_encoders_alone(kind));
        add_op(kind);
    }
    add_op(TINI_OP_LOGITS);
    place_values();
}

/* The ops of `kinds`, `count` of them, by chance. */
static void add_some(const uint32_t *kinds, uint32_t count) {
    for (uint32_t k = below(10); k; k--)
        add_op(kinds[below(count)]);
}

/* An encoder's ops on its caches: one kind, or mostly the other, which no program of text has. */
static const uint32_t on_caches[][2] = {{TINI_OP_KV_APPEND, TINI_OP_ATTENTION},
                                        {TINI_OP_KV_WHOLE, TINI_OP_ATTENTION_WHOLE}};

static void make_encoder(void) {
    const uint32_t *cached = on_caches[!one_in(4)];
    const uint32_t kinds[] = {TINI_OP_NORM,     TINI_OP_QUANTIZE, TINI_OP_MATMUL,  TINI_OP_GATED,
                              TINI_OP_ADD,      TINI_OP_SLICE,    TINI_OP_SCALE,   TINI_OP_JOIN,
                              TINI_OP_POSITION, TINI_OP_ROPE,     TINI_OP_PATCHES, TINI_OP_ROPE_TABLE,
                              cached[0],        cached[1]};
    uint32_t patches = from_to(1, 40);
    side = one_in(4) ? 1 : from_to(2, 3);
    patch = from_to(1, 60);
    share = 1;
    begin_program(from_to(1, 200), patches, patches);
    head.states = 0;
    add_op(TINI_OP_PATCHES);
    add_op(TINI_OP_POSITION);
    add_some(kinds, 14);
    add_op(cached[0]);
    add_op(cached[1]);
    add_op(TINI_OP_MERGE);
    add_some(kinds, 8);
    add_op(TINI_OP_STATES);
    place_values();
}

#endif
