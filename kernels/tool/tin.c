/* Runs and proves a tin where nothing but this program is installed:
 *
 *   tin verify FILE.tin [--isa S]           the file's self-test, on every instruction set that this device runs, or on S
 *   tin run FILE.tin PROMPT [--tokens N]    the answer, likeliest tokens only; by the file's chat template where it has one
 *
 * verify prints, for each set and prompt, "SET PROMPT SHA-256 equal" ("different" where the file says otherwise): the
 * SHA-256 is of the float32 logits of every position. Exits 0 when all are equal, 1 when one is not, 2 on any other
 * error. Needs libc only. */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "../core/sha256.h"
#include "../include/tin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if (defined(__unix__) || defined(__APPLE__)) && !defined(__wasm__)
#define HAVE_MMAP 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#else
#define HAVE_MMAP 0
#endif

enum { EQUAL = 0, DIFFERENT = 1, FAILED = 2, MOST_TOKENS = 256, PIECE = 1 << 20 };

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("tin: error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(FAILED);
}

/* ---- Files and memory, as long-lived as the program unless freed ---- */

typedef struct block {
    void *start; /* for free */
    void *data;  /* aligned */
    size_t size;
} block;

static block make_block(size_t size) {
    block made = {malloc(size + TIN_ALIGNMENT), NULL, size};
    if (!made.start)
        fail("no memory for %llu bytes", (unsigned long long)size);
    made.data = (uint8_t *)made.start + (TIN_ALIGNMENT - (uintptr_t)made.start % TIN_ALIGNMENT) % TIN_ALIGNMENT;
    return made;
}

static const void *open_file(const char *path, size_t *size) {
#if HAVE_MMAP
    int descriptor = open(path, O_RDONLY);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status) || status.st_size <= 0)
        fail("%s can't be opened; give the path of a .tin file", path);
    *size = (size_t)status.st_size;
    void *file = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (file == MAP_FAILED)
        fail("%s can't be mapped", path);
    return file;
#else
    FILE *stream = fopen(path, "rb");
    if (!stream || fseek(stream, 0, SEEK_END))
        fail("%s can't be opened; give the path of a .tin file", path);
    long end = ftell(stream);
    if (end <= 0 || fseek(stream, 0, SEEK_SET))
        fail("%s can't be read", path);
    *size = (size_t)end;
    uint8_t *file = make_block(*size).data;
    for (size_t at = 0, part; at < *size; at += part) { /* some systems refuse a large file in one read */
        part = *size - at < PIECE ? *size - at : PIECE;
        if (fread(file + at, 1, part, stream) != part)
            fail("%s can't be read", path);
    }
    fclose(stream);
    return file;
#endif
}

static tin_model *open_model(const void *file, size_t size, const char *isa) {
    tin_error error;
    tin_model *model;
    size_t need = tin_model_size(file, size, &error);
    if (!need || tin_model_create(file, size, isa, make_block(need).data, need, &model, &error))
        fail("%s", error.text);
    return model;
}

/* ---- verify ---- */

static uint32_t read_u32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The SHA-256 of the logits of tokens[count], little-endian int32, in a session of its own. */
static void logits_digest(const tin_model *model, const uint8_t *tokens, uint32_t count, uint8_t digest[32]) {
    tin_model_info info;
    tin_error error;
    tin_session *session;
    tin_model_describe(model, &info);
    tin_session_options options = {.context = count};
    size_t size = tin_session_size(model, &options, &error);
    if (!size)
        fail("%s", error.text);
    block memory = make_block(size);
    if (tin_session_create(model, &options, memory.data, size, &session, &error) ||
        tin_session_want_logits(session, 0, &error))
        fail("%s", error.text);
    for (uint32_t k = 0; k < count; k++) {
        int32_t token = (int32_t)read_u32(tokens + 4 * (size_t)k);
        if (tin_session_append(session, &token, 1, &error))
            fail("%s", error.text);
    }
    tini_sha256 hash = tini_sha256_begin();
    int32_t event;
    while ((event = tin_step(session, 0)) == TIN_STEP_LOGITS) {
        uint32_t rows;
        const float *logits = tin_session_logits(session, &rows, NULL);
        tini_sha256_add(&hash, logits, (size_t)rows * info.vocab * sizeof *logits);
    }
    if (event < 0)
        fail("a step failed: %s", tin_status_name(event));
    tini_sha256_end(&hash, digest);
    free(memory.start);
}

