/* A trained prefix: what stands in a session's caches and states before its first token (Li and Liang,
 * "Prefix-Tuning", arXiv 2101.00190). adapter.bin of this kind, little-endian, all parts in this order without
 * gaps:
 *
 *   tini_prefix_header
 *   tini_cache [caches], tini_state [states]: the program's
 *   zeros up to a multiple of TIN_ALIGNMENT
 *   float32, all below TINI_PREFIX_MOST: the states, as recurrent.h has them in a slot; then of each cache and head the keys
 *   [rows][head_dim] and the values [rows][head_dim]
 *
 * It is as if `rows` tokens had been computed there: the keys are rotated for the positions 0 to rows - 1, both
 * are rounded as any token's are when they are appended, and a session's token t is at position rows + t, so
 * that windows reach into the prefix as far as they do into tokens. Its rows are places of the session's
 * context. */
#ifndef TINI_PREFIX_H
#define TINI_PREFIX_H

#include "../base/isa.h"
#include "adapter.h"
#include "kv.h"

#define TINI_PREFIX_MAGIC "TINPREF"
#define TINI_PREFIX_VERSION 1u
#define TINI_PREFIX_MOST 65504.0f /* the greatest float16 */

typedef struct tini_prefix_header {
    char magic[8];
    uint32_t version;
    uint32_t rows; /* tokens that it stands for */
    uint32_t caches, states;
    uint64_t reserved;
    uint8_t source[TINI_SOURCE]; /* as an adapter's */
} tini_prefix_header;

/* tini_adapter_check, for bytes that begin with TINI_PREFIX_MAGIC, of an adapter that has its program. */
tin_status tini_prefix_check(tin_adapter *adapter, const uint8_t *source, const uint8_t *data, size_t size,
                             tin_error *error);

/* The prefix among a session's adapters, or NULL. */
static inline const tin_adapter *tini_prefix_of(const tini_adapters *adapters) {
    for (uint32_t k = 0; k < adapters->count; k++)
        if (adapters->at[k].adapter->prefix)
            return adapters->at[k].adapter;
    return NULL;
}

/* Writes its keys and values to their places. */
void tini_prefix_place(const tin_adapter *prefix, const tini_kernels *kernels, const tini_caches *caches);

#endif
