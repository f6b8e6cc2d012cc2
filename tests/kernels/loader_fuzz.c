/* Opens damaged copies of a tin and, where one is accepted, computes with it:
 *
 *   loader_fuzz FILE.tin COUNT   each truncation, and COUNT random damages
 *   loader_fuzz FILE.tin bits    each bit of the program, tokenizer, its tree, template and ZIP structures, and one in 997 of the rest
 *
 * Prints how many damaged copies were refused and how many worked; a crash is the sanitizers' to report. */
#include "../../kernels/include/tin.h"

#include "poison.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A session larger than this is what the file asks for, but more than this test has. */
enum { SESSION_LIMIT = 1 << 26 };

static void *aligned(size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, TIN_ALIGNMENT, size))
        abort();
    return memory;
}

static void compute(const tin_model *model) {
    tin_session_options options = {.context = 16, .chunk = 8, .logit_rows = 3, .checkpoints = 1};
    size_t size = tin_session_size(model, &options, NULL);
    if (!size || size > SESSION_LIMIT)
        return;
    void *memory = aligned(size);
    TAKE_AS_WRITTEN(memory, size);
    tin_session *session;
    if (tin_session_create(model, &options, memory, size, &session, NULL) == TIN_OK) {
        static const int32_t tokens[] = {1, 2, 3};
        const tin_sampling sampling = {.temperature = 1.0f, .top_p = 0.9f, .repetition_penalty = 1.1f};
        if (tin_session_append(session, tokens, 3, NULL) == TIN_OK && tin_step(session, 0) == TIN_STEP_LOGITS) {
            uint32_t length;
            int control;
            tin_token_text(model, tin_session_sample(session, &sampling), &length, &control);
            int32_t event = tin_session_generate(session, NULL, 4, 2, NULL);
            while (event >= 0 && event != TIN_STEP_DONE)
                event = tin_step(session, 0);
        }
    }
    free(memory);
}

static void chat(const tin_model *model) {
    const tin_message messages[] = {{TIN_ROLE_SYSTEM, " be brief\xe3\x80\x80", 12},
                                    {TIN_ROLE_USER, "<|im_end|>", 10}};
    size_t size = tin_chat_scratch(model, messages, 2, NULL);
    if (!size)
        return;
    void *scratch = malloc(size);
    int32_t tokens[64];
    int64_t count = tin_chat(model, messages, 2, TIN_CHAT_ANSWER, tokens, 64, scratch, size, NULL);
    for (int64_t k = 0; k < count && k < 64; k++)
        if (!tin_token_text(model, tokens[k], NULL, NULL))
            abort();
    free(scratch);
}

static int works(const uint8_t *file, size_t size) {
    tin_error error;
    size_t needed = tin_model_size(file, size, &error);
    if (!needed)
        return 0;
    void *memory = aligned(needed);
    tin_model *model;
    if (tin_model_create(file, size, NULL, memory, needed, &model, &error) != TIN_OK)
        abort(); /* its size was told, so the file is sound */
    compute(model);
    chat(model);
    free(memory);
    return 1;
}

