/* Memory that the library takes, and refuses to take:
 *
 *   memory_check FILE.tin        200 tokens of prompt and 50 more, and what of memory was touched
 *   memory_check FILE.tin blocks every block too small, misaligned or missing: a status and a message each time
 *
 * Prints, in bytes: peak resident memory of the whole process, pages of the file and of the session's block that were
 * touched, what tin_session_size asked for, and the bound: what tin_model_info tells. Linux only. */
#include "moves.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROMPT = 200, ANSWER = 50, CHUNK = 64 };

static void *map(size_t size, int file) {
    void *memory = mmap(NULL, size, file < 0 ? PROT_READ | PROT_WRITE : PROT_READ,
                        MAP_PRIVATE | (file < 0 ? MAP_ANONYMOUS : 0), file, 0);
    if (memory == MAP_FAILED)
        exit(2);
    return memory;
}

/* Resident bytes of the mapping that begins at `start`. */
static unsigned long long resident(const void *start) {
    char line[512];
    unsigned long long at, kilobytes, found = 0;
    int here = 0;
    FILE *file = fopen("/proc/self/smaps", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%llx-%*x", &at) == 1 && strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
            here = at == (uintptr_t)start;
        else if (here && sscanf(line, "Rss: %llu", &kilobytes) == 1)
            found += kilobytes << 10;
    }
    if (file)
        fclose(file);
    return found;
}

static unsigned long long peak(void) {
    char line[256];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes << 10;
}

static int measure(const tin_model *model, const void *file) {
    tin_model_info info;
    tin_model_describe(model, &info);
    uint32_t prompt = info.context < PROMPT + ANSWER ? info.context / 2 : PROMPT;
    uint32_t answer = info.context < PROMPT + ANSWER ? info.context / 4 : ANSWER;
    tin_session_options options = {.context = prompt + answer, .chunk = CHUNK};
    size_t size = tin_session_size(model, &options, NULL);
    void *block = map(size, -1);
    tin_session *session;
    if (tin_session_create(model, &options, block, size, &session, NULL))
        return 3;
    for (uint32_t k = 0; k < prompt; k++) {
        int32_t token = (int32_t)((7 * k * k + 3 * k) % info.vocab);
        if (tin_session_append(session, &token, 1, NULL))
            return 3;
    }
    /* Not a generation, which could end early. */
    for (uint32_t k = 0; k <= answer; k++) {
        if (tin_step(session, 0) != TIN_STEP_LOGITS)
            return 3;
        int32_t token = tin_session_sample(session, NULL);
        if (k < answer && tin_session_append(session, &token, 1, NULL))
            return 3;
    }
    /* The bound, term by term:
     *   weights   all of them (their pages are the file's, and the system may drop them)
     *   caches    every position, in tiles of 64
     *   arena     info.arena_bytes is for info.chunk rows; this session has CHUNK
     *   5.1 MiB     the tokenizer's tables (2.4 MB of 49,000 tokens), libc, this program's code and stack, one row of
     *             logits, the sampler's scratch, whole pages */
    unsigned long long positions = (prompt + answer + 63) / 64 * 64;
    unsigned long long bound = info.weight_bytes + info.kv_bytes * positions +
                               (info.arena_bytes + info.chunk - 1) / info.chunk * CHUNK + (5ull << 20) +
                               (1ull << 17);
    printf("%llu %llu %llu %llu %llu %llu\n", peak(), resident(file), resident(block), (unsigned long long)size,
           (unsigned long long)info.weight_bytes, bound);
    return 0;
}

/* ---- Blocks that won't do ---- */

typedef tin_status creator(const tin_model *model, const void *file, size_t file_size, void *memory,
                           size_t size, tin_error *error);

static tin_status make_model(const tin_model *model, const void *file, size_t file_size, void *memory,
                             size_t size, tin_error *error) {
    (void)model;
    tin_model *made;
    return tin_model_create(file, file_size, NULL, memory, size, &made, error);
}

static tin_status make_session(const tin_model *model, const void *file, size_t file_size, void *memory,
                               size_t size, tin_error *error) {
    (void)file, (void)file_size;
    tin_session *made;
    return tin_session_create(model, NULL, memory, size, &made, error);
}

static tin_status make_batch(const tin_model *model, const void *file, size_t file_size, void *memory,
                             size_t size, tin_error *error) {
    (void)file, (void)file_size;
    tin_batch *made;
    return tin_batch_create(model, NULL, memory, size, &made, error);
}

