#include "adapter.h"
#include "../base/error.h"
#include "../base/hash.h"
#include "../base/memory.h"
#include "prefix.h"

#include <string.h>

TINI_REGION_COLD

_Static_assert(sizeof(tini_adapter_header) == 64, "layout of adapter.bin");
_Static_assert(sizeof(tini_factors) == 48, "layout of adapter.bin");

uint64_t tini_adapter_room(const tini_program *program) {
    uint64_t total = 0;
    tini_take(&total, sizeof(tin_adapter));
    tini_take(&total, program->header->tensors * sizeof(uint16_t));
    return total;
}

int tini_compare_names(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return (uint8_t)*a - (uint8_t)*b;
}

/* A tensor that one of the program's MATMUL ops multiplies by; TINI_NONE where there is no such. */
static uint32_t find_matrix(const tini_program *p, const char *name) {
    for (uint32_t k = 0; k < p->header->ops; k++)
        for (uint32_t slot = 0; p->ops[k].kind == TINI_OP_MATMUL && slot < 3; slot++) {
            uint32_t tensor = p->ops[k].tensor[slot];
            if (tensor != TINI_NONE && !tini_compare_names(p->names + p->tensors[tensor].name, name))
                return tensor;
        }
    return TINI_NONE;
}

static int is_factor_format(uint32_t format) {
    return format == TINI_FORMAT_F16 || format == TINI_FORMAT_Q8_0;
}

/* Whether so many bytes lie in the factors at that offset. */
static int lies_inside(const tin_adapter *adapter, uint64_t offset, uint64_t bytes) {
    return bytes && offset % TIN_ALIGNMENT == 0 && offset <= adapter->bytes && bytes <= adapter->bytes - offset;
}

/* Whether all of a packed factor's numbers are finite: float16 has all ones for an exponent where one is not. */
static int is_finite(const uint8_t *packed, uint32_t format, uint32_t half, uint64_t bytes) {
    const uint64_t halves = 2 * TINI_TILE, tile = format == TINI_FORMAT_F16 ? halves
                                                  : half                    ? TINI_HALF_BYTES
                                                                            : halves + TINI_TILE * TINI_BLOCK;
    for (uint64_t at = 0; at < bytes; at += tile)
        for (uint64_t k = 1; k < halves; k += 2)
            if ((packed[at + k] & 0x7c) == 0x7c)
                return 0;
    return 1;
}

static tin_status check_factors(const tin_adapter *adapter, const tini_factors *f, uint32_t tensor,
                                const char *name, tin_error *error) {
    if (tensor == TINI_NONE)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "the adapter has factors of %s, which is no matrix of this model", name);
    const tini_tensor *t = &adapter->program->tensors[tensor];
    if (f->inputs != t->inputs || f->outputs != t->rows)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "%s is %u x %u in the model and %u x %u in the adapter: it belongs to another one",
                         name, t->rows, t->inputs, f->outputs, f->inputs);
    if (!is_factor_format(f->a_format) || !is_factor_format(f->b_format))
        return tini_fail(error, TIN_ERR_FORMAT, "the adapter's factors of %s are neither F16 nor Q8_0", name);
    if (!f->rank || f->rank % TINI_TILE || f->rank > TINI_MOST_RANK)
        return tini_fail(error, TIN_ERR_FORMAT,
                         "the adapter's factors of %s have rank %u; it must be a multiple of %u, at most %u",
                         name, f->rank, TINI_TILE, TINI_MOST_RANK);
    if (f->half > 1 || (f->half && (f->b_format != TINI_FORMAT_Q8_0 || f->rank != TINI_TILE)))
        return tini_fail(error, TIN_ERR_FORMAT, "the adapter's factors of %s have no halves to leave out",
                         name);
    const uint64_t a_bytes = tini_tensor_bytes(f->a_format, f->rank, f->inputs),
                   b_bytes = tini_factors_b_bytes(f, f->outputs);
    if (!lies_inside(adapter, f->a, a_bytes) || !lies_inside(adapter, f->b, b_bytes))
        return tini_fail(error, TIN_ERR_FORMAT, "the adapter's factors of %s reach past its end", name);
    if (!is_finite(adapter->data + f->a, f->a_format, 0, a_bytes) ||
        !is_finite(adapter->data + f->b, f->b_format, f->half, b_bytes))
        return tini_fail(error, TIN_ERR_FORMAT, "the adapter's factors of %s hold numbers that are not finite",
                         name);
    if (!(f->scale > -TINI_MOST_SCALE && f->scale < TINI_MOST_SCALE))
        return tini_fail(error, TIN_ERR_FORMAT, "the adapter's scale of %s is not a number below %u", name,
                         (uint32_t)TINI_MOST_SCALE);
    return TIN_OK;
}

