#include "constraint.h"
#include "../base/error.h"
#include "../base/kernel.h"
#include "../base/memory.h"
#include "../base/region.h"
#include "../text/encode.h"

#include <string.h>

TINI_REGION_COLD

/* ---- Creating --------------------------------------------------------------------------------------------- */

/* Places of a constraint's parts in its block of memory. */
typedef struct answer_layout {
    uint64_t matcher, kinds, loops, frames, needs, notes, bits, cache, masks, ends, text, tokens, scratch,
        total;
} answer_layout;

static tin_status resolve(const tin_model *model, const void *data, size_t size,
                          const tin_constraint_options *given, tini_automaton *automaton,
                          tin_constraint_options *options, tin_error *error) {
    tin_status status = tini_automaton_open(automaton, data, size, error);
    if (status)
        return status;
    if (!model || !tini_model_trie(model)->header)
        return tini_fail(
            error, TIN_ERR_UNSUPPORTED,
            "the model's file has no trie.bin, so that answers can't be constrained; build it again");
    *options = given ? *given : (tin_constraint_options){0};
    uint32_t needed = automaton->header->depth;
    if (!options->depth)
        options->depth = needed == TINI_NO_END ? TINI_RECURSIVE_DEPTH : needed;
    if (!options->masks)
        options->masks = TINI_MASKS;
    if (options->depth > TINI_DEPTH_MAX || options->masks > TINI_MASKS_MAX)
        return tini_fail(error, TIN_ERR_ARGUMENT, "a depth of %u and %u masks; at most %u and %u can be had",
                         options->depth, options->masks, (uint32_t)TINI_DEPTH_MAX, (uint32_t)TINI_MASKS_MAX);
    return TIN_OK;
}

static uint32_t count_ends(const tini_tokenizer *tokenizer, uint32_t *ends) {
    uint32_t count = 0;
    for (uint32_t token = 0; token < tokenizer->header->vocab; token++)
        if (tini_token_is_end(tokenizer, (int32_t)token)) {
            if (ends)
                ends[count] = token;
            count++;
        }
    return count;
}

static answer_layout plan_answer(const tin_model *model, const tini_automaton *automaton,
                                 const tin_constraint_options *options) {
    tini_matcher matcher = {.automaton = *automaton};
    const tini_tokenizer *tokenizer = tini_model_tokenizer(model);
    uint64_t states = automaton->header->states, words = (tini_model_trie(model)->header->vocab + 31) / 32;
    uint64_t places = options->masks + 1, text = TINI_BEFORE_MAX + TINI_RUN_MAX;
    answer_layout l = {0};
    tini_take(&l.total, sizeof(tin_constraint));
    l.matcher = tini_take(&l.total, tini_matcher_place(&matcher, NULL));
    l.kinds = tini_take(&l.total, states);
    l.loops = tini_take(&l.total, states);
    l.frames = tini_take(&l.total, states * sizeof(uint16_t));
    l.needs = tini_take(&l.total, states * sizeof(uint32_t));
    l.notes = tini_take(&l.total, states);
    l.bits = tini_take(&l.total, words * sizeof(uint32_t));
    l.cache = tini_take(&l.total, places * sizeof(tini_mask));
    l.ends = tini_take(&l.total, count_ends(tokenizer, NULL) * sizeof(uint32_t));
    l.text = tini_take(&l.total, text);
    l.tokens = tini_take(&l.total, 2 * text * sizeof(int32_t));
    l.scratch = tini_take(&l.total, tini_tokenize_scratch(tokenizer, text));
    /* The masks, and before there are any the work of checking. */
    uint64_t masks = places * words * sizeof(uint32_t), work = states * (sizeof(uint32_t) + sizeof(uint16_t));
    l.masks = tini_take(&l.total, masks > work ? masks : work);
    return l;
}

size_t tin_constraint_size(const tin_model *model, const void *data, size_t size,
                           const tin_constraint_options *given, tin_error *error) {
    tini_automaton automaton = {0};
    tin_constraint_options options = {0};
    if (resolve(model, data, size, given, &automaton, &options, error))
        return 0;
    uint64_t total = plan_answer(model, &automaton, &options).total;
    if ((size_t)total == total)
        return (size_t)total;
    tini_fail(error, TIN_ERR_ARGUMENT,
              "the constraint needs %llu bytes, more than this machine can address; give fewer masks",
              (unsigned long long)total);
    return 0;
}

