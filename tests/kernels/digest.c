/* Prints the digest of a tin's logits on this machine, to be compared with every other's:
 *
 *   digest FILE.tin [--isa S] [--threads N] [--chunk N] [--slices] [--time] [--adapter FILE | --router FILE]
 *          (--tokens 1,2,3 | --count N | --selftest)
 *
 *   --count N    the tokens (7 k^2 + 3 k) mod vocabulary, k < N (default: 16 of them)
 *   --slices     comes back after every op instead of computing a chunk in one go
 *   --selftest   the tin's own prompts against the digests it carries, after tin_selfcheck
 *   --router F   of the router's float32 scores of the tokens, in place of their logits
 *   --time       and then the tokens as a prompt, with its last logits only, and 16 greedy tokens: speeds on stderr
 *
 * stdout: the instruction set in use, a space, and the SHA-256 of the float32 logits of every position in
 * hexadecimal; or "selftest ok: ...". Exits 1 when the self-test fails, 2 on any other error. Needs libc only. */
#define _POSIX_C_SOURCE 200809L /* mmap */

#include "../../kernels/core/seal/sha256.h"
#include "../../kernels/include/tin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if (defined(__unix__) || defined(__APPLE__)) && !defined(__wasm__)
#define HAVE_MMAP 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#else
#define HAVE_MMAP 0
#endif

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("digest: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static void print_hex(FILE *file, const uint8_t digest[32]) {
    for (int i = 0; i < 32; i++)
        fprintf(file, "%02x", digest[i]);
}

/* ---- Files and memory ---- */

/* As long-lived as the program. */
static void *aligned(size_t size) {
    uint8_t *memory = malloc(size + TIN_ALIGNMENT);
    if (!memory)
        fail("no memory for %zu bytes", size);
    return memory + (TIN_ALIGNMENT - (uintptr_t)memory % TIN_ALIGNMENT) % TIN_ALIGNMENT;
}

static const void *open_file(const char *path, size_t *size) {
#if HAVE_MMAP
    int descriptor = open(path, O_RDONLY);
    struct stat status;
    if (descriptor < 0 || fstat(descriptor, &status))
        fail("%s can't be opened", path);
    *size = (size_t)status.st_size;
    void *file = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (file == MAP_FAILED)
        fail("%s can't be mapped", path);
    return file;
#else
    FILE *stream = fopen(path, "rb");
    if (!stream || fseek(stream, 0, SEEK_END))
        fail("%s can't be opened", path);
    long end = ftell(stream);
    if (end < 0 || fseek(stream, 0, SEEK_SET))
        fail("%s can't be read", path);
    *size = (size_t)end;
    uint8_t *file = aligned(*size);
    /* Engines refuse a single read of a hundred megabytes. */
    for (size_t at = 0, part; at < *size; at += part) {
        part = *size - at < 1u << 20 ? *size - at : 1u << 20;
        if (fread(file + at, 1, part, stream) != part)
            fail("%s can't be read", path);
    }
    fclose(stream);
    return file;
#endif
}

/* ---- Logits ---- */

typedef struct settings {
    const char *file, *isa, *tokens, *adapter, *router;
    uint32_t threads, chunk, count;
    int slices, selftest, time;
} settings;

/* A clock that only counts how often it is asked: any budget of 1 is spent at the next op. */
static uint64_t count_calls(void *context) {
    uint64_t *calls = context;
    return ++*calls;
}

#ifdef TIN_NO_POOL
static const tin_executor *start_threads(uint32_t threads) {
    if (threads > 1)
        fail("this build has no pool, so it runs on one thread, not %u", (unsigned)threads);
    return NULL;
}

static void stop_threads(void) {}
#else
static tin_pool *pool;

static const tin_executor *start_threads(uint32_t threads) {
    if (threads <= 1)
        return NULL;
    tin_error error;
    size_t size = tin_pool_size(threads);
    if (!size)
        fail("%u threads; a pool has 1 to 64", (unsigned)threads);
    if (tin_pool_create(threads, aligned(size), size, &pool, &error))
        fail("%s", error.text);
    return tin_pool_executor(pool);
}

static void stop_threads(void) {
    tin_pool_destroy(pool);
}
#endif

static const tin_adapter *open_adapter(const tin_model *model, const char *path) {
    size_t size, need;
    const void *data = open_file(path, &size);
    tin_error error;
    tin_adapter *adapter;
    need = tin_adapter_size(model, data, size, &error);
    if (!need || tin_adapter_open(model, data, size, aligned(need), need, &adapter, &error))
        fail("%s", error.text);
    return adapter;
}

