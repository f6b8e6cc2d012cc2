/* libFuzzer: a damaged tokenizer.bin, or the sound one, and a text. */
#include "../../kernels/core/text/encode.h"
#include "fuzz.h"

static volatile uint32_t text_touched;

static void check_tokens(const tini_tokenizer *view, const int32_t *tokens, int64_t count) {
    for (int64_t k = 0; k < count; k++) {
        uint32_t length;
        const uint8_t *text = tini_token_bytes(view, tokens[k], &length);
        if (!text)
            abort();
        for (uint32_t i = 0; i < length; i++)
            text_touched += text[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script s = {data, size};
    size_t whole;
    const uint8_t *sound = base_entry("tokenizer.bin", &whole);
    uint32_t bits = next_byte(&s);
    uint8_t *copy = exact_copy(sound, whole);
    if (bits & 4)
        patch_all(&s, copy, bits & 8 ? sizeof(tini_tokenizer_header) : whole);
    tini_tokenizer view;
    tin_error error;
    if (tini_tokenizer_open(&view, copy, whole, &error) == TIN_OK) {
        char *text = (char *)exact_copy(s.data ? s.data : (const uint8_t *)"", s.size);
        size_t scratch_size = tini_tokenize_scratch(&view, s.size), capacity = 3 * s.size + 2;
        void *scratch = moves_aligned(scratch_size);
        int32_t *tokens = moves_aligned(capacity * sizeof *tokens);
        int64_t count = tini_tokenize(&view, text, s.size, bits & 3, tokens, capacity, scratch, scratch_size);
        if (count < 0 || (uint64_t)count > capacity)
            abort(); /* a token has at least one byte, and a byte makes at most three */
        check_tokens(&view, tokens, count);
        /* Too little room: the same count, and only what fits is written. */
        size_t few = (size_t)count / 2;
        int32_t *less = moves_aligned(few * sizeof *less);
        if (tini_tokenize(&view, text, s.size, bits & 3, less, few, scratch, scratch_size) != count ||
            memcmp(less, tokens, few * sizeof *less))
            abort();
        free(less);
        free(tokens);
        free(scratch);
        free(text);
    }
    free(copy);
    return 0;
}
