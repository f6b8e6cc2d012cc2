/* A session handed to another one, or to bytes and back. Saved bytes, little-endian, without gaps:
 *
 *   saved_header
 *   shape    uint64, of the adapters under which it was computed; in version 3, where there were any
 *   tokens   int32 [count]
 *   caches   as tini_caches_save writes them, of the first `position` tokens
 *   states   as tini_states_save writes them, after `position` tokens
 */
#include "../base/error.h"
#include "../base/hash.h"
#include "adapters.h"
#include "generate.h"

#include <string.h>

TINI_REGION_COLD

#define SAVED_MAGIC "TINSTATE"
/* Sessions that had no adapter are written in the version that knew none, the one before. */
enum { SAVED_VERSION = 3, SAVED_PLAIN = 2 };

typedef struct saved_header {
    char magic[8];
    uint32_t version, kv_type;
    uint64_t fingerprint; /* of the model's file */
    uint64_t check;       /* hash of the bytes that follow the header, seeded by the fields below */
    uint32_t position, count;
} saved_header;

_Static_assert(sizeof(saved_header) == 40, "layout of a saved session");

/* Of the first `count` tokens, those that need no logits again: the last one does. */
static uint32_t computed_of(const tin_session *s, uint32_t count) {
    uint32_t computed = tini_session_computed(s);
    computed = computed < count ? computed : count;
    return computed && computed == count ? computed - 1 : computed;
}

/* Of them, those whose caches and states are handed on. */
static uint32_t handed_of(const tin_session *s, uint32_t count) {
    uint32_t computed = computed_of(s, count);
    return tini_states_newest(&s->states, computed < s->position ? computed : s->position);
}

tin_status tin_session_copy(tin_session *to, const tin_session *from, uint32_t count, tin_error *error) {
    uint32_t all = tini_session_known(from);
    if (count == UINT32_MAX)
        count = all;
    if (to == from || to->model != from->model || to->options.kv_type != from->options.kv_type)
        return tini_fail(error, TIN_ERR_ARGUMENT, "a copy needs two sessions of one model and kv_type");
    if (!tini_session_is_shaped(to, from->shape))
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "the sessions have other adapters, so what one computed is not the other's");
    if (count > all)
        return tini_fail(error, TIN_ERR_ARGUMENT, "%u tokens; the session to copy has %u", count, all);
    if (count > tini_session_context(to))
        return tini_fail(error, TIN_ERR_CONTEXT, "%u tokens do not fit the session's context of %u", count,
                         tini_session_context(to));
    uint32_t position = handed_of(from, count);
    tin_status status = tini_session_check_window(from, position, error);
    if (!status)
        status = tini_session_check_free(to, error);
    if (!status)
        status = tini_generate_end(to, error);
    if (status)
        return status;
    tini_session_reset(to, 0, count);
    memcpy(to->tokens, from->tokens, (size_t)count * sizeof *to->tokens);
    tini_caches_copy(&to->caches, &from->caches, position);
    tini_states_copy(&to->states, &from->states, position);
    to->position = position;
    to->shape = position ? from->shape : to->adapted;
    to->again = computed_of(from, count);
    to->high = to->restored = position;
    return TIN_OK;
}

/* Bytes behind the header. */
static uint64_t saved_bytes(const tin_session *s, uint64_t shape, uint32_t position, uint32_t count) {
    return (shape ? sizeof shape : 0) + (uint64_t)count * sizeof(int32_t) +
           tini_caches_saved_bytes(&s->caches, position) + tini_states_saved_bytes(&s->states, position);
}

size_t tin_session_save_size(const tin_session *s) {
    uint32_t count = tini_session_known(s);
    return (size_t)(sizeof(saved_header) + saved_bytes(s, s->shape, handed_of(s, count), count));
}

static uint64_t saved_check(const saved_header *h, const uint8_t *body, size_t size) {
    return tini_hash(body, size, (uint64_t)h->position << 32 | h->count);
}