/* A session that has `tokens` queued. all: with logits of every token, else of the last. room: positions behind them. */
static tin_session *start(const tin_model *model, const settings *s, const tin_executor *executor,
                          const int32_t *tokens, uint32_t count, uint32_t room, int all) {
    static uint64_t calls;
    tin_model_info info;
    tin_error error;
    tin_model_describe(model, &info);
    uint32_t chunk = s->chunk ? s->chunk : info.chunk;
    tin_session_options options = {.context = count + room < info.context ? count + room : info.context,
                                   .chunk = chunk,
                                   .logit_rows = all ? chunk : 1,
                                   .executor = executor,
                                   .clock_ns = count_calls,
                                   .clock_context = &calls};
    const tin_adapter *adapter = s->adapter ? open_adapter(model, s->adapter) : NULL;
    float scale = 0.0f;
    if (adapter) {
        tin_adapter_info own;
        tin_adapter_describe(adapter, &own);
        options.adapter_rank = own.rank;
        options.context += own.prefix;
        scale = own.prefix ? 1.0f : 0.75f;
    }
    size_t size = tin_session_size(model, &options, &error);
    if (!size)
        fail("%s", error.text);
    tin_session *session;
    if (tin_session_create(model, &options, aligned(size), size, &session, &error) ||
        (adapter && tin_session_adapter(session, adapter, scale, 0, &error)) ||
        (all && tin_session_want_logits(session, 0, &error)) ||
        tin_session_append(session, tokens, count, &error))
        fail("%s", error.text);
    return session;
}

/* The SHA-256 of the logits of every token, [count][vocab] float32, in a session of its own. */
static void logits_digest(const tin_model *model, const settings *s, const tin_executor *executor,
                          const int32_t *tokens, uint32_t count, uint8_t digest[32]) {
    tin_model_info info;
    tin_model_describe(model, &info);
    tin_session *session = start(model, s, executor, tokens, count, 0, 1);
    tini_sha256 hash = tini_sha256_begin();
    uint32_t seen = 0;
    int32_t step;
    while ((step = tin_step(session, s->slices ? 1 : 0)) != TIN_STEP_IDLE) {
        if (step < 0)
            fail("a step failed: %s", tin_status_name(step));
        if (step == TIN_STEP_PENDING)
            continue;
        uint32_t rows, first;
        const float *logits = tin_session_logits(session, &rows, &first);
        if (first != seen)
            fail("logits begin at position %u, not at %u", (unsigned)first, (unsigned)seen);
        tini_sha256_add(&hash, logits, (size_t)rows * info.vocab * sizeof *logits);
        seen += rows;
    }
    if (seen != count)
        fail("logits of %u positions for %u tokens", (unsigned)seen, (unsigned)count);
    tini_sha256_end(&hash, digest);
}

/* That of the router's scores of the tokens. */
static void scores_digest(const tin_model *model, const settings *s, const tin_executor *executor,
                          const int32_t *tokens, uint32_t count, uint8_t digest[32]) {
    size_t size, need;
    const void *data = open_file(s->router, &size);
    tin_error error;
    tin_router *router;
    tin_router_info info;
    tin_route route;
    need = tin_router_size(model, data, size, &error);
    if (!need || tin_router_open(model, data, size, aligned(need), need, &router, &error))
        fail("%s", error.text);
    tin_router_describe(router, &info);
    tin_session *session = start(model, s, executor, tokens, count, 0, 0);
    while (tin_step(session, s->slices ? 1 : 0) == TIN_STEP_PENDING)
        ;
    float *scores = aligned(info.rows * sizeof *scores);
    if (tin_session_route(session, router, scores, &route, &error))
        fail("%s", error.text);
    tini_sha256 hash = tini_sha256_begin();
    tini_sha256_add(&hash, scores, info.rows * sizeof *scores);
    tini_sha256_end(&hash, digest);
}