static tin_status make_pool(const tin_model *model, const void *file, size_t file_size, void *memory,
                            size_t size, tin_error *error) {
    (void)model, (void)file, (void)file_size;
    tin_pool *made;
    tin_status status = tin_pool_create(2, memory, size, &made, error);
    if (!status)
        tin_pool_destroy(made);
    return status;
}

static void refuses(const char *what, tin_status status, const tin_error *error) {
    if (status != TIN_ERR_MEMORY || (error && (error->status != status || !*error->text))) {
        printf("%s: %s\n", what, tin_status_name(status));
        exit(4);
    }
}

static void check_creator(const char *what, creator *create, const tin_model *model, const void *file,
                          size_t file_size, size_t size) {
    tin_error error = {0};
    uint8_t *block = moves_aligned(size + TIN_ALIGNMENT);
    refuses(what, create(model, file, file_size, block, size - 1, &error), &error);
    refuses(what, create(model, file, file_size, block, 0, NULL), NULL);
    refuses(what, create(model, file, file_size, block + 1, size, &error), &error);
    refuses(what, create(model, file, file_size, NULL, size, &error), &error);
    if (create(model, file, file_size, block, size, &error))
        exit(5); /* the block that it asked for */
    free(block);
}

static int blocks(const tin_model *model, const void *file, size_t file_size) {
    tin_error error = {0};
    check_creator("tin_model_create", make_model, model, file, file_size,
                  tin_model_size(file, file_size, NULL));
    check_creator("tin_session_create", make_session, model, file, file_size,
                  tin_session_size(model, NULL, NULL));
    check_creator("tin_batch_create", make_batch, model, file, file_size, tin_batch_size(model, NULL, NULL));
    check_creator("tin_pool_create", make_pool, model, file, file_size, tin_pool_size(2));

    size_t size = tin_tokenize_scratch(model, 5);
    uint8_t *scratch = moves_aligned(size + 8);
    int32_t tokens[8];
    refuses("tin_tokenize", (tin_status)tin_tokenize(model, "hello", 5, 0, tokens, 8, scratch, size - 1), NULL);
    refuses("tin_tokenize", (tin_status)tin_tokenize(model, "hello", 5, 0, tokens, 8, scratch + 1, size), NULL);
    refuses("tin_tokenize", (tin_status)tin_tokenize(model, "hello", 5, 0, tokens, 8, NULL, size), NULL);
    /* It answers for any length, also those that no text may have. */
    if (tin_tokenize_scratch(model, SIZE_MAX) < tin_tokenize_scratch(model, 1 << 20) ||
        tin_tokenize(model, "x", SIZE_MAX, 0, tokens, 8, scratch, size) != TIN_ERR_ARGUMENT)
        return 6;
    free(scratch);

    const tin_message message = {TIN_ROLE_USER, "hello", 5};
    size = tin_chat_scratch(model, &message, 1, &error);
    scratch = moves_aligned(size + 8);
    /* What tin_chat_scratch says is enough for any flags, so one byte less may be too. */
    refuses("tin_chat", (tin_status)tin_chat(model, &message, 1, 0, tokens, 8, scratch, 8, &error), &error);
    refuses("tin_chat", (tin_status)tin_chat(model, &message, 1, 0, tokens, 8, scratch + 1, size, &error),
            &error);
    refuses("tin_chat", (tin_status)tin_chat(model, &message, 1, 0, tokens, 8, NULL, size, &error), &error);
    free(scratch);

    const void *entry;
    if (tin_model_entry(model, "program.bin", &entry, &size) || !size ||
        tin_model_entry(model, NULL, &entry, &size) != TIN_ERR_ARGUMENT ||
        tin_model_entry(model, "program.bin", NULL, &size) != TIN_ERR_ARGUMENT ||
        tin_model_entry(model, "program.bin", &entry, NULL) != TIN_ERR_ARGUMENT ||
        tin_model_entry(model, "program", &entry, &size) != TIN_ERR_ARGUMENT)
        return 7;
    puts("all refused");
    return 0;
}

int main(int argc, char **argv) {
    int descriptor = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status))
        return 2;
    size_t size = (size_t)status.st_size;
    const void *file = map(size, descriptor);
    size_t needed = tin_model_size(file, size, NULL);
    tin_model *model;
    if (!needed || tin_model_create(file, size, NULL, map(needed, -1), needed, &model, NULL))
        return 2;
    return argc > 2 ? blocks(model, file, size) : measure(model, file);
}
