/* Chats with a model on the terminal: chat FILE.tin. A line in, an answer out, until the input ends. */
#define _POSIX_C_SOURCE 200809L
#include "tin.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TURNS = 128, LINE = 4096, ROOM = 16384, CONTEXT = 2048, THREADS = 2 };
static char lines[TURNS][LINE], answers[TURNS][ROOM];
static tin_message talk[2 * TURNS];
static int32_t ids[CONTEXT], work[1 << 18];
static tin_error error = {0, "give a .tin file that can be read; or there is no memory"};

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
    int fd = open(argc == 2 ? argv[1] : "", O_RDONLY), control;
    size_t file_size = (size_t)lseek(fd, 0, SEEK_END);
    void *image = mmap(NULL, file_size, PROT_READ, MAP_PRIVATE, fd, 0); /* fails too where the file does */
    tin_model *model;
    size_t size = image == MAP_FAILED ? 0 : tin_model_size(image, file_size, &error);
    check(!tin_model_create(image, file_size, NULL, block(size), size, &model, &error));
    tin_pool *pool;
    check(!tin_pool_create(THREADS, block(tin_pool_size(THREADS)), tin_pool_size(THREADS), &pool, &error));
    tin_session_options options = {.context = CONTEXT, .executor = tin_pool_executor(pool)};
    tin_session *session;
    size = tin_session_size(model, &options, &error);
    check(!tin_session_create(model, &options, block(size), size, &session, &error));
    setvbuf(stdout, NULL, _IONBF, 0); /* the answer appears token by token */
    const tin_sampling sampling = {.temperature = 0.7f, .top_p = 0.9f, .repetition_penalty = 1.1f, .seed = 1};
    for (int k = 0; k < TURNS && printf("> ") > 0 && fgets(lines[k], LINE, stdin); k++, puts("")) {
        talk[2 * k] = (tin_message){TIN_ROLE_USER, lines[k], strcspn(lines[k], "\n")};
        uint32_t count = 2 * (uint32_t)k + 1, used = 0, bytes;
        int64_t n = tin_chat(model, talk, count, TIN_CHAT_ANSWER, ids, CONTEXT, work, sizeof work, &error);
        check(n > 0 && !tin_session_replace(session, ids, (uint32_t)n, &error));
        check(!tin_session_generate(session, &sampling, CONTEXT, 0, &error));
        while (tin_step(session, 0) == TIN_STEP_TOKEN) {
            const char *text = tin_token_text(model, tin_session_token(session), &bytes, &control);
            if (!control && bytes <= ROOM - used)
                used += (uint32_t)fwrite(memcpy(answers[k] + used, text, bytes), 1, bytes, stdout);
        }
        talk[count] = (tin_message){TIN_ROLE_ASSISTANT, answers[k], used};
    }
    tin_pool_destroy(pool);
    return 0;
}
