#include "matcher.h"
#include "../base/memory.h"

#include <string.h>

static uint32_t state_of(uint32_t config) {
    return config & 0xFFFF;
}

static uint32_t frame_of(uint32_t config) {
    return config >> 16;
}

size_t tini_matcher_place(tini_matcher *m, void *memory) {
    m->row_shift = 0;
    while (1u << m->row_shift < m->automaton.header->classes)
        m->row_shift++;
    uint64_t total = 0;
    uint64_t frames = tini_take(&total, TINI_FRAMES * sizeof *m->frames);
    uint64_t buckets = tini_take(&total, TINI_BUCKETS * sizeof *m->buckets);
    uint64_t moved = tini_take(&total, TINI_FRAMES * sizeof *m->moved);
    uint64_t sets = tini_take(&total, TINI_SETS * sizeof *m->sets);
    uint64_t set_buckets = tini_take(&total, TINI_BUCKETS * sizeof *m->set_buckets);
    uint64_t pool = tini_take(&total, TINI_CONFIG_POOL * sizeof *m->pool);
    uint64_t rows = tini_take(&total, ((uint64_t)TINI_SETS << m->row_shift) * sizeof *m->rows);
    if (memory) {
        uint8_t *base = memory;
        m->frames = (void *)(base + frames);
        m->buckets = (void *)(base + buckets);
        m->moved = (void *)(base + moved);
        m->sets = (void *)(base + sets);
        m->set_buckets = (void *)(base + set_buckets);
        m->pool = (void *)(base + pool);
        m->rows = (void *)(base + rows);
    }
    return (size_t)total;
}

void tini_sets_reset(tini_matcher *m) {
    m->set_count = m->pool_count = 0;
    memset(m->set_buckets, 0xFF, TINI_BUCKETS * sizeof *m->set_buckets);
}

void tini_matcher_reset(tini_matcher *m) {
    memset(m->buckets, 0xFF, TINI_BUCKETS * sizeof *m->buckets);
    memset(m->frames, 0, TINI_FIXED_FRAMES * sizeof *m->frames);
    m->frame_count = TINI_FIXED_FRAMES;
    m->remote = UINT32_MAX;
    m->full = m->ambiguous = 0;
    m->work = 0;
    tini_sets_reset(m);
}

/* ---- Frames ---------------------------------------------------------------------------------------------- */

static uint32_t frame_bucket(uint32_t parent, uint32_t call, uint32_t count) {
    uint32_t h = (parent * 0x9E3779B1u ^ call * 0x85EBCA77u) + count * 0xC2B2AE3Du;
    return (h ^ h >> 15) % TINI_BUCKETS;
}

static uint16_t *bucket_of(tini_matcher *m, const tini_frame *f) {
    return &m->buckets[frame_bucket(f->parent, f->call, f->count)];
}

uint32_t tini_frame_push(tini_matcher *m, uint32_t parent, uint32_t call, uint32_t count) {
    uint16_t *bucket = &m->buckets[frame_bucket(parent, call, count)];
    for (uint32_t k = *bucket; k != TINI_NO_FRAME; k = m->frames[k].next)
        if (m->frames[k].parent == parent && m->frames[k].call == call && m->frames[k].count == count)
            return k;
    if (m->frames[parent].depth >= m->limit)
        return TINI_NO_FRAME;
    if (m->frame_count == TINI_FRAMES) {
        m->full = 1;
        return TINI_NO_FRAME;
    }
    const tini_constraint_call *c = &m->automaton.calls[call];
    const uint32_t *needs = m->automaton.needs;
    uint32_t again = c->least > count + 1 ? c->least - count - 1 : 0;
    uint32_t need = tini_add(tini_times(again, needs[c->enter]), needs[c->leave]);
    m->frames[m->frame_count] = (tini_frame){.call = call,
                                             .count = count,
                                             .need = tini_add(need, m->frames[parent].need),
                                             .parent = (uint16_t)parent,
                                             .depth = (uint16_t)(m->frames[parent].depth + 1),
                                             .next = *bucket};
    *bucket = (uint16_t)m->frame_count;
    return m->frame_count++;
}

