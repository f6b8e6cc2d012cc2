/* A conversation with three images, as tin_vision brings it into a session: vision FILE.tin ISA BUDGET_NS PNG PNG PNG prints its
 * tokens, its images and the digest of its last logits. vision FILE.tin - ENTRY N PNG PNG PNG damages an entry of images N
 * times. vision FILE.tin size WIDTH HEIGHT prints the memory that a conversation with one such image takes. */
#include "../../kernels/core/seal/sha256.h"
#include "../../kernels/core/session/session.h"
#include "../../kernels/include/tin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 512, MOST = 1 << 26 };
static tin_error error;
static uint64_t now;
static uint32_t pending;
static tin_image images[3];

static void check(int good) {
    if (!good)
        exit(fprintf(stderr, "error: %s\n", error.text) ? 1 : 2);
}

static void *block(size_t size) {
    check(size != 0);
    void *memory = aligned_alloc(TIN_ALIGNMENT, (size + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT);
    return memset(memory, 0, size);
}

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    check(file && !fseek(file, 0, SEEK_END));
    *size = (size_t)ftell(file);
    void *data = block(*size);
    rewind(file);
    check(fread(data, 1, *size, file) == *size && !fclose(file));
    return data;
}

/* Each row of pixels stands 5 bytes behind the one before, as in a larger frame. */
static tin_image image_of(const char *path, uint32_t message) {
    size_t size;
    const void *file = read_file(path, &size);
    tin_image_info info;
    check(!tin_image_look(file, size, MOST, &info, &error));
    uint8_t *rgb = block(info.rgb);
    check(!tin_image_read(file, size, block(info.memory), info.memory, rgb, info.rgb, &error));
    size_t row = (size_t)info.width * 3, stride = row + 5;
    uint8_t *frame = block(stride * info.height);
    for (uint32_t y = 0; y < info.height; y++)
        memcpy(frame + y * stride, rgb + y * row, row);
    return (tin_image){frame, stride, info.width, info.height, message};
}

static uint64_t ticks(void *unused) {
    (void)unused;
    return now += 1000;
}

static tin_vision *see(const tin_model *model, tin_session *session, const tin_message *messages,
                       uint32_t count, uint64_t budget) {
    const tin_vision_options how = {
        .images = images, .image_count = count > 1 ? 3 : 2, .flags = TIN_CHAT_ANSWER, .clock_ns = ticks};
    size_t size = tin_vision_size(model, messages, count, &how, &error);
    tin_vision *vision = NULL;
    check(size && !tin_vision_create(model, messages, count, &how, block(size), size, &vision, &error));
    int32_t event;
    while ((event = tin_vision_step(vision, session, budget, &error)) == TIN_STEP_PENDING)
        pending++;
    check(event == TIN_STEP_DONE);
    return vision;
}

static tin_session *session_of(const tin_model *model) {
    const tin_session_options options = {.context = CONTEXT, .tiles = 32, .image_rows = 400};
    tin_session *session = NULL;
    size_t size = tin_session_size(model, &options, &error);
    check(size && !tin_session_create(model, &options, block(size), size, &session, &error));
    return session;
}

static void print_hex(const uint8_t *digest) {
    for (int k = 0; k < 32; k++)
        printf("%02x", digest[k]);
    puts("");
}

static void print_logits(const tin_model *model, tin_session *session) {
    tin_model_info info;
    tin_model_describe(model, &info);
    check(tin_step(session, 0) == TIN_STEP_LOGITS);
    tini_sha256 hash = tini_sha256_begin();
    uint8_t digest[32];
    tini_sha256_add(&hash, tin_session_logits(session, NULL, NULL), info.vocab * sizeof(float));
    tini_sha256_end(&hash, digest);
    printf("logits ");
    print_hex(digest);
}

static const tin_message asked[] = {{TIN_ROLE_USER, " what is it? ", 13},
                                    {TIN_ROLE_ASSISTANT, "the thing", 9},
                                    {TIN_ROLE_USER, "and here?", 9}};

static int is_seen(const tin_model *model, tin_session *session, uint8_t *memory) {
    tin_vision *vision;
    const tin_vision_options how = {.images = images, .image_count = 2};
    size_t need = tin_vision_size(model, asked, 1, &how, &error);
    return need && need <= MOST && !tin_vision_create(model, asked, 1, &how, memory, need, &vision, &error) &&
           tin_vision_step(vision, session, 0, &error) == TIN_STEP_DONE;
}

