/* Runs and proves a tin where nothing but this program is installed:
 *
 *   tin verify FILE.tin [--isa S]           the file's digests, and its self-test, on every instruction set that this
 *                                           device runs, or on S
 *   tin run FILE.tin PROMPT [--tokens N]    the answer, likeliest tokens only; by the file's chat template where it has
 *       [--adapter NAME]                    one, and within its constraint; under an adapter that the tin holds, as that
 *                                           one is asked and held, or a file of `tinsmith export --native`
 *   tin signature FILE --key KEY            whether the owner of KEY signed any FILE, in FILE.minisig
 *
 * --key KEY, with verify and run: refuse a tin that the owner of this minisign key, a file or its line RW..., did not
 * sign, in FILE.minisig. With it, --min-version N: refuse a signature of an older version, or of none, and one whose
 * not-after is over, by this device's clock, or by --now 2027-01-31.
 *
 * verify prints, for each set and prompt, "SET PROMPT SHA-256 equal" ("different" where the file says otherwise): the
 * SHA-256 is of the float32 logits of every position. Exits 0 when all are equal, 1 when one is not or the file is
 * refused, 2 on any other error. Needs libc only. */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif
#include "../core/seal/minisign.h"
#include "../core/seal/sha256.h"
#include "../core/vision/vision_test.h"
#include "../include/tin.h"

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

enum {
    EQUAL = 0,
    DIFFERENT = 1,
    FAILED = 2,
    MOST_TOKENS = 256,
    PIECE = 1 << 20,
    MOST_TEXT = 1 << 16,
    KEY_LINE = 56,
    MOST_NAME = 4096
};

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("tin: error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(FAILED);
}

/* ---- Files and memory (zeros, as tin.h asks), as long-lived as the program unless freed ---- */

typedef struct block {
    void *start; /* for free */
    void *data;  /* aligned */
    size_t size;
} block;

