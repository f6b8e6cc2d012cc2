/* The public face of the tokenizer. */
#include "../base/region.h"
#include "encode.h"

TINI_REGION_COLD

size_t tin_tokenize_scratch(const tin_model *model, size_t length) {
    uint64_t need = tini_tokenize_scratch(tini_model_tokenizer(model), length);
    return (size_t)need == need ? (size_t)need : 0;
}

int64_t tin_tokenize(const tin_model *model, const char *text, size_t length, uint32_t flags, int32_t *tokens,
                     size_t capacity, void *scratch, size_t scratch_size) {
    if ((length && !text) || (capacity && !tokens))
        return TIN_ERR_ARGUMENT;
    return tini_tokenize(tini_model_tokenizer(model), text, length, flags, tokens, capacity, scratch,
                         scratch_size);
}

const char *tin_token_text(const tin_model *model, int32_t token, uint32_t *length, int *control) {
    uint32_t bytes;
    const uint8_t *text = tini_token_bytes(tini_model_tokenizer(model), token, &bytes);
    if (!text)
        return NULL;
    if (length)
        *length = bytes;
    if (control)
        *control = tini_token_is_control(tini_model_tokenizer(model), token);
    return (const char *)text;
}

int tin_token_is_end(const tin_model *model, int32_t token) {
    uint32_t length;
    return tini_token_bytes(tini_model_tokenizer(model), token, &length) &&
           tini_token_is_end(tini_model_tokenizer(model), token);
}

TINI_REGION_END
