#include "kv.h"

#include <string.h>

TINI_REGION_COLD

int tini_caches_allow(const tini_program *program, uint32_t type) {
    if (type != TIN_KV_F16 && type != TIN_KV_Q8)
        return 0;
    for (uint32_t k = 0; type == TIN_KV_Q8 && k < program->header->caches; k++)
        if (program->caches[k].head_dim % TINI_BLOCK)
            return 0;
    return 1;
}

static uint32_t whole_tiles(uint32_t positions) {
    return (positions + TINI_KV_TILE - 1) / TINI_KV_TILE * TINI_KV_TILE;
}

/* Positions that a cache has room for. A ring holds what the first of a pass's rows sees beside all that the pass
 * appends, in whole tiles: no two of these share places. */
static uint32_t cache_capacity(const tini_caches *c, const tini_cache *cache) {
    uint32_t all = whole_tiles(c->context);
    if (!cache->window || cache->window >= all)
        return all;
    uint32_t ring = whole_tiles(cache->window - 1 + c->rows) + TINI_KV_TILE;
    return ring < all ? ring : all;
}

/* Bytes of one position's keys of a head, and of its values. */
static size_t place_bytes(const tini_caches *c, const tini_cache *cache) {
    return tini_kv_place_bytes(c->type, cache->head_dim);
}

uint64_t tini_caches_plan(const tini_caches *c, uint64_t *offsets) {
    uint64_t total = 0;
    for (uint32_t k = 0; k < c->program->header->caches; k++) {
        const tini_cache *cache = &c->program->caches[k];
        if (offsets)
            offsets[k] = total;
        total += 2 * (uint64_t)cache->heads * cache_capacity(c, cache) * place_bytes(c, cache);
    }
    return total; /* a capacity is a multiple of 64 positions, so this and every offset are of 64 bytes */
}

tini_kv tini_caches_at(const tini_caches *c, uint32_t k, uint32_t head) {
    const tini_cache *cache = &c->program->caches[k];
    uint32_t capacity = cache_capacity(c, cache);
    size_t half = (size_t)capacity * place_bytes(c, cache);
    uint8_t *keys = c->base + c->offsets[k] + 2 * half * head;
    return (tini_kv){.keys = keys, .values = keys + half, .capacity = capacity, .head_dim = cache->head_dim};
}

/* Where the first tile begins that the token at `position` sees. */
static uint32_t first_tile(const tini_cache *cache, uint32_t position) {
    return cache->window && position >= cache->window
               ? (position + 1 - cache->window) / TINI_KV_TILE * TINI_KV_TILE
               : 0;
}

/* Positions that so many tokens take, with what is before the first: before none of them, there is nothing to keep. */
static uint32_t positions_of(const tini_caches *c, uint32_t tokens) {
    return tokens ? c->before + tokens : 0;
}

int tini_caches_hold(const tini_caches *c, uint32_t position, uint32_t high, uint32_t restored) {
    position = positions_of(c, position), high = positions_of(c, high), restored = positions_of(c, restored);
    for (uint32_t k = 0; position && k < c->program->header->caches; k++) {
        const tini_cache *cache = &c->program->caches[k];
        uint32_t capacity = cache_capacity(c, cache);
        uint32_t first = first_tile(cache, position), from = first_tile(cache, restored);
        if (first < from || (high > capacity && first < high - capacity))
            return 0;
    }
    return 1;
}

/* Walks the tiles of 64 positions that hold the first `count` of one cache. */
#define FOR_TILES(cache, count, base) \
    for (uint32_t base = first_tile(cache, count); base < (count); base += TINI_KV_TILE)

static uint32_t tile_positions(uint32_t count, uint32_t base) {
    return count - base < TINI_KV_TILE ? count - base : TINI_KV_TILE;
}

static uint32_t whole_groups(uint32_t positions) {
    return (positions + TINI_TILE - 1) / TINI_TILE * TINI_TILE;
}

