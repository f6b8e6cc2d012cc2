#include "vision_test.h"
#include "../base/error.h"
#include "../base/memory.h"
#include "../seal/sha256.h"
#include "written.h"

#include <string.h>

TINI_REGION_COLD

enum { TEST_MOST = 1 << 20 /* bytes that the image may take while it is read */ };

/* The test, checked, and what it takes: bytes of the block from where its parts begin, the session's at 0. */
typedef struct vision_test {
    const tini_vision_test_header *head;
    const int32_t *tokens;
    const uint8_t *file;
    tin_image_info image;
    tin_pixels_plan plan;
    tini_tile tile;
    uint32_t at, side; /* of its rows among the tokens; of the square of patches that makes a row */
    tin_session_options session;
    tin_encoder_options vision;
    uint64_t at_vision, at_patches, at_rgb, at_work, total;
} vision_test;

static tin_status test_damaged(tin_error *error) {
    return tini_fail(error, TIN_ERR_FORMAT, "%s is damaged", TINI_VISION_TEST_ENTRY);
}

/* Whether the tokens are the vocabulary's, but for the image's rows, which stand together and before one at least. */
static int find_rows(vision_test *e, const tin_model *model) {
    uint32_t rows = 0;
    for (uint32_t k = 0; k < e->head->tokens; k++) {
        if (e->tokens[k] != TIN_EMBEDDED && (uint32_t)e->tokens[k] >= model->program.header->vocab)
            return 0;
        if (e->tokens[k] != TIN_EMBEDDED)
            continue;
        e->at = rows ? e->at : k;
        if (k != e->at + rows++)
            return 0;
    }
    return rows && rows == e->tile.rows && e->at + rows < e->head->tokens;
}

/* The tile that the rules make of the image: one, that the encoder takes. */
static tin_status plan_image(vision_test *e, const tin_model *model, tin_error *error) {
    tin_status status = tin_image_look(e->file, e->head->image, TEST_MOST, &e->image, error);
    if (status)
        return status;
    const tini_images_header rules = {.rules = e->head->rules};
    const tini_written written = {.header = &rules, .side = e->side};
    const tin_image image = {e->file, (size_t)e->image.width * 3, e->image.width, e->image.height, 0};
    if (tini_written_plan(&written, model, &image, &e->plan, NULL))
        return test_damaged(error);
    e->tile = tini_written_tile(&written, &e->plan, 0);
    int sound = e->plan.tiles == 1 && !rules.rules.frames && rules.rules.merge == 1 && find_rows(e, model);
    return sound ? TIN_OK : test_damaged(error);
}

static tin_status plan_test(vision_test *e, const tin_model *model, tin_error *error) {
    const uint64_t work = e->image.memory > e->plan.memory ? e->image.memory : e->plan.memory;
    e->session = (tin_session_options){.context = e->head->tokens, .tiles = 1, .image_rows = e->tile.rows};
    if (e->head->tokens < model->program.header->chunk)
        e->session.chunk = e->head->tokens;
    e->vision.patches = e->tile.height * e->tile.width;
    size_t session = tin_session_size(model, &e->session, error);
    size_t encoder = session ? tin_encoder_size(model, &e->vision, error) : 0;
    if (!encoder)
        return TIN_ERR_ARGUMENT;
    tini_take(&e->total, session);
    e->at_vision = tini_take(&e->total, encoder);
    e->at_patches = tini_take(&e->total, (uint64_t)e->plan.rows * e->plan.columns * sizeof(float));
    e->at_rgb = tini_take(&e->total, e->image.rgb);
    e->at_work = tini_take(&e->total, work);
    return e->total <= SIZE_MAX / 2 ? TIN_OK
                                    : tini_fail(error, TIN_ERR_MEMORY, "more than this machine can address");
}

static tin_status open_test(vision_test *e, const tin_model *model, const void *data, size_t size,
                            tin_error *error) {
    const tini_vision_test_header *h = data;
    if (!model->encoder.header || !data) {
        if (model->encoder.header)
            tini_fail(error, TIN_ERR_UNSUPPORTED, "the tin has no %s; build it again", TINI_VISION_TEST_ENTRY);
        else
            tini_fail(error, TIN_ERR_UNSUPPORTED,
                      "the model has no image input: the tin has no vision/program.bin");
        return TIN_ERR_UNSUPPORTED;
    }
    *e = (vision_test){.head = h, .side = model->encoder.side};
    if ((uintptr_t)data % sizeof(uint64_t) || size < sizeof *h || h->magic != TINI_VISION_TEST_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "%s does not begin as one", TINI_VISION_TEST_ENTRY);
    if (h->version != TINI_VISION_TEST_VERSION)
        return tini_other_version(error, TINI_VISION_TEST_ENTRY, h->version, TINI_VISION_TEST_VERSION,
                                  TINI_BUILD_AGAIN);
    const uint64_t tokens = (uint64_t)h->tokens * sizeof(int32_t);
    if (sizeof *h + tokens + h->image != size || h->tokens > model->program.header->context)
        return test_damaged(error);
    e->tokens = (const void *)(h + 1);
    e->file = (const uint8_t *)(h + 1) + tokens;
    tin_status status = plan_image(e, model, error);
    return status ? status : plan_test(e, model, error);
}

