#include "program.h"
#include "../base/error.h"
#include "../base/kernel.h"
#include "experts.h"

TINI_REGION_COLD

_Static_assert(sizeof(tini_program_header) == 64, "layout of program.bin");
_Static_assert(sizeof(tini_tensor) == 32, "layout of program.bin");
_Static_assert(sizeof(tini_value) == 16, "layout of program.bin");
_Static_assert(sizeof(tini_cache) == 16, "layout of program.bin");
_Static_assert(sizeof(tini_state) == 16, "layout of program.bin");
_Static_assert(sizeof(tini_op) == 96, "layout of program.bin");
_Static_assert(sizeof(tini_q8) == 40, "layout of quantized activations");

/* Bounds that keep every size product, and their sum in a session, far from overflow. */
enum { MAX_DIM = 1 << 20, MAX_CONTEXT = 1 << 24, MAX_HEADS = 1024, MAX_ITEMS = 1 << 20 };
enum { MAX_SIDE = 64, MAX_PARTS = 64 };
static const uint64_t max_row = (uint64_t)1 << 28, max_position = (uint64_t)1 << 32; /* bytes */

static const struct {
    const char *name;
    uint32_t block, bytes, activations;
} formats[] = {
#define TINI_ACTIVATIONS_f32 TINI_VALUE_F32
#define TINI_ACTIVATIONS_q8 TINI_VALUE_Q8
#define TINI_FORMAT_ROW(a, b, id, gguf, NAME, name, block, bytes, activations, ...) \
    [id] = {#NAME, block, bytes, TINI_ACTIVATIONS_##activations},
    TIN_FORMATS(TINI_FORMAT_ROW, , )};

uint64_t tini_tensor_bytes(uint32_t format, uint32_t rows, uint32_t inputs) {
    if (format >= TINI_FORMAT_COUNT || !rows || !inputs || rows > MAX_DIM || inputs > MAX_DIM)
        return 0;
    if (inputs % formats[format].block)
        return 0;
    /* A matrix is stored as whole tiles, a vector (a norm's weight, a bias) plain. */
    uint64_t stored = rows == 1 ? 1 : (uint64_t)(rows + TINI_TILE - 1) / TINI_TILE * TINI_TILE;
    return stored * (inputs / formats[format].block) * formats[format].bytes;
}

uint32_t tini_format_activations(uint32_t format) {
    return formats[format].activations;
}

/* What a check needs at hand, so that each rule is one line. */
typedef struct checker {
    const tini_program *p;
    const tini_op *op;
} checker;

static const tini_value *value(const checker *c, uint32_t id) {
    return id < c->p->header->values ? &c->p->values[id] : NULL;
}

static int is_f32(const checker *c, uint32_t id, uint32_t width) {
    const tini_value *v = value(c, id);
    return v && v->type == TINI_VALUE_F32 && v->width == width;
}

static int is_q8(const checker *c, uint32_t id, uint32_t width) {
    const tini_value *v = value(c, id);
    return v && v->type == TINI_VALUE_Q8 && v->width == width;
}

static int is_q8_or_none(const checker *c, uint32_t id, uint32_t width) {
    return id == TINI_NONE || is_q8(c, id, width);
}

static const tini_tensor *tensor(const checker *c, uint32_t k) {
    uint32_t id = c->op->tensor[k];
    return id < c->p->header->tensors ? &c->p->tensors[id] : NULL;
}

static int is_vector(const checker *c, uint32_t k, uint32_t width) {
    const tini_tensor *t = tensor(c, k);
    return t && t->format == TINI_FORMAT_F32 && t->rows == 1 && t->inputs == width;
}

static int reads(const checker *c, const tini_tensor *t, uint32_t in) {
    const tini_value *v = value(c, in);
    return v && t->rows > 1 && v->width == t->inputs && v->type == formats[t->format].activations;
}

static const char *tini_check_embed(const checker *c) {
    const tini_tensor *t = tensor(c, 0);
    if (!t || t->rows != c->p->header->vocab || t->rows == 1)
        return "needs a table with a row a token";
    return is_f32(c, c->op->out[0], t->inputs) ? NULL : "its output's width is not the table's";
}

static const char *tini_check_norm(const checker *c) {
    const tini_value *in = value(c, c->op->in[0]);
    if (!in || !is_f32(c, c->op->in[0], in->width) || !is_f32(c, c->op->out[0], in->width))
        return "needs floats of one width";
    uint32_t heads = c->op->u[0] ? c->op->u[0] : 1;
    if (heads > MAX_HEADS || in->width % heads || !is_vector(c, 0, in->width / heads))
        return "its weight's width is not that of the input's heads";
    if (c->op->tensor[1] != TINI_NONE && !is_vector(c, 1, in->width / heads))
        return "its bias's width is not that of the input's heads";
    if (c->op->in[1] != TINI_NONE && !is_f32(c, c->op->in[1], in->width))
        return "its residual's width is not the input's";
    return is_q8_or_none(c, c->op->out[1], in->width) ? NULL
                                                      : "its quantized output's width is not the input's";
}

static const char *tini_check_quantize(const checker *c) {
    const tini_value *in = value(c, c->op->in[0]);
    if (!in || !is_f32(c, c->op->in[0], in->width))
        return "needs floats";
    return is_q8(c, c->op->out[0], in->width) ? NULL : "its output's width is not the input's";
}

static const char *tini_check_matmul(const checker *c) {
    for (uint32_t k = 0; k < 3; k++) {
        if (k && c->op->tensor[k] == TINI_NONE)
            continue;
        const tini_tensor *t = tensor(c, k);
        if (!t || !reads(c, t, c->op->in[0]))
            return "its weights do not fit its input";
        if (!is_f32(c, c->op->out[k], t->rows))
            return "its output's width is not its weights' rows";
        if (c->op->tensor[3 + k] != TINI_NONE && !is_vector(c, 3 + k, t->rows))
            return "its bias's width is not its weights' rows";
        if (k == 0 && c->op->in[1] != TINI_NONE && !is_f32(c, c->op->in[1], t->rows))
            return "its residual's width is not its weights' rows";
    }
    return NULL;
}

static const char *tini_check_rope_table(const checker *c) {
    const tini_tensor *t = tensor(c, 0);
    if (!t || !is_vector(c, 0, t->inputs))
        return "needs a vector of frequencies";
    if (c->op->tensor[1] != TINI_NONE && !is_vector(c, 1, t->inputs))
        return "its streams are not one a frequency";
    return is_f32(c, c->op->out[0], 2 * t->inputs) ? NULL
                                                   : "its output is not twice as wide as its frequencies";
}

uint32_t tini_program_parts(const tini_program *p) {
    uint32_t most = 0;
    for (uint32_t k = 0; k < p->header->ops; k++)
        if (p->ops[k].kind == TINI_OP_GIVEN && p->ops[k].u[0] > most)
            most = p->ops[k].u[0];
    return 1 + most;
}

int tini_program_image_is_bidirectional(const tini_program *p) {
    for (uint32_t k = 0; k < p->header->ops; k++)
        if (p->ops[k].kind == TINI_OP_ATTENTION && p->ops[k].u[1])
            return 1;
    return 0;
}

int tini_program_image_has_positions(const tini_program *p) {
    for (uint32_t k = 0; k < p->header->ops; k++)
        if (p->ops[k].kind == TINI_OP_ROPE_TABLE && p->ops[k].tensor[1] != TINI_NONE)
            return 1;
    return 0;
}

static const char *tini_check_rope(const checker *c) {
    const tini_value *x = value(c, c->op->in[0]), *table = value(c, c->op->in[1]);
    uint32_t heads = c->op->u[0];
    if (!x || !table || !is_f32(c, c->op->in[0], x->width) || !is_f32(c, c->op->in[1], table->width))
        return "needs floats and a table";
    if (c->op->out[0] != c->op->in[0])
        return "works in place";
    if (!heads || heads > MAX_HEADS || x->width % heads || table->width % 2 || table->width > x->width / heads)
        return "its heads do not fit its input or its table";
    return NULL;
}

static const tini_cache *cache(const checker *c) {
    return c->op->cache < c->p->header->caches ? &c->p->caches[c->op->cache] : NULL;
}

static const char *tini_check_kv_append(const checker *c) {
    const tini_cache *kv = cache(c);
    if (!kv)
        return "needs a cache";
    uint32_t width = kv->heads * kv->head_dim;
    if (!is_f32(c, c->op->in[0], width) || !is_f32(c, c->op->in[1], width))
        return "its key or value does not fit its cache";
    return c->op->flags & TINI_FLAG_LOGIT_ROWS ? "must see every row" : NULL;
}

static const char *tini_check_attention(const checker *c) {
    const tini_cache *kv = cache(c);
    uint32_t heads = c->op->u[0];
    if (!kv || !heads || heads > MAX_HEADS || heads % kv->heads)
        return "its heads do not fit its cache";
    if (c->op->u[1] > 1)
        return "who sees whom among an image's rows is unknown";
    uint32_t width = heads * kv->head_dim;
    return is_f32(c, c->op->in[0], width) && is_f32(c, c->op->out[0], width) ? NULL : "its query does not fit";
}

static const char *tini_check_kv_whole(const checker *c) {
    return tini_check_kv_append(c);
}

static const char *tini_check_attention_whole(const checker *c) {
    if (!(c->op->f[0] > 0.0f))
        return "needs a scale above 0";
    return c->op->u[1] ? "who sees whom among an image's rows is unknown" : tini_check_attention(c);
}

static const tini_state *state(const checker *c) {
    return c->op->cache < c->p->header->states ? &c->p->states[c->op->cache] : NULL;
}

static const char *tini_check_conv(const checker *c) {
    const tini_state *s = state(c);
    const tini_tensor *t = tensor(c, 0);
    if (!s || s->heads != 1)
        return "needs a state of one head";
    if (!is_f32(c, c->op->in[0], s->columns) || !is_f32(c, c->op->out[0], s->columns) ||
        c->op->out[0] == c->op->in[0])
        return "needs floats as wide as its state, the output apart from the input";
    if (!t || t->format != TINI_FORMAT_F32 || t->rows != s->columns || t->inputs != s->rows + 1)
        return "its weights do not fit its state";
    if (c->op->tensor[1] != TINI_NONE && !is_vector(c, 1, s->columns))
        return "its bias does not fit its state";
    if (c->op->u[0] > 1)
        return "has an unknown activation";
    return c->op->flags & TINI_FLAG_LOGIT_ROWS ? "must see every row" : NULL;
}

static const char *tini_check_delta(const checker *c) {
    const tini_state *s = state(c);
    uint32_t keys = c->op->u[0];
    if (!s || s->rows % 4 || !keys || s->heads % keys)
        return "its heads do not fit its state";
    const tini_value *v = value(c, c->op->in[1]);
    uint64_t width = (uint64_t)s->heads * s->columns;
    if (width > MAX_DIM || !is_f32(c, c->op->out[0], (uint32_t)width) || !v || v->width < width ||
        !is_f32(c, c->op->in[1], v->width))
        return "its values or its output do not fit its state";
    if (!is_f32(c, c->op->in[0], 2 * keys * s->rows))
        return "its queries and keys do not fit its state";
    for (uint32_t k = 0; k < 2; k++)
        if (!is_f32(c, c->op->in[2 + k], s->heads) || !is_vector(c, k, s->heads))
            return "its gates do not fit its heads";
    for (uint32_t k = 0; k < 4; k++)
        if (c->op->in[k] == c->op->out[0])
            return "needs an output apart from its inputs";
    return c->op->flags & TINI_FLAG_LOGIT_ROWS ? "must see every row" : NULL;
}

static const char *tini_check_scan(const checker *c) {
    const tini_state *s = state(c);
    uint32_t groups = c->op->u[0];
    if (!s || s->rows % 4 || !groups || s->heads % groups)
        return "its groups do not fit its state";
    uint64_t width = (uint64_t)s->heads * s->columns, all = width + 2 * (uint64_t)groups * s->rows;
    if (all > MAX_DIM || !is_f32(c, c->op->in[0], (uint32_t)all) || !is_f32(c, c->op->out[0], (uint32_t)width))
        return "its input or its output does not fit its state";
    if (!is_f32(c, c->op->in[1], s->heads))
        return "its steps do not fit its heads";
    for (uint32_t k = 0; k < 3; k++)
        if (!is_vector(c, k, s->heads))
            return "its rates, biases or shares of x do not fit its heads";
    if (c->op->in[0] == c->op->out[0] || c->op->in[1] == c->op->out[0])
        return "needs an output apart from its inputs";
    return c->op->flags & TINI_FLAG_LOGIT_ROWS ? "must see every row" : NULL;
}

static const char *tini_check_gated(const checker *c) {
    const tini_value *gate = value(c, c->op->in[0]), *out = value(c, c->op->out[0]);
    const int alone = c->op->in[1] == TINI_NONE;
    if (!gate || !is_f32(c, c->op->in[0], gate->width) || !out || !is_f32(c, c->op->out[0], out->width) ||
        (!alone && !is_f32(c, c->op->in[1], out->width)))
        return "needs floats of one width";
    if (alone ? gate->width != out->width : out->width % gate->width != 0)
        return "its gate does not fit its output";
    if (c->op->u[0] >= TINI_ACT_COUNT)
        return "its activation is unknown";
    return is_q8_or_none(c, c->op->out[1], out->width) ? NULL
                                                       : "its quantized output's width is not the output's";
}

static const char *tini_check_logits(const checker *c) {
    const tini_tensor *t = tensor(c, 0);
    if (!t || t->rows != c->p->header->vocab || !reads(c, t, c->op->in[0]))
        return "its weights do not fit its input or the vocabulary";
    return c->op->flags & TINI_FLAG_LOGIT_ROWS ? NULL : "must be marked to see the rows with logits alone";
}

static int is_routes(const checker *c, uint32_t id) {
    uint32_t chosen = c->op->u[0];
    return chosen && chosen <= TINI_MAX_EXPERTS && is_f32(c, id, chosen * TINI_ROUTE_WIDTH);
}

static const char *tini_check_route(const checker *c) {
    const tini_value *logits = value(c, c->op->in[0]);
    if (!logits || !is_f32(c, c->op->in[0], logits->width) || logits->width > TINI_MAX_EXPERTS)
        return "needs a logit an expert";
    return c->op->u[0] <= logits->width && is_routes(c, c->op->out[0]) ? NULL : "its routes do not fit";
}

static const char *tini_check_route_sigmoid(const checker *c) {
    const tini_value *logits = value(c, c->op->in[0]);
    if (!logits || !is_vector(c, 0, logits->width))
        return "needs a bias an expert";
    return tini_check_route(c);
}

static const char *tini_check_expert_matmul(const checker *c) {
    const tini_tensor *t = tensor(c, 0);
    const tini_value *in = value(c, c->op->in[0]), *out = value(c, c->op->out[0]);
    uint32_t chosen = c->op->u[0];
    if (!is_routes(c, c->op->in[1]))
        return "needs routes";
    if (!t || !in || t->rows == 1 || in->type != formats[t->format].activations || in->width % chosen ||
        in->width / chosen != t->inputs)
        return "its weights do not fit its input";
    if (!out || !is_f32(c, c->op->out[0], out->width) || out->width % (chosen * TINI_TILE) ||
        t->rows % (out->width / chosen) || t->rows / (out->width / chosen) > TINI_MAX_EXPERTS)
        return "its output's parts are not its experts' rows, or not whole tiles";
    return c->op->in[0] != c->op->out[0] ? NULL : "can't work in place";
}

static const char *tini_check_expert_sum(const checker *c) {
    const tini_value *out = value(c, c->op->out[0]), *gate = value(c, c->op->in[1]);
    uint64_t chosen = c->op->u[0];
    int shared = c->op->u[1] != 0;
    if (!out || !is_f32(c, c->op->out[0], out->width))
        return "needs floats";
    if (shared ? chosen != 1 || !gate || !is_f32(c, c->op->in[1], gate->width) : !is_routes(c, c->op->in[1]))
        return "needs routes, or one part and its gate";
    if (chosen * out->width > MAX_DIM || !is_f32(c, c->op->in[0], (uint32_t)chosen * out->width))
        return "its parts are not as wide as its output";
    return c->op->in[2] == TINI_NONE || is_f32(c, c->op->in[2], out->width)
               ? NULL
               : "its residual's width is not its output's";
}

static const char *tini_check_expert_gather(const checker *c) {
    const tini_value *in = value(c, c->op->in[0]), *out = value(c, c->op->out[0]);
    if (!is_routes(c, c->op->in[1]))
        return "needs routes";
    if (!in || !out || in->type != out->type || out->width % c->op->u[0] ||
        out->width / c->op->u[0] != in->width)
        return "its output is not its input for each route";
    return c->op->in[0] != c->op->out[0] ? NULL : "can't work in place";
}

static const char *tini_check_add(const checker *c) {
    const tini_value *x = value(c, c->op->in[0]);
    if (!x || !is_f32(c, c->op->in[0], x->width) || !is_f32(c, c->op->in[1], x->width) ||
        !is_f32(c, c->op->out[0], x->width))
        return "needs floats of one width";
    return NULL;
}

static const char *tini_check_scale(const checker *c) {
    const tini_value *x = value(c, c->op->in[0]);
    if (!x || !is_f32(c, c->op->in[0], x->width) || !is_f32(c, c->op->out[0], x->width))
        return "needs floats of one width";
    return is_vector(c, 0, 1) ? NULL : "needs one number to multiply by";
}

static const char *tini_check_slice(const checker *c) {
    const tini_value *x = value(c, c->op->in[0]), *out = value(c, c->op->out[0]);
    uint32_t groups = c->op->u[0];
    if (!x || !out || !is_f32(c, c->op->in[0], x->width) || !is_f32(c, c->op->out[0], out->width))
        return "needs floats";
    if (!groups || x->width % groups || out->width % groups || c->op->u[1] > x->width / groups ||
        out->width / groups > x->width / groups - c->op->u[1])
        return "its groups do not fit its input";
    return c->op->in[0] != c->op->out[0] ? NULL : "can't work in place";
}

static const char *tini_check_join(const checker *c) {
    const uint32_t *in = c->op->in, out = c->op->out[0];
    const tini_value *x = value(c, in[0]), *y = value(c, in[1]);
    if (!x || !y || !is_f32(c, in[0], x->width) || !is_f32(c, in[1], y->width) ||
        !is_f32(c, out, x->width + y->width))
        return "needs floats, its output as wide as its inputs together";
    return in[0] != out && in[1] != out ? NULL : "can't work in place";
}

static const char *tini_check_patches(const checker *c) {
    return is_f32(c, c->op->out[0], c->p->patch) ? NULL
                                                 : "needs floats as wide as those of every other such op";
}

static const char *tini_check_given(const checker *c) {
    uint32_t tables = 0, id = TINI_NONE; /* with several tables no row is given */
    for (uint32_t k = 0; k < c->p->header->ops; k++)
        if (c->p->ops[k].kind == TINI_OP_EMBED && ++tables)
            id = c->p->ops[k].tensor[0];
    const tini_value *x = value(c, c->op->in[0]);
    const tini_tensor *table = id < c->p->header->tensors ? &c->p->tensors[id] : NULL;
    if (!x || !is_f32(c, c->op->in[0], tables == 1 && table ? table->inputs : x->width))
        return "needs floats as wide as an embedding";
    if (c->op->out[0] != c->op->in[0])
        return "works in place";
    return c->op->u[0] && c->op->u[0] < MAX_PARTS ? NULL : "adds an impossible part of a row";
}

/* The side of a square of that area, at least 1; 0: none. */
static uint32_t side_of(uint32_t area) {
    uint32_t side = 1;
    while (side < TINI_MAX_CHUNK && side * side < area)
        side++;
    return side * side == area ? side : 0;
}

static const char *tini_check_position(const checker *c) {
    const tini_tensor *t = tensor(c, 0);
    if (!t || t->rows == 1 || formats[t->format].activations != TINI_VALUE_F32 || !side_of(t->rows))
        return "needs a table of floats with a row for each place of a square";
    if (!is_f32(c, c->op->in[0], t->inputs) || !is_f32(c, c->op->out[0], t->inputs))
        return "needs floats as wide as its table";
    return c->op->u[0] < TINI_GRID_COUNT ? NULL : "resizes in an unknown way";
}

static const char *tini_check_merge(const checker *c) {
    const tini_value *in = value(c, c->op->in[0]);
    uint32_t side = c->op->u[0];
    if (!side || side != c->p->side || c->op->u[1] > 1)
        return "needs the side of every other such op";
    uint64_t width = in ? (uint64_t)in->width * (c->op->u[1] ? 1 : side * side) : 0;
    if (!in || width > MAX_DIM || !is_f32(c, c->op->in[0], in->width) ||
        !is_f32(c, c->op->out[0], (uint32_t)width))
        return "its output's width is not that of what it merges";
    return c->op->in[0] != c->op->out[0] ? NULL : "can't work in place";
}

static const char *tini_check_states(const checker *c) {
    return is_f32(c, c->op->in[0], c->p->header->vocab) ? NULL : "needs floats as wide as the header says";
}

/* Which programs may have an op: of text, encoders, or both; and of an encoder, whether with merged patches. */
static int of_encoder(uint32_t kind) {
    return kind == TINI_OP_PATCHES || kind == TINI_OP_POSITION || kind == TINI_OP_MERGE ||
           kind == TINI_OP_STATES || kind == TINI_OP_KV_WHOLE || kind == TINI_OP_ATTENTION_WHOLE;
}

static int of_both(uint32_t kind, int merged) {
    switch (kind) {
    case TINI_OP_NORM:
    case TINI_OP_QUANTIZE:
    case TINI_OP_MATMUL:
    case TINI_OP_GATED:
    case TINI_OP_ADD:
    case TINI_OP_SLICE:
    case TINI_OP_SCALE:
    case TINI_OP_JOIN:
        return 1;
    case TINI_OP_ROPE_TABLE:
    case TINI_OP_ROPE:
    case TINI_OP_KV_APPEND:
    case TINI_OP_ATTENTION:
        return !merged;
    default:
        return 0;
    }
}

/* Whether a value has a row for every row that the op goes over. */
static int has_rows(const checker *c, uint32_t id, uint32_t share) {
    const tini_value *v = value(c, id);
    return !v || (v->share ? v->share : 1u) == share;
}

/* That the op belongs into its program, and that its values have as many rows as it goes over. */
static const char *check_rows(const checker *c) {
    const tini_op *op = c->op;
    int merged = op->flags & TINI_FLAG_LOGIT_ROWS;
    uint32_t side = c->p->side, share = side && merged ? side * side : 1;
    if (side ? !of_encoder(op->kind) && !of_both(op->kind, merged) : of_encoder(op->kind))
        return side ? "has no place in an encoder, or not there" : "has no place in a program of text";
    if (side && merged && of_encoder(op->kind) && op->kind != TINI_OP_MERGE && op->kind != TINI_OP_STATES)
        return "is for patches that are not merged";
    if (c->p->whole && (op->kind == TINI_OP_KV_APPEND || op->kind == TINI_OP_ATTENTION))
        return "has no place where attention is by integers";
    if ((op->kind == TINI_OP_MERGE || op->kind == TINI_OP_STATES) && !merged)
        return "must be marked to make merged patches";
    for (uint32_t k = 0; k < 4; k++)
        if (!has_rows(c, op->in[k], op->kind == TINI_OP_MERGE ? 1 : share) || !has_rows(c, op->out[k], share))
            return "has values with another number of rows";
    return NULL;
}

static const struct {
    const char *name;
    const char *(*check)(const checker *);
} kinds[] = {
#define TINI_OP_CHECK(number, NAME, name) [number] = {#name, tini_check_##name},
    TIN_OPS(TINI_OP_CHECK)};

static tin_status check_header(const tini_program_header *h, size_t size, tin_error *error) {
    for (uint32_t k = 0; k < sizeof TINI_PROGRAM_MAGIC; k++)
        if (h->magic[k] != TINI_PROGRAM_MAGIC[k])
            return tini_fail(error, TIN_ERR_FORMAT, "program.bin is not a program");
    if (h->version != TINI_PROGRAM_VERSION)
        return tini_other_version(error, "program.bin", h->version, TINI_PROGRAM_VERSION, TINI_BUILD_AGAIN);
    if (h->tensors > MAX_ITEMS || h->values > MAX_ITEMS || h->caches > MAX_ITEMS || h->states > MAX_ITEMS ||
        h->ops > MAX_ITEMS)
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin has impossible counts");
    if (!h->chunk || h->chunk > TINI_MAX_CHUNK || !h->context || h->context > MAX_CONTEXT || !h->vocab)
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin has an impossible chunk, context or vocabulary");
    uint64_t bytes = sizeof *h + (uint64_t)h->tensors * sizeof(tini_tensor) +
                     (uint64_t)h->values * sizeof(tini_value) + (uint64_t)h->caches * sizeof(tini_cache) +
                     (uint64_t)h->states * sizeof(tini_state) + (uint64_t)h->ops * sizeof(tini_op) +
                     h->name_bytes;
    if (bytes != size)
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin has %llu bytes; its header asks for %llu",
                         (unsigned long long)size, (unsigned long long)bytes);
    return TIN_OK;
}

