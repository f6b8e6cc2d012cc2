/* A session handed to another one, or to bytes and back. Saved bytes, little-endian, without gaps:
 *
 *   saved_header
 *   shape    uint64, of the adapters under which it was computed; in version 3, where there were any, and in version 4
 *   images   uint32, and so many saved_image; in version 4, where there were any
 *   tokens   int32 [count]
 *   rows     float32, of the images
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
/* A session is written in the first version that knew what it has: images, adapters, neither. */
enum { SAVED_VERSION = 4, SAVED_SHAPED = 3, SAVED_PLAIN = 2 };

typedef struct saved_header {
    char magic[8];
    uint32_t version, kv_type;
    uint64_t fingerprint; /* of the model's file */
    uint64_t check;       /* hash of the bytes that follow the header, seeded by the fields below */
    uint32_t position, count;
} saved_header;

typedef struct saved_tile {
    uint32_t at, count, columns;
    uint8_t digest[32];
} saved_tile;

_Static_assert(sizeof(saved_header) == 40 && sizeof(saved_tile) == 44, "layout of a saved session");

/* What is before the caches in a saved session's body, and where. */
typedef struct saved_parts {
    uint64_t shape;
    uint32_t tiles, rows; /* rows: of all images */
    size_t tile_at, tokens_at, rows_at, caches_at;
} saved_parts;

/* Sets the places; version 4 where there are images. */
static void place_parts(saved_parts *p, const tin_session *s, uint32_t count) {
    p->tile_at = p->shape || p->tiles ? sizeof p->shape : 0;
    p->tokens_at = p->tile_at + (p->tiles ? sizeof p->tiles + (size_t)p->tiles * sizeof(saved_tile) : 0);
    p->rows_at = p->tokens_at + (size_t)count * sizeof(int32_t);
    p->caches_at = p->rows_at + (size_t)p->rows * s->input.width * sizeof(float);
}

static saved_parts parts_of(const tin_session *s, uint32_t count) {
    saved_parts p = {.shape = s->shape};
    tini_input_counts(&s->input, count, &p.tiles, &p.rows);
    place_parts(&p, s, count);
    return p;
}

/* Of the first `count` tokens, those that need no logits again: the last one does. */
static uint32_t saved_computed(const tin_session *s, uint32_t count) {
    uint32_t computed = tini_session_computed(s);
    computed = computed < count ? computed : count;
    return computed && computed == count ? computed - 1 : computed;
}

/* Of them, those whose caches and states are handed on. */
static uint32_t handed_of(const tin_session *s, uint32_t count) {
    uint32_t computed = saved_computed(s, count);
    return tini_session_resume_point(s, computed < s->position ? computed : s->position);
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
    count = tini_input_edge(&from->input, count);
    if (count > tini_session_room(to, 0))
        return tini_fail(error, TIN_ERR_CONTEXT, "%u tokens do not fit the session's context of %u", count,
                         tini_session_room(to, 0));
    uint32_t position = handed_of(from, count), tiles, rows;
    tini_input_counts(&from->input, count, &tiles, &rows);
    tin_status status = tini_session_check_tiles(to, tiles, rows, tini_input_widest(&from->input), error);
    if (!status)
        status = tini_session_check_window(from, position, error);
    if (!status)
        status = tini_session_check_free(to, error);
    if (!status)
        status = tini_generate_end(to, error);
    if (status)
        return status;
    tini_session_reset(to, 0, count);
    tini_input_copy(&to->input, &from->input, count);
    tini_caches_copy(&to->caches, &from->caches, position);
    tini_states_copy(&to->states, &from->states, position);
    to->position = position;
    to->shape = position ? from->shape : to->adapted;
    to->recompute_end = saved_computed(from, count);
    to->written_end = to->restored = position;
    return TIN_OK;
}

/* Bytes behind the header. */
static uint64_t saved_bytes(const tin_session *s, const saved_parts *p, uint32_t position) {
    return p->caches_at + tini_caches_saved_bytes(&s->caches, position) +
           tini_states_saved_bytes(&s->states, position);
}

size_t tin_session_save_size(const tin_session *s) {
    uint32_t count = tini_session_known(s);
    saved_parts p = parts_of(s, count);
    return (size_t)(sizeof(saved_header) + saved_bytes(s, &p, handed_of(s, count)));
}

