#include "../base/error.h"
#include "../base/memory.h"
#include "../seal/sha256.h"
#include "pixels.h"
#include "encoder.h"
#include "written.h"

#include <string.h>

TINI_REGION_COLD

/* An image, and which of the conversation's tiles is its first. */
typedef struct vision_image {
    tin_image pixels;
    uint32_t first;
} vision_image;

struct tin_vision {
    const tin_model *model;
    tini_written written;
    tin_vision_options options;
    int32_t *tokens;
    tin_embedded *tiles;
    vision_image *images;
    uint32_t count, tile_count, image_count, rows;
    uint8_t *room; /* for text while it is written; then for the encoder, and behind it an image's patches */
    tin_encoder *encoder;
    float *patches;
    void *work; /* of tin_pixels_make */
    size_t patches_size, work_size;
    uint32_t next; /* tile to be encoded */
    uint32_t cut;  /* image whose patches are there, or are being made; TINI_NONE: none */
    tini_pixels pixels;
    int stage; /* VISION_* */
};

_Static_assert(sizeof(tin_vision) <= TINI_VISION_ROOM, "room of a vision");
_Static_assert(sizeof(tin_embedded) <= TINI_TILE_ROOM && sizeof(vision_image) <= TINI_TILE_ROOM,
               "room of a tile and of an image");

enum { VISION_BEGUN, VISION_NEXT, VISION_CUTTING, VISION_ENCODING, VISION_DONE };

/* What the conversation takes: tokens of the model's context at most; most of one image, and of one tile. */
typedef struct vision_plan {
    tini_written written;
    uint32_t images, tiles, rows, tile_patches;
    uint64_t patches, work, scratch;
    uint64_t at_tokens, at_tiles, at_images, at_room, at_patches, at_work, total;
} vision_plan;

static tin_status plan_images(const tin_model *model, const tin_vision_options *options, vision_plan *plan,
                              tin_error *error) {
    if (options->image_count && !options->images)
        return tini_fail(error, TIN_ERR_ARGUMENT, "none of the images are given");
    plan->images = options->image_count;
    for (uint32_t k = 0; k < options->image_count; k++) {
        tin_pixels_plan one;
        tin_status status = tini_written_plan(&plan->written, model, &options->images[k], &one, error);
        if (status)
            return status;
        plan->tiles += one.tiles;
        uint64_t patches = (uint64_t)one.rows * one.columns;
        plan->patches = patches > plan->patches ? patches : plan->patches;
        plan->work = one.memory > plan->work ? one.memory : plan->work;
        for (uint32_t t = 0; t < one.tiles; t++) {
            tini_tile tile = tini_written_tile(&plan->written, &one, t);
            uint32_t own = tile.height * tile.width;
            plan->tile_patches = own > plan->tile_patches ? own : plan->tile_patches;
            plan->rows += tile.rows;
        }
        if (plan->rows > model->program.header->context)
            return tini_fail(error, TIN_ERR_CONTEXT,
                             "the images take %u tokens; the model's context is %u; give fewer", plan->rows,
                             model->program.header->context);
    }
    return TIN_OK;
}

static void put_rows(void *context, tini_turn_sink *sink, uint32_t k, const tini_tile *tile) {
    tin_vision *s = context;
    (void)k;
    int64_t at = tini_turn_rows(sink, s->written.header->image, tile->rows);
    if (tini_turn_measures(sink))
        return;
    s->tiles[s->tile_count++] =
        (tin_embedded){.at = (uint32_t)at, .count = tile->rows, .columns = tile->width / s->written.side};
    s->rows += tile->rows;
}

/* A tile's digest is of its image's and its number. */
static void digest_tiles(const tin_vision *s, const tin_image *image, uint32_t first) {
    uint8_t key[32];
    const uint32_t sizes[2] = {image->width, image->height};
    tini_sha256 hash = tini_sha256_begin();
    tini_sha256_add(&hash, &s->written.header->rules, sizeof s->written.header->rules);
    tini_sha256_add(&hash, sizes, sizeof sizes);
    for (uint32_t y = 0; y < image->height; y++)
        tini_sha256_add(&hash, image->rgb + y * image->stride, (size_t)image->width * 3);
    tini_sha256_end(&hash, key);
    for (uint32_t k = first, number = 0; k < s->tile_count; k++, number++) {
        hash = tini_sha256_begin();
        tini_sha256_add(&hash, key, sizeof key);
        tini_sha256_add(&hash, &number, sizeof number);
        tini_sha256_end(&hash, s->tiles[k].digest);
    }
}

static tin_status put_image(void *context, tini_turn_sink *sink, const tin_image *image, uint32_t k) {
    tin_vision *s = context;
    const tini_written *written = &s->written;
    tin_pixels_plan plan;
    tin_status status = tini_written_plan(written, s->model, image, &plan, NULL);
    if (!k)
        tini_turn_drop(sink, written->texts[TINI_WRITTEN_DROPPED],
                       written->header->lengths[TINI_WRITTEN_DROPPED]);
    uint32_t first = s->tile_count;
    if (!status)
        status = tini_written_put(written, sink, &plan, put_rows, s);
    if (status || tini_turn_measures(sink))
        return status;
    s->images[s->image_count++] = (vision_image){*image, first};
    digest_tiles(s, image, first);
    return TIN_OK;
}