/* The model's self-test on its instruction set. Returns how many prompts differ. selftest.bin: core/selftest.c. */
static int verify_set(const tin_model *model) {
    tin_model_info info;
    const void *data;
    size_t size;
    tin_model_describe(model, &info);
    if (tin_model_entry(model, "selftest.bin", &data, &size))
        fail("the file has no self-test; build it again");
    const uint8_t *p = data, *end = p + size;
    if (size < 12 || memcmp(p, "TINTEST1", 8) || !read_u32(p + 8))
        fail("the file's self-test is damaged");
    uint32_t prompts = read_u32(p + 8);
    int different = 0;
    p += 12;
    for (uint32_t k = 0; k < prompts; k++) {
        if (end - p < 4 || (uint64_t)(end - p) < 36 + 4 * (uint64_t)read_u32(p))
            fail("the file's self-test is cut short");
        uint32_t count = read_u32(p);
        uint8_t digest[32];
        logits_digest(model, p + 4, count, digest);
        p += 4 + 4 * (size_t)count;
        int equal = memcmp(digest, p, sizeof digest) == 0;
        p += sizeof digest;
        printf("%s %u ", info.isa, (unsigned)k);
        for (size_t i = 0; i < sizeof digest; i++)
            printf("%02x", digest[i]);
        puts(equal ? " equal" : " different");
        fflush(stdout);
        different += !equal;
    }
    return different;
}

static int verify(const void *file, size_t size, const char *isa) {
    tin_error error;
    const char *name;
    int different = 0, sets = 0;
    if (tin_selfcheck(&error))
        fail("%s", error.text);
    for (uint32_t k = 0; (name = tin_isa_name(k)) != NULL; k++)
        if (!isa || strcmp(isa, name) == 0) {
            different += verify_set(open_model(file, size, name));
            sets++;
        }
    if (!sets)
        fail("this device, or this build, has no instruction set %s", isa);
    if (different)
        fprintf(stderr, "tin: error: %d digests differ from the file's: do not trust its answers here\n",
                different);
    return different ? DIFFERENT : EQUAL;
}

/* ---- run ---- */

/* The prompt's tokens, by the file's template where it has one. */
static int32_t *prompt_tokens(const tin_model *model, const char *prompt, uint32_t *count) {
    const tin_message message = {TIN_ROLE_USER, prompt, strlen(prompt)};
    size_t capacity = 3 * message.length + 4096;
    int32_t *tokens = make_block(capacity * sizeof *tokens).data;
    tin_error error = {TIN_OK, "the prompt can't be tokenized"};
    size_t scratch = tin_chat_scratch(model, &message, 1, NULL);
    int64_t n;
    if (scratch) {
        n = tin_chat(model, &message, 1, TIN_CHAT_ANSWER, tokens, capacity, make_block(scratch).data, scratch,
                     &error);
    } else {
        scratch = tin_tokenize_scratch(model, message.length);
        n = tin_tokenize(model, prompt, message.length, TIN_TEXT_BOS, tokens, capacity,
                         make_block(scratch).data, scratch);
    }
    if (n <= 0)
        fail("%s", n ? error.text : "the prompt is empty");
    if ((uint64_t)n > capacity)
        fail("the prompt and its template have %lld tokens; give a shorter one", (long long)n);
    *count = (uint32_t)n;
    return tokens;
}

static int answer(const tin_model *model, const char *prompt, uint32_t most) {
    tin_model_info info;
    tin_error error;
    tin_session *session;
    uint32_t count;
    int32_t *tokens = prompt_tokens(model, prompt, &count);
    tin_model_describe(model, &info);
    if (count >= info.context)
        fail("the prompt has %u tokens and the model's context %u; give a shorter one", (unsigned)count,
             (unsigned)info.context);
    uint32_t room = info.context - count;
    tin_session_options options = {.context = count + (most < room ? most : room)};
    size_t size = tin_session_size(model, &options, &error);
    if (!size)
        fail("%s", error.text);
    if (tin_session_create(model, &options, make_block(size).data, size, &session, &error) ||
        tin_session_append(session, tokens, count, &error) ||
        tin_session_generate(session, NULL, most, 0, &error))
        fail("%s", error.text);
    int32_t event;
    while ((event = tin_step(session, 0)) == TIN_STEP_TOKEN) {
        uint32_t length;
        int control;
        const char *text = tin_token_text(model, tin_session_token(session), &length, &control);
        if (text && !control)
            fwrite(text, 1, length, stdout);
        fflush(stdout);
    }
    if (event < 0)
        fail("a step failed: %s", tin_status_name(event));
    putchar('\n');
    return 0;
}

static _Noreturn void usage(void) {
    fputs("usage: tin verify FILE.tin [--isa S] | tin run FILE.tin PROMPT [--tokens N]\n", stderr);
    exit(FAILED);
}

int main(int argc, char **argv) {
    int verifies = argc > 2 && strcmp(argv[1], "verify") == 0;
    int runs = argc > 3 && strcmp(argv[1], "run") == 0;
    int given = verifies ? 3 : 4;
    if (!(verifies || runs) || (argc != given && argc != given + 2))
        usage();
    const char *option = argc == given + 2 ? argv[given + 1] : NULL;
    if (option && strcmp(argv[given], verifies ? "--isa" : "--tokens") != 0)
        usage();
    size_t size;
    const void *file = open_file(argv[2], &size);
    if (verifies)
        return verify(file, size, option);
    unsigned long most = option ? strtoul(option, NULL, 10) : MOST_TOKENS;
    if (!most || most > UINT32_MAX)
        usage();
    return answer(open_model(file, size, NULL), argv[3], (uint32_t)most);
}
