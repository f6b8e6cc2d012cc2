#include "prefix.h"
#include "../base/error.h"
#include "../base/hash.h"
#include "recurrent.h"

#include <string.h>

TINI_REGION_COLD

_Static_assert(sizeof(tini_prefix_header) == 64, "layout of adapter.bin");
_Static_assert(sizeof(tini_cache) == sizeof(tini_state), "layout of adapter.bin");

/* Bytes of a token's keys and values in all caches. */
static uint64_t row_bytes(const tini_program *p) {
    uint64_t total = 0;
    for (uint32_t k = 0; k < p->header->caches; k++)
        total += 2 * sizeof(float) * (uint64_t)p->caches[k].heads * p->caches[k].head_dim;
    return total;
}

static int is_bounded(const float *x, uint64_t count) {
    for (; count; count--, x++)
        if (!(*x > -TINI_PREFIX_MOST && *x < TINI_PREFIX_MOST))
            return 0;
    return 1;
}

tin_status tini_prefix_check(tin_adapter *adapter, const uint8_t *source, const uint8_t *data, size_t size,
                             tin_error *error) {
    const tini_prefix_header *h = (const tini_prefix_header *)(const void *)data;
    const tini_program *p = adapter->program;
    if (size < sizeof *h)
        return tini_fail(error, TIN_ERR_FORMAT, "the prefix is cut short");
    if (h->version != TINI_PREFIX_VERSION)
        return tini_other_version(error, "the prefix", h->version, TINI_PREFIX_VERSION,
                                  "write it again with this version");
    tin_status status = tini_check_source("prefix", h->source, source, error);
    if (status)
        return status;
    /* A program's caches and states lie one after the other. */
    uint64_t shapes = ((uint64_t)p->header->caches + p->header->states) * sizeof(tini_cache);
    uint64_t begin = (sizeof *h + shapes + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
    if (h->caches != p->header->caches || h->states != p->header->states || size < begin ||
        memcmp(h + 1, p->caches, (size_t)shapes))
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "the prefix has other layers, heads or windows than this model: it belongs to another "
                         "one, or is damaged");
    if (!h->rows || h->rows >= p->header->context)
        return tini_fail(error, TIN_ERR_FORMAT, "a prefix of %u tokens; the model's context has %u", h->rows,
                         p->header->context);
    uint64_t bytes = tini_states_bytes(p) + h->rows * row_bytes(p);
    if (begin + bytes != size)
        return tini_fail(error, TIN_ERR_FORMAT, "the prefix has %llu bytes; %llu are due",
                         (unsigned long long)size, (unsigned long long)(begin + bytes));
    if (!is_bounded((const float *)(const void *)(data + begin), bytes / sizeof(float)))
        return tini_fail(error, TIN_ERR_FORMAT, "the prefix holds numbers that are not below %u",
                         (uint32_t)TINI_PREFIX_MOST);
    adapter->data = data + begin;
    adapter->bytes = bytes;
    adapter->fingerprint = tini_hash(data, size, 0);
    adapter->prefix = h->rows;
    return TIN_OK;
}

void tini_prefix_place(const tin_adapter *prefix, const tini_kernels *kernels, const tini_caches *caches) {
    const tini_program *p = prefix->program;
    const float *key = (const float *)(const void *)(prefix->data + tini_states_bytes(p));
    tini_kv_append_fn *append = caches->type == TIN_KV_F16 ? kernels->kv_append_f16 : kernels->kv_append_q8;
    for (uint32_t k = 0; k < p->header->caches; k++) {
        uint32_t width = p->caches[k].head_dim;
        size_t half = (size_t)prefix->prefix * width;
        for (uint32_t head = 0; head < p->caches[k].heads; head++, key += half) {
            tini_kv kv = tini_caches_at(caches, k, head);
            for (uint32_t row = 0; row < prefix->prefix; row++, key += width)
                append(&kv, row, key, key + half);
        }
    }
}

TINI_REGION_END
