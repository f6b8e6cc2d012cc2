#include "mask.h"
#include "../base/error.h"
#include "constraint.h"
#include "walk.h"

#include <string.h>

tin_status tini_matcher_status(tini_matcher *m, tin_error *error) {
    int ambiguous = m->ambiguous, full = m->full;
    m->ambiguous = m->full = 0;
    if (m->work > TINI_WORK)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the constraint is too large here: more than %u of its rules and readings to look at",
                         (uint32_t)TINI_WORK);
    if (ambiguous)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the constraint is too ambiguous here: more than %u readings of the text at once",
                         (uint32_t)TINI_CONFIGS);
    if (full)
        return tini_fail(
            error, TIN_ERR_UNSUPPORTED,
            "the constraint is too ambiguous here: its readings need more than %u frames or %u sets",
            (uint32_t)TINI_FRAMES, (uint32_t)TINI_SETS);
    return TIN_OK;
}

/* ---- The cache -------------------------------------------------------------------------------------------- */

static uint32_t nearly(uint32_t n) {
    return n < TINI_NEAR ? n : TINI_NEAR;
}

static tini_mask_key key_of(const tin_constraint *c, uint32_t state, uint32_t frame) {
    const tini_matcher *m = &c->matcher;
    if (frame == TINI_ROOT_FRAME)
        return (tini_mask_key){state, TINI_ROOT_FRAME, 0, 0};
    if (!(c->notes[state] & TINI_NOTE_DEEP))
        return (tini_mask_key){state, TINI_OPEN_FRAME, 0, 0};
    const tini_frame *f = &m->frames[frame];
    const tini_constraint_call *call = &m->automaton.calls[f->call];
    uint32_t low = f->count < call->least ? call->least - f->count : 0;
    return (tini_mask_key){state, TINI_FIXED_FRAMES + f->call, nearly(low), nearly(call->most - f->count)};
}

static int same_key(const tini_mask_key *a, const tini_mask_key *b) {
    return a->state == b->state && a->base == b->base && a->low == b->low && a->high == b->high;
}

/* The mask of a key, or the one that was longest not used, whose `used` is then 0. */
static tini_mask *find_mask(tin_constraint *c, const tini_mask_key *key) {
    tini_mask *oldest = &c->cache[0];
    for (uint32_t k = 0; k < c->masks; k++) {
        tini_mask *mask = &c->cache[k];
        if (mask->used && same_key(&mask->key, key))
            return mask;
        oldest = mask->used < oldest->used ? mask : oldest;
    }
    oldest->used = 0;
    return oldest;
}

/* Where repetitions are counted far: a count that is not followed further. */
static uint32_t far_from(const tini_mask_key *key, uint32_t count) {
    return key->base >= TINI_FIXED_FRAMES && key->high == TINI_NEAR ? tini_add(count, TINI_NEAR - 1)
                                                                    : UINT32_MAX;
}

/* Makes the mask of a configuration under a key. 0: the matcher has met its limits. */
static int make_mask(tin_constraint *c, tini_mask *mask, const tini_mask_key *key, uint32_t frame) {
    tini_matcher *m = &c->matcher;
    uint32_t base = key->base, floor = m->frame_count, limit = m->limit;
    m->limit = TINI_DEPTH_MAX;
    if (base >= TINI_FIXED_FRAMES) {
        base = tini_frame_push(m, TINI_OPEN_FRAME, m->frames[frame].call, m->frames[frame].count);
        m->remote = far_from(key, m->frames[frame].count);
    }
    memset(mask->bits, 0, c->words * sizeof *mask->bits);
    mask->key = *key;
    mask->peak = mask->frames = mask->visited = mask->escape_count = 0;
    int good = base != TINI_NO_FRAME;
    if (good) {
        mask->need = m->frames[base].need;
        tini_config_list start = {.count = 1, .items = {tini_config(key->state, base)}};
        tini_walk w = {.m = m, .trie = c->trie, .bits = mask->bits, .bound = UINT32_MAX, .mask = mask};
        good = tini_walk_all(&w, &start, 1);
    }
    tini_frames_drop(m, floor);
    m->limit = limit;
    m->remote = UINT32_MAX;
    return good;
}