static tin_encoder_options encoder_options(const vision_plan *plan, const tin_vision_options *o) {
    return (tin_encoder_options){.patches = plan->tile_patches,
                                 .executor = o->executor,
                                 .clock_ns = o->clock_ns,
                                 .clock_context = o->clock_context};
}

static tin_status plan_vision(const tin_model *model, const tin_message *messages, uint32_t count,
                              const tin_vision_options *options, vision_plan *plan, tin_error *error) {
    *plan = (vision_plan){0};
    tin_status status = tini_written_open(&plan->written, model, error);
    if (!status)
        status = plan_images(model, options, plan, error);
    if (status)
        return status;
    tin_vision measured = {.model = model, .written = plan->written};
    const tini_turn_images images = {options->images, options->image_count, put_image, &measured};
    tin_error refused = {TIN_ERR_ARGUMENT, "the conversation can't be written"};
    plan->scratch =
        tini_turns_scratch(model, options->turns, options->turns_size, messages, count, &images, &refused);
    if (!plan->scratch)
        return tini_fail(error, refused.status, "%s", refused.text);
    const tin_encoder_options encoder = encoder_options(plan, options);
    uint64_t vision = plan->tiles ? tin_encoder_size(model, &encoder, error) : 0;
    if (plan->tiles && !vision)
        return TIN_ERR_ARGUMENT;
    tini_take(&plan->total, TINI_VISION_ROOM);
    plan->at_tokens = tini_take(&plan->total, sizeof(int32_t) * (uint64_t)model->program.header->context);
    plan->at_tiles = tini_take(&plan->total, TINI_TILE_ROOM * (uint64_t)plan->tiles);
    plan->at_images = tini_take(&plan->total, TINI_TILE_ROOM * (uint64_t)plan->images);
    plan->at_room = plan->total;
    tini_take(&plan->total, vision);
    plan->at_patches = tini_take(&plan->total, sizeof(float) * plan->patches);
    plan->at_work = tini_take(&plan->total, plan->work);
    if (plan->total < plan->at_room + plan->scratch) {
        plan->total = plan->at_room;
        tini_take(&plan->total, plan->scratch);
    }
    return plan->total <= SIZE_MAX / 2
               ? TIN_OK
               : tini_fail(error, TIN_ERR_ARGUMENT,
                           "the images take %llu bytes, more than this machine can address; give smaller ones",
                           (unsigned long long)plan->total);
}

static tin_vision_options resolved(const tin_vision_options *options) {
    return options ? *options : (tin_vision_options){0};
}

size_t tin_vision_size(const tin_model *model, const tin_message *messages, uint32_t count,
                       const tin_vision_options *given, tin_error *error) {
    const tin_vision_options options = resolved(given);
    vision_plan plan;
    return plan_vision(model, messages, count, &options, &plan, error) ? 0 : (size_t)plan.total;
}

static tin_status write_tokens(tin_vision *s, const vision_plan *plan, const tin_message *messages,
                               uint32_t count, tin_error *error) {
    const tini_turn_images images = {s->options.images, s->options.image_count, put_image, s};
    const uint32_t context = s->model->program.header->context;
    int64_t tokens =
        tini_turns_chat(s->model, s->options.turns, s->options.turns_size, messages, count, &images,
                        s->options.flags, s->tokens, context, s->room, (size_t)plan->scratch, error);
    if (tokens < 0)
        return (tin_status)tokens;
    if (tokens > context)
        return tini_fail(error, TIN_ERR_CONTEXT, "the conversation has %lld tokens; the model's context is %u",
                         (long long)tokens, context);
    s->count = (uint32_t)tokens;
    return TIN_OK;
}

tin_status tin_vision_create(const tin_model *model, const tin_message *messages, uint32_t count,
                             const tin_vision_options *given, void *memory, size_t memory_size,
                             tin_vision **out, tin_error *error) {
    const tin_vision_options options = resolved(given);
    vision_plan plan;
    tin_status status = plan_vision(model, messages, count, &options, &plan, error);
    if (status)
        return status;
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the vision's pointer");
    if (tini_lacks(memory, memory_size, plan.total, "the images need", error))
        return TIN_ERR_MEMORY;
    uint8_t *base = memory;
    tin_vision *s = memory;
    *s = (tin_vision){.model = model, .written = plan.written, .options = options, .cut = TINI_NONE};
    s->tokens = (int32_t *)(void *)(base + plan.at_tokens);
    s->tiles = (tin_embedded *)(void *)(base + plan.at_tiles);
    s->images = (vision_image *)(void *)(base + plan.at_images);
    s->room = base + plan.at_room;
    s->patches = (float *)(void *)(base + plan.at_patches);
    s->patches_size = (size_t)plan.patches;
    s->work = base + plan.at_work;
    s->work_size = (size_t)plan.work;
    status = write_tokens(s, &plan, messages, count, error);
    const tin_encoder_options encoder = encoder_options(&plan, &options);
    if (!status && plan.tiles)
        status = tin_encoder_create(model, &encoder, s->room, (size_t)(plan.at_patches - plan.at_room),
                                    &s->encoder, error);
    if (!status)
        *out = s;
    return status;
}

