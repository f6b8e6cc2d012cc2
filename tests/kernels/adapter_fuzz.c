/* Opens damaged copies of an adapter, of factors or a prefix, and, where one is accepted, computes with it:
 *
 *   adapter_fuzz FILE.tin ADAPTER.bin   each truncation, each bit of its head, and one in 997 of its factors; then each word of
 *                                       the head in turn replaced by numbers at the borders of what it may be
 *
 * Prints how many damaged copies were refused and how many worked; a crash is the sanitizers' to report. */
#include "whole_file.h"

#include "poison.h"
#include <string.h>

/* An adapter that asks for more is not computed with. */
enum { MOST_RANK = 256, HEAD = 384, PREFIX_HEAD = 192 };

static uint32_t counts[2]; /* refused, worked */

static void compute(const tin_model *model, const tin_adapter *adapter) {
    static const int32_t tokens[] = {1, 2, 3};
    tin_adapter_info info;
    tin_adapter_describe(adapter, &info);
    if (info.rank > MOST_RANK)
        return;
    tin_session_options options = {.context = 16 + info.prefix, .adapter_rank = info.rank};
    float scale = info.prefix ? 1.0f : 0.5f;
    size_t size = tin_session_size(model, &options, NULL);
    uint8_t *memory = aligned(size);
    tin_session *session;
    if (tin_session_create(model, &options, memory, size, &session, NULL) ||
        tin_session_adapter(session, adapter, scale, 0, NULL) || tin_session_append(session, tokens, 3, NULL) ||
        tin_step(session, 0) != TIN_STEP_LOGITS)
        abort();
    free(memory);
}

static void try(const tin_model *model, const uint8_t *data, size_t size) {
    tin_error error = {0};
    size_t needed = tin_adapter_size(model, data, size, &error);
    counts[needed != 0]++;
    if (!needed && (error.status >= 0 || !*error.text))
        abort();
    if (!needed)
        return;
    uint8_t *memory = aligned(needed);
    tin_adapter *adapter;
    if (tin_adapter_open(model, data, size, memory, needed, &adapter, &error))
        abort(); /* its size was told, so it is sound */
    compute(model, adapter);
    free(memory);
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    size_t file_size, size;
    uint8_t *file = read_whole(argv[1], &file_size), *whole = read_whole(argv[2], &size);
    uint8_t *copy = aligned(size), *room = aligned(tin_model_size(file, file_size, NULL));
    tin_model *model;
    if (tin_model_create(file, file_size, NULL, room, tin_model_size(file, file_size, NULL), &model, NULL))
        return 2;
    memcpy(copy, whole, size);
    const size_t head = memcmp(whole, "TINPREF", 8) ? HEAD : PREFIX_HEAD;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        if (bit >= 8 * head && bit % 997)
            continue;
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        try(model, copy, size);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    static const uint64_t words[] = {0, 1, 16, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX, UINT64_MAX - 63};
    for (size_t at = 0; at + 8 <= head && at + 8 <= size; at += 4)
        for (size_t k = 0; k < 2 * sizeof words / sizeof *words; k++) {
            memcpy(copy + at, &words[k / 2], k % 2 ? 4 : 8);
            try(model, copy, size);
            memcpy(copy + at, whole + at, 8);
        }
    for (size_t cut = size; cut-- > 0;) { /* what was cut off must not be touched */
        ASAN_POISON_MEMORY_REGION(copy + cut, 1);
        if (cut < head || cut % 997 == 0 || size - cut < 200)
            try(model, copy, cut);
    }
    ASAN_UNPOISON_MEMORY_REGION(copy, size);
    printf("%u %u\n", counts[0], counts[1]);
    free(room);
    free(copy);
    free(whole);
    free(file);
    return 0;
}