static tin_status check_tensors(const tini_program *p, size_t weight_size, tin_error *error) {
    const tini_program_header *h = p->header;
    if (h->weight_bytes != weight_size)
        return tini_fail(error, TIN_ERR_FORMAT, "weights.bin has %llu bytes; the program asks for %llu",
                         (unsigned long long)weight_size, (unsigned long long)h->weight_bytes);
    if (h->name_bytes && p->names[h->name_bytes - 1])
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin: a name is cut short");
    for (uint32_t k = 0; k < h->tensors; k++) {
        const tini_tensor *t = &p->tensors[k];
        uint64_t bytes = tini_tensor_bytes(t->format, t->rows, t->inputs);
        if (!bytes || bytes != t->bytes || t->name >= h->name_bytes)
            return tini_fail(error, TIN_ERR_FORMAT, "program.bin: tensor %u has an impossible format or shape",
                             k);
        if (t->offset % TIN_ALIGNMENT || t->offset > weight_size || weight_size - t->offset < t->bytes)
            return tini_fail(error, TIN_ERR_FORMAT, "program.bin: tensor %u reaches past weights.bin", k);
    }
    return TIN_OK;
}

static tin_status check_memory(const tini_program *p, tin_error *error) {
    const tini_program_header *h = p->header;
    if (h->row_bytes > max_row || h->row_bytes % TIN_ALIGNMENT)
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin asks for an impossible arena");
    for (uint32_t k = 0; k < h->values; k++) {
        const tini_value *v = &p->values[k];
        if (v->type > TINI_VALUE_Q8 || !v->width || v->width > MAX_DIM ||
            (v->type == TINI_VALUE_Q8 && v->width % TINI_BLOCK))
            return tini_fail(error, TIN_ERR_FORMAT, "program.bin: value %u has an impossible type or width", k);
        if (v->offset % TIN_ALIGNMENT || v->offset > h->row_bytes ||
            h->row_bytes - v->offset < tini_arena_bytes(v))
            return tini_fail(error, TIN_ERR_FORMAT, "program.bin: value %u reaches past the arena", k);
    }
    uint64_t position = 0;
    for (uint32_t k = 0; k < h->caches; k++) {
        const tini_cache *c = &p->caches[k];
        position += (uint64_t)c->heads * c->head_dim * 4;
        if (!c->heads || c->heads > MAX_HEADS || !c->head_dim || c->head_dim % 8 ||
            c->head_dim > TINI_HEAD_DIM || c->window > MAX_CONTEXT || position > max_position)
            return tini_fail(error, TIN_ERR_FORMAT, "program.bin: cache %u has an impossible shape", k);
    }
    uint64_t states = 0;
    for (uint32_t k = 0; k < h->states; k++) {
        const tini_state *s = &p->states[k];
        if (!s->heads || s->heads > MAX_HEADS || !s->rows || s->rows > MAX_HEADS || !s->columns ||
            s->columns % TINI_TILE || s->columns > MAX_DIM)
            return tini_fail(error, TIN_ERR_FORMAT, "program.bin: state %u has an impossible shape", k);
        states += (uint64_t)s->heads * s->rows * s->columns * 4;
        if (states > max_position)
            return tini_fail(error, TIN_ERR_FORMAT, "program.bin: state %u has an impossible shape", k);
    }
    return TIN_OK;
}

