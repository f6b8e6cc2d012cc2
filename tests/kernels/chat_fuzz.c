/* libFuzzer: a damaged turns.bin, or the sound one, and a conversation. */
#include "../../kernels/core/seal/model.h"
#include "fuzz.h"

static uint32_t next_messages(script *s, tin_message *messages, uint8_t **contents) {
    uint32_t count = next_byte(s) % 6;
    for (uint32_t k = 0; k < count; k++) {
        size_t length = next_byte(s);
        length = length < s->size ? length : s->size;
        contents[k] = exact_copy(s->size ? s->data : (const uint8_t *)"", length);
        messages[k] = (tin_message){
            .role = k ? next_byte(s) % 5 : 0, .content = (const char *)contents[k], .length = length};
        if (!k)
            messages[k].role = next_byte(s) % 4;
        s->data += s->size ? length : 0;
        s->size -= length < s->size ? length : s->size;
    }
    return count;
}

static void converse(const tin_model *model, const tin_message *messages, uint32_t count, uint32_t flags) {
    tin_error error = {0};
    size_t size = tin_chat_scratch(model, messages, count, &error);
    if (!size) {
        if (error.status >= 0 || !*error.text)
            abort();
        return;
    }
    void *scratch = moves_aligned(size);
    int64_t made = tin_chat(model, messages, count, flags, NULL, 0, scratch, size, &error);
    if (made >= 0) {
        int32_t *tokens = moves_aligned((size_t)made * sizeof *tokens);
        if (tin_chat(model, messages, count, flags, tokens, (size_t)made, scratch, size, &error) != made)
            abort();
        for (int64_t k = 0; k < made; k++)
            if (!tin_token_text(model, tokens[k], NULL, NULL))
                abort();
        free(tokens);
    }
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script s = {data, size};
    size_t whole;
    const uint8_t *sound = base_entry("turns.bin", &whole);
    uint32_t bits = next_byte(&s);
    uint8_t *copy = exact_copy(sound, whole), *contents[6] = {0};
    if (bits & 2)
        patch_all(&s, copy, bits & 4 ? sizeof(tini_turns_header) + 2 * sizeof(tini_turn_rules) : whole);
    tin_model model = *base_model;
    tin_error error = {0};
    if (tini_turns_open(&model.turns, copy, whole, &error) == TIN_OK &&
        tini_model_agrees(&model, &error) == TIN_OK) {
        tin_message messages[6];
        uint32_t count = next_messages(&s, messages, contents);
        uint32_t thinking = bits & 8 ? bits & 16 ? TIN_CHAT_THINK : TIN_CHAT_DIRECT : 0;
        converse(&model, messages, count, (bits & 1) | thinking);
    } else if (error.status >= 0 || !*error.text) {
        abort();
    }
    for (uint32_t k = 0; k < 6; k++)
        free(contents[k]);
    free(copy);
    return 0;
}