size_t tini_vision_test_size(const tin_model *model, const void *data, size_t size, tin_error *error) {
    vision_test e;
    return open_test(&e, model, data, size, error) ? 0 : (size_t)e.total;
}

/* From the PNG file's bytes to the image's states. */
static tin_status encode_image(const vision_test *e, const tin_model *model, uint8_t *base,
                               const float **states, tin_error *error) {
    const tin_image_info *p = &e->image;
    const size_t count = (size_t)e->plan.rows * e->plan.columns;
    float *patches = (float *)(void *)(base + e->at_patches);
    uint8_t *rgb = base + e->at_rgb, *work = base + e->at_work;
    tin_encoder *vision;
    tin_status status = tin_image_read(e->file, e->head->image, work, p->memory, rgb, p->rgb, error);
    if (!status)
        status = tin_pixels_make(&e->head->rules, rgb, (size_t)p->width * 3, p->width, p->height, work,
                                 e->plan.memory, patches, count, error);
    if (!status)
        status = tin_encoder_create(model, &e->vision, base + e->at_vision,
                                    (size_t)(e->at_patches - e->at_vision), &vision, error);
    if (!status)
        status = tin_encoder_begin(vision, patches, e->tile.height, e->tile.width, error);
    if (status)
        return status;
    tin_encoder_step(vision, 0);
    *states = tin_encoder_states(vision, NULL);
    return TIN_OK;
}

/* A session with the tokens queued, whose logits are wanted from behind the image on: inside an image they may be fewer. */
static tin_status queue_test(const vision_test *e, const tin_model *model, uint8_t *base, tin_session **session,
                             tin_error *error) {
    tin_embedded tile = {.at = e->at, .count = e->tile.rows, .columns = e->tile.width / e->side};
    tin_status status = encode_image(e, model, base, &tile.rows, error);
    if (!status)
        status = tin_session_create(model, &e->session, base, (size_t)e->at_vision, session, error);
    if (!status)
        status = tin_session_append_embedded(*session, e->tokens, e->head->tokens, &tile, 1, error);
    return status ? status : tin_session_want_logits(*session, e->at + e->tile.rows, error);
}

tin_status tini_vision_test_digest(const tin_model *model, const void *data, size_t size, void *memory,
                                   size_t memory_size, uint8_t digest[TINI_VISION_TEST_DIGEST],
                                   tin_error *error) {
    vision_test e;
    tin_session *session;
    tin_status status = open_test(&e, model, data, size, error);
    if (status)
        return status;
    if (tini_lacks(memory, memory_size, e.total, "the image's self-test needs", error))
        return TIN_ERR_MEMORY;
    status = queue_test(&e, model, memory, &session, error);
    if (status)
        return status;
    tini_sha256 hash = tini_sha256_begin();
    int32_t event;
    while ((event = tin_step(session, 0)) == TIN_STEP_LOGITS) {
        uint32_t rows;
        const float *logits = tin_session_logits(session, &rows, NULL);
        tini_sha256_add(&hash, logits, (size_t)rows * model->program.header->vocab * sizeof *logits);
    }
    tini_sha256_end(&hash, digest);
    return event < 0 ? tini_fail(error, event, "a step of the image's self-test failed") : TIN_OK;
}

static const void *find_test(const tin_model *model, size_t *size) {
    return tini_zip_find(&model->zip, TINI_VISION_TEST_ENTRY, size);
}

size_t tin_vision_selftest_size(const tin_model *model, tin_error *error) {
    size_t size;
    const void *data = find_test(model, &size);
    return tini_vision_test_size(model, data, size, error);
}

tin_status tin_vision_selftest(const tin_model *model, void *memory, size_t memory_size, tin_error *error) {
    size_t size;
    uint8_t digest[TINI_VISION_TEST_DIGEST];
    const tini_vision_test_header *head = find_test(model, &size);
    tin_status status = tin_selfcheck(error);
    if (!status)
        status = tini_vision_test_digest(model, head, size, memory, memory_size, digest, error);
    if (!status && memcmp(digest, head->digest, sizeof digest))
        status = tini_fail(error, TIN_ERR_UNSUPPORTED,
                           "the image of the self-test gives other logits here than where the file was made");
    return status;
}

TINI_REGION_END