static uint64_t saved_check(const saved_header *h, const uint8_t *body, size_t size) {
    return tini_hash(body, size, (uint64_t)h->position << 32 | h->count);
}

static void save_tiles(const tin_session *s, const saved_parts *p, uint8_t *body) {
    if (!p->tiles)
        return;
    memcpy(body + p->tile_at, &p->tiles, sizeof p->tiles);
    uint8_t *at = body + p->tile_at + sizeof p->tiles;
    for (uint32_t k = 0; k < p->tiles; k++, at += sizeof(saved_tile)) {
        const tini_span *span = &s->input.spans[k];
        saved_tile tile = {span->first, span->count, span->columns, {0}};
        memcpy(tile.digest, span->digest, sizeof tile.digest);
        memcpy(at, &tile, sizeof tile);
    }
    memcpy(body + p->rows_at, s->input.rows, p->caches_at - p->rows_at);
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
    saved_parts p = parts_of(s, count);
    saved_header h = {.version = p.tiles   ? SAVED_VERSION
                                 : p.shape ? SAVED_SHAPED
                                           : SAVED_PLAIN,
                      .kv_type = s->options.kv_type,
                      .position = position,
                      .count = count};
    memcpy(h.magic, SAVED_MAGIC, sizeof h.magic);
    h.fingerprint = tini_zip_fingerprint(&s->model->zip);
    uint8_t *body = (uint8_t *)out + sizeof h, *caches = body + p.caches_at;
    memcpy(body, &p.shape, p.tile_at);
    save_tiles(s, &p, body);
    memcpy(body + p.tokens_at, s->input.tokens, (size_t)count * sizeof *s->input.tokens);
    tini_caches_save(&s->caches, position, caches);
    tini_states_save(&s->states, position, caches + tini_caches_saved_bytes(&s->caches, position));
    h.check = saved_check(&h, body, needed - sizeof h);
    memcpy(out, &h, sizeof h);
    return TIN_OK;
}

/* Reads what a saved session has before its tokens. */
static tin_status read_parts(const tin_session *s, const saved_header *h, const uint8_t *body, size_t size,
                             saved_parts *p, tin_error *error) {
    *p = (saved_parts){0};
    size_t fixed = (h->version >= SAVED_SHAPED ? sizeof p->shape : 0) +
                   (h->version == SAVED_VERSION ? sizeof p->tiles : 0);
    if (size < fixed)
        return tini_fail(error, TIN_ERR_FORMAT, "the saved session is cut short");
    if (h->version >= SAVED_SHAPED)
        memcpy(&p->shape, body, sizeof p->shape);
    if (h->version == SAVED_VERSION)
        memcpy(&p->tiles, body + sizeof p->shape, sizeof p->tiles);
    if ((h->version == SAVED_SHAPED && !p->shape) || (h->version == SAVED_VERSION && !p->tiles) ||
        p->tiles > (size - fixed) / sizeof(saved_tile))
        return tini_fail(error, TIN_ERR_FORMAT, "the saved session is damaged");
    uint64_t rows = 0;
    uint32_t widest = 0;
    for (uint32_t k = 0; k < p->tiles; k++) {
        saved_tile tile;
        memcpy(&tile, body + fixed + k * sizeof tile, sizeof tile);
        rows += tile.count;
        widest = tile.count > widest ? tile.count : widest;
    }
    p->rows = rows < UINT32_MAX ? (uint32_t)rows : UINT32_MAX;
    tin_status status = tini_session_check_tiles(s, p->tiles, p->rows, widest, error);
    if (!status)
        place_parts(p, s, h->count);
    return status;
}

/* The k-th image of a saved session, without its rows. */
static tin_embedded saved_tile_at(const saved_parts *p, const uint8_t *body, uint32_t k) {
    saved_tile tile;
    memcpy(&tile, body + p->tile_at + sizeof p->tiles + k * sizeof tile, sizeof tile);
    tin_embedded embedded = {.at = tile.at, .count = tile.count, .columns = tile.columns};
    memcpy(embedded.digest, tile.digest, sizeof tile.digest);
    return embedded;
}

/* Whether each token is the vocabulary's, or an image's where one is; and what is computed ends in no image that is computed
 * in one pass. */