void tini_frames_drop(tini_matcher *m, uint32_t count) {
    while (m->frame_count > count) { /* the newest is the first of its bucket */
        const tini_frame *f = &m->frames[--m->frame_count];
        *bucket_of(m, f) = f->next;
    }
}

void tini_frames_compact(tini_matcher *m, tini_config_list *list) {
    uint32_t count = m->frame_count, kept = TINI_FIXED_FRAMES;
    memset(m->moved, 0, count * sizeof *m->moved);
    for (uint32_t k = 0; k < list->count; k++)
        for (uint32_t f = frame_of(list->items[k]); f >= TINI_FIXED_FRAMES && !m->moved[f];
             f = m->frames[f].parent)
            m->moved[f] = 1;
    memset(m->buckets, 0xFF, TINI_BUCKETS * sizeof *m->buckets);
    m->moved[TINI_OPEN_FRAME] = TINI_OPEN_FRAME;
    for (uint32_t f = TINI_FIXED_FRAMES; f < count; f++) { /* parents come before their children */
        if (!m->moved[f])
            continue;
        tini_frame frame = m->frames[f];
        frame.parent = m->moved[frame.parent];
        uint16_t *bucket = bucket_of(m, &frame);
        frame.next = *bucket;
        *bucket = (uint16_t)kept;
        m->frames[kept] = frame;
        m->moved[f] = (uint16_t)kept++;
    }
    m->frame_count = kept;
    for (uint32_t k = 0; k < list->count; k++)
        list->items[k] = tini_config(state_of(list->items[k]), m->moved[frame_of(list->items[k])]);
}

/* ---- Configurations --------------------------------------------------------------------------------------- */

static void add(tini_matcher *m, tini_config_list *list, uint32_t config) {
    for (uint32_t k = 0; k < list->count; k++)
        if (list->items[k] == config)
            return;
    if (list->count == TINI_CONFIGS)
        m->ambiguous = 1;
    else
        list->items[list->count++] = config;
}

static int accepts(const tini_matcher *m, uint32_t state) {
    return state == TINI_DONE_STATE || m->automaton.states[state].accepts;
}

static uint32_t repetitions(const tini_constraint_call *call, const tini_frame *frame) {
    return call->most == TINI_NO_END && frame->count >= call->least ? call->least : frame->count + 1;
}

/* Adds (enter, frame) of the next repetition, and (leave, parent), where a rule that ends at `frame` leads to them.
 * byte: only where the repetition can begin with it; 256: in any case. */
static void complete(tini_matcher *m, uint32_t frame, uint32_t byte, tini_config_list *out) {
    if (frame < TINI_FIXED_FRAMES)
        return;
    const tini_frame *f = &m->frames[frame];
    const tini_constraint_call *call = &m->automaton.calls[f->call];
    uint32_t parent = f->parent, number = f->call, count = repetitions(call, f);
    if (parent == TINI_OPEN_FRAME && f->count >= m->remote)
        return;
    if (count < call->most && (byte > 255 || call->first[byte >> 5] >> (byte & 31) & 1)) {
        uint32_t again = tini_frame_push(m, parent, number, count);
        if (again != TINI_NO_FRAME)
            add(m, out, tini_config(call->enter, again));
    }
    if (count >= call->least)
        add(m, out, tini_config(call->leave, parent));
}

void tini_list_close(tini_matcher *m, tini_config_list *list) {
    for (uint32_t k = 0; k < list->count; k++)
        if (accepts(m, state_of(list->items[k])))
            complete(m, frame_of(list->items[k]), 256, list);
}

/* Where the ends of rules lead from a configuration, innermost first: the frame at which one ends whose completion
 * changes nothing (ROOT, OPEN, or a frame counted far), or NO_FRAME. */