/* Whether the image of the self-test is seen, and told from the one that the file was sealed with; a block just too small
 * is refused. */
static int is_told(const tin_model *model, tin_session *session, uint8_t *memory) {
    (void)session;
    size_t need = tin_vision_selftest_size(model, &error);
    if (!need || need > MOST)
        return 0;
    check(tin_vision_selftest(model, memory, need - 1, NULL) == TIN_ERR_MEMORY);
    tin_status status = tin_vision_selftest(model, memory, need, &error);
    return !status || strstr(error.text, "other logits");
}

static void damage(const tin_model *model, tin_session *session, const char *entry, uint32_t times) {
    const void *data;
    size_t size;
    check(!tin_model_entry(model, entry, &data, &size));
    int (*const still)(const tin_model *, tin_session *, uint8_t *) =
        strstr(entry, "images") ? is_seen : is_told;
    uint8_t *bytes = (uint8_t *)(uintptr_t)data, *kept = memcpy(block(size), data, size), *memory = block(MOST);
    check(still(model, session, memory) && !error.status);
    uint32_t seed = 1, done = 0;
    for (uint32_t k = 0; k < times; k++) {
        for (int n = 0; n < 2; n++) {
            seed = seed * 1664525u + 1013904223u;
            static const uint8_t odd[] = {0, 1, 2, 7, 64, 127, 128, 255};
            bytes[(seed >> 8) % size] = odd[seed >> 29];
        }
        done += (uint32_t)still(model, session, memory);
        memcpy(bytes, kept, size);
    }
    printf("%u of %u still seen\n", done, times);
}

static void print_size(const tin_model *model, uint32_t width, uint32_t height) {
    const tin_image one = {(const uint8_t *)"", (size_t)width * 3, width, height, 0};
    const tin_vision_options how = {.images = &one, .image_count = 1};
    size_t size = tin_vision_size(model, asked, 1, &how, &error);
    check(size != 0);
    printf("%llu\n", (unsigned long long)size);
}

int main(int argc, char **argv) {
    check(argc == 8 || argc == 7 || argc == 5);
    size_t size;
    void *file = read_file(argv[1], &size);
    tin_model *model;
    const char *isa = strcmp(argv[2], "-") && argc != 5 ? argv[2] : NULL;
    size_t need = tin_model_size(file, size, &error);
    check(need && !tin_model_create(file, size, isa, block(need), need, &model, &error));
    if (argc == 5)
        return print_size(model, (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4])), 0;
    for (int k = 0; k < 3; k++)
        images[k] = image_of(argv[argc - 3 + k], k < 2 ? 0 : 2);
    tin_session *session = session_of(model);
    if (argc == 8)
        return damage(model, session, argv[3], (uint32_t)atoi(argv[4])), 0;
    uint64_t budget = strtoull(argv[3], NULL, 10);
    see(model, session, asked, 1, budget);
    check(tin_step(session, 0) == TIN_STEP_LOGITS);
    uint32_t first = pending;
    tin_vision *vision = see(model, session, asked, 3, budget);
    printf("calls %u %u\n", first, pending - first);
    tin_vision_info info;
    tin_vision_describe(vision, &info);
    printf("takes %u %u %u\ntokens", info.tokens, info.tiles, info.image_rows);
    for (uint32_t k = 0; k < session->count; k++)
        printf(" %d", (int)session->input.tokens[k]);
    puts("");
    tin_embedded tile;
    for (uint32_t k = 0; tin_session_embedded(session, k, &tile); k++) {
        printf("tile %u %u %u ", tile.at, tile.count, tile.columns);
        print_hex(tile.digest);
    }
    print_logits(model, session);
    session = session_of(model);
    see(model, session, asked, 3, 0);
    print_logits(model, session);
    for (uint32_t k = 0; k < 3; k += 2) { /* the assistant's; before the one that was given before it */
        images[2].message = 1 - k / 2;
        images[0].message = k;
        const tin_vision_options how = {.images = images, .image_count = 3};
        check(!tin_vision_size(model, asked, 3, &how, &error));
        puts(error.text);
    }
    return 0;
}
