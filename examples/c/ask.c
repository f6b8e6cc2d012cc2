/* Asks a model once, and says only what its file allows: ask FILE.tin QUESTION. The file carries a constraint, compiled
 * from a schema or a list of tools when it was built (`tinsmith build MODEL --schema F`, or a recipe's [constraint]). */
#include "tin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 1024, MAX_TOKENS = 128 };
static int32_t ids[CONTEXT], work[1 << 18];
static tin_error error = {0, "give a .tin file that can be read, and a question; or there is no memory"};

static void check(int good) {
    if (!good)
        exit(fprintf(stderr, "error: %s\n", error.text) ? 1 : 2);
}

static void *block(size_t size) { /* of zeros; a size of 0: the call that told it failed */
    char *memory = size ? calloc(size + TIN_ALIGNMENT, 1) : NULL;
    check(memory != NULL);
    return memory + TIN_ALIGNMENT - (uintptr_t)memory % TIN_ALIGNMENT;
}

int main(int argc, char **argv) {
    FILE *file = fopen(argc == 3 ? argv[1] : "", "rb");
    check(file && !fseek(file, 0, SEEK_END));
    size_t file_size = (size_t)ftell(file);
    void *image = block(file_size);
    rewind(file);
    check(fread(image, 1, file_size, file) == file_size && !fclose(file));
    tin_model *model;
    size_t size = tin_model_size(image, file_size, &error);
    check(!tin_model_create(image, file_size, NULL, block(size), size, &model, &error));
    tin_session_options options = {.context = CONTEXT};
    tin_session *session;
    size = tin_session_size(model, &options, &error);
    check(!tin_session_create(model, &options, block(size), size, &session, &error));

    const void *data;
    size_t data_size;
    if (tin_model_entry(model, "grammar/answer.bin", &data, &data_size))
        return fputs("error: the file carries no constraint\n", stderr), 1;
    tin_constraint *constraint;
    size = tin_constraint_size(model, data, data_size, NULL, &error);
    check(!tin_constraint_create(model, data, data_size, NULL, block(size), size, &constraint, &error));
    check(!tin_session_constrain(session, constraint, &error));

    tin_message question = {TIN_ROLE_USER, argv[2], strlen(argv[2])};
    int64_t n = tin_chat(model, &question, 1, TIN_CHAT_ANSWER, ids, CONTEXT, work, sizeof work, &error);
    check(n > 0 && n <= CONTEXT && !tin_session_append(session, ids, (uint32_t)n, &error));
    check(!tin_session_generate(session, NULL, MAX_TOKENS, 0, &error));
    uint32_t tokens = 0;
    for (; tin_step(session, 0) == TIN_STEP_TOKEN; tokens++) {
        uint32_t length;
        int control;
        const char *text = tin_token_text(model, tin_session_token(session), &length, &control);
        if (!control)
            fwrite(text, 1, length, stdout);
    }
    fprintf(stderr, "\n%u tokens in %u evaluations\n", tokens, tin_session_passes(session));
    return tin_session_finish(session) == TIN_FINISH_END ? 0 : 3;
}
