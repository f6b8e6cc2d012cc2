/* What an adapter adds to a program's matrices: low-rank factors (Hu et al., "LoRA", arXiv 2106.09685), or what
 * it has stand before a conversation (prefix.h). adapter.bin of the first kind, little-endian, all parts in this
 * order without gaps:
 *
 *   tini_adapter_header
 *   tini_factors [count]   by their tensors' names, each of which comes once
 *   names, name_bytes bytes: NUL-terminated strings (what tini_factors.name points into)
 *   zeros up to a multiple of TIN_ALIGNMENT
 *   the packed factors, factor_bytes bytes
 *
 * A matrix W whose input is x gives W x (with its bias and residual), and of each adapter in the order in which
 * they were set, B t is added to that, where t = (A x) * (scale * the session's scale), rounded to q8 where B's
 * format reads that. Each product is one of the matrix kernels', in their order of sums. Where A's format reads
 * another kind of input than W's does, x is converted, TINI_PIECE inputs at a time, and t is the sum of the
 * pieces' products, in order. A rank is filled up with rows of zeros to whole tiles of A, and with zeros of t to
 * whole blocks of B. Of a rank of 16 those are half of every block of a B in Q8_0, which leaves that half out
 * (half_q8_0 of base/kernel.h). */
#ifndef TINI_ADAPTER_H
#define TINI_ADAPTER_H

#include "../base/kernel.h"
#include "program.h"

#define TINI_ADAPTER_MAGIC "TINADPT"
#define TINI_ADAPTER_VERSION 2u /* and 1, which has no halves */
#define TINI_SOURCE 32u         /* bytes of a SHA-256 */
/* Inputs converted at once, on the stack; a multiple of every format's block. */
#define TINI_PIECE 256u
#define TINI_MOST_RANK 1024u
#define TINI_MOST_SCALE 65536 /* a scale is nearer to 0 */
#define TINI_MOST_ADAPTERS 8u /* of a session at once */

typedef struct tini_adapter_header {
    char magic[8];
    uint32_t version, count, name_bytes, reserved;
    uint64_t factor_bytes;
    uint8_t source
        [TINI_SOURCE]; /* SHA-256 that stands for the checkpoint it was trained on; zeros: it does not say */
} tini_adapter_header;

/* A [rank][inputs] and B [outputs][width] of one matrix. */
typedef struct tini_factors {
    uint32_t name; /* of the program's tensor, offset into the names */
    uint32_t inputs, outputs;
    uint32_t rank; /* a multiple of TINI_TILE */
    uint32_t a_format, b_format;
    float scale;
    uint32_t half; /* 1: B's blocks lack their last 16 inputs, as the rank is 16; or 0 */
    uint64_t a, b; /* offsets into the factors, multiples of TIN_ALIGNMENT */
} tini_factors;

struct tin_adapter {
    const tini_program *program;
    const tini_factors *factors; /* [matrices] */
    const uint8_t *data;         /* the packed factors, or what a prefix holds; bytes of it */
    uint64_t bytes, fingerprint;
    uint32_t matrices;
    uint32_t rank;       /* the highest width */
    uint32_t prefix;     /* tokens that it stands for; 0: it is none */
    uint16_t *of_tensor; /* [tensors] by the program's tensor, 1 + the place of its factors, or 0 */
};

/* ARGUMENT, naming `what`, if it was trained on another checkpoint than the source of the model's weights. NULL
 * or zeros: unknown, and accepted. */
tin_status tini_check_source(const char *what, const uint8_t *theirs, const uint8_t *own, tin_error *error);

/* As strcmp, for a library without libc. */
int tini_compare_names(const char *a, const char *b);

/* Bytes of an open adapter for this program, a multiple of TIN_ALIGNMENT. */
uint64_t tini_adapter_room(const tini_program *program);

/* Checks everything, as tini_program_open does.
 *
 * source     what the program's weights were made from, [TINI_SOURCE] bytes as in the header; NULL: it is not known
 * of_tensor  NULL: it is checked alone */
tin_status tini_adapter_check(tin_adapter *adapter, const tini_program *program, const uint8_t *source,
                              const uint8_t *data, size_t size, uint16_t *of_tensor, tin_error *error);

/* The adapters of a session, in the order in which they were set, with their scales. */
typedef struct tini_applied {
    const tin_adapter *adapter;
    float scale;
    uint32_t reserved;
} tini_applied;

typedef struct tini_adapters {
    uint32_t count, reserved;
    tini_applied at[TINI_MOST_ADAPTERS];
} tini_adapters;

/* Elements of t, a multiple of what B's format has in a block. */
static inline uint32_t tini_factors_width(const tini_factors *f) {
    uint32_t unit = f->b_format == TINI_FORMAT_F16 ? TINI_TILE : TINI_BLOCK;
    return (f->rank + unit - 1) / unit * unit;
}

/* Packed bytes of B's first `outputs`. */
static inline uint64_t tini_factors_b_bytes(const tini_factors *f, uint32_t outputs) {
    return f->half ? (outputs + (uint64_t)TINI_TILE - 1) / TINI_TILE * TINI_HALF_BYTES
                   : tini_tensor_bytes(f->b_format, outputs, tini_factors_width(f));
}

/* The factors of a tensor of the program; NULL where the adapter has none. */
static inline const tini_factors *tini_factors_of(const tin_adapter *adapter, uint32_t tensor) {
    uint32_t place = tensor == TINI_NONE ? 0 : adapter->of_tensor[tensor];
    return place ? &adapter->factors[place - 1] : NULL;
}

/* The sum of the adapters' ranks, their share of a session's room: for the products A x of one row and matrix. */
static inline uint32_t tini_adapters_rank(const tini_adapters *adapters) {
    uint32_t rank = 0;
    for (uint32_t k = 0; k < adapters->count; k++)
        rank += adapters->at[k].adapter->rank;
    return rank;
}

static inline int tini_same_adapters(const tini_adapters *a, const tini_adapters *b) {
    int same = a->count == b->count;
    for (uint32_t k = 0; same && k < a->count; k++)
        same = a->at[k].adapter == b->at[k].adapter && a->at[k].scale == b->at[k].scale;
    return same;
}

#endif
