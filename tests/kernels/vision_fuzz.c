/* libFuzzer: a file with image input, damaged in its vision entries, and conversations with images on it; its self-test's image. */
#include "fuzz.h"

enum { SIDE = 48, IMAGES = 3, SLICES = 200, STEPS = 6 };

static uint64_t ticks(void *now) {
    return *(uint64_t *)now += 100;
}

static void patch_vision_test(script *s, uint8_t *copy) {
    static const char *const names[] = {
        "vision/program.bin",  "vision/program.bin",  "vision/images.bin",  "vision/images.bin",
        "vision/selftest.bin", "vision/selftest.bin", "vision/weights.bin", "turns.bin"};
    size_t size;
    const uint8_t *part = base_entry(names[next_byte(s) % 8], &size);
    patch(s, copy + (part - base.data), size);
}

/* Each in a block of just its size, whose last row ends with its last pixel. */
static tin_image next_image(script *s) {
    tin_image image = {.width = 1 + next_byte(s) % SIDE, .height = 1 + next_byte(s) % SIDE};
    image.stride = 3 * (size_t)image.width + next_byte(s) % 5;
    image.message = next_byte(s) % 3;
    size_t size = image.stride * (image.height - 1) + 3 * (size_t)image.width;
    uint8_t *rgb = moves_aligned(size), seed = (uint8_t)next_byte(s);
    for (size_t k = 0; k < size; k++)
        rgb[k] = (uint8_t)(seed * k + (k >> 5));
    image.rgb = rgb;
    return image;
}

static void step_vision(const tin_model *model, tin_vision *vision, tin_session *session, uint64_t budget) {
    tin_vision_info info;
    tin_model_info about;
    tin_vision_describe(vision, &info);
    tin_model_describe(model, &about);
    const int32_t *tokens = tin_vision_tokens(vision);
    for (uint32_t k = 0; k < info.tokens; k++)
        if (tokens[k] != TIN_EMBEDDED && (uint32_t)tokens[k] >= about.vocab)
            abort();
    int32_t event = TIN_STEP_PENDING;
    for (int k = 0; k < SLICES && event == TIN_STEP_PENDING; k++)
        event = tin_vision_step(vision, session, budget, NULL);
    if (event != TIN_STEP_DONE)
        return;
    if (tin_session_generate(session, NULL, 3, 0, NULL) == TIN_OK)
        for (int k = 0; k < STEPS && tin_step(session, 0) == TIN_STEP_TOKEN; k++)
            if (tin_session_token(session) < 0)
                abort();
}

static void converse(const tin_model *model, tin_session *session, script *s, uint64_t *now) {
    char text[2][TEXT];
    tin_message messages[2];
    tin_image images[IMAGES];
    uint32_t bits = next_byte(s), count = bits & 1 ? 2 : 1, shown = (bits >> 1) % (IMAGES + 1);
    for (uint32_t m = 0; m < count; m++) {
        size_t length = next_byte(s) % TEXT;
        messages[m] =
            (tin_message){.role = m ? next_byte(s) % 4 : TIN_ROLE_USER, .content = text[m], .length = length};
        for (size_t k = 0; k < length; k++)
            text[m][k] = (char)next_byte(s);
    }
    for (uint32_t k = 0; k < shown; k++)
        images[k] = next_image(s);
    const tin_vision_options how = {.images = images,
                                    .image_count = shown,
                                    .flags = bits >> 5 & 1 ? TIN_CHAT_ANSWER : 0,
                                    .executor = bits >> 6 & 1 ? &fuzz_executor : NULL,
                                    .clock_ns = ticks,
                                    .clock_context = now};
    tin_error error = {0};
    tin_vision *vision;
    size_t size = tin_vision_size(model, messages, count, &how, &error);
    if (!size && (error.status >= 0 || !*error.text))
        abort();
    if (size && size <= MOVES_LIMIT) {
        void *memory = moves_block(size);
        if (tin_vision_create(model, messages, count, &how, memory, size, &vision, NULL) == TIN_OK)
            step_vision(model, vision, session, bits >> 7 ? 250 : 0);
        free(memory);
    }
    for (uint32_t k = 0; k < shown; k++)
        free((void *)(uintptr_t)images[k].rgb);
}

static void prove(const tin_model *model) {
    tin_error error = {0};
    size_t size = tin_vision_selftest_size(model, &error);
    if (!size && (error.status >= 0 || !*error.text))
        abort();
    if (!size || size > MOVES_LIMIT)
        return;
    void *memory = moves_block(size);
    tin_status status = tin_vision_selftest(model, memory, size, &error);
    if (status == TIN_ERR_MEMORY) /* its size was told */
        abort();
    free(memory);
}

static void play_vision_test(const tin_model *model, script *s) {
    uint64_t now = 0;
    const tin_session_options options = {
        .context = 200, .chunk = 16, .tiles = 12, .image_rows = 96, .clock_ns = ticks, .clock_context = &now};
    size_t size = tin_session_size(model, &options, NULL);
    if (!size || size > MOVES_LIMIT)
        return;
    void *memory = moves_block(size);
    tin_session *session;
    if (tin_session_create(model, &options, memory, size, &session, NULL))
        abort();
    for (int k = 0; k < 3 && s->size; k++)
        converse(model, session, s, &now);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script s = {data, size};
    uint32_t bits = next_byte(&s);
    uint8_t *copy = exact_copy(base.data, base.size);
    for (uint32_t count = bits & 7; count; count--)
        patch_vision_test(&s, copy);
    moves_damaged = 1;
    tin_error error;
    tin_model *model;
    size_t needed = tin_model_size(copy, base.size, &error);
    if (!needed && (error.status >= 0 || !*error.text))
        abort();
    if (needed) {
        void *memory = moves_aligned(needed);
        if (tin_model_create(copy, base.size, bits & 64 ? "scalar" : NULL, memory, needed, &model, &error))
            abort(); /* its size was told, so the file is sound */
        if (bits & 128)
            prove(model);
        else
            play_vision_test(model, &s);
        free(memory);
    }
    free(copy);
    return 0;
}
