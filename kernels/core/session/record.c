#include "record.h"
#include "../base/error.h"
#include "../base/memory.h"
#include "sampler.h"
#include "search.h"

TINI_REGION_COLD

enum { MOST_TOPS = 64 };

void tini_record_begin(tini_record *record) {
    if (record)
        record->count = 0;
}

void tini_record_add(tini_record *record, uint32_t at, const float *logits, uint32_t vocab,
                     const uint32_t *mask, uint32_t token, double share) {
    uint32_t allowed = tini_allowed(mask, vocab);
    if (allowed < 2 || record->count == record->rows)
        return;
    tin_top *tops = record->all + (size_t)record->count * record->tops;
    record->entries[record->count++] = (tini_entry){
        .at = at,
        .choice = {.log_probability = share,
                   .logit = logits[token],
                   .allowed = allowed,
                   .tops = tops,
                   .top_count = tini_log_shares(logits, vocab, mask, tops, record->tops)},
    };
}

/* Where the entries and the alternatives lie behind the record itself; the bytes of all. */
static uint64_t plan_record(const tin_session *s, uint32_t tops, uint64_t *entries, uint64_t *all) {
    uint64_t total = 0, rows = s->options.logit_rows;
    tini_take(&total, sizeof(tini_record));
    *entries = tini_take(&total, rows * sizeof(tini_entry));
    *all = tini_take(&total, (rows + 1) * tops * sizeof(tin_top));
    return total;
}

size_t tin_session_record_size(const tin_session *s, uint32_t tops, tin_error *error) {
    uint64_t entries, all;
    if (tops <= MOST_TOPS)
        return (size_t)plan_record(s, tops, &entries, &all);
    tini_fail(error, TIN_ERR_ARGUMENT, "%u alternatives of a choice; at most %u are kept", tops, MOST_TOPS);
    return 0;
}

tin_status tin_session_record(tin_session *s, uint32_t tops, void *memory, size_t memory_size,
                              tin_error *error) {
    s->record = NULL;
    if (!memory)
        return TIN_OK;
    size_t needed = tin_session_record_size(s, tops, error);
    if (!needed)
        return TIN_ERR_ARGUMENT;
    if (tini_lacks(memory, memory_size, needed, "a record needs", error))
        return TIN_ERR_MEMORY;
    uint64_t entries, all;
    plan_record(s, tops, &entries, &all);
    tini_record *record = memory;
    *record = (tini_record){.rows = s->options.logit_rows,
                            .tops = tops,
                            .entries = (tini_entry *)(void *)((uint8_t *)memory + entries),
                            .all = (tin_top *)(void *)((uint8_t *)memory + all)};
    s->record = record;
    return TIN_OK;
}

tin_status tin_session_choice(const tin_session *s, tin_choice *choice, tin_error *error) {
    *choice = (tin_choice){.allowed = 1};
    if (!s->record || s->event_position == TINI_NONE)
        return tini_fail(error, TIN_ERR_STATE,
                         s->record ? "the last step gave no token"
                                   : "the session keeps no choices: give it a record first");
    const tini_record *record = s->record;
    if (s->search && s->search->most) {
        tin_top *tops = record->all + (size_t)record->rows * record->tops;
        *choice = tini_search_choice(s, s->event_position, tops, record->tops);
    }
    for (uint32_t k = 0; k < record->count; k++)
        if (record->entries[k].at == s->event_position)
            *choice = record->entries[k].choice;
    return TIN_OK;
}

TINI_REGION_END