tin_status tin_constraint_create(const tin_model *model, const void *data, size_t size,
                                 const tin_constraint_options *given, void *memory, size_t memory_size,
                                 tin_constraint **out, tin_error *error) {
    tini_automaton automaton = {0};
    tin_constraint_options options = {0};
    tin_status status = resolve(model, data, size, given, &automaton, &options, error);
    if (status)
        return status;
    const tini_tokenizer *tokenizer = tini_model_tokenizer(model);
    const tini_trie *trie = tini_model_trie(model);
    answer_layout l = plan_answer(model, &automaton, &options);
    if (tini_lacks(memory, memory_size, l.total, "the constraint needs", error))
        return TIN_ERR_MEMORY;
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the constraint's pointer");
    uint8_t *base = memory;
    tin_constraint *c = memory;
    memset(c, 0, sizeof *c);
    automaton.kinds = base + l.kinds;
    automaton.loops = base + l.loops;
    automaton.frames = (void *)(base + l.frames);
    automaton.needs = (void *)(base + l.needs);
    uint32_t states = automaton.header->states, *todo = (void *)(base + l.masks);
    status = tini_trie_check(trie, tokenizer, error);
    if (!status)
        status = tini_automaton_check(&automaton, trie, (void *)(todo + states), todo, error);
    if (status)
        return status;
    c->model = model;
    c->tokenizer = tokenizer;
    c->trie = trie;
    c->matcher.automaton = automaton;
    c->matcher.limit = options.depth;
    tini_matcher_place(&c->matcher, base + l.matcher);
    c->words = (trie->header->vocab + 31) / 32;
    c->bits = (void *)(base + l.bits);
    c->masks = options.masks;
    c->cache = (void *)(base + l.cache);
    for (uint32_t k = 0; k <= options.masks; k++) {
        c->cache[k].used = 0;
        c->cache[k].bits = (uint32_t *)(void *)(base + l.masks) + (size_t)k * c->words;
    }
    c->notes = base + l.notes;
    memset(c->notes, 0, states);
    c->ends = (void *)(base + l.ends);
    c->end_count = count_ends(tokenizer, c->ends);
    c->text = base + l.text;
    c->tokens = (void *)(base + l.tokens);
    c->scratch = base + l.scratch;
    c->scratch_size = (size_t)tini_tokenize_scratch(tokenizer, TINI_BEFORE_MAX + TINI_RUN_MAX);
    status = tin_constraint_begin(c, NULL, 0, error);
    if (!status)
        *out = c;
    return status;
}

/* ---- Going on --------------------------------------------------------------------------------------------- */

static void find_state(tin_constraint *c) {
    tini_matcher *m = &c->matcher;
    c->state = TIN_CONSTRAINT_OPEN;
    if (c->ended) {
        c->state = TIN_CONSTRAINT_MUST_END;
    } else if (!tini_prefix_left(c) && tini_list_may_end(m, &c->now)) {
        c->state = tini_list_can_continue(m, &c->now) ? TIN_CONSTRAINT_MAY_END : TIN_CONSTRAINT_MUST_END;
    }
}

tin_status tin_constraint_begin(tin_constraint *c, const char *prefix, size_t length, tin_error *error) {
    if (length > TINI_PREFIX_MAX || (length && !prefix))
        return tini_fail(error, TIN_ERR_ARGUMENT, "a prefix of %llu bytes; at most %u can be given",
                         (unsigned long long)length, (uint32_t)TINI_PREFIX_MAX);
    tini_matcher_reset(&c->matcher);
    c->now = (tini_config_list){.count = 1};
    c->now.items[0] = tini_config(c->matcher.automaton.header->start, TINI_ROOT_FRAME);
    if (length)
        memcpy(c->prefix, prefix, length);
    c->prefix_length = (uint32_t)length;
    c->prefix_at = 0;
    c->ended = 0;
    if (c->matcher.automaton.frames[c->matcher.automaton.header->start] > c->matcher.limit)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "a depth of %u; the constraint's shortest text needs %u frames, so give more",
                         c->matcher.limit,
                         (uint32_t)c->matcher.automaton.frames[c->matcher.automaton.header->start]);
    find_state(c);
    return TIN_OK;
}

/* The list after some bytes of a token; 0 where they are not allowed, or the matcher has met its limits. */
static int take_bytes(tin_constraint *c, const uint8_t *bytes, uint32_t length, tini_config_list *list,
                      uint32_t *prefix_at) {
    for (uint32_t k = 0; k < length; k++) {
        if (*prefix_at < c->prefix_length) {
            if (bytes[k] != c->prefix[(*prefix_at)++])
                return 0;
            continue;
        }
        tini_config_list after;
        tini_list_step(&c->matcher, list->items, list->count, bytes[k], 0, &after);
        *list = after;
        if (!list->count || c->matcher.full || c->matcher.ambiguous)
            return 0;
    }
    return 1;
}

