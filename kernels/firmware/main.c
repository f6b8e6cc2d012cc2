/* An image that runs one tin from memory-mapped flash: without a prompt, the tin's self-test and those of its adapters
 * on every instruction set of the image (after "/selftest SET", on that one); with one, the model's answer, constrained by the
 * tin's own. "/adapter NAME PROMPT" answers under an adapter of the tin, and "/adapter NAME" runs its self-test
 * alone. It never allocates: the blocks below, of the sizes that the build knew, are all the memory there is, and weights
 * and factors are read where they lie.
 *
 *   TIN_FILE_BYTES, TIN_CONTEXT, TIN_CHUNK    of the tin, and of the session it gets
 *   TIN_SESSION_BYTES                         tin_session_size of that
 *   TIN_ADAPTER_RANK, TIN_ADAPTER_BYTES       room for any one of the tin's adapters; 0: it has none
 *   TIN_CONSTRAINT_BYTES, TIN_CONSTRAINT_MASKS  room for any one of its constraints, with so many masks; 0: it has none
 *   TIN_CONSTRAINED_TOKENS                           of the self-test's answer that is constrained, at most
 *   TIN_VISION_TEST_BYTES                            what the image of its self-test takes, where the session is otherwise; 0: it
 *                                             has none, or there is no room for it
 *   sealed.h                                  SEALED: of the model and of each adapter, what the self-test must find */
#include "../core/seal/model.h"
#include "../core/seal/sha256.h"
#include "../core/vision/vision_test.h"
#include "board.h"
#include "sealed.h"
#include "tin.h"

#include <string.h>

enum {
    PROMPT_BYTES = 1024,
    LINE_BYTES = 320,
    ENTRY_BYTES = 160,
    BLOCK_BYTES = TIN_SESSION_BYTES > TIN_VISION_TEST_BYTES ? TIN_SESSION_BYTES : TIN_VISION_TEST_BYTES
};

extern const uint8_t image_flash[];
extern uint8_t image_code_bytes[], image_static_bytes[]; /* numbers: their addresses */
extern uint8_t image_stack_begin[], image_stack_end[];
uint32_t image_stack_used(void);
uint64_t image_ticks(void);

static _Alignas(TIN_ALIGNMENT) uint8_t model_block[TINI_MODEL_ROOM];
static __attribute__((section(".session"), aligned(TIN_ALIGNMENT))) uint8_t session_block[BLOCK_BYTES];
#if TIN_ADAPTER_RANK
static _Alignas(TIN_ALIGNMENT) uint8_t adapter_block[TIN_ADAPTER_BYTES];
#endif
#if TIN_CONSTRAINT_BYTES
static _Alignas(TIN_ALIGNMENT) uint8_t constraint_block[TIN_CONSTRAINT_BYTES];
#endif
/* adapter: NULL for none. logits: the digests of its prompts, one behind the other; NULL: the tin's own entry has them.
 * constrained: the digest of the tokens of an answer that is constrained; NULL: there is none. In hexadecimal. */
static const struct {
    const char *adapter, *logits, *constrained;
} sealed[] = {SEALED};
static int32_t tokens[TIN_CONTEXT];
static char line[LINE_BYTES], prompt[PROMPT_BYTES];
static size_t written;
static uint32_t tested; /* instruction sets */
static tin_error error;

/* ---- text ---- */

static void flush(void) {
    line[written] = 0;
    board_write(line);
    written = 0;
}

static void put_bytes(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (written == LINE_BYTES - 1)
            flush();
        if (text[i])
            line[written++] = text[i];
    }
}

static void put(const char *text) {
    put_bytes(text, strlen(text));
}

static void put_number(uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    put_bytes(digits + at, sizeof digits - at);
}

static void put_line(const char *name, uint32_t value) {
    put(name);
    put(" ");
    put_number(value);
    put("\n");
    flush();
}

