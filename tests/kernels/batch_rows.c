/* batch_rows TIN: a batch's next pass takes the place of its logits, also where it is for other sessions than theirs.
 * Exits with 1 and a line on stderr at the first failure. */
#include "tin.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

enum { TOKENS = 12 };

static void *block(size_t size) {
    char *memory = size ? calloc(size + TIN_ALIGNMENT, 1) : NULL;
    CHECK(memory);
    return memory + TIN_ALIGNMENT - (uintptr_t)memory % TIN_ALIGNMENT;
}

static tin_session *session_of(const tin_model *model) {
    const tin_session_options options = {.context = 64, .chunk = 16};
    size_t size = tin_session_size(model, &options, NULL);
    tin_session *session;
    CHECK(!tin_session_create(model, &options, block(size), size, &session, NULL));
    return session;
}

static int32_t step(tin_batch *batch, tin_session *one, tin_session *other, int32_t *event) {
    tin_session *sessions[] = {one, other};
    int32_t events[2], found = tin_batch_step(batch, sessions, other ? 2 : 1, 0, events);
    *event = events[0];
    return found;
}

int main(int count, char **arguments) {
    FILE *file = fopen(arguments[count - 1], "rb");
    CHECK(file && !fseek(file, 0, SEEK_END));
    size_t size = (size_t)ftell(file), need;
    void *image = block(size);
    rewind(file);
    CHECK(fread(image, 1, size, file) == size && !fclose(file));
    tin_model *model;
    tin_batch *batch;
    need = tin_model_size(image, size, NULL);
    CHECK(!tin_model_create(image, size, NULL, block(need), need, &model, NULL));
    need = tin_batch_size(model, NULL, NULL);
    CHECK(!tin_batch_create(model, NULL, block(need), need, &batch, NULL));
    tin_session *a = session_of(model), *b = session_of(model), *alone = session_of(model);
    const int32_t ours[] = {70, 71, 72, 73}, theirs[] = {90, 80, 33};
    int32_t event, token, expected[TOKENS];
    CHECK(!tin_session_append(alone, ours, 4, NULL) && !tin_session_generate(alone, NULL, TOKENS, 0, NULL));
    for (int k = 0; k < TOKENS; k++) {
        CHECK(tin_step(alone, 0) == TIN_STEP_TOKEN);
        expected[k] = tin_session_token(alone);
    }

    CHECK(!tin_session_append(a, ours, 4, NULL));
    CHECK(step(batch, a, b, &event) == 1 && event == TIN_STEP_LOGITS);
    CHECK(tin_session_sample(a, NULL) == expected[0]);
    CHECK(!tin_session_append(b, theirs, 3, NULL));
    CHECK(step(batch, b, NULL, &event) == 1 && event == TIN_STEP_LOGITS);
    CHECK(tin_session_sample(a, NULL) == TIN_ERR_STATE);
    CHECK(!tin_session_logits(a, NULL, NULL));
    CHECK(tin_session_generate(a, NULL, TOKENS, 0, NULL) == TIN_ERR_STATE);

    /* A generation that has yet to choose by logits that are gone makes them again. */
    CHECK(!tin_session_replace(a, ours, 4, NULL));
    CHECK(step(batch, a, NULL, &event) == 1 && event == TIN_STEP_LOGITS);
    CHECK(!tin_session_generate(a, NULL, TOKENS, 0, NULL));
    CHECK(!tin_session_append(b, theirs, 3, NULL));
    CHECK(step(batch, b, NULL, &event) == 1 && event == TIN_STEP_LOGITS);
    for (int k = 0; k < TOKENS; k++) {
        CHECK(step(batch, a, b, &event) == 1 && event == TIN_STEP_TOKEN);
        token = tin_session_token(a);
        CHECK(token == expected[k]);
    }
    return 0;
}
