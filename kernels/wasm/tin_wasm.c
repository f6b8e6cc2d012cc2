/* What tin.mjs, and other hosts of the WebAssembly module, call beside tin.h's own functions: memory, and calls whose
 * arguments are numbers. Nothing is imported.
 *
 *   file = tinw_alloc(bytes); write the .tin there
 *   model = tinw_open(file, bytes, isa or 0); session = tinw_session(model, context, seed) ...
 *
 * Addresses and sizes are uint32; 0 or a negative result is a failure, whose line is at tinw_error(). One thread. */
#include "../include/tin.h"

#include "../core/seal/sha256.h"
#include "../core/vision/vision_test.h"
#include "../core/vision/image.h"

#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))
enum { PAGE = 65536, END = -100, MOST_BYTES = 1 << 28 /* that an image may take while it is read */ };

static tin_error error;

EXPORT(tinw_error) const char *tinw_error(void) {
    return error.text;
}

static void *refuse(const char *text) {
    error.status = TIN_ERR_ARGUMENT;
    for (size_t k = 0; k == 0 || text[k - 1]; k++)
        error.text[k] = text[k];
    return NULL;
}

/* ---- Memory: blocks in a list by address, each behind its header; a freed one is taken again where it fits, and
 * cleared: what it had is nothing for the model that comes there next ---- */

typedef struct header {
    struct header *next;
    uint32_t size; /* of what follows, a multiple of TIN_ALIGNMENT */
    uint32_t used;
    uint8_t fill[TIN_ALIGNMENT - 12];
} header;

extern uint8_t __heap_base;
static header *first, *last;

static header *at_the_end(uint32_t size) {
    uintptr_t start = last ? (uintptr_t)(last + 1) + last->size
                           : ((uintptr_t)&__heap_base + TIN_ALIGNMENT - 1) & ~(uintptr_t)(TIN_ALIGNMENT - 1);
    uint64_t end = (uint64_t)start + sizeof(header) + size;
    uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
    if (end > UINT32_MAX ||
        (end > have && __builtin_wasm_memory_grow(0, (uint32_t)((end - have + PAGE - 1) / PAGE)) == (size_t)-1))
        return refuse("there is not so much memory");
    header *made = (header *)start;
    *made = (header){.size = size};
    if (last)
        last->next = made;
    else
        first = made;
    return last = made;
}

