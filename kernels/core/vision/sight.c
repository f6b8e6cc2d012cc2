#include "../base/error.h"
#include "../base/memory.h"
#include "../seal/sha256.h"
#include "pixels.h"
#include "tower.h"
#include "written.h"

#include <string.h>

TINI_REGION_COLD

/* A picture, and which of the conversation's images is its first. */
typedef struct sight_picture {
    tin_picture pixels;
    uint32_t first;
} sight_picture;

struct tin_sight {
    const tin_model *model;
    tini_written written;
    tin_sight_options options;
    int32_t *tokens;
    tin_embedded *images;
    sight_picture *pictures;
    uint32_t count, image_count, picture_count, rows;
    uint8_t *room; /* for text while it is written; then for the tower, and behind it a picture's patches */
    tin_vision *vision;
    float *patches;
    void *work; /* of tin_pixels_make */
    size_t patches_size, work_size;
    uint32_t next; /* image to be seen */
    uint32_t cut;  /* picture whose patches are there, or are being made; TINI_NONE: none */
    tini_pixels pixels;
    int stage; /* SIGHT_* */
};

_Static_assert(sizeof(tin_sight) <= TINI_SIGHT_ROOM, "room of a sight");
_Static_assert(sizeof(tin_embedded) <= TINI_SHOWN_ROOM && sizeof(sight_picture) <= TINI_SHOWN_ROOM,
               "room of an image and of a picture");

enum { SIGHT_BEGUN, SIGHT_NEXT, SIGHT_CUTTING, SIGHT_SEEING, SIGHT_DONE };

/* What the conversation takes: tokens of the model's context at most; most of one picture, and of one image. */
typedef struct sight_plan {
    tini_written written;
    uint32_t pictures, images, rows, image_patches;
    uint64_t patches, work, scratch;
    uint64_t at_tokens, at_images, at_pictures, at_room, at_patches, at_work, total;
} sight_plan;

static tin_status plan_pictures(const tin_model *model, const tin_sight_options *options, sight_plan *plan,
                                tin_error *error) {
    if (options->picture_count && !options->pictures)
        return tini_fail(error, TIN_ERR_ARGUMENT, "none of the pictures are given");
    plan->pictures = options->picture_count;
    for (uint32_t k = 0; k < options->picture_count; k++) {
        tin_pixels_plan one;
        tin_status status = tini_written_plan(&plan->written, model, &options->pictures[k], &one, error);
        if (status)
            return status;
        plan->images += one.tiles;
        uint64_t patches = (uint64_t)one.rows * one.columns;
        plan->patches = patches > plan->patches ? patches : plan->patches;
        plan->work = one.memory > plan->work ? one.memory : plan->work;
        for (uint32_t t = 0; t < one.tiles; t++) {
            tini_tile tile = tini_written_tile(&plan->written, &one, t);
            uint32_t own = tile.height * tile.width;
            plan->image_patches = own > plan->image_patches ? own : plan->image_patches;
            plan->rows += tile.rows;
        }
        if (plan->rows > model->program.header->context)
            return tini_fail(error, TIN_ERR_CONTEXT,
                             "the pictures take %u tokens; the model's context is %u; give fewer", plan->rows,
                             model->program.header->context);
    }
    return TIN_OK;
}

static void put_rows(void *context, tini_turn_sink *sink, uint32_t k, const tini_tile *tile) {
    tin_sight *s = context;
    (void)k;
    int64_t at = tini_turn_rows(sink, s->written.header->image, tile->rows);
    if (tini_turn_measures(sink))
        return;
    s->images[s->image_count++] =
        (tin_embedded){.at = (uint32_t)at, .count = tile->rows, .columns = tile->width / s->written.side};
    s->rows += tile->rows;
}

/* An image's digest is of its picture's and its number. */
static void digest_images(const tin_sight *s, const tin_picture *picture, uint32_t first) {
    uint8_t key[32];
    const uint32_t sizes[2] = {picture->width, picture->height};
    tini_sha256 hash = tini_sha256_begin();
    tini_sha256_add(&hash, &s->written.header->rules, sizeof s->written.header->rules);
    tini_sha256_add(&hash, sizes, sizeof sizes);
    for (uint32_t y = 0; y < picture->height; y++)
        tini_sha256_add(&hash, picture->rgb + y * picture->stride, (size_t)picture->width * 3);
    tini_sha256_end(&hash, key);
    for (uint32_t k = first, number = 0; k < s->image_count; k++, number++) {
        hash = tini_sha256_begin();
        tini_sha256_add(&hash, key, sizeof key);
        tini_sha256_add(&hash, &number, sizeof number);
        tini_sha256_end(&hash, s->images[k].digest);
    }
}