tin_status tin_session_save(const tin_session *s, void *out, size_t size, tin_error *error) {
    size_t needed = tin_session_save_size(s);
    if (!out || size < needed)
        return tini_fail(error, TIN_ERR_MEMORY, "saving the session takes %llu bytes",
                         (unsigned long long)needed);
    tin_status status = tini_session_check_free(s, error);
    if (status)
        return status;
    uint32_t count = tini_session_known(s), position = handed_of(s, count);
    status = tini_session_check_window(s, position, error);
    if (status)
        return status;
    saved_header h = {.version = s->shape ? SAVED_VERSION : SAVED_PLAIN,
                      .kv_type = s->options.kv_type,
                      .position = position,
                      .count = count};
    memcpy(h.magic, SAVED_MAGIC, sizeof h.magic);
    h.fingerprint = tini_zip_fingerprint(&s->model->zip);
    uint8_t *body = (uint8_t *)out + sizeof h, *at = body;
    size_t token_bytes = (size_t)count * sizeof *s->tokens;
    if (s->shape) {
        memcpy(at, &s->shape, sizeof s->shape);
        at += sizeof s->shape;
    }
    memcpy(at, s->tokens, token_bytes);
    tini_caches_save(&s->caches, position, at + token_bytes);
    tini_states_save(&s->states, position, at + token_bytes + tini_caches_saved_bytes(&s->caches, position));
    h.check = saved_check(&h, body, needed - sizeof h);
    memcpy(out, &h, sizeof h);
    return TIN_OK;
}

/* size: of the body. *shape gets what it was computed under. */
static tin_status check_saved(const tin_session *s, const saved_header *h, const uint8_t *body, size_t size,
                              uint64_t *shape, tin_error *error) {
    if (memcmp(h->magic, SAVED_MAGIC, sizeof h->magic))
        return tini_fail(error, TIN_ERR_FORMAT, "these bytes are not a saved session");
    if (h->version != SAVED_VERSION && h->version != SAVED_PLAIN)
        return tini_other_version(error, "the saved session", h->version, SAVED_VERSION,
                                  "append its tokens to a new session");
    if (h->fingerprint != tini_zip_fingerprint(&s->model->zip))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the session was saved with another model");
    *shape = 0;
    if (h->version == SAVED_VERSION) {
        if (size < sizeof *shape)
            return tini_fail(error, TIN_ERR_FORMAT, "the saved session is cut short");
        memcpy(shape, body, sizeof *shape);
        if (!*shape)
            return tini_fail(error, TIN_ERR_FORMAT, "the saved session is damaged");
    }
    if (!tini_session_is_shaped(s, *shape))
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "the session was saved with other adapters; set those first, or append its tokens");
    if (h->kv_type != s->options.kv_type)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the session was saved with kv_type %u; this one has %u",
                         h->kv_type, s->options.kv_type);
    if (h->count > tini_session_context(s))
        return tini_fail(error, TIN_ERR_CONTEXT, "%u saved tokens do not fit the session's context of %u",
                         h->count, tini_session_context(s));
    if (h->position > h->count || (h->count && h->position == h->count))
        return tini_fail(error, TIN_ERR_FORMAT, "the saved session is damaged");
    uint64_t expected = saved_bytes(s, *shape, h->position, h->count);
    if (size != expected)
        return tini_fail(error, TIN_ERR_FORMAT,
                         "the saved session has %llu bytes after its header; %llu are due",
                         (unsigned long long)size, (unsigned long long)expected);
    if (saved_check(h, body, size) != h->check)
        return tini_fail(error, TIN_ERR_FORMAT, "the saved session is damaged");
    for (uint32_t k = 0; k < h->count; k++) {
        int32_t token;
        memcpy(&token, body + (*shape ? sizeof *shape : 0) + k * sizeof token, sizeof token);
        if (token < 0 || (uint32_t)token >= s->model->program.header->vocab)
            return tini_fail(error, TIN_ERR_FORMAT,
                             "the saved session has a token that is not in the vocabulary");
    }
    return TIN_OK;
}

tin_status tin_session_restore(tin_session *s, const void *data, size_t size, tin_error *error) {
    saved_header h;
    if (!data || size < sizeof h)
        return tini_fail(error, TIN_ERR_FORMAT, "the saved session is cut short");
    memcpy(&h, data, sizeof h);
    const uint8_t *body = (const uint8_t *)data + sizeof h;
    uint64_t shape = 0;
    tin_status status = check_saved(s, &h, body, size - sizeof h, &shape, error);
    if (!status)
        status = tini_session_check_free(s, error);
    if (!status)
        status = tini_generate_end(s, error);
    if (status)
        return status;
    tini_session_reset(s, 0, h.count);
    body += shape ? sizeof shape : 0;
    size_t token_bytes = (size_t)h.count * sizeof *s->tokens;
    memcpy(s->tokens, body, token_bytes);
    tini_caches_restore(&s->caches, h.position, body + token_bytes);
    tini_states_restore(&s->states, h.position,
                        body + token_bytes + tini_caches_saved_bytes(&s->caches, h.position));
    s->position = s->again = h.position;
    s->shape = h.position ? shape : s->adapted;
    s->high = s->restored = h.position;
    return TIN_OK;
}

TINI_REGION_END