static double seconds(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void print_speed(const tin_model *model, const settings *s, const tin_executor *executor,
                        const int32_t *tokens, uint32_t count) {
    enum { DECODED = 16 };
    tin_session *session = start(model, s, executor, tokens, count, DECODED, 0);
    double begin = seconds();
    int32_t step = tin_step(session, 0);
    double middle = seconds();
    for (uint32_t k = 0; k < DECODED && step == TIN_STEP_LOGITS; k++) {
        int32_t token = tin_session_sample(session, NULL);
        if (tin_session_append(session, &token, 1, NULL))
            fail("the context has no room for %u more tokens", (unsigned)DECODED);
        step = tin_step(session, 0);
    }
    if (step != TIN_STEP_LOGITS)
        fail("a step gave no logits");
    fprintf(stderr, "prompt %.1f tokens/s, decode %.1f tokens/s\n", count / (middle - begin),
            DECODED / (seconds() - middle));
}

static int32_t *parse_tokens(const char *text, uint32_t *count) {
    *count = 1;
    for (const char *p = text; *p; p++)
        *count += *p == ',';
    int32_t *tokens = aligned(*count * sizeof *tokens);
    for (uint32_t k = 0; k < *count; k++) {
        char *end;
        tokens[k] = (int32_t)strtol(text, &end, 10);
        if (end == text || *end != (k + 1 < *count ? ',' : 0))
            fail("--tokens takes token ids with commas between them");
        text = end + 1;
    }
    return tokens;
}

static int32_t *make_tokens(uint32_t count, uint32_t vocab) {
    int32_t *tokens = aligned(count * sizeof *tokens);
    for (uint64_t k = 0; k < count; k++)
        tokens[k] = (int32_t)((7 * k * k + 3 * k) % vocab);
    return tokens;
}

static uint32_t read_u32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* selftest.bin, little-endian: "TINTEST1", uint32 prompts; of each: uint32 tokens, int32 ids, a SHA-256. Returns the
 * number of prompts whose digest differs. */
static int selftest(const tin_model *model, const settings *s, const tin_executor *executor, const char *isa) {
    tin_error error;
    const void *data;
    size_t size;
    if (tin_selfcheck(&error)) {
        fprintf(stderr, "digest: %s\n", error.text);
        return 1;
    }
    if (tin_model_entry(model, "selftest.bin", &data, &size))
        fail("%s has no selftest.bin", s->file);
    const uint8_t *p = data, *end = p + size;
    if (size < 12 || memcmp(p, "TINTEST1", 8))
        fail("selftest.bin is not a self-test");
    uint32_t prompts = read_u32(p + 8), failed = 0;
    p += 12;
    if (!prompts)
        fail("selftest.bin has no prompt");
    for (uint32_t k = 0; k < prompts; k++) {
        if (end - p < 4 || (uint64_t)(end - p) < 36 + 4 * (uint64_t)read_u32(p))
            fail("selftest.bin is cut short");
        uint32_t count = read_u32(p);
        int32_t *tokens = aligned((count + 1) * sizeof *tokens);
        for (uint32_t i = 0; i < count; i++)
            tokens[i] = (int32_t)read_u32(p + 4 + 4 * i);
        p += 4 + 4 * (size_t)count;
        uint8_t digest[32];
        logits_digest(model, s, executor, tokens, count, digest);
        if (memcmp(digest, p, 32)) {
            fprintf(stderr, "digest: prompt %u on %s: ", (unsigned)k, isa);
            print_hex(stderr, digest);
            fputs(", but the tin says ", stderr);
            print_hex(stderr, p);
            fputc('\n', stderr);
            failed++;
        }
        p += 32;
    }
    if (!failed)
        printf("selftest ok: %u prompts on %s\n", (unsigned)prompts, isa);
    return (int)failed;
}

static uint32_t number(const char *option, const char *text) {
    char *end;
    unsigned long value = text ? strtoul(text, &end, 10) : 0;
    if (!text || end == text || *end || value < 1 || value > 1u << 24)
        fail("%s takes a number, 1 or more", option);
    return (uint32_t)value;
}

static settings parse(int argc, char **argv) {
    settings s = {.threads = 1, .count = 16};
    for (int k = 1; k < argc; k++) {
        const char *option = argv[k], *next = k + 1 < argc ? argv[k + 1] : NULL;
        if (!strcmp(option, "--isa") && next)
            s.isa = argv[++k];
        else if (!strcmp(option, "--tokens") && next)
            s.tokens = argv[++k];
        else if (!strcmp(option, "--adapter") && next)
            s.adapter = argv[++k];
        else if (!strcmp(option, "--router") && next)
            s.router = argv[++k];
        else if (!strcmp(option, "--threads"))
            s.threads = number(option, argv[++k]);
        else if (!strcmp(option, "--chunk"))
            s.chunk = number(option, argv[++k]);
        else if (!strcmp(option, "--count"))
            s.count = number(option, argv[++k]);
        else if (!strcmp(option, "--slices"))
            s.slices = 1;
        else if (!strcmp(option, "--selftest"))
            s.selftest = 1;
        else if (!strcmp(option, "--time"))
            s.time = 1;
        else if (option[0] != '-' && !s.file)
            s.file = option;
        else
            fail("unknown option %s", option);
    }
    if (!s.file)
        fail("usage: digest FILE.tin [--isa S] [--threads N] [--chunk N] [--slices] [--time] "
             "[--adapter FILE | --router FILE] (--tokens 1,2,3 | --count N | --selftest)");
    return s;
}

static void print_digest(const tin_model *model, const settings *s, const tin_executor *executor,
                         const tin_model_info *info) {
    uint32_t count = s->count;
    int32_t *tokens = s->tokens ? parse_tokens(s->tokens, &count) : make_tokens(count, info->vocab);
    uint8_t digest[32];
    (s->router ? scores_digest : logits_digest)(model, s, executor, tokens, count, digest);
    printf("%s ", info->isa);
    print_hex(stdout, digest);
    putchar('\n');
    if (s->time)
        print_speed(model, s, executor, tokens, count);
}

int main(int argc, char **argv) {
    const settings s = parse(argc, argv);
    const tin_executor *executor = start_threads(s.threads);
    tin_error error;
    tin_model *model;
    tin_model_info info;
    size_t file_size;
    const void *file = open_file(s.file, &file_size);
    size_t size = tin_model_size(file, file_size, &error);
    if (!size || tin_model_create(file, file_size, s.isa, aligned(size), size, &model, &error))
        fail("%s: %s", s.file, error.text);
    tin_model_describe(model, &info);
    if (s.isa && strcmp(s.isa, info.isa))
        fail("asked for %s, the library took %s", s.isa, info.isa);
    int failed = 0;
    if (s.selftest)
        failed = selftest(model, &s, executor, info.isa);
    else
        print_digest(model, &s, executor, &info);
    stop_threads();
    return failed != 0;
}