static uint32_t end_of(const tini_matcher *m, uint32_t config) {
    uint32_t state = state_of(config), frame = frame_of(config);
    while (accepts(m, state)) {
        if (frame < TINI_FIXED_FRAMES)
            return frame;
        const tini_frame *f = &m->frames[frame];
        const tini_constraint_call *call = &m->automaton.calls[f->call];
        if (f->parent == TINI_OPEN_FRAME && f->count >= m->remote)
            return frame;
        if (repetitions(call, f) < call->least)
            return TINI_NO_FRAME;
        state = call->leave;
        frame = f->parent;
    }
    return TINI_NO_FRAME;
}

int tini_list_may_end(const tini_matcher *m, const tini_config_list *list) {
    for (uint32_t k = 0; k < list->count; k++)
        if (end_of(m, list->items[k]) == TINI_ROOT_FRAME)
            return 1;
    return 0;
}

uint32_t tini_config_distance(const tini_matcher *m, uint32_t config) {
    uint32_t state = state_of(config), need = m->frames[frame_of(config)].need;
    return state == TINI_DONE_STATE ? need : tini_add(m->automaton.needs[state], need);
}

/* Counts what there is to look at in a state. 1: it is too much. */
static int looks_at(tini_matcher *m, uint32_t state) {
    m->work += 1 + (state == TINI_DONE_STATE ? 0 : m->automaton.states[state].call_count);
    return m->work > TINI_WORK;
}