static tin_status put_picture(void *context, tini_turn_sink *sink, const tin_picture *picture, uint32_t k) {
    tin_sight *s = context;
    const tini_written *written = &s->written;
    tin_pixels_plan plan;
    tin_status status = tini_written_plan(written, s->model, picture, &plan, NULL);
    if (!k)
        tini_turn_drop(sink, written->texts[TINI_WRITTEN_DROPPED],
                       written->header->lengths[TINI_WRITTEN_DROPPED]);
    uint32_t first = s->image_count;
    if (!status)
        status = tini_written_put(written, sink, &plan, put_rows, s);
    if (status || tini_turn_measures(sink))
        return status;
    s->pictures[s->picture_count++] = (sight_picture){*picture, first};
    digest_images(s, picture, first);
    return TIN_OK;
}

static tin_vision_options tower_options(const sight_plan *plan, const tin_sight_options *o) {
    return (tin_vision_options){.patches = plan->image_patches,
                                .executor = o->executor,
                                .clock_ns = o->clock_ns,
                                .clock_context = o->clock_context};
}

static tin_status plan_sight(const tin_model *model, const tin_message *messages, uint32_t count,
                             const tin_sight_options *options, sight_plan *plan, tin_error *error) {
    *plan = (sight_plan){0};
    tin_status status = tini_written_open(&plan->written, model, error);
    if (!status)
        status = plan_pictures(model, options, plan, error);
    if (status)
        return status;
    tin_sight measured = {.model = model, .written = plan->written};
    const tini_turn_pictures pictures = {options->pictures, options->picture_count, put_picture, &measured};
    tin_error refused = {TIN_ERR_ARGUMENT, "the conversation can't be written"};
    plan->scratch =
        tini_turns_scratch(model, options->turns, options->turns_size, messages, count, &pictures, &refused);
    if (!plan->scratch)
        return tini_fail(error, refused.status, "%s", refused.text);
    const tin_vision_options tower = tower_options(plan, options);
    uint64_t vision = plan->images ? tin_vision_size(model, &tower, error) : 0;
    if (plan->images && !vision)
        return TIN_ERR_ARGUMENT;
    tini_take(&plan->total, TINI_SIGHT_ROOM);
    plan->at_tokens = tini_take(&plan->total, sizeof(int32_t) * (uint64_t)model->program.header->context);
    plan->at_images = tini_take(&plan->total, TINI_SHOWN_ROOM * (uint64_t)plan->images);
    plan->at_pictures = tini_take(&plan->total, TINI_SHOWN_ROOM * (uint64_t)plan->pictures);
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
               : tini_fail(
                     error, TIN_ERR_ARGUMENT,
                     "the pictures take %llu bytes, more than this machine can address; give smaller ones",
                     (unsigned long long)plan->total);
}

static tin_sight_options resolved(const tin_sight_options *options) {
    return options ? *options : (tin_sight_options){0};
}

size_t tin_sight_size(const tin_model *model, const tin_message *messages, uint32_t count,
                      const tin_sight_options *given, tin_error *error) {
    const tin_sight_options options = resolved(given);
    sight_plan plan;
    return plan_sight(model, messages, count, &options, &plan, error) ? 0 : (size_t)plan.total;
}

static tin_status write_tokens(tin_sight *s, const sight_plan *plan, const tin_message *messages,
                               uint32_t count, tin_error *error) {
    const tini_turn_pictures pictures = {s->options.pictures, s->options.picture_count, put_picture, s};
    const uint32_t context = s->model->program.header->context;
    int64_t tokens =
        tini_turns_chat(s->model, s->options.turns, s->options.turns_size, messages, count, &pictures,
                        s->options.flags, s->tokens, context, s->room, (size_t)plan->scratch, error);
    if (tokens < 0)
        return (tin_status)tokens;
    if (tokens > context)
        return tini_fail(error, TIN_ERR_CONTEXT, "the conversation has %lld tokens; the model's context is %u",
                         (long long)tokens, context);
    s->count = (uint32_t)tokens;
    return TIN_OK;
}

tin_status tin_sight_create(const tin_model *model, const tin_message *messages, uint32_t count,
                            const tin_sight_options *given, void *memory, size_t memory_size, tin_sight **out,
                            tin_error *error) {
    const tin_sight_options options = resolved(given);
    sight_plan plan;
    tin_status status = plan_sight(model, messages, count, &options, &plan, error);
    if (status)
        return status;
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the sight's pointer");
    if (tini_lacks(memory, memory_size, plan.total, "the pictures need", error))
        return TIN_ERR_MEMORY;
    uint8_t *base = memory;
    tin_sight *s = memory;
    *s = (tin_sight){.model = model, .written = plan.written, .options = options, .cut = TINI_NONE};
    s->tokens = (int32_t *)(void *)(base + plan.at_tokens);
    s->images = (tin_embedded *)(void *)(base + plan.at_images);
    s->pictures = (sight_picture *)(void *)(base + plan.at_pictures);
    s->room = base + plan.at_room;
    s->patches = (float *)(void *)(base + plan.at_patches);
    s->patches_size = (size_t)plan.patches;
    s->work = base + plan.at_work;
    s->work_size = (size_t)plan.work;
    status = write_tokens(s, &plan, messages, count, error);
    const tin_vision_options tower = tower_options(&plan, &options);
    if (!status && plan.images)
        status = tin_vision_create(model, &tower, s->room, (size_t)(plan.at_patches - plan.at_room), &s->vision,
                                   error);
    if (!status)
        *out = s;
    return status;
}