static tin_status check_sizes(const tini_adapter_header *h, size_t size, tin_error *error) {
    if (size < sizeof *h || memcmp(h->magic, TINI_ADAPTER_MAGIC, sizeof h->magic))
        return tini_fail(error, TIN_ERR_FORMAT, "these bytes are not an adapter");
    if (!h->version || h->version > TINI_ADAPTER_VERSION)
        return tini_other_version(error, "the adapter", h->version, TINI_ADAPTER_VERSION,
                                  "write it again with this version");
    if (!h->count || h->count >= UINT16_MAX || h->name_bytes > size || h->factor_bytes > size)
        return tini_fail(error, TIN_ERR_FORMAT, "the adapter is damaged: its counts do not fit its size");
    uint64_t before = sizeof *h + (uint64_t)h->count * sizeof(tini_factors) + h->name_bytes;
    before = (before + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
    if (before + h->factor_bytes != size)
        return tini_fail(error, TIN_ERR_FORMAT, "the adapter has %llu bytes; %llu are due",
                         (unsigned long long)size, (unsigned long long)(before + h->factor_bytes));
    return TIN_OK;
}

/* The first bytes of a digest, to be read by people. */
static void put_hex(char out[13], const uint8_t *digest) {
    for (uint32_t k = 0; k < 12; k++)
        out[k] = "0123456789abcdef"[digest[k / 2] >> (k % 2 ? 0 : 4) & 15];
    out[12] = 0;
}

tin_status tini_check_source(const char *what, const uint8_t *theirs, const uint8_t *own, tin_error *error) {
    static const uint8_t unknown[TINI_SOURCE];
    if (!own || !memcmp(theirs, unknown, TINI_SOURCE) || !memcmp(theirs, own, TINI_SOURCE))
        return TIN_OK;
    char first[13], second[13];
    put_hex(first, theirs);
    put_hex(second, own);
    return tini_fail(error, TIN_ERR_ARGUMENT,
                     "the %s was trained on the base %s, and the model was made from another one, %s", what,
                     first, second);
}

tin_status tini_adapter_check(tin_adapter *adapter, const tini_program *program, const uint8_t *source,
                              const uint8_t *data, size_t size, uint16_t *of_tensor, tin_error *error) {
    if (!data || (uintptr_t)data % TIN_ALIGNMENT)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the adapter's bytes are missing or not aligned to %u",
                         (uint32_t)TIN_ALIGNMENT);
    if (of_tensor)
        memset(of_tensor, 0, program->header->tensors * sizeof *of_tensor);
    *adapter = (tin_adapter){.program = program, .of_tensor = of_tensor};
    if (size >= sizeof TINI_PREFIX_MAGIC && !memcmp(data, TINI_PREFIX_MAGIC, sizeof TINI_PREFIX_MAGIC))
        return tini_prefix_check(adapter, source, data, size, error);
    const tini_adapter_header *h = (const tini_adapter_header *)(const void *)data;
    tin_status status = check_sizes(h, size, error);
    if (!status)
        status = tini_check_source("adapter", h->source, source, error);
    if (status)
        return status;
    *adapter = (tin_adapter){
        .program = program,
        .factors = (const tini_factors *)(const void *)(data + sizeof *h),
        .data = data + (size - h->factor_bytes),
        .bytes = h->factor_bytes,
        .fingerprint = tini_hash(data, size, 0),
        .matrices = h->count,
        .of_tensor = of_tensor,
    };
    const char *names = (const char *)(adapter->factors + h->count);
    if (!h->name_bytes || names[h->name_bytes - 1])
        return tini_fail(error, TIN_ERR_FORMAT, "the adapter's names are damaged");
    for (uint32_t k = 0; k < h->count && !status; k++) {
        const tini_factors *f = &adapter->factors[k];
        if (f->name >= h->name_bytes)
            return tini_fail(error, TIN_ERR_FORMAT, "the adapter's names are damaged");
        if (k && tini_compare_names(names + adapter->factors[k - 1].name, names + f->name) >= 0)
            return tini_fail(error, TIN_ERR_FORMAT,
                             "the adapter's factors are not in the order of their names");
        uint32_t tensor = find_matrix(program, names + f->name);
        status = check_factors(adapter, f, tensor, names + f->name, error);
        if (!status && of_tensor)
            of_tensor[tensor] = (uint16_t)(k + 1);
        uint32_t width = status ? 0 : tini_factors_width(f);
        adapter->rank = width > adapter->rank ? width : adapter->rank;
    }
    return status;
}

TINI_REGION_END