/* Of an encoder: the side of what it merges, 1 where nothing is, and the width of its patches. */
static tin_status read_encoder(tini_program *p, tin_error *error) {
    const tini_program_header *h = p->header;
    p->side = p->patch = p->whole = 0;
    if (!h->ops || (p->ops[h->ops - 1].kind != TINI_OP_LOGITS && p->ops[h->ops - 1].kind != TINI_OP_STATES))
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin ends neither in logits nor in states");
    if (p->ops[h->ops - 1].kind == TINI_OP_LOGITS)
        return TIN_OK;
    p->side = 1;
    for (uint32_t k = 0; k < h->ops; k++) {
        const tini_op *op = &p->ops[k];
        if (op->kind == TINI_OP_MERGE)
            p->side = op->u[0] <= MAX_SIDE ? (uint16_t)op->u[0] : 0;
        if (op->kind == TINI_OP_KV_WHOLE || op->kind == TINI_OP_ATTENTION_WHOLE)
            p->whole = 1;
        if (op->kind == TINI_OP_PATCHES && op->out[0] < h->values)
            p->patch = p->values[op->out[0]].width;
    }
    if (!p->patch || !p->side || h->context > TINI_MAX_CHUNK || h->chunk != h->context || h->states ||
        h->vocab > MAX_DIM)
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin is an impossible encoder");
    return TIN_OK;
}

