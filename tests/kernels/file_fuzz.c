/* libFuzzer: a damaged file image. Where the library takes it, sessions are played on it. */
#include "fuzz.h"

/* Where in the file a patch falls: mostly in what decides most. */
static void patch_somewhere(script *s, uint8_t *copy) {
    static const char *const names[] = {"program.bin",   "program.bin",   "program.bin", "program.bin",
                                        "tokenizer.bin", "tokenizer.bin", "turns.bin",   "weights.bin"};
    uint32_t where = next_byte(s) % 11;
    size_t size, headers = base.size < 1024 ? base.size : 1024;
    if (where < 8) {
        const uint8_t *part = base_entry(names[where], &size);
        patch(s, copy + (part - base.data), size);
    } else if (where == 8) {
        patch(s, copy, base.size);
    } else {
        patch(s, copy + base.size - headers, headers); /* the directory */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script s = {data, size};
    uint32_t bits = next_byte(&s);
    size_t cut = bits & 128 ? next_word(&s) % base.size : 0;
    uint8_t *copy = exact_copy(base.data, base.size - cut);
    if (!cut)
        for (uint32_t count = bits >> 2 & 7; count; count--)
            patch_somewhere(&s, copy);
    moves_damaged = 1;
    tin_error error;
    tin_model *model;
    const char *isa = bits & 64 ? "scalar" : NULL;
    size_t needed = tin_model_size(copy, base.size - cut, &error);
    if (!needed && (error.status >= 0 || !*error.text))
        abort();
    if (needed) {
        void *memory = moves_aligned(needed);
        table t;
        if (tin_model_create(copy, base.size - cut, isa, memory, needed, &model, &error))
            abort(); /* its size was told, so the file is sound */
        if (table_create(&t, model, &fuzz_executor, bits & 3))
            play(&t, s.data, s.size, 24);
        table_free(&t);
        free(memory);
    }
    free(copy);
    return 0;
}