EXPORT(tinw_alloc) void *tinw_alloc(uint32_t bytes) {
    if (bytes > UINT32_MAX - 2 * TIN_ALIGNMENT)
        return refuse("there is not so much memory");
    uint32_t size = (bytes + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT;
    header *block = first;
    while (block && (block->used || block->size < size))
        block = block->next;
    if (block)
        memset(block + 1, 0, block->size);
    else if (!(block = at_the_end(size))) /* where nothing was yet */
        return NULL;
    if (block->size >= size + 2 * sizeof *block) { /* the rest stays free */
        header *rest = (header *)((uint8_t *)(block + 1) + size);
        *rest = (header){.next = block->next, .size = block->size - size - (uint32_t)sizeof *rest};
        block->size = size;
        block->next = rest;
        last = last == block ? rest : last;
    }
    block->used = 1;
    return block + 1;
}

/* data: of tinw_alloc, or a session or model, which lie at the beginning of their memory; 0 does nothing. */
EXPORT(tinw_free) void tinw_free(void *data) {
    if (!data)
        return;
    ((header *)data - 1)->used = 0;
    for (header *block = first; block; block = block->next)
        while (!block->used && block->next && !block->next->used) {
            last = last == block->next ? block : last;
            block->size += (uint32_t)sizeof *block + block->next->size;
            block->next = block->next->next;
        }
}

/* ---- Models ---- */

/* Before tinw_open: 0 when the owner of `key` signed this file. signature: bytes of a .minisig; 0: none. min_version, now:
 * tin_freshness. */
EXPORT(tinw_verify)
int32_t tinw_verify(const void *file, uint32_t size, const char *signature, uint32_t length, const char *key,
                    uint32_t min_version, double now) {
    const tin_freshness asked = {min_version, (int64_t)now};
    return tin_file_verify_fresh(file, size, signature, length, key, &asked, &error);
}

/* file: the .tin's image, of tinw_alloc, which must stay. isa: a name that ends with 0, or NULL. */
EXPORT(tinw_open) tin_model *tinw_open(const void *file, uint32_t size, const char *isa) {
    size_t need = tin_model_size(file, size, &error);
    void *memory = need ? tinw_alloc((uint32_t)need) : NULL;
    tin_model *model = NULL;
    if (memory && tin_model_create(file, size, isa, memory, need, &model, &error))
        tinw_free(memory);
    return model;
}

EXPORT(tinw_context) uint32_t tinw_context(const tin_model *model) {
    tin_model_info info;
    tin_model_describe(model, &info);
    return info.context;
}

EXPORT(tinw_isa) const char *tinw_isa(const tin_model *model) {
    tin_model_info info;
    tin_model_describe(model, &info);
    return info.isa;
}

EXPORT(tinw_entry_size) uint32_t tinw_entry_size(const tin_model *model, const char *name) {
    const void *data;
    size_t size;
    return tin_model_entry(model, name, &data, &size) ? 0 : (uint32_t)size;
}

EXPORT(tinw_entry) const void *tinw_entry(const tin_model *model, const char *name) {
    const void *data;
    size_t size;
    return tin_model_entry(model, name, &data, &size) ? refuse("the file has no such entry") : data;
}

/* ---- Sessions ---- */

/* data: a compiled adapter, of tinw_alloc, which must stay. */
EXPORT(tinw_adapter) tin_adapter *tinw_adapter(const tin_model *model, const void *data, uint32_t size) {
    size_t need = tin_adapter_size(model, data, size, &error);
    void *memory = need ? tinw_alloc((uint32_t)need) : NULL;
    tin_adapter *adapter = NULL;
    if (memory && tin_adapter_open(model, data, size, memory, need, &adapter, &error))
        tinw_free(memory);
    return adapter;
}

/* What it takes of a session's rank. */
EXPORT(tinw_rank) uint32_t tinw_rank(const tin_adapter *adapter) {
    tin_adapter_info info;
    tin_adapter_describe(adapter, &info);
    return info.rank;
}

/* What the adapter counts in the session from now on; 0 takes off all. */
EXPORT(tinw_apply) int32_t tinw_apply(tin_session *session, const tin_adapter *adapter, float scale) {
    return tin_session_adapter(session, adapter, scale, 0, &error);
}

/* data: grammar/answer.bin of the file, or of an adapter in it. One session has it at a time. */
EXPORT(tinw_constraint)
tin_constraint *tinw_constraint(const tin_model *model, const void *data, uint32_t size) {
    size_t need = tin_constraint_size(model, data, size, NULL, &error);
    void *memory = need && need <= UINT32_MAX ? tinw_alloc((uint32_t)need) : NULL;
    tin_constraint *constraint = NULL;
    if (memory && tin_constraint_create(model, data, size, NULL, memory, need, &constraint, &error))
        tinw_free(memory);
    return constraint;
}

/* Holds the session's answers to it from now on; 0 leaves them free. */
EXPORT(tinw_constrain) int32_t tinw_constrain(tin_session *session, tin_constraint *constraint) {
    return tin_session_constrain(session, constraint, &error);
}

/* context: 0 for the model's own. rows: of logits at once. rank: room for adapters. */
EXPORT(tinw_session)
tin_session *tinw_session(const tin_model *model, uint32_t context, uint32_t rows, uint32_t rank) {
    tin_session_options options = {.context = context, .logit_rows = rows, .adapter_rank = rank};
    tin_encoder_info encoder;
    if (!tin_encoder_describe(model,
                              &encoder)) /* every token may be a row of an image, and every row an image */
        options.tiles = options.image_rows = context ? context : tinw_context(model);
    size_t need = tin_session_size(model, &options, &error);
    void *memory = need && need <= UINT32_MAX ? tinw_alloc((uint32_t)need) : NULL;
    tin_session *session = NULL;
    if (memory && tin_session_create(model, &options, memory, need, &session, &error))
        tinw_free(memory);
    return session;
}

/* Tokens of a text, or of messages by the model's template. into: [capacity] int32. Returns how many, or a failure. */
EXPORT(tinw_tokenize)
int32_t tinw_tokenize(const tin_model *model, const char *text, uint32_t length, int32_t *into,
                      uint32_t capacity) {
    size_t need = tin_tokenize_scratch(model, length);
    void *scratch = tinw_alloc((uint32_t)need);
    if (!scratch)
        return TIN_ERR_MEMORY;
    int64_t count = tin_tokenize(model, text, length, TIN_TEXT_BOS, into, capacity, scratch, need);
    if (count < 0)
        refuse("the text can't be tokenized");
    tinw_free(scratch);
    return (int32_t)count;
}

/* messages: tin_message's words (role, address, bytes), one behind the other. turns[size]: an adapter's template; 0: the
 * file's. */
EXPORT(tinw_chat)
int32_t tinw_chat(const tin_model *model, const void *turns, uint32_t size, const tin_message *messages,
                  uint32_t count, int32_t *into, uint32_t capacity) {
    size_t need = tin_template_scratch(model, turns, size, messages, count, &error);
    void *scratch = need ? tinw_alloc((uint32_t)need) : NULL;
    if (!scratch)
        return error.status ? error.status : TIN_ERR_MEMORY;
    int64_t tokens = tin_template_chat(model, turns, size, messages, count, TIN_CHAT_ANSWER, into, capacity,
                                       scratch, need, &error);
    tinw_free(scratch);
    return (int32_t)tokens;
}

/* Reads a PNG or JPEG file; image->rgb is of tinw_alloc then. */
EXPORT(tinw_image) int32_t tinw_image(const void *file, uint32_t size, tin_image *image) {
    tin_image_info info;
    tin_status status = tin_image_look(file, size, MOST_BYTES, &info, &error);
    if (status)
        return status;
    uint8_t *rgb = tinw_alloc((uint32_t)info.rgb), *memory = tinw_alloc((uint32_t)info.memory);
    status =
        rgb && memory ? tin_image_read(file, size, memory, info.memory, rgb, info.rgb, &error) : TIN_ERR_MEMORY;
    tinw_free(memory);
    if (status)
        tinw_free(rgb);
    else
        *image = (tin_image){rgb, (size_t)info.width * 3, info.width, info.height, 0};
    return status;
}

/* RGBA to RGB, over white, in its place. */
EXPORT(tinw_rgb) void tinw_rgb(uint8_t *pixels, uint32_t count) {
    uint8_t *to = pixels;
    for (; count--; pixels += 4, to += 3) {
        const uint8_t alpha = pixels[3], from[3] = {pixels[0], pixels[1], pixels[2]};
        for (int c = 0; c < 3; c++)
            to[c] = tini_over_white(from[c], alpha);
    }
}

/* As tinw_chat, with images: the messages become the session's tokens, seen. */
EXPORT(tinw_show)
int32_t tinw_show(const tin_model *model, tin_session *session, const void *turns, uint32_t size,
                  const tin_message *messages, uint32_t count, const tin_image *images, uint32_t image_count) {
    const tin_vision_options how = {.images = images,
                                    .image_count = image_count,
                                    .flags = TIN_CHAT_ANSWER,
                                    .turns = turns,
                                    .turns_size = size};
    size_t need = tin_vision_size(model, messages, count, &how, &error);
    void *memory = need ? tinw_alloc((uint32_t)need) : NULL;
    if (!memory)
        return error.status ? error.status : TIN_ERR_MEMORY;
    tin_vision *vision;
    int32_t event = tin_vision_create(model, messages, count, &how, memory, need, &vision, &error);
    if (!event)
        event = tin_vision_step(vision, session, 0, &error);
    tinw_free(memory);
    return event < 0 ? event : TIN_OK;
}

/* Makes the tokens the session's, and begins a generation; NULL: goes on from those that it has. temperature 0 takes the
 * likeliest. */
EXPORT(tinw_generate)
int32_t tinw_generate(tin_session *session, const int32_t *tokens, uint32_t count, uint32_t most,
                      float temperature, float top_p, uint32_t seed) {
    tin_sampling sampling = {.temperature = temperature, .top_p = top_p, .repetition_penalty = 1, .seed = seed};
    tin_status status = tokens ? tin_session_replace(session, tokens, count, &error) : TIN_OK;
    return status ? status : tin_session_generate(session, &sampling, most, 0, &error);
}

/* The name of the task that the file's router finds the likeliest for the tokens, without adapters, which the session
 * then has computed; the file's own bytes. NULL is a failure. */
EXPORT(tinw_route)
const char *tinw_route(const tin_model *model, tin_session *session, const int32_t *tokens, uint32_t count,
                       tin_route *route) {
    const void *data;
    size_t size;
    if (tin_model_entry(model, "router.bin", &data, &size))
        return refuse("the file has no router");
    size_t need = tin_router_size(model, data, size, &error);
    void *memory = need ? tinw_alloc((uint32_t)need) : NULL;
    tin_router *router;
    const char *name = NULL;
    if (memory && !tin_router_open(model, data, size, memory, need, &router, &error) &&
        !tin_session_adapter(session, NULL, 1, 0, &error) &&
        !tin_session_replace(session, tokens, count, &error) && tin_step(session, 0) >= 0 &&
        !tin_session_route(session, router, NULL, route, &error))
        name = tin_router_task(router, route->task, NULL);
    tinw_free(memory);
    return name;
}

/* The next token, or -100 at the end of the generation, or a failure. */
EXPORT(tinw_next) int32_t tinw_next(tin_session *session) {
    int32_t event = tin_step(session, 0);
    if (event == TIN_STEP_TOKEN)
        return tin_session_token(session);
    return event < 0 ? event : END;
}

/* The bytes of a token's text, which are nothing for a control token; *length gets how many. */
EXPORT(tinw_text) const char *tinw_text(const tin_model *model, int32_t token, uint32_t *length) {
    int control = 0;
    const char *text = tin_token_text(model, token, length, &control);
    if (control || !text)
        *length = 0;
    return text;
}

/* ---- The bits ---- */

/* The SHA-256, digest[32], of the float32 logits of every position, [count][vocab]. */
EXPORT(tinw_digest)
int32_t tinw_digest(const tin_model *model, const int32_t *tokens, uint32_t count, uint8_t *digest) {
    tin_status status = tin_selfcheck(&error);
    tin_session *session = status ? NULL : tinw_session(model, count, 0, 0);
    if (!session)
        return status ? status : TIN_ERR_MEMORY;
    tin_model_info info;
    tin_model_describe(model, &info);
    tini_sha256 hash = tini_sha256_begin();
    int32_t event = tin_session_want_logits(session, 0, &error);
    if (!event && !(event = tin_session_append(session, tokens, count, &error)))
        while ((event = tin_step(session, 0)) == TIN_STEP_LOGITS) {
            uint32_t rows;
            const float *logits = tin_session_logits(session, &rows, NULL);
            tini_sha256_add(&hash, logits, (size_t)rows * info.vocab * sizeof *logits);
        }
    tini_sha256_end(&hash, digest);
    tinw_free(session);
    return event < 0 ? event : TIN_OK;
}

/* The same, of the image in the file's self-test: of the positions behind it. */
EXPORT(tinw_vision_test) int32_t tinw_vision_test(const tin_model *model, uint8_t *digest) {
    const void *test = NULL;
    size_t size = 0;
    tin_model_entry(model, TINI_VISION_TEST_ENTRY, &test, &size);
    size_t need = tini_vision_test_size(model, test, size, &error);
    void *memory = need && need <= UINT32_MAX ? tinw_alloc((uint32_t)need) : NULL;
    if (!memory)
        return error.status ? error.status : TIN_ERR_MEMORY;
    tin_status status = tini_vision_test_digest(model, test, size, memory, need, digest, &error);
    tinw_free(memory);
    return status;
}