/* Whether all that a mask has is allowed with the stack at hand. */
static int mask_fits(const tin_constraint *c, const tini_mask *mask, uint32_t frame, uint32_t bound) {
    const tini_frame *f = &c->matcher.frames[frame];
    uint32_t own = mask->key.base >= TINI_FIXED_FRAMES;
    if (f->depth - own + mask->frames > c->matcher.limit)
        return 0;
    if (bound == UINT32_MAX)
        return 1;
    if (f->need == TINI_NO_END || mask->peak == TINI_NO_END || mask->need == TINI_NO_END)
        return 0;
    return (int64_t)mask->peak + f->need - mask->need <= bound;
}

/* The configuration from which a mask's escapes go on: where its base, or what is below it, is complete. */
static uint32_t below_base(tin_constraint *c, const tini_mask *mask, uint32_t frame, int remote) {
    tini_matcher *m = &c->matcher;
    const tini_frame *f = &m->frames[frame];
    if (mask->key.base < TINI_FIXED_FRAMES)
        return tini_config(TINI_DONE_STATE, frame);
    if (!remote)
        return tini_config(TINI_DONE_STATE, f->parent);
    const tini_constraint_call *call = &m->automaton.calls[f->call];
    uint32_t count = tini_add(f->count, TINI_NEAR - 1);
    if (call->most == TINI_NO_END && count > call->least)
        count = call->least;
    return tini_config(TINI_DONE_STATE, tini_frame_push(m, f->parent, f->call, count));
}

/* Goes on from where a mask's walk came to the end of what its base knows. 0: the matcher has met its limits. */
static int follow_escapes(tin_constraint *c, const tini_mask *mask, uint32_t frame, uint32_t bound,
                          uint32_t *visited) {
    tini_matcher *m = &c->matcher;
    const tini_trie_node *nodes = c->trie->nodes;
    uint32_t floor = m->frame_count;
    int good = 1;
    tini_walk w = {.m = m, .trie = c->trie, .bits = c->bits, .bound = bound};
    for (uint32_t remote = 0; remote < 2; remote++) {
        tini_config_list start = {.count = 0};
        for (uint32_t k = 0; k < mask->escape_count && good; k++) {
            uint32_t node = mask->escapes[k] >> 1;
            if ((mask->escapes[k] & 1) != remote)
                continue;
            if (!start.count) {
                start.items[start.count++] = below_base(c, mask, frame, (int)remote);
                good = !m->full && tini_walk_begin(&w, &start, 0);
            }
            good = good &&
                   tini_walk_on(&w, node + 1, node + tini_trie_size(nodes[node]), tini_trie_depth(nodes[node]));
        }
        tini_frames_drop(m, floor);
    }
    *visited = w.visited;
    return good;
}

/* ---- One configuration ------------------------------------------------------------------------------------ */

/* A walk with the whole stack, but not over the ends of the rules that the configuration itself completes. */
static int walk_whole(tin_constraint *c, uint32_t config, uint32_t bound) {
    tini_config_list start = {.count = 1, .items = {config}};
    tini_walk w = {.m = &c->matcher, .trie = c->trie, .bits = c->bits, .bound = bound};
    return tini_walk_all(&w, &start, 1);
}

enum { CHEAP_NODES = 600 };

/* The mask of a configuration: found, or made. NULL: the matcher has met its limits, or (*wild) no mask would do. */
static tini_mask *mask_of(tin_constraint *c, uint32_t state, uint32_t frame, int *uncached) {
    *uncached = 0;
    for (;;) {
        uint8_t *note = &c->notes[state];
        tini_mask_key key = key_of(c, state, frame);
        tini_mask *mask = *note & TINI_NOTE_CHEAP ? &c->cache[c->masks] : find_mask(c, &key);
        if (*note & TINI_NOTE_CHEAP)
            mask->used = 0;
        if (mask->used)
            return mask;
        if (*note & TINI_NOTE_UNCACHED && key.base != TINI_ROOT_FRAME)
            break;
        if (!make_mask(c, mask, &key, frame))
            return NULL;
        if (mask->escape_count > TINI_ESCAPES) {
            *note = *note & TINI_NOTE_DEEP ? TINI_NOTE_DEEP | TINI_NOTE_UNCACHED : TINI_NOTE_DEEP;
            continue;
        }
        if (mask->visited < CHEAP_NODES && !(*note & TINI_NOTE_DEEP))
            *note |= TINI_NOTE_CHEAP;
        return mask;
    }
    *uncached = 1;
    return NULL;
}