static int are_tokens(const tin_session *s, const saved_parts *p, const uint8_t *body, const saved_header *h) {
    uint32_t k = 0, count = h->count;
    for (uint32_t i = 0; i <= p->tiles; i++) {
        tin_embedded tile = {.at = count};
        if (i < p->tiles) {
            tile = saved_tile_at(p, body, i);
            if (tile.at < k || tile.at > count || !tile.count || tile.count > count - tile.at ||
                !tile.columns || tile.count % tile.columns)
                return 0;
            if (s->input.whole && tile.at < h->position && h->position - tile.at < tile.count)
                return 0;
        }
        for (uint32_t end = tile.at + tile.count; k < end; k++) {
            int32_t token;
            memcpy(&token, body + p->tokens_at + k * sizeof token, sizeof token);
            if (k < tile.at ? token < 0 || (uint32_t)token >= s->model->program.header->vocab
                            : token != TIN_EMBEDDED)
                return 0;
        }
    }
    return 1;
}

/* size: of the body. *p gets what is before its caches. */
static tin_status check_saved(const tin_session *s, const saved_header *h, const uint8_t *body, size_t size,
                              saved_parts *p, tin_error *error) {
    if (memcmp(h->magic, SAVED_MAGIC, sizeof h->magic))
        return tini_fail(error, TIN_ERR_FORMAT, "these bytes are not a saved session");
    if (h->version > SAVED_VERSION || h->version < SAVED_PLAIN)
        return tini_other_version(error, "the saved session", h->version, SAVED_VERSION,
                                  "append its tokens to a new session");
    if (h->fingerprint != tini_zip_fingerprint(&s->model->zip))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the session was saved with another model");
    tin_status status = read_parts(s, h, body, size, p, error);
    if (status)
        return status;
    if (!tini_session_is_shaped(s, p->shape))
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "the session was saved with other adapters; set those first, or append its tokens");
    if (h->kv_type != s->options.kv_type)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the session was saved with kv_type %u; this one has %u",
                         h->kv_type, s->options.kv_type);
    if (h->count > tini_session_room(s, 0))
        return tini_fail(error, TIN_ERR_CONTEXT, "%u saved tokens do not fit the session's context of %u",
                         h->count, tini_session_room(s, 0));
    if (h->position > h->count || (h->count && h->position == h->count))
        return tini_fail(error, TIN_ERR_FORMAT, "the saved session is damaged");
    uint64_t expected = saved_bytes(s, p, h->position);
    if (size != expected)
        return tini_fail(error, TIN_ERR_FORMAT,
                         "the saved session has %llu bytes after its header; %llu are due",
                         (unsigned long long)size, (unsigned long long)expected);
    if (saved_check(h, body, size) != h->check)
        return tini_fail(error, TIN_ERR_FORMAT, "the saved session is damaged");
    if (!are_tokens(s, p, body, h))
        return tini_fail(
            error, TIN_ERR_FORMAT,
            "the saved session has a token that is not in the vocabulary, or an image out of place");
    return TIN_OK;
}

tin_status tin_session_restore(tin_session *s, const void *data, size_t size, tin_error *error) {
    saved_header h;
    if (!data || size < sizeof h)
        return tini_fail(error, TIN_ERR_FORMAT, "the saved session is cut short");
    memcpy(&h, data, sizeof h);
    const uint8_t *body = (const uint8_t *)data + sizeof h;
    saved_parts p = {0};
    tin_status status = check_saved(s, &h, body, size - sizeof h, &p, error);
    if (!status)
        status = tini_session_check_free(s, error);
    if (!status)
        status = tini_generate_end(s, error);
    if (status)
        return status;
    tini_session_reset(s, 0, 0);
    s->count = h.count;
    memcpy(s->input.tokens, body + p.tokens_at, (size_t)h.count * sizeof *s->input.tokens);
    for (uint32_t k = 0; k < p.tiles; k++) {
        tin_embedded tile = saved_tile_at(&p, body, k);
        tini_input_add(&s->input, tile.at, &tile);
    }
    if (p.tiles)
        memcpy(s->input.rows, body + p.rows_at, p.caches_at - p.rows_at);
    const uint8_t *caches = body + p.caches_at;
    tini_caches_restore(&s->caches, h.position, caches);
    tini_states_restore(&s->states, h.position, caches + tini_caches_saved_bytes(&s->caches, h.position));
    s->position = s->recompute_end = h.position;
    s->shape = h.position ? p.shape : s->adapted;
    s->written_end = s->restored = h.position;
    return TIN_OK;
}

TINI_REGION_END