static void write_hex(const uint8_t digest[32], char text[64]) {
    for (size_t i = 0; i < 64; i++)
        text[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
}

static _Noreturn void stop(const char *what) {
    put("error: ");
    put(what);
    put("\n");
    flush();
    board_exit(1);
}

static void check(tin_status status) {
    if (status)
        stop(*error.text ? error.text : tin_status_name(status));
}

/* ---- the model ---- */

/* isa: NULL for the best. tin_model_create checks all that could lead the core astray, which matters where no memory is
 * protected. tin_file_verify is not called: it would read all of the weights at each start (seconds, at some 50 cycles a
 * byte), and who can write the file to flash can write this program: whatever proves the image proves both. */
static tin_model *open_model(const char *isa) {
    tin_model *model;
    check(tin_model_create(image_flash, TIN_FILE_BYTES, isa, model_block, sizeof model_block, &model, &error));
    return model;
}

/* What an adapter brings under that name; adapter NULL, or one that brings no such: NULL. */
static const void *find_entry(const tin_model *model, const char *adapter, const char *name, size_t *size) {
    char entry[ENTRY_BYTES];
    size_t length = adapter ? strlen(adapter) : 0;
    const void *data = NULL;
    if (adapter && length + strlen(name) + sizeof "adapter/" <= sizeof entry) {
        memcpy(entry, "adapter/", sizeof "adapter/");
        memcpy(entry + strlen("adapter/"), adapter, length);
        memcpy(entry + strlen("adapter/") + length, name, strlen(name) + 1);
        if (tin_model_entry(model, entry, &data, size))
            return NULL;
    }
    return data;
}

static void put_adapter(const tin_model *model, tin_session *session, const char *name) {
#if TIN_ADAPTER_RANK
    size_t size;
    const void *data = find_entry(model, name, ".bin", &size);
    if (!data)
        stop("the file has no adapter of that name");
    tin_adapter *adapter;
    check(tin_adapter_open(model, data, size, adapter_block, sizeof adapter_block, &adapter, &error));
    check(tin_session_adapter(session, adapter, 1, 0, &error));
#else
    (void)model, (void)session, (void)name;
    stop("the image was built for a file without adapters");
#endif
}

/* Holds answers to what the adapter brings, or the tin. */
static void put_constraint(const tin_model *model, tin_session *session, const char *adapter) {
#if TIN_CONSTRAINT_BYTES
    static const char name[] = "grammar/answer.bin";
    const tin_constraint_options options = {.masks = TIN_CONSTRAINT_MASKS};
    size_t size;
    const void *data = find_entry(model, adapter, "/grammar/answer.bin", &size);
    if (!data && tin_model_entry(model, name, &data, &size))
        return;
    tin_constraint *constraint;
    check(tin_constraint_create(model, data, size, &options, constraint_block, sizeof constraint_block,
                                &constraint, &error));
    check(tin_session_constrain(session, constraint, &error));
#else
    (void)model, (void)session, (void)adapter;
#endif
}

/* adapter: NULL for none. */
static tin_session *open_session(const tin_model *model, const char *adapter) {
    const tin_session_options options = {
        .context = TIN_CONTEXT, .chunk = TIN_CHUNK, .adapter_rank = TIN_ADAPTER_RANK};
    tin_session *session;
    memset(session_block, 0, sizeof session_block); /* prompts are tokenized there, and no reset clears it */
    check(tin_session_create(model, &options, session_block, sizeof session_block, &session, &error));
    if (adapter)
        put_adapter(model, session, adapter);
    return session;
}

/* ---- the self-test ---- */

/* data[size] at *at, which is moved behind it. */
static uint32_t read_number(const uint8_t *data, size_t size, size_t *at) {
    if (size - *at < 4)
        stop("selftest.bin is cut short");
    const uint8_t *p = data + *at;
    *at += 4;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void digest_logits(tin_session *session, uint32_t vocab, uint8_t digest[32]) {
    tini_sha256 hash = tini_sha256_begin();
    int32_t event;
    while ((event = tin_step(session, 0)) == TIN_STEP_LOGITS) {
        uint32_t rows;
        const float *logits = tin_session_logits(session, &rows, NULL);
        tini_sha256_add(&hash, logits, (size_t)rows * vocab * sizeof *logits);
    }
    check(event < 0 ? event : TIN_OK);
    tini_sha256_end(&hash, digest);
}

static void put_adapter_name(const char *adapter) {
    if (adapter) {
        put(" ");
        put(adapter);
    }
    put("\n");
    flush();
}

/* Prints "WHAT ISA NUMBER HEX equal", and the adapter. expected: HEX, where it is equal. */
static int put_digest(const char *what, const char *isa, uint32_t number, const uint8_t digest[32],
                      const char *expected, const char *adapter) {
    char text[64];
    write_hex(digest, text);
    int equal = !memcmp(text, expected, sizeof text);
    put(what);
    put(" ");
    put(isa);
    put(" ");
    put_number(number);
    put(" ");
    put_bytes(text, sizeof text);
    put(equal ? " equal" : " differs");
    put_adapter_name(adapter);
    return equal;
}

/* The next prompt of the self-test, to `tokens`, and the digest behind it. */
static uint32_t read_tokens(const uint8_t *data, size_t size, size_t *at, const uint8_t **digest) {
    uint32_t count = read_number(data, size, at);
    if (count > TIN_CONTEXT)
        stop("a prompt of the self-test is longer than the image's context");
    for (uint32_t i = 0; i < count; i++)
        tokens[i] = (int32_t)read_number(data, size, at);
    if (size - *at < 32)
        stop("selftest.bin is cut short");
    *digest = data + *at;
    *at += 32;
    return count;
}

/* Whether the tokens of an answer to the prompt, constrained, are those that the build had. */
static int test_constrained(const tin_model *model, tin_session *session, uint32_t count, const char *isa,
                            size_t k) {
    const char *adapter = sealed[k].adapter;
    put_constraint(model, session, adapter);
    check(tin_session_rewind(session, 0, &error));
    check(tin_session_append(session, tokens, count, &error));
    check(tin_session_generate(session, NULL, TIN_CONSTRAINED_TOKENS, 0, &error));
    tini_sha256 hash = tini_sha256_begin();
    uint32_t made = 0;
    int32_t event;
    while ((event = tin_step(session, 0)) == TIN_STEP_TOKEN) {
        int32_t token = tin_session_token(session);
        tini_sha256_add(&hash, &token, sizeof token);
        made++;
    }
    check(event < 0 ? event : TIN_OK);
    uint8_t digest[32];
    tini_sha256_end(&hash, digest);
    return put_digest("constrained", isa, made, digest, sealed[k].constrained, adapter);
}

/* Whether the image's logits are those that the tin was sealed with, printed as a prompt's of that number. The session is
 * lost. */
static int see(const tin_model *model, const char *isa, uint32_t number) {
#if TIN_VISION_TEST_BYTES
    const void *test;
    size_t size;
    uint8_t digest[TINI_VISION_TEST_DIGEST];
    char expected[64];
    check(tin_model_entry(model, TINI_VISION_TEST_ENTRY, &test, &size));
    memset(session_block, 0, sizeof session_block);
    check(tini_vision_test_digest(model, test, size, session_block, sizeof session_block, digest, &error));
    write_hex(((const tini_vision_test_header *)test)->digest, expected);
    return put_digest("digest", isa, number, digest, expected, NULL);
#else
    (void)model, (void)isa, (void)number;
    return 1;
#endif
}

/* Whether every prompt's logits, and an answer that is constrained, are those that were sealed. Prints "digest
 * ISA PROMPT HEX equal" and "ticks ISA PROMPT TOKENS CLOCKS", the processor's own, which tell the speed, and "constrained ISA
 * TOKENS HEX equal"; the adapter's name at the end of each. */
static int selftest(const char *isa, size_t k) {
    const char *adapter = sealed[k].adapter;
    tin_model *model = open_model(isa);
    tin_session *session = open_session(model, adapter);
    tin_model_info info;
    tin_model_describe(model, &info);
    if (strcmp(info.isa, isa))
        stop("the library took another instruction set than it was asked for");
    const void *entry;
    size_t size, at = 8;
    check(tin_model_entry(model, "selftest.bin", &entry, &size));
    const uint8_t *data = entry, *theirs;
    if (size < at || memcmp(data, "TINTEST1", 8))
        stop("selftest.bin is no self-test");
    uint32_t prompts = read_number(data, size, &at), good = 0, count = 0;
    for (uint32_t n = 0; n < prompts; n++) {
        count = read_tokens(data, size, &at, &theirs);
        uint8_t digest[32];
        uint64_t begin = image_ticks();
        check(tin_session_rewind(session, 0, &error));
        check(tin_session_append(session, tokens, count, &error));
        check(tin_session_want_logits(session, 0, &error));
        digest_logits(session, info.vocab, digest);
        uint64_t ticks = image_ticks() - begin;
        char expected[64];
        if (sealed[k].logits)
            memcpy(expected, sealed[k].logits + (size_t)64 * n, sizeof expected);
        else
            write_hex(theirs, expected);
        good += (uint32_t)put_digest("digest", isa, n, digest, expected, adapter);
        put("ticks ");
        put(isa);
        put(" ");
        put_number(n);
        put(" ");
        put_number(count);
        put(" ");
        put_number(ticks);
        put_adapter_name(adapter);
    }
    tested++;
    int constrained = !prompts || !sealed[k].constrained || test_constrained(model, session, count, isa, k);
    int seen = adapter || see(model, isa, prompts);
    return prompts && good == prompts && constrained && seen;
}

/* ---- an answer ---- */

/* The text's tokens, as the first user message where the adapter or the tin has a chat template. The session's block is
 * scratch until the session is made. */
static uint32_t read_prompt(const tin_model *model, const char *adapter, const char *text) {
    const tin_message message = {TIN_ROLE_USER, text, strlen(text)};
    size_t size = 0;
    const void *turns = find_entry(model, adapter, "/turns.bin", &size);
    size_t need = tin_template_scratch(model, turns, size, &message, 1, NULL);
    int64_t count = TIN_ERR_UNSUPPORTED;
    if (need && need <= sizeof session_block)
        count = tin_template_chat(model, turns, size, &message, 1, TIN_CHAT_ANSWER, tokens, TIN_CONTEXT,
                                  session_block, sizeof session_block, &error);
    if (count == TIN_ERR_UNSUPPORTED)
        count = tin_tokenize(model, text, message.length, TIN_TEXT_BOS, tokens, TIN_CONTEXT, session_block,
                             sizeof session_block);
    check(count < 0 ? (tin_status)count : TIN_OK);
    if (!count || count >= TIN_CONTEXT)
        stop("the prompt does not fit the image's context");
    return (uint32_t)count;
}

static void answer(const char *adapter, const char *text) {
    tin_model *model = open_model(NULL);
    uint32_t count = read_prompt(model, adapter, text);
    tin_session *session = open_session(model, adapter);
    put_constraint(model, session, adapter);
    check(tin_session_append(session, tokens, count, &error));
    check(tin_session_generate(session, NULL, TIN_CONTEXT - count, 0, &error));
    int32_t event;
    while ((event = tin_step(session, 0)) == TIN_STEP_TOKEN) {
        uint32_t bytes;
        int control;
        const char *piece = tin_token_text(model, tin_session_token(session), &bytes, &control);
        if (!control)
            put_bytes(piece, bytes);
        flush();
    }
    check(event < 0 ? event : TIN_OK);
    put("\n");
    flush();
}

/* Bytes of ram, by use; in all they are what the linker gave out. */
static void report(void) {
    uint32_t stack = (uint32_t)(image_stack_end - image_stack_begin);
    uint32_t statics = (uint32_t)(uintptr_t)image_static_bytes;
    put_line("code_bytes", (uint32_t)(uintptr_t)image_code_bytes);
    put_line("file_bytes", TIN_FILE_BYTES);
    put_line("context", TIN_CONTEXT);
    put_line("chunk", TIN_CHUNK);
    put_line("session_bytes", sizeof session_block);
    put_line("adapter_rank", TIN_ADAPTER_RANK);
    put_line("constraint_bytes", TIN_CONSTRAINT_BYTES);
    put_line("model_bytes", sizeof model_block);
    put_line("static_bytes", statics - (uint32_t)sizeof model_block);
    put_line("stack_bytes", stack);
    put_line("stack_used", image_stack_used());
    put_line("ram_bytes", (uint32_t)sizeof session_block + statics + stack);
}

/* What follows the word and a space in the prompt; NULL where it does not begin with the word. */
static char *behind(char *text, const char *word) {
    size_t length = strlen(word);
    if (strncmp(text, word, length))
        return NULL;
    return text + length + (text[length] == ' ');
}

static int is_name(const char *given, const char *name) {
    return name && !strcmp(given, name);
}

int main(void) {
    board_prompt(prompt, sizeof prompt);
    char *only = behind(prompt, "/selftest"), *adapter = behind(prompt, "/adapter "), *text = prompt;
    if (adapter) {
        text = strchr(adapter, ' ');
        if (text)
            *text++ = 0;
    }
    if (text && *text && !only) {
        answer(adapter, text);
        return 0;
    }
    check(tin_selfcheck(&error));
    int good = 1;
    const char *isa;
    for (uint32_t i = 0; (isa = tin_isa_name(i)) != NULL; i++)
        for (size_t k = 0; k < sizeof sealed / sizeof *sealed; k++)
            if ((!only || !*only || !strcmp(only, isa)) && (!adapter || is_name(adapter, sealed[k].adapter)))
                good &= selftest(isa, k);
    report();
    if (!tested)
        stop(adapter ? "the image knows no adapter of that name"
                     : "the image has no instruction set of that name");
    put(good ? "selftest ok\n" : "selftest failed: other logits here than where the file was made\n");
    flush();
    return !good;
}