void tin_vision_describe(const tin_vision *s, tin_vision_info *info) {
    *info = (tin_vision_info){.tokens = s->count, .tiles = s->tile_count, .image_rows = s->rows};
}

const int32_t *tin_vision_tokens(const tin_vision *s) {
    return s->tokens;
}

/* Where what stands before tile k ends, and all of it with the last. */
static uint32_t tile_place(const tin_vision *s, uint32_t k) {
    return k < s->tile_count ? s->tiles[k].at : s->count;
}

/* The session's tokens become those before the first tile that it lacks. */
static tin_status begin_session(tin_vision *s, tin_session *session, tin_error *error) {
    uint32_t same = tin_session_shared(session, s->tokens, s->count, s->tiles, s->tile_count);
    s->next = 0;
    while (s->next < s->tile_count && s->tiles[s->next].at + s->tiles[s->next].count <= same)
        s->next++;
    return tin_session_replace_embedded(session, s->tokens, tile_place(s, s->next), s->tiles, s->next, error);
}

/* The image of the next tile. */
static uint32_t next_image(const tin_vision *s) {
    uint32_t k = s->image_count - 1;
    while (s->images[k].first > s->next)
        k--;
    return k;
}

/* Begins to cut the next tile's image, unless its patches are there. */
static tin_status begin_cutting(tin_vision *s, tin_error *error) {
    uint32_t k = next_image(s);
    const tin_image *image = &s->images[k].pixels;
    if (s->cut == k)
        return TIN_OK;
    tin_status status =
        tini_pixels_begin(&s->pixels, &s->written.header->rules, image->rgb, image->stride, image->width,
                          image->height, s->work, s->work_size, s->patches, s->patches_size, error);
    s->cut = status ? TINI_NONE : k;
    return status;
}

static tin_status begin_encoding(tin_vision *s, tin_error *error) {
    const tin_pixels_plan *plan = &s->pixels.plan;
    tini_tile tile = tini_written_tile(&s->written, plan, s->next - s->images[s->cut].first);
    return tin_encoder_begin(s->encoder, s->patches + (size_t)tile.first * plan->columns, tile.height,
                             tile.width, error);
}

/* Queues the encoded tile, and the text behind it. */
static tin_status end_tile(tin_vision *s, tin_session *session, tin_error *error) {
    tin_embedded tile = s->tiles[s->next];
    uint32_t first = tile.at, end = tile_place(s, s->next + 1);
    tile.at = 0;
    tile.rows = tin_encoder_states(s->encoder, NULL);
    tin_status status = tin_session_append_embedded(session, s->tokens + first, end - first, &tile, 1, error);
    s->next += !status;
    return status;
}

/* What is left of the budget; 0: nothing. Without one, all the time there is. */
static uint64_t time_left(const tin_vision *s, uint64_t begun, uint64_t budget_ns) {
    uint64_t spent = budget_ns ? s->options.clock_ns(s->options.clock_context) - begun : 0;
    return !budget_ns ? UINT64_MAX : spent < budget_ns ? budget_ns - spent : 0;
}

/* A part of the work, which takes about `left` nanoseconds at most; TIN_STEP_PENDING, or why it ended. */
static int32_t vision_part(tin_vision *s, tin_session *session, uint64_t left, tin_error *error) {
    tin_status status = TIN_OK;
    int32_t event;
    switch (s->stage) {
    case VISION_BEGUN:
        status = begin_session(s, session, error);
        s->stage += !status;
        return status;
    case VISION_NEXT:
        if (s->next == s->tile_count) {
            s->stage = VISION_DONE;
            return TIN_STEP_DONE;
        }
        status = begin_cutting(s, error);
        s->stage += !status;
        return status;
    case VISION_CUTTING:
        if (tini_pixels_row(&s->pixels))
            return TIN_STEP_PENDING;
        status = begin_encoding(s, error);
        s->stage += !status;
        return status;
    case VISION_ENCODING:
        event = tin_encoder_step(s->encoder, left < UINT64_MAX ? left : 0);
        if (event != TIN_STEP_DONE)
            return event;
        status = end_tile(s, session, error);
        s->stage = status ? VISION_ENCODING : VISION_NEXT;
        return status;
    default:
        return TIN_STEP_DONE;
    }
}

int32_t tin_vision_step(tin_vision *s, tin_session *session, uint64_t budget_ns, tin_error *error) {
    if (budget_ns && !s->options.clock_ns)
        return tini_fail(error, TIN_ERR_STATE, "a budget, and no clock");
    uint64_t begun = budget_ns ? s->options.clock_ns(s->options.clock_context) : 0;
    uint64_t left = budget_ns ? budget_ns : UINT64_MAX;
    int32_t event;
    do {
        event = vision_part(s, session, left, error);
        left = time_left(s, begun, budget_ns);
    } while (event == TIN_STEP_PENDING && left);
    return event;
}

TINI_REGION_END
