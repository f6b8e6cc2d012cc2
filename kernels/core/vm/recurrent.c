#include "recurrent.h"

#include <string.h>

TINI_REGION_COLD

uint64_t tini_states_bytes(const tini_program *program) {
    uint64_t total = 0;
    for (uint32_t k = 0; k < program->header->states; k++)
        total += tini_state_floats(&program->states[k]) * sizeof(float);
    return total; /* columns are a multiple of 16, so this and every offset are of 64 bytes */
}

static uint8_t *slot_at(const tini_states *s, uint32_t slot) {
    return s->base + s->bytes * slot;
}

static uint64_t state_place(const tini_states *s, uint32_t state) {
    uint64_t offset = 0;
    for (uint32_t k = 0; k < state; k++)
        offset += tini_state_floats(&s->program->states[k]);
    return offset;
}

float *tini_states_at(const tini_states *s, uint32_t slot, uint32_t state) {
    return (float *)(void *)slot_at(s, slot) + state_place(s, state);
}

const float *tini_states_first(const tini_states *s, uint32_t state) {
    return s->first ? (const float *)(const void *)s->first + state_place(s, state) : NULL;
}

uint32_t tini_states_newest(const tini_states *s, uint32_t position) {
    uint32_t newest = s->bytes ? 0 : position;
    for (uint32_t k = 0; s->bytes && k < s->slots; k++)
        if (s->at[k] <= position && s->at[k] > newest)
            newest = s->at[k];
    return newest;
}

void tini_states_forget(tini_states *s, uint32_t position) {
    for (uint32_t k = 0; s->bytes && k < s->slots; k++)
        if (s->at[k] > position)
            s->at[k] = TINI_NONE;
}

static uint32_t slot_of(const tini_states *s, uint32_t position) {
    uint32_t k = 0;
    while (position && s->at[k] != position)
        k++;
    return position ? k : TINI_NONE;
}

const float *tini_states_of(const tini_states *s, uint32_t position, uint32_t state) {
    if (!position || tini_states_newest(s, position) != position)
        return NULL;
    return tini_states_at(s, slot_of(s, position), state);
}

/* What is lost with a slot when states of `next` - 1 and `next` tokens are about to be there: for how many positions some
 * more tokens would have to be computed again, times how many. */
static uint64_t loss(const tini_states *s, uint32_t slot, uint32_t next) {
    uint32_t at = s->at[slot], below = 0, above = next - 1 > at ? next - 1 : next;
    if (at == TINI_NONE)
        return 0;
    for (uint32_t k = 0; k < s->slots; k++) {
        if (k == slot || s->at[k] == TINI_NONE)
            continue;
        if (s->at[k] <= at && s->at[k] > below)
            below = s->at[k];
        if (s->at[k] > at && s->at[k] < above)
            above = s->at[k];
    }
    return (uint64_t)(at - below) * (above - at);
}

/* Gives up the slot with the least to lose but for `kept`; rather another one than `from`. */
static uint32_t free_slot(tini_states *s, uint32_t kept, uint32_t from, uint32_t next) {
    uint32_t slot = 0; /* there are slots enough for another than `kept` */
    uint64_t least = UINT64_MAX;
    for (uint32_t k = 0; k < s->slots; k++) {
        uint64_t lost = k == kept ? UINT64_MAX : 2 * loss(s, k, next) + (k == from);
        if (k != kept && s->at[k] != TINI_NONE && s->ends >> k & 1)
            lost += UINT64_C(1) << 60;
        if (lost < least) {
            least = lost;
            slot = k;
        }
    }
    s->at[slot] = TINI_NONE;
    s->ends &= ~(UINT64_C(1) << slot);
    return slot;
}

void tini_states_begin(tini_states *s, uint32_t position, uint32_t rows, uint32_t drafts) {
    if (!s->bytes)
        return;
    s->from = slot_of(s, position);
    s->to = free_slot(s, s->from, s->from, position + rows);
    s->sure = drafts ? rows - drafts : rows - 1;
    s->work = s->sure ? free_slot(s, s->to, s->from, position + rows) : TINI_NONE;
    s->drafted = drafts != 0;
}

void tini_states_end(tini_states *s, uint32_t position, int end_of_text) {
    if (!s->bytes)
        return;
    uint32_t rows = s->rows[0] + s->rows[1];
    if (s->work != TINI_NONE)
        s->at[s->work] = position - rows + s->sure;
    s->at[s->to] = position;
    uint32_t slot = !s->drafted ? s->to : s->work != TINI_NONE ? s->work : s->from;
    if (end_of_text && slot != TINI_NONE) /* of drafts alone, nothing before them may be held */
        s->ends |= UINT64_C(1) << slot;
}

uint64_t tini_states_saved_bytes(const tini_states *s, uint32_t position) {
    return position ? s->bytes : 0;
}

void tini_states_save(const tini_states *s, uint32_t position, uint8_t *out) {
    if (position && s->bytes)
        memcpy(out, slot_at(s, slot_of(s, position)), (size_t)s->bytes);
}

void tini_states_restore(tini_states *s, uint32_t position, const uint8_t *in) {
    tini_states_forget(s, 0);
    if (!position || !s->bytes)
        return;
    memcpy(slot_at(s, 0), in, (size_t)s->bytes);
    s->at[0] = position;
    s->ends = 1;
}

void tini_states_copy(tini_states *to, const tini_states *from, uint32_t position) {
    tini_states_restore(to, position, position && to->bytes ? slot_at(from, slot_of(from, position)) : NULL);
}

TINI_REGION_END
