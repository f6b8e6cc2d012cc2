#include "eyes.h"
#include "../base/error.h"
#include "../base/memory.h"
#include "../seal/sha256.h"
#include "written.h"

#include <string.h>

TINI_REGION_COLD

enum { EYES_MOST = 1 << 20 /* bytes that the picture may take while it is read */ };

/* The test, checked, and what it takes: bytes of the block from where its parts begin, the session's at 0. */
typedef struct eyes {
    const tini_eyes_header *head;
    const int32_t *tokens;
    const uint8_t *file;
    tin_picture_info picture;
    tin_pixels_plan plan;
    tini_tile image;
    uint32_t at, side; /* of its rows among the tokens; of the square of patches that makes a row */
    tin_session_options session;
    tin_vision_options vision;
    uint64_t at_vision, at_patches, at_rgb, at_work, total;
} eyes;

static tin_status eyes_damaged(tin_error *error) {
    return tini_fail(error, TIN_ERR_FORMAT, "%s is damaged", TINI_EYES_ENTRY);
}

/* Whether the tokens are the vocabulary's, but for the image's rows, which stand together and before one at least. */
static int find_rows(eyes *e, const tin_model *model) {
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
    return rows && rows == e->image.rows && e->at + rows < e->head->tokens;
}

/* The image that the rules make of the picture: one, that the tower takes. */
static tin_status plan_image(eyes *e, const tin_model *model, tin_error *error) {
    tin_status status = tin_picture_look(e->file, e->head->picture, EYES_MOST, &e->picture, error);
    if (status)
        return status;
    const tini_pictures_header rules = {.rules = e->head->rules};
    const tini_written written = {.header = &rules, .side = e->side};
    const tin_picture picture = {e->file, (size_t)e->picture.width * 3, e->picture.width, e->picture.height, 0};
    if (tini_written_plan(&written, model, &picture, &e->plan, NULL))
        return eyes_damaged(error);
    e->image = tini_written_tile(&written, &e->plan, 0);
    int sound = e->plan.tiles == 1 && !rules.rules.frames && rules.rules.merge == 1 && find_rows(e, model);
    return sound ? TIN_OK : eyes_damaged(error);
}

static tin_status plan_eyes(eyes *e, const tin_model *model, tin_error *error) {
    const uint64_t work = e->picture.memory > e->plan.memory ? e->picture.memory : e->plan.memory;
    e->session = (tin_session_options){.context = e->head->tokens, .images = 1, .image_rows = e->image.rows};
    if (e->head->tokens < model->program.header->chunk)
        e->session.chunk = e->head->tokens;
    e->vision.patches = e->image.height * e->image.width;
    size_t session = tin_session_size(model, &e->session, error);
    size_t tower = session ? tin_vision_size(model, &e->vision, error) : 0;
    if (!tower)
        return TIN_ERR_ARGUMENT;
    tini_take(&e->total, session);
    e->at_vision = tini_take(&e->total, tower);
    e->at_patches = tini_take(&e->total, (uint64_t)e->plan.rows * e->plan.columns * sizeof(float));
    e->at_rgb = tini_take(&e->total, e->picture.rgb);
    e->at_work = tini_take(&e->total, work);
    return e->total <= SIZE_MAX / 2 ? TIN_OK
                                    : tini_fail(error, TIN_ERR_MEMORY, "more than this machine can address");
}

static tin_status open_eyes(eyes *e, const tin_model *model, const void *data, size_t size, tin_error *error) {
    const tini_eyes_header *h = data;
    if (!model->tower.header || !data) {
        if (model->tower.header)
            tini_fail(error, TIN_ERR_UNSUPPORTED, "the tin has no %s; build it again", TINI_EYES_ENTRY);
        else
            tini_fail(error, TIN_ERR_UNSUPPORTED,
                      "the model sees no images: the tin has no vision/program.bin");
        return TIN_ERR_UNSUPPORTED;
    }
    *e = (eyes){.head = h, .side = model->tower.side};
    if ((uintptr_t)data % sizeof(uint64_t) || size < sizeof *h || h->magic != TINI_EYES_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "%s does not begin as one", TINI_EYES_ENTRY);
    if (h->version != TINI_EYES_VERSION)
        return tini_other_version(error, TINI_EYES_ENTRY, h->version, TINI_EYES_VERSION, TINI_BUILD_AGAIN);
    const uint64_t tokens = (uint64_t)h->tokens * sizeof(int32_t);
    if (sizeof *h + tokens + h->picture != size || h->tokens > model->program.header->context)
        return eyes_damaged(error);
    e->tokens = (const void *)(h + 1);
    e->file = (const uint8_t *)(h + 1) + tokens;
    tin_status status = plan_image(e, model, error);
    return status ? status : plan_eyes(e, model, error);
}

