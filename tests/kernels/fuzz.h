/* What the fuzzers share: the sound file that they start from, and damage to it. An input is a list of patches, so that
 * the file stays whole but for them, and then what the fuzzer does with the result. */
#ifndef FUZZ_H
#define FUZZ_H

#include "moves.h"

typedef struct image {
    uint8_t *data;
    size_t size;
} image;

/* The tin that TIN_BASE names. */
static image base;
static tin_model *base_model;

static inline const uint8_t *base_entry(const char *name, size_t *size) {
    const void *data;
    if (tin_model_entry(base_model, name, &data, size))
        abort();
    return data;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    const char *path = getenv("TIN_BASE");
    FILE *file = path ? fopen(path, "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END)) {
        fputs("TIN_BASE names no tin\n", stderr);
        exit(2);
    }
    base.size = (size_t)ftell(file);
    rewind(file);
    base.data = moves_aligned(base.size);
    if (fread(base.data, 1, base.size, file) != base.size)
        exit(2);
    fclose(file);
    size_t size = tin_model_size(base.data, base.size, NULL);
    if (!size || tin_model_create(base.data, base.size, NULL, moves_aligned(size), size, &base_model, NULL))
        exit(2);
    return 0;
}

/* What sizes, counts, offsets and floats must be checked against. */
static const uint32_t fuzz_words[] = {0,          1,          2,          0x7fffffff, 0x80000000, 0xffffffff,
                                      0xfffffffe, 0x00010000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f7fffff,
                                      0x00100000, 0x01000000, 0x00007c00, 0x7c007c00};

/* One patch within data[size]: a bit, a byte, a word, or a record copied over another. */
static inline void patch(script *s, uint8_t *data, size_t size) {
    uint32_t kind = next_byte(s) % 8;
    size_t at = next_word(s) | (size_t)next_byte(s) << 16;
    uint32_t value = next_word(s) | next_word(s) << 16, old;
    static const size_t records[] = {16, 32, 96};
    if (!size)
        return;
    at %= size;
    if (kind == 0) {
        data[at] ^= (uint8_t)(1u << value % 8);
        return;
    }
    if (kind == 1) {
        data[at] = (uint8_t)value;
        return;
    }
    at -= at % 4;
    if (kind <= 4 && size - at >= 4) {
        memcpy(&old, data + at, 4);
        value = kind == 2 ? value : kind == 3 ? fuzz_words[value % 16] : old + value % 65 - 32;
        memcpy(data + at, &value, 4);
    } else if (kind > 4) {
        size_t bytes = records[kind - 5], from = (value - value % 4) % size;
        if (size - at >= bytes && size - from >= bytes)
            memmove(data + at, data + from, bytes);
    }
}

static inline void patch_all(script *s, uint8_t *data, size_t size) {
    for (uint32_t count = next_byte(s) % 8; count; count--)
        patch(s, data, size);
}

/* Threads that take their work last part first. */
static void backwards(void *context, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
    (void)context;
    while (count--)
        job(argument, count);
}

static const tin_executor fuzz_executor = {.threads = 3, .run = backwards};

/* Copies to a block of just that size, so that reading past it is seen. */
static inline uint8_t *exact_copy(const uint8_t *data, size_t size) {
    uint8_t *copy = moves_aligned(size);
    memcpy(copy, data, size);
    return copy;
}

#endif