uint64_t tini_caches_saved_bytes(const tini_caches *c, uint32_t count) {
    count = positions_of(c, count);
    uint64_t total = 0;
    for (uint32_t k = 0; k < c->program->header->caches; k++) {
        const tini_cache *cache = &c->program->caches[k];
        uint64_t places = count > first_tile(cache, count) ? whole_groups(count) - first_tile(cache, count) : 0;
        total += 2 * places * cache->heads * place_bytes(c, cache);
    }
    return total;
}

/* A group of 16 positions is stored as rows of 16 lanes. Zeroes those past the first `positions` in `rows` rows, whose
 * lanes have `bytes` bytes. Returns where the next row begins. */
static uint8_t *clear_lanes(uint8_t *row, uint32_t rows, size_t bytes, uint32_t positions) {
    for (; rows; rows--, row += TINI_TILE * bytes)
        memset(row + positions * bytes, 0, (TINI_TILE - positions) * bytes);
    return row;
}

static void clear_group(uint32_t type, uint32_t head_dim, uint8_t *keys, uint8_t *values, uint32_t positions) {
    if (type == TIN_KV_F16) {
        clear_lanes(keys, head_dim, 2, positions);
        clear_lanes(values, 1, 2 * (size_t)head_dim, positions);
        return;
    }
    for (uint32_t block = 0; block < head_dim / TINI_BLOCK; block++)
        keys = clear_lanes(clear_lanes(keys, 1, 2, positions), TINI_BLOCK / 4, 4, positions);
    clear_lanes(clear_lanes(values, head_dim / TINI_BLOCK, 2, positions), 1, head_dim, positions);
}

void tini_caches_save(const tini_caches *c, uint32_t count, uint8_t *out) {
    count = positions_of(c, count);
    for (uint32_t k = 0; k < c->program->header->caches; k++) {
        const tini_cache *cache = &c->program->caches[k];
        size_t bytes = place_bytes(c, cache), group = TINI_TILE * bytes;
        for (uint32_t head = 0; head < cache->heads; head++) {
            tini_kv kv = tini_caches_at(c, k, head);
            FOR_TILES(cache, count, base) {
                uint32_t n = tile_positions(count, base);
                size_t size = whole_groups(n) * bytes, place = base % kv.capacity * bytes;
                memcpy(out, (const uint8_t *)kv.keys + place, size);
                memcpy(out + size, (const uint8_t *)kv.values + place, size);
                if (n % TINI_TILE)
                    clear_group(c->type, cache->head_dim, out + size - group, out + 2 * size - group,
                                n % TINI_TILE);
                out += 2 * size;
            }
        }
    }
}

void tini_caches_restore(tini_caches *c, uint32_t count, const uint8_t *in) {
    count = positions_of(c, count);
    for (uint32_t k = 0; k < c->program->header->caches; k++) {
        const tini_cache *cache = &c->program->caches[k];
        size_t bytes = place_bytes(c, cache);
        for (uint32_t head = 0; head < cache->heads; head++) {
            tini_kv kv = tini_caches_at(c, k, head);
            FOR_TILES(cache, count, base) {
                size_t size = whole_groups(tile_positions(count, base)) * bytes,
                       place = base % kv.capacity * bytes;
                memcpy((uint8_t *)kv.keys + place, in, size);
                memcpy((uint8_t *)kv.values + place, in + size, size);
                in += 2 * size;
            }
        }
    }
}

void tini_caches_copy(tini_caches *to, const tini_caches *from, uint32_t count) {
    count = positions_of(from, count);
    for (uint32_t k = 0; k < from->program->header->caches; k++) {
        const tini_cache *cache = &from->program->caches[k];
        size_t bytes = place_bytes(from, cache);
        for (uint32_t head = 0; head < cache->heads; head++) {
            tini_kv source = tini_caches_at(from, k, head), target = tini_caches_at(to, k, head);
            FOR_TILES(cache, count, base) {
                size_t size = whole_groups(tile_positions(count, base)) * bytes;
                size_t there = base % target.capacity * bytes, here = base % source.capacity * bytes;
                memcpy((uint8_t *)target.keys + there, (const uint8_t *)source.keys + here, size);
                memcpy((uint8_t *)target.values + there, (const uint8_t *)source.values + here, size);
            }
        }
    }
}

TINI_REGION_END