static block make_block(size_t size) {
    block made = {calloc(size + TIN_ALIGNMENT, 1), NULL, size};
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

/* ---- Signatures ---- */

static const char *read_text(const char *path, size_t *size) {
    FILE *stream = fopen(path, "rb");
    char *text = make_block(MOST_TEXT + 1).data;
    *size = stream ? fread(text, 1, MOST_TEXT, stream) : 0;
    if (!*size)
        fail("%s can't be read", path);
    fclose(stream);
    text[*size] = '\0';
    return text;
}

/* A public key's text: of the file `key`, or itself. */
static const char *read_key(const char *key) {
    size_t size;
    return strncmp(key, "RW", 2) == 0 && strlen(key) == KEY_LINE ? key : read_text(key, &size);
}

static const char *read_signature(const char *path, size_t *size) {
    size_t length = strlen(path);
    char *beside = make_block(length + sizeof ".minisig").data;
    memcpy(beside, path, length);
    memcpy(beside + length, ".minisig", sizeof ".minisig");
    return read_text(beside, size);
}

static _Noreturn void refuse(const char *path, const tin_error *error) {
    fprintf(stderr, "tin: refused: %s: %s\n", path, error->text);
    exit(DIFFERENT);
}

/* Ends the program unless the file is as it was sealed, and with a key, as the key's owner signed it. */
static void check_file(const char *path, const void *file, size_t size, const char *key,
                       const tin_freshness *asked) {
    tin_error error;
    size_t length = 0;
    const char *signature = key ? read_signature(path, &length) : NULL;
    if (tin_file_verify_fresh(file, size, signature, length, key ? read_key(key) : NULL, asked, &error))
        refuse(path, &error);
}

static int check_signature(const char *path, const void *file, size_t size, const char *key,
                           const tin_freshness *asked) {
    tin_error error;
    size_t length;
    const char *signature = read_signature(path, &length), *public_key = read_key(key);
    if (tini_minisign_verify(file, size, signature, length, public_key, strlen(public_key), asked, &error))
        refuse(path, &error);
    return 0;
}

/* What is asked of a signature; either option asks for both, of this device's clock where no day is given. */
static tin_freshness read_freshness(const char *least, const char *day) {
    tin_freshness asked = {0, 0};
    if (!least && !day)
        return asked;
    char *end = NULL;
    unsigned long long version = least ? strtoull(least, &end, 10) : 0;
    if (least && (*least < '0' || *least > '9' || *end || version > UINT32_MAX))
        fail("--min-version %s: give a number", least);
    asked.min_version = (uint32_t)version;
    if (day && !tini_read_day(day, strlen(day), &asked.now))
        fail("--now %s: give a day such as 2027-01-31", day);
    asked.now = day ? asked.now - 1 : (int64_t)time(NULL);
    if (asked.now <= 0)
        fail("this device's clock is not set; give the day by --now");
    return asked;
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

/* The line of a prompt. Returns whether its digest differs from the file's. */
static int print_digest(const tin_model *model, uint32_t prompt, const uint8_t digest[32],
                        const void *expected) {
    tin_model_info info;
    tin_model_describe(model, &info);
    int equal = memcmp(digest, expected, 32) == 0;
    printf("%s %u ", info.isa, (unsigned)prompt);
    for (size_t i = 0; i < 32; i++)
        printf("%02x", digest[i]);
    puts(equal ? " equal" : " different");
    fflush(stdout);
    return !equal;
}

/* The image of a file that has one; it counts as one more prompt. */
static int verify_vision(const tin_model *model, uint32_t prompt) {
    const void *test;
    size_t size;
    if (tin_model_entry(model, TINI_VISION_TEST_ENTRY, &test, &size))
        return 0;
    tin_error error;
    uint8_t digest[TINI_VISION_TEST_DIGEST];
    size_t need = tini_vision_test_size(model, test, size, &error);
    block memory = make_block(need);
    if (!need || tini_vision_test_digest(model, test, size, memory.data, need, digest, &error))
        fail("%s", error.text);
    free(memory.start);
    return print_digest(model, prompt, digest, ((const tini_vision_test_header *)test)->digest);
}

/* The model's self-test on its instruction set. Returns how many prompts differ. selftest.bin: core/seal/prompts.h. */
static int verify_set(const tin_model *model) {
    const void *data;
    size_t size;
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
        different += print_digest(model, k, digest, p);
        p += sizeof digest;
    }
    return different + verify_vision(model, prompts);
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

/* An entry of the file: what the adapter of that name brings, or else the file's own; no adapter: NULL. */
static int find_own(const tin_model *model, const char *adapter, const char *name, const void **data,
                    size_t *size) {
    char entry[MOST_NAME];
    int length = adapter ? snprintf(entry, sizeof entry, "adapter/%s/%s", adapter, name) : -1;
    return (length > 0 && length < MOST_NAME && !tin_model_entry(model, entry, data, size)) ||
           !tin_model_entry(model, name, data, size);
}

/* The prompt's tokens, by the adapter's template, or the file's, where there is one. */
static int32_t *prompt_tokens(const tin_model *model, const char *adapter, const char *prompt,
                              uint32_t *count) {
    const tin_message message = {TIN_ROLE_USER, prompt, strlen(prompt)};
    size_t capacity = 3 * message.length + 4096;
    int32_t *tokens = make_block(capacity * sizeof *tokens).data;
    tin_error error = {TIN_OK, "the prompt can't be tokenized"};
    const void *turns = NULL;
    size_t size = 0, scratch = 0;
    int64_t n;
    if (find_own(model, adapter, "turns.bin", &turns, &size))
        scratch = tin_template_scratch(model, turns, size, &message, 1, NULL);
    if (scratch) {
        n = tin_template_chat(model, turns, size, &message, 1, TIN_CHAT_ANSWER, tokens, capacity,
                              make_block(scratch).data, scratch, &error);
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

/* Holds the session to what the adapter, or the file, says that answers may be. */
static void constrain(const tin_model *model, const char *adapter, tin_session *session) {
    const void *data;
    size_t size, need;
    tin_error error;
    tin_constraint *constraint;
    if (!find_own(model, adapter, "grammar/answer.bin", &data, &size))
        return; /* it leaves them free */
    need = tin_constraint_size(model, data, size, NULL, &error);
    if (!need ||
        tin_constraint_create(model, data, size, NULL, make_block(need).data, need, &constraint, &error) ||
        tin_session_constrain(session, constraint, &error))
        fail("%s", error.text);
}

/* One that the tin holds under that name, or a file. */
static const tin_adapter *open_adapter(const tin_model *model, const char *path) {
    char entry[MOST_NAME];
    size_t size;
    const void *data;
    int length = snprintf(entry, sizeof entry, "adapter/%s.bin", path);
    if (length < 0 || length >= MOST_NAME || tin_model_entry(model, entry, &data, &size))
        data = open_file(path, &size);
    tin_error error;
    tin_adapter *adapter;
    size_t need = tin_adapter_size(model, data, size, &error);
    if (!need || tin_adapter_open(model, data, size, make_block(need).data, need, &adapter, &error))
        fail("%s: %s", path, error.text);
    return adapter;
}

/* The name of the adapter that the file's router chooses by the prompt; NULL for none. Says on stderr what it chose. */
static const char *routed(const tin_model *model, const char *prompt) {
    tin_error error = {TIN_OK, "the file has no router"};
    const void *data;
    size_t size;
    uint32_t count;
    int32_t *tokens = prompt_tokens(model, NULL, prompt, &count);
    tin_session_options options = {.context = count};
    size_t room = tin_session_size(model, &options, &error);
    tin_session *session;
    tin_router *router;
    tin_route route;
    size_t need = room && !tin_model_entry(model, "router.bin", &data, &size)
                      ? tin_router_size(model, data, size, &error)
                      : 0;
    if (!need || tin_router_open(model, data, size, make_block(need).data, need, &router, &error) ||
        tin_session_create(model, &options, make_block(room).data, room, &session, &error) ||
        tin_session_append(session, tokens, count, &error))
        fail("%s", error.text);
    if (tin_step(session, 0) != TIN_STEP_LOGITS)
        fail("a step failed");
    if (tin_session_route(session, router, NULL, &route, &error))
        fail("%s", error.text);
    const char *task = tin_router_task(router, route.task, NULL);
    fprintf(stderr, "tin: %s%s %.2f\n", route.taken ? "" : "none of these: ", task, (double)route.probability);
    return route.taken ? task : NULL;
}

/* named: an adapter, or NULL. */
static int answer(const tin_model *model, const char *named, const char *prompt, uint32_t most) {
    const tin_adapter *adapter = named ? open_adapter(model, named) : NULL;
    tin_model_info info;
    tin_error error;
    tin_session *session;
    uint32_t count;
    int32_t *tokens = prompt_tokens(model, named, prompt, &count);
    tin_model_describe(model, &info);
    if (count >= info.context)
        fail("the prompt has %u tokens and the model's context %u; give a shorter one", (unsigned)count,
             (unsigned)info.context);
    tin_adapter_info own = {0};
    if (adapter)
        tin_adapter_describe(adapter, &own);
    uint32_t room = info.context - count;
    int fits = own.prefix < room && most < room - own.prefix;
    tin_session_options options = {.context = count + (fits ? most + own.prefix : room),
                                   .adapter_rank = own.rank};
    size_t size = tin_session_size(model, &options, &error);
    if (!size)
        fail("%s", error.text);
    if (tin_session_create(model, &options, make_block(size).data, size, &session, &error))
        fail("%s", error.text);
    constrain(model, named, session);
    if (adapter && tin_session_adapter(session, adapter, 1.0f, 0, &error))
        fail("%s", error.text);
    if (tin_session_append(session, tokens, count, &error) ||
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
    fputs("usage: tin verify FILE.tin [--isa S] [KEY] | tin run FILE.tin PROMPT [--tokens N]\n"
          "     [--adapter NAME | --route] [KEY] | tin signature FILE KEY | tin --version\n"
          "KEY: --key KEY [--min-version N] [--now 2027-01-31]\n",
          stderr);
    exit(FAILED);
}

/* The value of the option `name`, which is taken out of the arguments from `first` on; NULL where it is not given. */
static const char *take_option(int *argc, char **argv, int first, const char *name) {
    for (int k = first; k + 1 < *argc; k++)
        if (strcmp(argv[k], name) == 0) {
            const char *value = argv[k + 1];
            for (*argc -= 2; k < *argc; k++)
                argv[k] = argv[k + 2];
            return value;
        }
    return NULL;
}

/* Whether the flag `name` is given; it is taken out of the arguments. */
static int take_flag(int *argc, char **argv, int first, const char *name) {
    for (int k = first; k < *argc; k++)
        if (strcmp(argv[k], name) == 0) {
            for (--*argc; k < *argc; k++)
                argv[k] = argv[k + 1];
            return 1;
        }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return printf("tin %s\n", tin_version()) < 0;
    int verifies = argc > 2 && strcmp(argv[1], "verify") == 0;
    int runs = argc > 3 && strcmp(argv[1], "run") == 0;
    int first = runs ? 4 : 3;
    const char *key = take_option(&argc, argv, first, "--key");
    const char *least = take_option(&argc, argv, first, "--min-version");
    const char *day = take_option(&argc, argv, first, "--now");
    const char *isa = verifies ? take_option(&argc, argv, first, "--isa") : NULL;
    const char *tokens = runs ? take_option(&argc, argv, first, "--tokens") : NULL;
    const char *adapter = runs ? take_option(&argc, argv, first, "--adapter") : NULL;
    int route = runs && take_flag(&argc, argv, first, "--route");
    unsigned long most = tokens ? strtoul(tokens, NULL, 10) : MOST_TOKENS;
    if (argc != first || (route && adapter) || !most || most > UINT32_MAX)
        usage();
    if ((least || day) && !key)
        usage();
    const tin_freshness asked = read_freshness(least, day);
    size_t size;
    if (!verifies && !runs) {
        if (!key || strcmp(argv[1], "signature") != 0)
            usage();
        const void *file = open_file(argv[2], &size);
        return check_signature(argv[2], file, size, key, &asked);
    }
    const void *file = open_file(argv[2], &size);
    if (verifies || key)
        check_file(argv[2], file, size, key, &asked);
    if (verifies)
        return verify(file, size, isa);
    const tin_model *model = open_model(file, size, NULL);
    const char *named = route ? routed(model, argv[3]) : adapter;
    return route && !named ? 0 : answer(model, named, argv[3], (uint32_t)most);
}
