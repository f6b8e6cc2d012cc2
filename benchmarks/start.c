/* From exec to the first logits: maps a tin, makes model, pool and session, computes a prompt, writes the
 * likeliest next token. benchmarks/start.py builds and times it.
 *
 * start FILE THREADS TOKENS [ISA] */
#define _POSIX_C_SOURCE 200809L
#include "tin.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static tin_error error;

static void require(int good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, error.text[0] ? error.text : "failed");
    exit(1);
}

/* Pages that are touched only when the library does. */
static void *block(size_t size) {
    require(size != 0, "size");
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "memory");
    return memory;
}

int main(int argc, char **argv) {
    require(argc >= 4, "usage: start FILE THREADS TOKENS [ISA]");
    uint32_t threads = (uint32_t)atoi(argv[2]), count = (uint32_t)atoi(argv[3]);
    int file = open(argv[1], O_RDONLY);
    struct stat stat;
    require(file >= 0 && !fstat(file, &stat), argv[1]);
    size_t size = (size_t)stat.st_size;
    void *image = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    require(image != MAP_FAILED, argv[1]);

    size_t need = tin_model_size(image, size, &error);
    tin_model *model;
    require(!tin_model_create(image, size, argc > 4 ? argv[4] : NULL, block(need), need, &model, &error),
            "model");
    tin_model_info info;
    tin_model_describe(model, &info);
    tin_pool *pool = NULL;
    need = tin_pool_size(threads);
    require(threads == 1 || !tin_pool_create(threads, block(need), need, &pool, &error), "pool");
    tin_session_options options = {.context = count, .executor = pool ? tin_pool_executor(pool) : NULL};
    need = tin_session_size(model, &options, &error);
    tin_session *session;
    require(!tin_session_create(model, &options, block(need), need, &session, &error), "session");

    int32_t *tokens = block(count * sizeof *tokens);
    for (uint32_t k = 0; k < count; k++)
        tokens[k] = (int32_t)((7919ull * k + 13) % info.vocab);
    require(!tin_session_append(session, tokens, count, &error), "append");
    require(tin_step(session, 0) == TIN_STEP_LOGITS, "step");
    printf("%d\n", tin_session_sample(session, NULL));
    fflush(stdout);
    tin_pool_destroy(pool);
    return 0;
}