/* Sets the bits of the tokens that may follow a configuration, by rules that are not complete yet. */
static int add_config(tin_constraint *c, uint32_t config, uint32_t bound) {
    uint32_t state = config & 0xFFFF, frame = config >> 16, visited = 0;
    if (state == TINI_DONE_STATE || (c->matcher.automaton.kinds[state] & TINI_STATE_END))
        return 1;
    int uncached;
    tini_mask *mask = mask_of(c, state, frame, &uncached);
    if (!mask && !uncached)
        return 0;
    if (!mask || !mask_fits(c, mask, frame, bound)) {
        if (mask)
            mask->used = mask == &c->cache[c->masks] ? 0 : ++c->clock;
        return walk_whole(c, config, bound);
    }
    for (uint32_t k = 0; k < c->words; k++)
        c->bits[k] |= mask->bits[k];
    if (mask != &c->cache[c->masks])
        mask->used = ++c->clock;
    int good = follow_escapes(c, mask, frame, bound, &visited);
    if (visited > c->trie->header->nodes / 16 && mask->key.base == TINI_OPEN_FRAME)
        c->notes[state] = TINI_NOTE_DEEP;
    return good;
}

/* ---- The mask --------------------------------------------------------------------------------------------- */

uint32_t tini_constraint_distance(const tin_constraint *c) {
    uint32_t least = TINI_NO_END;
    for (uint32_t k = 0; k < c->now.count; k++) {
        uint32_t distance = tini_config_distance(&c->matcher, c->now.items[k]);
        least = distance < least ? distance : least;
    }
    return tini_add(least, tini_prefix_left(c));
}

/* Tokens along the prefix, and beyond it. */
static int add_prefix(tin_constraint *c, uint32_t bound) {
    const tini_trie_node *nodes = c->trie->nodes;
    uint32_t i = 0, end = c->trie->header->nodes, depth = 0, left = tini_prefix_left(c);
    uint32_t beyond = tini_constraint_distance(c) - left;
    while (i < end && depth < left) {
        if (tini_trie_byte(nodes[i]) != c->prefix[c->prefix_at + depth]) {
            i += tini_trie_size(nodes[i]);
            continue;
        }
        depth++;
        uint32_t token = tini_trie_token(nodes[i]);
        if (token != TINI_TRIE_NO_TOKEN && tini_add(beyond, left - depth) <= bound)
            c->bits[token >> 5] |= 1u << (token & 31);
        end = i + tini_trie_size(nodes[i]);
        i++;
    }
    if (depth < left)
        return 1;
    tini_walk w = {.m = &c->matcher, .trie = c->trie, .bits = c->bits, .bound = bound};
    int good = tini_walk_begin(&w, &c->now, 0) && tini_walk_on(&w, i, end, depth);
    tini_walk_end(&w);
    return good;
}

static void add_aliases(tin_constraint *c) {
    const tini_trie *trie = c->trie;
    for (uint32_t k = 0; k < trie->header->aliases; k++) {
        tini_trie_alias alias = trie->aliases[k];
        if (c->bits[alias.same >> 5] >> (alias.same & 31) & 1)
            c->bits[alias.token >> 5] |= 1u << (alias.token & 31);
    }
}

tin_status tin_constraint_mask(tin_constraint *c, uint32_t left, const uint32_t **mask, tin_error *error) {
    tini_matcher *m = &c->matcher;
    uint32_t bound = UINT32_MAX, floor = m->frame_count;
    m->work = 0;
    if (left) {
        uint32_t distance = tini_constraint_distance(c);
        bound = distance == TINI_NO_END ? UINT32_MAX : distance > left ? distance - 1 : left - 1;
    }
    memset(c->bits, 0, c->words * sizeof *c->bits);
    int good = 1;
    if (!c->ended && tini_prefix_left(c)) {
        good = add_prefix(c, bound);
    } else if (!c->ended) {
        tini_config_list list = c->now;
        tini_list_close(m, &list);
        good = !m->full && !m->ambiguous;
        for (uint32_t k = 0; k < list.count && good; k++)
            good = add_config(c, list.items[k], bound);
    }
    tini_frames_drop(m, floor);
    tin_status status = good ? TIN_OK : tini_matcher_status(m, error);
    if (status)
        return status;
    add_aliases(c);
    for (uint32_t k = 0; k < c->end_count && c->state != TIN_CONSTRAINT_OPEN; k++)
        c->bits[c->ends[k] >> 5] |= 1u << (c->ends[k] & 31);
    *mask = c->bits;
    return TIN_OK;
}
