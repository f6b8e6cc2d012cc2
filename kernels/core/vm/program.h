/* program.bin: a model as a flat list of ops whose operands are fixed places. Little-endian, all parts in this
 * order without gaps:
 *
 *   tini_program_header
 *   tini_tensor [tensors]    weights, by place in weights.bin
 *   tini_value  [values]     working memory: in an arena for n rows, n times the offset is where n rows begin
 *   tini_cache  [caches]     key-value caches, laid out by the session for its context
 *   tini_state  [states]     recurrent states
 *   tini_op     [ops]
 *   names, name_bytes bytes: NUL-terminated strings (what tini_tensor.name points into)
 */
#ifndef TINI_PROGRAM_H
#define TINI_PROGRAM_H

#include "../../include/tin.h"
#include "../../ops.def"
#include "../base/formats.h"

#define TINI_PROGRAM_MAGIC "TINPROG"
#define TINI_PROGRAM_VERSION 2u
#define TINI_NONE 0xffffffffu
#define TINI_MAX_CHUNK 4096u

#define TINI_OP_ID(number, NAME, name) TINI_OP_##NAME = number,
enum tini_op_kind { TIN_OPS(TINI_OP_ID) TINI_OP_COUNT };

enum { TINI_VALUE_F32 = 0, TINI_VALUE_Q8 = 1 };

/* Only the rows whose logits were asked for are needed from this op on; in an encoder, the rows are those of merged patches. */
enum { TINI_FLAG_LOGIT_ROWS = 1 };

/* How a POSITION op resizes its grid of n places a side to h (or w) patches a side.
 *
 *   NEAREST  patch i has the place floor(i * n / h)
 *   CORNERS  linear between the two places next to i * (n - 1) / (h - 1), so that corners keep theirs (1 patch: the first)
 *   SMOOTH   linear with antialiasing, as PyTorch and Pillow resize: of the places k near c = (i + 1/2) * n / h, weights
 *            1 - |k + 1/2 - c| / max(n / h, 1) where that is positive, divided by their sum */
enum { TINI_GRID_NEAREST = 0, TINI_GRID_CORNERS = 1, TINI_GRID_SMOOTH = 2, TINI_GRID_COUNT };

typedef struct tini_program_header {
    char magic[8];
    uint32_t version;
    uint32_t tensors, values, caches, ops, name_bytes;
    uint32_t vocab;   /* rows of the logits op's tensor; an encoder's: the width of its states */
    uint32_t context; /* most positions; an encoder's: most patches of an image */
    uint32_t
        chunk; /* rows computed at once where a session asks for no other number; an encoder's: as context */
    uint32_t states;
    uint64_t row_bytes; /* of the arena, for every row computed at once */
    uint64_t weight_bytes;
} tini_program_header;

typedef struct tini_tensor {
    uint32_t format, rows, inputs;
    uint32_t name;   /* offset into the names */
    uint64_t offset; /* into weights.bin, a multiple of TIN_ALIGNMENT */
    uint64_t bytes;  /* packed */
} tini_tensor;

typedef struct tini_value {
    uint16_t type;  /* TINI_VALUE_* */
    uint16_t share; /* of how many rows of the arena it has one; 0: 1 */
    uint32_t width; /* elements a row; a multiple of 32 for Q8 */
    uint64_t offset;
} tini_value;

typedef struct tini_cache {
    uint32_t heads, head_dim;
    uint32_t window; /* how many of the latest positions attention sees; 0 for all */
    uint32_t reserved;
} tini_cache;

/* What an op keeps of all tokens before: float32, all zeros before the first. */
typedef struct tini_state {
    uint32_t heads, rows;
    uint32_t columns; /* a multiple of 16 */
    uint32_t reserved;
} tini_state;

typedef struct tini_op {
    uint32_t kind, flags;
    uint32_t in[4], out[4]; /* values, or TINI_NONE */
    uint32_t tensor[6];     /* tensors, or TINI_NONE */
    uint32_t cache;         /* or state, of the ops that have one; or TINI_NONE */
    uint32_t u[3];
    float f[4];
} tini_op;

/* A checked program: the parts, in place. A program of text ends in LOGITS, an encoder in STATES: of an image's patches, all
 * in one pass, it makes a state for each `side` by `side` of them. */
typedef struct tini_program {
    const tini_program_header *header;
    const tini_tensor *tensors;
    const tini_value *values;
    const tini_cache *caches;
    const tini_state *states;
    const tini_op *ops;
    const char *names;
    const uint8_t *weights;
    uint16_t side;  /* of the square of patches that make one state; 0: a program of text */
    uint16_t whole; /* of an encoder: whether its attention is by integers */
    uint32_t patch; /* of an encoder: floats of a patch */
} tini_program;

/* Checks everything: afterwards every op can run without a test. */
tin_status tini_program_open(tini_program *program, const uint8_t *data, size_t size, const uint8_t *weights,
                             size_t weight_size, tin_error *error);

/* How many vectors as wide as an embedding a row has that is given in its place: one, and those that GIVEN adds. */
uint32_t tini_program_parts(const tini_program *program);

/* Whether rows of one image see each other, and whether they have rotary positions by their places in it. */
int tini_program_image_is_bidirectional(const tini_program *program);
int tini_program_image_has_positions(const tini_program *program);

/* Packed bytes of a tensor; 0 when the format or the shape is not possible. */
uint64_t tini_tensor_bytes(uint32_t format, uint32_t rows, uint32_t inputs);

/* The kind of activations that a format's matmul reads: TINI_VALUE_*. */
uint32_t tini_format_activations(uint32_t format);

/* Bytes of one row of a value. */
static inline size_t tini_row_bytes(const tini_value *v) {
    return v->type == TINI_VALUE_F32 ? (size_t)v->width * 4 : (size_t)v->width / 32 * 40;
}

/* Bytes of a value in an arena for one row. */
static inline size_t tini_arena_bytes(const tini_value *v) {
    size_t share = v->share ? v->share : 1;
    return (tini_row_bytes(v) + share - 1) / share;
}

#endif