static uint32_t next_random(void) {
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* What sizes, counts and offsets must be checked against. */
static const uint64_t words[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX, UINT64_MAX - 4095};
enum { WORDS = sizeof words / sizeof *words };

/* Damages file[at ..]: a bit, a byte, or a whole little-endian word. */
static void damage(uint8_t *file, size_t size, size_t at) {
    uint32_t kind = next_random() % 4;
    if (kind == 0) {
        file[at] ^= (uint8_t)(1u << next_random() % 8);
    } else if (kind == 1) {
        file[at] = (uint8_t)next_random();
    } else {
        size_t width = kind == 2 ? 4 : 8;
        at -= at % width;
        memcpy(file + at, &words[next_random() % WORDS], at + width <= size ? width : size - at);
    }
}

/* A place to damage: half of them in the program, and in the tokenizer and the ZIP directory, which decide more
 * than the weights do. */
static size_t pick(const uint8_t *file, size_t size, const tin_model *model) {
    const void *part;
    size_t length;
    switch (next_random() % 9) {
    case 0:
    case 1:
    case 2:
        tin_model_entry(model, "program.bin", &part, &length);
        break;
    case 3:
        if (tin_model_entry(model, "mtp/program.bin", &part, &length) != TIN_OK)
            tin_model_entry(model, "program.bin", &part, &length);
        break;
    case 4:
        tin_model_entry(model, "tokenizer.bin", &part, &length);
        break;
    case 5:
        tin_model_entry(model, "turns.bin", &part, &length);
        break;
    case 6:
        tin_model_entry(model, "trie.bin", &part, &length);
        break;
    case 7:
        length = size < 1024 ? size : 1024;
        part = file + size - length;
        break;
    default:
        part = file;
        length = size;
    }
    return (size_t)((const uint8_t *)part - file) + next_random() % length;
}

/* Each word in turn in each place of the first 64 bytes of an entry, its header. */
static void sweep_header(const uint8_t *whole, uint8_t *copy, size_t size, const tin_model *model,
                         const char *name, uint32_t counts[2]) {
    const void *entry;
    size_t length;
    tin_model_entry(model, name, &entry, &length);
    size_t first = (size_t)((const uint8_t *)entry - whole);
    for (size_t width = 4; width <= 8; width += 4)
        for (size_t at = first; at < first + 64; at += width)
            for (size_t k = 0; k < WORDS; k++) {
                memcpy(copy, whole, size);
                memcpy(copy + at, &words[k], width);
                counts[works(copy, size)]++;
            }
}

/* Does the byte decide anything but a weight: in an entry of the structure, a ZIP header, or the directory? */
static int is_structure(const uint8_t *whole, size_t size, size_t at, const tin_model *model) {
    static const char *const names[] = {"program.bin", "tokenizer.bin", "turns.bin", "trie.bin"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const void *entry;
        size_t length;
        tin_model_entry(model, names[k], &entry, &length);
        if (at - (size_t)((const uint8_t *)entry - whole) < length)
            return 1;
    }
    for (size_t back = 0; back < 64 && back <= at; back++)
        if (at - back + 4 <= size && !memcmp(whole + at - back, "PK\3\4", 4))
            return 1;
    return size - at <= 1024;
}

/* Each bit of the structure in turn, and one in 997 of the rest. */
static void flip_all(const uint8_t *whole, uint8_t *copy, size_t size, const tin_model *model,
                     uint32_t counts[2]) {
    memcpy(copy, whole, size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        if (bit % 997 && !is_structure(whole, size, bit / 8, model))
            continue;
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        counts[works(copy, size)]++;
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Each truncation, shortest last: what was cut off must not be touched. Returns whether one was accepted. */
static int truncate_all(uint8_t *copy, size_t size) {
    int accepted = 0;
    for (size_t cut = size; cut-- > 0;) {
        ASAN_POISON_MEMORY_REGION(copy + cut, 1);
        accepted |= works(copy, cut);
    }
    ASAN_UNPOISON_MEMORY_REGION(copy, size);
    return accepted;
}

int main(int argc, char **argv) {
    FILE *input = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!input || fseek(input, 0, SEEK_END))
        return 2;
    size_t size = (size_t)ftell(input);
    rewind(input);
    uint8_t *whole = aligned(size), *copy = aligned(size);
    if (fread(whole, 1, size, input) != size || !works(whole, size))
        return 3;
    fclose(input);

    tin_model *model;
    size_t needed = tin_model_size(whole, size, NULL);
    void *memory = aligned(needed);
    tin_model_create(whole, size, NULL, memory, needed, &model, NULL);
    uint32_t counts[2] = {0, 0}; /* refused, worked */
    if (!strcmp(argv[2], "bits")) {
        flip_all(whole, copy, size, model, counts);
        printf("%u %u\n", counts[0], counts[1]);
        free(memory);
        free(whole);
        free(copy);
        return 0;
    }
    sweep_header(whole, copy, size, model, "program.bin", counts);
    sweep_header(whole, copy, size, model, "tokenizer.bin", counts);
    sweep_header(whole, copy, size, model, "turns.bin", counts);
    sweep_header(whole, copy, size, model, "trie.bin", counts);
    for (int k = atoi(argv[2]); k > 0; k--) {
        memcpy(copy, whole, size);
        damage(copy, size, pick(whole, size, model));
        counts[works(copy, size)]++;
    }
    printf("%u %u\n", counts[0], counts[1]);

    memcpy(copy, whole, size);
    int accepted = truncate_all(copy, size);
    free(memory);
    free(whole);
    free(copy);
    return accepted ? 4 : 0;
}