tin_status tini_program_open(tini_program *p, const uint8_t *data, size_t size, const uint8_t *weights,
                             size_t weight_size, tin_error *error) {
    const tini_program_header *h = (const tini_program_header *)(const void *)data;
    if (size < sizeof *h)
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin is cut short");
    tin_status status = check_header(h, size, error);
    if (status)
        return status;
    p->header = h;
    p->tensors = (const tini_tensor *)(const void *)(h + 1);
    p->values = (const tini_value *)(const void *)(p->tensors + h->tensors);
    p->caches = (const tini_cache *)(const void *)(p->values + h->values);
    p->states = (const tini_state *)(const void *)(p->caches + h->caches);
    p->ops = (const tini_op *)(const void *)(p->states + h->states);
    p->names = (const char *)(p->ops + h->ops);
    p->weights = weights;
    status = check_tensors(p, weight_size, error);
    if (!status)
        status = check_memory(p, error);
    if (!status)
        status = read_encoder(p, error);
    for (uint32_t k = 0; !status && k < h->ops; k++) {
        checker c = {p, &p->ops[k]};
        if (c.op->kind >= TINI_OP_COUNT)
            return tini_fail(error, TIN_ERR_VERSION,
                             "program.bin: op %u is of kind %u, unknown to this runtime; take a newer one", k,
                             c.op->kind);
        const char *wrong = kinds[c.op->kind].check(&c);
        if (!wrong)
            wrong = check_rows(&c);
        if (wrong)
            status = tini_fail(error, TIN_ERR_FORMAT, "program.bin: op %u (%s) %s", k, kinds[c.op->kind].name,
                               wrong);
    }
    return status;
}

TINI_REGION_END
