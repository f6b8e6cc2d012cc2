/* sizes_check FILE.tin: what each call that tells a size says of more and more, one a line, "what how-much bytes"; 0 where
 * it refuses. A machine of 32 bits must refuse what it can't address and say of the rest what any other does. Where a size
 * is refused, so is the call that needs it, whatever memory it is told to have. */
#include "../../kernels/include/tin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_MIB = 65, ONE_MIB = 1 << 20, SHORT = 4096 };

static tin_error error;

static _Noreturn void stop(const char *what) {
    fprintf(stderr, "%s: %s\n", what, error.text);
    exit(1);
}

static void *aligned(size_t size) {
    uint8_t *block = malloc(size + TIN_ALIGNMENT);
    if (!block)
        stop("no memory");
    return block + (TIN_ALIGNMENT - (uintptr_t)block % TIN_ALIGNMENT) % TIN_ALIGNMENT;
}

static void tell(const char *what, uint32_t much, size_t bytes) {
    printf("%s %" PRIu32 " %" PRIu64 "\n", what, much, (uint64_t)bytes);
}

static const tin_model *open_model(const char *path) {
    FILE *stream = fopen(path, "rb");
    if (!stream || fseek(stream, 0, SEEK_END))
        stop(path);
    size_t size = (size_t)ftell(stream);
    rewind(stream);
    void *file = aligned(size);
    if (fread(file, 1, size, stream) != size)
        stop(path);
    fclose(stream);
    size_t need = tin_model_size(file, size, &error);
    tin_model *model;
    if (!need || tin_model_create(file, size, NULL, aligned(need), need, &model, &error))
        stop(path);
    tell("model", 0, need);
    return model;
}

static int32_t tokens[3 * SHORT + 2];

static void check_text(const tin_model *model, const char *text, uint32_t mib) {
    size_t length = (size_t)mib * ONE_MIB, need = tin_tokenize_scratch(model, length);
    tell("tokenize", mib, need);
    if (!need && tin_tokenize(model, text, length, 0, tokens, 16, tokens, SIZE_MAX) >= 0)
        stop("a text was tokenized in memory that no one can have");
}

static void check_conversation(const tin_model *model, const char *text, uint32_t mib) {
    const tin_message message = {TIN_ROLE_USER, text, (size_t)mib * ONE_MIB - SHORT};
    size_t need = tin_chat_scratch(model, &message, 1, &error);
    tell("chat", mib, need);
    if (!need && tin_chat(model, &message, 1, 0, tokens, 16, tokens, SIZE_MAX, &error) >= 0)
        stop("a conversation was tokenized in memory that no one can have");
}

static void check_sessions(const tin_model *model) {
    for (uint32_t context = 1; context <= 1 << 24; context *= 8) {
        const tin_session_options options = {.context = context, .chunk = 4096, .logit_rows = 4096};
        size_t need = tin_session_size(model, &options, &error);
        tell("session", context, need);
        tin_session *session;
        if (!need && tin_session_create(model, &options, aligned(1), SIZE_MAX, &session, &error) == TIN_OK)
            stop("a session was made in memory that no one can have");
    }
    const tin_batch_options options = {.rows = 4096};
    tell("batch", 4096, tin_batch_size(model, &options, &error));
    const void *data;
    size_t size;
    if (tin_model_entry(model, "grammar/answer.bin", &data, &size))
        stop("no constraint");
    for (uint32_t masks = 1; masks <= 1 << 16; masks *= 16) {
        const tin_constraint_options some = {.masks = masks};
        tell("constraint", masks, tin_constraint_size(model, data, size, &some, &error));
    }
}

/* The tokens of a text, in just the scratch that it was told to need. */
static void check_tokens(const tin_model *model, const char *text) {
    size_t need = tin_tokenize_scratch(model, SHORT);
    uint32_t sum = 0;
    int64_t count = tin_tokenize(model, text, SHORT, 0, tokens, 3 * SHORT + 2, aligned(need), need);
    for (int64_t k = 0; k < count; k++)
        sum = sum * 31 + (uint32_t)tokens[k];
    tell("tokens", sum, (size_t)count);
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    const tin_model *model = open_model(argv[1]);
    char *text = aligned((size_t)MOST_MIB * ONE_MIB);
    memset(text, 'a', (size_t)MOST_MIB * ONE_MIB);
    memcpy(text, "e\xcc\x81", 3); /* not in normal form C */
    static const uint32_t mibs[] = {1, 42, 43, 53, 54, 64, MOST_MIB};
    for (size_t k = 0; k < sizeof mibs / sizeof *mibs; k++)
        check_text(model, text, mibs[k]);
    check_conversation(model, text, 1);
    check_conversation(model, text, 64);
    check_sessions(model);
    check_tokens(model, text);
    return 0;
}