void tin_sight_describe(const tin_sight *s, tin_sight_info *info) {
    *info = (tin_sight_info){.tokens = s->count, .images = s->image_count, .image_rows = s->rows};
}

const int32_t *tin_sight_tokens(const tin_sight *s) {
    return s->tokens;
}

/* Where what stands before image k ends, and all of it with the last. */
static uint32_t sight_place(const tin_sight *s, uint32_t k) {
    return k < s->image_count ? s->images[k].at : s->count;
}

/* The session's tokens become those before the first image that it lacks. */
static tin_status begin_session(tin_sight *s, tin_session *session, tin_error *error) {
    uint32_t same = tin_session_shared(session, s->tokens, s->count, s->images, s->image_count);
    s->next = 0;
    while (s->next < s->image_count && s->images[s->next].at + s->images[s->next].count <= same)
        s->next++;
    return tin_session_replace_embedded(session, s->tokens, sight_place(s, s->next), s->images, s->next, error);
}

/* The picture of the next image. */
static uint32_t next_picture(const tin_sight *s) {
    uint32_t k = s->picture_count - 1;
    while (s->pictures[k].first > s->next)
        k--;
    return k;
}

/* Begins to cut the next image's picture, unless its patches are there. */
static tin_status begin_cutting(tin_sight *s, tin_error *error) {
    uint32_t k = next_picture(s);
    const tin_picture *picture = &s->pictures[k].pixels;
    if (s->cut == k)
        return TIN_OK;
    tin_status status =
        tini_pixels_begin(&s->pixels, &s->written.header->rules, picture->rgb, picture->stride, picture->width,
                          picture->height, s->work, s->work_size, s->patches, s->patches_size, error);
    s->cut = status ? TINI_NONE : k;
    return status;
}

static tin_status begin_seeing(tin_sight *s, tin_error *error) {
    const tin_pixels_plan *plan = &s->pixels.plan;
    tini_tile tile = tini_written_tile(&s->written, plan, s->next - s->pictures[s->cut].first);
    return tin_vision_begin(s->vision, s->patches + (size_t)tile.first * plan->columns, tile.height, tile.width,
                            error);
}

/* Queues the image that was seen, and the text behind it. */
static tin_status end_image(tin_sight *s, tin_session *session, tin_error *error) {
    tin_embedded image = s->images[s->next];
    uint32_t first = image.at, end = sight_place(s, s->next + 1);
    image.at = 0;
    image.rows = tin_vision_states(s->vision, NULL);
    tin_status status = tin_session_append_embedded(session, s->tokens + first, end - first, &image, 1, error);
    s->next += !status;
    return status;
}

/* What is left of the budget; 0: nothing. Without one, all the time there is. */
static uint64_t time_left(const tin_sight *s, uint64_t begun, uint64_t budget_ns) {
    uint64_t spent = budget_ns ? s->options.clock_ns(s->options.clock_context) - begun : 0;
    return !budget_ns ? UINT64_MAX : spent < budget_ns ? budget_ns - spent : 0;
}

/* A part of the work, which takes about `left` nanoseconds at most; TIN_STEP_PENDING, or why it ended. */
static int32_t sight_part(tin_sight *s, tin_session *session, uint64_t left, tin_error *error) {
    tin_status status = TIN_OK;
    int32_t event;
    switch (s->stage) {
    case SIGHT_BEGUN:
        status = begin_session(s, session, error);
        s->stage += !status;
        return status;
    case SIGHT_NEXT:
        if (s->next == s->image_count) {
            s->stage = SIGHT_DONE;
            return TIN_STEP_DONE;
        }
        status = begin_cutting(s, error);
        s->stage += !status;
        return status;
    case SIGHT_CUTTING:
        if (tini_pixels_row(&s->pixels))
            return TIN_STEP_PENDING;
        status = begin_seeing(s, error);
        s->stage += !status;
        return status;
    case SIGHT_SEEING:
        event = tin_vision_step(s->vision, left < UINT64_MAX ? left : 0);
        if (event != TIN_STEP_DONE)
            return event;
        status = end_image(s, session, error);
        s->stage = status ? SIGHT_SEEING : SIGHT_NEXT;
        return status;
    default:
        return TIN_STEP_DONE;
    }
}

int32_t tin_sight_step(tin_sight *s, tin_session *session, uint64_t budget_ns, tin_error *error) {
    if (budget_ns && !s->options.clock_ns)
        return tini_fail(error, TIN_ERR_STATE, "a budget, and no clock");
    uint64_t begun = budget_ns ? s->options.clock_ns(s->options.clock_context) : 0;
    uint64_t left = budget_ns ? budget_ns : UINT64_MAX;
    int32_t event;
    do {
        event = sight_part(s, session, left, error);
        left = time_left(s, begun, budget_ns);
    } while (event == TIN_STEP_PENDING && left);
    return event;
}

TINI_REGION_END
