/* What tin_chat and tin_session_replace promise of capacities, scratch and errors. chat_check FILE.tin, of a model
 * with a chat template; exits 0, or 1 with the line that failed. */
#include "tin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition) \
    ((condition) ? (void)0 : (fprintf(stderr, "line %d: %s; %s\n", __LINE__, #condition, error.text), exit(1)))

static tin_error error;

static void *block(size_t size) {
    void *memory = aligned_alloc(TIN_ALIGNMENT, (size + TIN_ALIGNMENT) / TIN_ALIGNMENT * TIN_ALIGNMENT);
    EXPECT(size && memory);
    return memory;
}

static const tin_message talk[] = {
    {TIN_ROLE_SYSTEM, "be brief", 8}, {TIN_ROLE_USER, "the in", 6}, {TIN_ROLE_ASSISTANT, NULL, 0}};
enum { MESSAGES = sizeof talk / sizeof *talk };

static void check_chat(const tin_model *model, int32_t *tokens, uint32_t *made) {
    size_t size = tin_chat_scratch(model, talk, MESSAGES, &error);
    uint8_t *scratch = malloc(size); /* just that */
    EXPECT(size && scratch);
    int64_t n = tin_chat(model, talk, MESSAGES, 0, NULL, 0, scratch, size, &error);
    EXPECT(n > 20 && n < 200);
    EXPECT(tin_chat(model, talk, MESSAGES, 0, tokens, (size_t)n, scratch, size, &error) == n);
    *made = (uint32_t)n;
    for (int64_t capacity = 0; capacity < n; capacity++) {
        int32_t some[200];
        memset(some, 0x55, sizeof some);
        EXPECT(tin_chat(model, talk, MESSAGES, 0, some, (size_t)capacity, scratch, size, &error) == n);
        EXPECT(!memcmp(some, tokens, (size_t)capacity * sizeof *tokens) && some[capacity] == 0x55555555);
    }
    int64_t longer = tin_chat(model, talk, MESSAGES, TIN_CHAT_ANSWER, NULL, 0, scratch, size, &error);
    EXPECT(longer > n);
    EXPECT(tin_chat(model, talk, MESSAGES, 0, NULL, 0, scratch, size - 1, &error) == TIN_ERR_MEMORY);
    EXPECT(error.status == TIN_ERR_MEMORY && strstr(error.text, "bytes of scratch"));
    EXPECT(tin_chat(model, talk, MESSAGES, 0, NULL, 0, scratch + 1, size, NULL) == TIN_ERR_MEMORY);
    EXPECT(tin_chat(model, talk, MESSAGES, 0, NULL, 0, NULL, 0, NULL) == TIN_ERR_MEMORY);
    EXPECT(tin_chat(model, talk, MESSAGES, 0, NULL, 5, scratch, size, NULL) == TIN_ERR_ARGUMENT);
    EXPECT(tin_chat(model, talk, MESSAGES, 8, NULL, 0, scratch, size, NULL) == TIN_ERR_ARGUMENT);
    EXPECT(tin_chat(model, talk, MESSAGES, TIN_CHAT_THINK, NULL, 0, scratch, size, NULL) ==
           TIN_ERR_UNSUPPORTED);
    EXPECT(tin_chat(model, NULL, 1, 0, NULL, 0, scratch, size, NULL) == TIN_ERR_ARGUMENT);
    const tin_message bad[] = {{TIN_ROLE_USER, NULL, 1}, {4, "x", 1}, {TIN_ROLE_USER, "x", SIZE_MAX}};
    for (int k = 0; k < 3; k++) {
        EXPECT(tin_chat_scratch(model, &bad[k], 1, &error) == 0 && error.status == TIN_ERR_ARGUMENT);
        EXPECT(tin_chat(model, &bad[k], 1, 0, NULL, 0, scratch, size, NULL) == TIN_ERR_ARGUMENT);
    }
    EXPECT(tin_chat_scratch(model, talk + 1, 2, &error) > 0);
    EXPECT(tin_chat_scratch(model, NULL, 0, &error) == 0 && error.status == TIN_ERR_ARGUMENT);
    free(scratch);
}

/* By the file's template, given as another's would be: the same; and by what is none. */
static void check_template(const tin_model *model, const int32_t *tokens, uint32_t made) {
    const void *data;
    size_t size;
    EXPECT(!tin_model_entry(model, "turns.bin", &data, &size));
    size_t need = tin_template_scratch(model, data, size, talk, MESSAGES, &error);
    EXPECT(need == tin_chat_scratch(model, talk, MESSAGES, &error));
    void *scratch = malloc(need);
    int32_t some[200];
    EXPECT(tin_template_chat(model, data, size, talk, MESSAGES, 0, some, 200, scratch, need, &error) == made);
    EXPECT(!memcmp(some, tokens, made * sizeof *some));
    EXPECT(tin_template_chat(model, NULL, 0, talk, MESSAGES, 0, some, 200, scratch, need, &error) == made);
    uint8_t *copy = malloc(size);
    for (size_t k = 0; k < size; k++) { /* damaged anywhere */
        memcpy(copy, data, size);
        copy[k] ^= 0x80;
        int64_t n = tin_template_chat(model, copy, size, talk, MESSAGES, 0, some, 200, scratch, need, &error);
        EXPECT(n > 0 || n == TIN_ERR_FORMAT || n == TIN_ERR_VERSION || n == TIN_ERR_MEMORY ||
               n == TIN_ERR_UNSUPPORTED || n == TIN_ERR_ARGUMENT);
    }
    EXPECT(!tin_template_scratch(model, data, size - 4, talk, MESSAGES, &error));
    EXPECT(error.status == TIN_ERR_FORMAT);
    free(copy);
    free(scratch);
}

static uint32_t step(tin_session *session) {
    uint32_t before = tin_session_position(session, NULL, NULL);
    EXPECT(tin_step(session, 0) == TIN_STEP_LOGITS);
    return tin_session_position(session, NULL, NULL) - before;
}

static void check_replace(tin_session *session, const tin_model *model, int32_t *tokens, uint32_t count) {
    tin_model_info info;
    tin_model_describe(model, &info);
    uint32_t count_computed;
    float *logits = block(info.vocab * sizeof *logits);
    EXPECT(!tin_session_replace(session, tokens, count, &error));
    EXPECT(step(session) == count);
    memcpy(logits, tin_session_logits(session, NULL, NULL), info.vocab * sizeof *logits);

    EXPECT(!tin_session_replace(session, tokens, count, &error)); /* the same: one token for its logits */
    EXPECT(step(session) == 1);
    EXPECT(!memcmp(logits, tin_session_logits(session, NULL, NULL), info.vocab * sizeof *logits));

    tokens[count] = 5; /* a longer one: what was added, a different one: from where they part */
    EXPECT(!tin_session_replace(session, tokens, count + 1, &error));
    EXPECT(step(session) == 1);
    tokens[count - 3]++;
    EXPECT(!tin_session_replace(session, tokens, count, &error));
    EXPECT(step(session) == 3);
    tokens[count - 3]--;
    EXPECT(!tin_session_replace(session, tokens, count, &error));
    EXPECT(step(session) == 3);
    EXPECT(!memcmp(logits, tin_session_logits(session, NULL, NULL), info.vocab * sizeof *logits));

    EXPECT(tin_session_replace(session, tokens, 1u << 30, &error) == TIN_ERR_CONTEXT);
    EXPECT(tin_session_position(session, &count_computed, NULL) == count && count_computed == count);
    EXPECT(tin_session_replace(session, NULL, 1, &error) == TIN_ERR_ARGUMENT);
    int32_t unknown[] = {tokens[0], (int32_t)info.vocab};
    EXPECT(tin_session_replace(session, unknown, 2, &error) == TIN_ERR_ARGUMENT);
    EXPECT(tin_session_position(session, &count_computed, NULL) == count &&
           count_computed == count); /* nothing is changed */
    EXPECT(!tin_session_replace(session, NULL, 0, &error));
    EXPECT(tin_step(session, 0) == TIN_STEP_IDLE);
    free(logits);
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    EXPECT(file && !fseek(file, 0, SEEK_END));
    size_t size = (size_t)ftell(file), needed;
    void *image = block(size);
    rewind(file);
    EXPECT(fread(image, 1, size, file) == size && !fclose(file));
    tin_model *model;
    void *model_memory = block(needed = tin_model_size(image, size, &error));
    EXPECT(!tin_model_create(image, size, NULL, model_memory, needed, &model, &error));
    const tin_session_options options = {.context = 256};
    tin_session *session;
    void *session_memory = block(needed = tin_session_size(model, &options, &error));
    EXPECT(!tin_session_create(model, &options, session_memory, needed, &session, &error));

    int32_t tokens[256];
    uint32_t count = 0;
    check_chat(model, tokens, &count);
    check_template(model, tokens, count);
    check_replace(session, model, tokens, count);
    free(session_memory);
    free(model_memory);
    free(image);
    return 0;
}