size_t tini_eyes_size(const tin_model *model, const void *data, size_t size, tin_error *error) {
    eyes e;
    return open_eyes(&e, model, data, size, error) ? 0 : (size_t)e.total;
}

/* From the PNG file's bytes to the image's states. */
static tin_status see_picture(const eyes *e, const tin_model *model, uint8_t *base, const float **states,
                              tin_error *error) {
    const tin_picture_info *p = &e->picture;
    const size_t count = (size_t)e->plan.rows * e->plan.columns;
    float *patches = (float *)(void *)(base + e->at_patches);
    uint8_t *rgb = base + e->at_rgb, *work = base + e->at_work;
    tin_vision *vision;
    tin_status status = tin_picture_read(e->file, e->head->picture, work, p->memory, rgb, p->rgb, error);
    if (!status)
        status = tin_pixels_make(&e->head->rules, rgb, (size_t)p->width * 3, p->width, p->height, work,
                                 e->plan.memory, patches, count, error);
    if (!status)
        status = tin_vision_create(model, &e->vision, base + e->at_vision,
                                   (size_t)(e->at_patches - e->at_vision), &vision, error);
    if (!status)
        status = tin_vision_begin(vision, patches, e->image.height, e->image.width, error);
    if (status)
        return status;
    tin_vision_step(vision, 0);
    *states = tin_vision_states(vision, NULL);
    return TIN_OK;
}

/* A session with the tokens queued, whose logits are wanted from behind the picture on: inside an image they may be fewer. */
static tin_status queue_eyes(const eyes *e, const tin_model *model, uint8_t *base, tin_session **session,
                             tin_error *error) {
    tin_embedded image = {.at = e->at, .count = e->image.rows, .columns = e->image.width / e->side};
    tin_status status = see_picture(e, model, base, &image.rows, error);
    if (!status)
        status = tin_session_create(model, &e->session, base, (size_t)e->at_vision, session, error);
    if (!status)
        status = tin_session_append_embedded(*session, e->tokens, e->head->tokens, &image, 1, error);
    return status ? status : tin_session_want_logits(*session, e->at + e->image.rows, error);
}

tin_status tini_eyes_digest(const tin_model *model, const void *data, size_t size, void *memory,
                            size_t memory_size, uint8_t digest[TINI_EYES_DIGEST], tin_error *error) {
    eyes e;
    tin_session *session;
    tin_status status = open_eyes(&e, model, data, size, error);
    if (status)
        return status;
    if (tini_lacks(memory, memory_size, e.total, "the picture's self-test needs", error))
        return TIN_ERR_MEMORY;
    status = queue_eyes(&e, model, memory, &session, error);
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
    return event < 0 ? tini_fail(error, event, "a step of the picture's self-test failed") : TIN_OK;
}

static const void *find_eyes(const tin_model *model, size_t *size) {
    return tini_zip_find(&model->zip, TINI_EYES_ENTRY, size);
}

size_t tin_sight_selftest_size(const tin_model *model, tin_error *error) {
    size_t size;
    const void *data = find_eyes(model, &size);
    return tini_eyes_size(model, data, size, error);
}

tin_status tin_sight_selftest(const tin_model *model, void *memory, size_t memory_size, tin_error *error) {
    size_t size;
    uint8_t digest[TINI_EYES_DIGEST];
    const tini_eyes_header *head = find_eyes(model, &size);
    tin_status status = tin_selfcheck(error);
    if (!status)
        status = tini_eyes_digest(model, head, size, memory, memory_size, digest, error);
    if (!status && memcmp(digest, head->digest, sizeof digest))
        status = tini_fail(error, TIN_ERR_UNSUPPORTED,
                           "the picture of the self-test gives other logits here than where the file was made");
    return status;
}

TINI_REGION_END