void tini_list_bytes(tini_matcher *m, const tini_config_list *given, uint32_t bytes[8]) {
    const tini_automaton *a = &m->automaton;
    tini_config_list list = *given;
    uint32_t floor = m->frame_count;
    uint8_t leads[256] = {0};
    memset(bytes, 0, 8 * sizeof *bytes);
    tini_list_close(m, &list);
    for (uint32_t k = 0; k < list.count; k++) {
        uint32_t s = state_of(list.items[k]);
        if (s == TINI_DONE_STATE)
            continue;
        if (looks_at(m, s)) {
            memset(leads, 1, sizeof leads); /* any may */
            break;
        }
        for (uint32_t c = 0; c < a->header->classes; c++)
            leads[c] |= a->next[(size_t)s * a->header->classes + c] != TINI_NO_STATE;
        for (uint32_t c = 0; c < a->states[s].call_count; c++)
            for (uint32_t w = 0; w < 8; w++)
                bytes[w] |= a->calls[a->states[s].first_call + c].first[w];
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        bytes[byte >> 5] |= (uint32_t)leads[a->class_of[byte]] << (byte & 31);
    tini_frames_drop(m, floor);
    m->full = m->ambiguous = 0; /* what they left out, a step will meet again */
}

int tini_list_can_continue(tini_matcher *m, const tini_config_list *list) {
    uint32_t bytes[8], any = 0;
    tini_list_bytes(m, list, bytes);
    for (uint32_t w = 0; w < 8; w++)
        any |= bytes[w];
    return any != 0;
}

/* Adds the configuration after a byte, unless its way to the end needs frames past the limit. */
static void arrive(tini_matcher *m, tini_config_list *out, uint32_t state, uint32_t frame) {
    if (m->frames[frame].depth + m->automaton.frames[state] <= m->limit)
        add(m, out, tini_config(state, frame));
}

void tini_list_step(tini_matcher *m, const uint32_t *configs, uint32_t count, uint32_t byte, int inner,
                    tini_config_list *out) {
    const tini_automaton *a = &m->automaton;
    tini_config_list todo = {.count = count};
    memcpy(todo.items, configs, count * sizeof *configs);
    out->count = 0;
    for (uint32_t k = 0; k < todo.count; k++) {
        uint32_t s = state_of(todo.items[k]), frame = frame_of(todo.items[k]);
        if (looks_at(m, s)) {
            m->ambiguous = 1;
            return;
        }
        if (s != TINI_DONE_STATE) {
            uint32_t to = a->next[(size_t)s * a->header->classes + a->class_of[byte]];
            if (to != TINI_NO_STATE)
                arrive(m, out, to, frame);
            for (uint32_t c = a->states[s].first_call, end = c + a->states[s].call_count; c < end; c++) {
                const tini_constraint_call *call = &a->calls[c];
                if (!(call->first[byte >> 5] >> (byte & 31) & 1))
                    continue;
                uint32_t top = tini_is_tail(a, call) ? frame : tini_frame_push(m, frame, c, 0);
                if (top != TINI_NO_FRAME)
                    add(m, &todo, tini_config(call->enter, top));
            }
        }
        if (accepts(m, s) && !(inner && k < count))
            complete(m, frame, byte, &todo);
    }
}

/* ---- Sets ------------------------------------------------------------------------------------------------- */

static void sort_list(tini_config_list *list) {
    for (uint32_t k = 1; k < list->count; k++) {
        uint32_t item = list->items[k], at = k;
        for (; at && list->items[at - 1] > item; at--)
            list->items[at] = list->items[at - 1];
        list->items[at] = item;
    }
}

static void describe_set(const tini_matcher *m, tini_set *set, const tini_config_list *list) {
    set->distance = TINI_NO_END;
    for (uint32_t k = 0; k < list->count; k++) {
        uint32_t config = list->items[k], distance = tini_config_distance(m, config), end = end_of(m, config);
        uint32_t state = state_of(config), frames = m->frames[frame_of(config)].depth;
        frames += state == TINI_DONE_STATE ? 0 : m->automaton.frames[state];
        set->distance = distance < set->distance ? distance : set->distance;
        set->frames = frames > set->frames ? (uint16_t)frames : set->frames;
        set->open |= end == TINI_OPEN_FRAME;
        set->remote |= end >= TINI_FIXED_FRAMES && end != TINI_NO_FRAME;
    }
}

uint32_t tini_set_make(tini_matcher *m, tini_config_list *list, int inner) {
    if (!list->count)
        return TINI_SET_NONE;
    uint32_t only = state_of(list->items[0]);
    if (list->count == 1 && only != TINI_DONE_STATE && (m->automaton.kinds[only] & TINI_STATE_PLAIN))
        return list->items[0];
    sort_list(list);
    uint32_t h = list->count;
    for (uint32_t k = 0; k < list->count; k++)
        h = (h ^ list->items[k]) * 0x9E3779B1u, h ^= h >> 15;
    uint16_t *bucket = &m->set_buckets[h % TINI_BUCKETS];
    for (uint32_t k = *bucket; !inner && k != 0xFFFF; k = m->sets[k].next)
        if (m->sets[k].count == list->count &&
            !memcmp(m->pool + m->sets[k].first, list->items, list->count * sizeof *list->items))
            return k << 16 | TINI_SET_MARK;
    if (m->set_count == TINI_SETS || m->pool_count + list->count > TINI_CONFIG_POOL) {
        m->full = 1;
        return TINI_SET_NONE;
    }
    uint32_t number = m->set_count++, classes = m->automaton.header->classes;
    tini_set *set = &m->sets[number];
    *set = (tini_set){.first = m->pool_count, .count = (uint16_t)list->count, .inner = (uint8_t)inner};
    describe_set(m, set, list);
    memcpy(m->pool + m->pool_count, list->items, list->count * sizeof *list->items);
    m->pool_count += list->count;
    if (!inner) {
        set->next = *bucket;
        *bucket = (uint16_t)number;
    }
    for (uint32_t k = 0; k < classes; k++)
        m->rows[((size_t)number << m->row_shift) + k] = TINI_SET_UNKNOWN;
    return number << 16 | TINI_SET_MARK;
}

uint32_t tini_set_step(tini_matcher *m, uint32_t set, uint32_t byte) {
    tini_config_list after;
    if ((set & 0xFFFF) != TINI_SET_MARK) {
        tini_list_step(m, &set, 1, byte, 0, &after);
        return tini_set_make(m, &after, 0);
    }
    const tini_set *from = &m->sets[set >> 16];
    tini_list_step(m, m->pool + from->first, from->count, byte, from->inner, &after);
    uint32_t to = tini_set_make(m, &after, 0);
    if (!m->full)
        m->rows[((size_t)(set >> 16) << m->row_shift) + m->automaton.class_of[byte]] = to;
    return to;
}