tin_status tin_constraint_accept(tin_constraint *c, int32_t token, tin_error *error) {
    const tini_tokenizer *tokenizer = c->tokenizer;
    if (token < 0 || (uint32_t)token >= tokenizer->header->vocab)
        return tini_fail(error, TIN_ERR_ARGUMENT, "token %d is not in the vocabulary of %u", token,
                         tokenizer->header->vocab);
    if (tini_token_is_end(tokenizer, token)) {
        if (c->state == TIN_CONSTRAINT_OPEN)
            return tini_fail(error, TIN_ERR_ARGUMENT, "token %d ends the text, which can't end here", token);
        c->ended = 1;
        find_state(c);
        return TIN_OK;
    }
    uint8_t room[4];
    uint32_t length, floor = c->matcher.frame_count, prefix_at = c->prefix_at;
    c->matcher.work = 0;
    const uint8_t *bytes = tini_trie_bytes(tokenizer, (uint32_t)token, room, &length);
    tini_config_list list = c->now;
    if (!bytes || c->ended || !take_bytes(c, bytes, length, &list, &prefix_at)) {
        tini_frames_drop(&c->matcher, floor);
        tin_status status = tini_matcher_status(&c->matcher, error);
        return status ? status : tini_fail(error, TIN_ERR_ARGUMENT, "token %d is not allowed here", token);
    }
    c->now = list;
    c->prefix_at = prefix_at;
    tini_frames_compact(&c->matcher, &c->now);
    find_state(c);
    return TIN_OK;
}

_Static_assert(TINI_TILE == 16, "a word of a mask is two tiles");

static void add_tiles(const tin_constraint *c, const uint32_t *mask, uint32_t *tiles) {
    for (uint32_t w = 0; w < c->words; w++) {
        uint32_t two = ((mask[w] & 0xFFFF) != 0) | (uint32_t)(mask[w] >> 16 != 0) << 1;
        tiles[w >> 4] |= two << (w & 15) * 2;
    }
}

int tini_constraint_accept_ahead(tin_constraint *c, int32_t token) {
    uint8_t room[4];
    uint32_t length, prefix_at = c->prefix_at;
    c->matcher.work = 0;
    const uint8_t *bytes = tini_trie_bytes(c->tokenizer, (uint32_t)token, room, &length);
    tini_config_list list = c->now;
    if (tini_token_is_end(c->tokenizer, token) || !bytes || !take_bytes(c, bytes, length, &list, &prefix_at))
        return 0;
    c->now = list;
    c->prefix_at = prefix_at;
    find_state(c);
    return 1;
}

tini_constraint_position tini_constraint_save(const tin_constraint *c) {
    return (tini_constraint_position){c->now, c->matcher.frame_count, c->prefix_at, c->state};
}

void tini_constraint_rewind(tin_constraint *c, const tini_constraint_position *from) {
    c->now = from->now;
    c->prefix_at = from->prefix_at;
    c->state = from->state;
    tini_frames_drop(&c->matcher, from->frames);
    tini_matcher_status(&c->matcher, NULL);
}

int tini_constraint_tiles(tin_constraint *c, const int32_t *drafts, uint32_t count, uint64_t due,
                          uint32_t *tiles) {
    const tini_constraint_position here = tini_constraint_save(c);
    const uint32_t *mask;
    int good = 1;
    for (uint32_t k = 0;; k++) {
        if (k == count || !(due >> k & 1)) {
            good = !tin_constraint_mask(c, 0, &mask, NULL);
            if (!good)
                break;
            add_tiles(c, mask, tiles);
            if (k == count || !(mask[drafts[k] >> 5] >> (drafts[k] & 31) & 1))
                break;
        }
        if (!tini_constraint_accept_ahead(c, drafts[k]))
            break;
    }
    tini_constraint_rewind(c, &here);
    return good;
}

int tini_constraint_overruns(tin_constraint *c, const int32_t *tokens, uint32_t count, uint32_t left) {
    if (tini_constraint_distance(c) > left)
        return 0;
    const tini_constraint_position here = tini_constraint_save(c);
    int good = count <= left;
    for (uint32_t k = 0; k < count && good; k++)
        good = tini_constraint_accept_ahead(c, tokens[k]);
    good = good && tini_constraint_distance(c) <= left - count;
    tini_constraint_rewind(c, &here);
    return !good;
}

int32_t tin_constraint_state(const tin_constraint *c) {
    return c->state;
}

TINI_REGION_END
