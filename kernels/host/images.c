#include "../core/vision/image.h"
#include "host.h"

#include <stdio.h>

enum { MOST_BYTES = 1 << 28 }; /* that an image may take while it is read */

void tini_host_drop_images(tini_host_message *message) {
    for (int32_t k = 0; k < message->image_count; k++)
        free((void *)(uintptr_t)message->images[k].rgb);
    free(message->images);
    message->images = NULL;
    message->image_count = 0;
}

int32_t tini_host_images(const tinhost_session *s) {
    int32_t count = 0;
    for (int32_t k = 0; k < s->message_count; k++)
        count += s->messages[k].image_count;
    return count;
}

/* Room for one more image of so many pixels, which then counts: its RGB; NULL: no memory. */
static uint8_t *add_image(tini_host_message *message, uint32_t width, uint32_t height) {
    tin_image *grown = realloc(message->images, ((size_t)message->image_count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    message->images = grown;
    uint8_t *rgb = malloc((size_t)width * height * 3);
    if (rgb)
        grown[message->image_count++] = (tin_image){rgb, (size_t)width * 3, width, height, 0};
    return rgb;
}

int tini_host_copy_images(tini_host_message *to, const tini_host_message *from) {
    for (int32_t k = 0; k < from->image_count; k++) {
        const tin_image *one = &from->images[k];
        uint8_t *rgb = add_image(to, one->width, one->height);
        if (!rgb)
            return 0;
        memcpy(rgb, one->rgb, one->stride * one->height);
    }
    return 1;
}

#ifdef TIN_NO_VISION
static const char BLIND[] = "this build has no image input";

int tini_host_has_vision(const tin_model *model) {
    (void)model;
    return 0;
}

int64_t tini_host_begin_images(tinhost_session *s, const tin_message *messages, tini_manner manner,
                               const int32_t **tokens) {
    (void)messages, (void)manner, (void)tokens;
    return tini_host_fail(s, TIN_ERR_UNSUPPORTED, BLIND);
}

int32_t tini_host_encode_step(tinhost_session *s, uint64_t budget_ns) {
    (void)budget_ns;
    return tini_host_fail(s, TIN_ERR_UNSUPPORTED, BLIND);
}

int32_t tinhost_image(tinhost_session *s, const void *file, int64_t size) {
    (void)file, (void)size;
    int32_t status = tini_host_ready(s);
    return status ? status : tini_host_fail(s, TIN_ERR_UNSUPPORTED, BLIND);
}

int32_t tinhost_pixels(tinhost_session *s, const void *pixels, int64_t size, int32_t width, int32_t height,
                       int32_t channels) {
    (void)width, (void)height, (void)channels;
    return tinhost_image(s, pixels, size);
}
#else
int tini_host_has_vision(const tin_model *model) {
    tin_encoder_info info;
    return !tin_encoder_describe(model, &info);
}

/* Whether an image may come. */
static int32_t ready_for_image(tinhost_session *s) {
    int32_t status = tini_host_ready(s);
    if (!status && !tini_host_has_vision(s->model->core))
        return tini_host_fail(s, TIN_ERR_UNSUPPORTED, "the model has no image input");
    return status;
}

int32_t tinhost_image(tinhost_session *s, const void *file, int64_t size) {
    tin_image_info info;
    int32_t status = ready_for_image(s);
    if (!status)
        status = tin_image_look(file, size > 0 ? (size_t)size : 0, MOST_BYTES, &info, &s->error);
    if (status)
        return status;
    tini_block memory = tini_block_take(info.memory);
    uint8_t *rgb = memory.data ? add_image(&s->pending, info.width, info.height) : NULL;
    if (rgb)
        status = tin_image_read(file, (size_t)size, memory.data, info.memory, rgb, info.rgb, &s->error);
    else
        status = tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for the image");
    tini_block_drop(&memory);
    if (rgb && status)
        free((void *)(uintptr_t)s->pending.images[--s->pending.image_count].rgb);
    return status;
}

int32_t tinhost_pixels(tinhost_session *s, const void *pixels, int64_t size, int32_t width, int32_t height,
                       int32_t channels) {
    int32_t status = ready_for_image(s);
    if (status)
        return status;
    int sound = pixels && (channels == 3 || channels == 4) && width > 0 && height > 0 &&
                width <= TINI_IMAGE_EDGE && height <= TINI_IMAGE_EDGE &&
                size == (int64_t)width * height * channels;
    if (!sound)
        return tini_host_fail(s, TIN_ERR_ARGUMENT,
                              "pixels are height rows of width pixels of 3 or 4 bytes, up to 65535 a side");
    uint8_t *rgb = (int64_t)width * height * 3 <= MOST_BYTES
                       ? add_image(&s->pending, (uint32_t)width, (uint32_t)height)
                       : NULL;
    if (!rgb)
        return tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for the image");
    const uint8_t *from = pixels;
    for (int64_t k = 0; k < (int64_t)width * height; k++, from += channels)
        for (int c = 0; c < 3; c++)
            *rgb++ = channels == 4 ? tini_over_white(from[c], from[3]) : from[c];
    return TIN_OK;
}

/* The images of all messages, in one list; NULL: no memory. */
static tin_image *listed(const tinhost_session *s, uint32_t *count) {
    tin_image *all = malloc(((size_t)tini_host_images(s) + 1) * sizeof *all);
    *count = 0;
    for (int32_t k = 0; all && k < s->message_count; k++)
        for (int32_t n = 0; n < s->messages[k].image_count; n++) {
            all[*count] = s->messages[k].images[n];
            all[(*count)++].message = (uint32_t)k;
        }
    return all;
}

int64_t tini_host_begin_images(tinhost_session *s, const tin_message *messages, tini_manner manner,
                               const int32_t **tokens) {
    const tin_model *model = s->model->core;
    const uint32_t count = (uint32_t)s->message_count;
    tin_vision_options how = {.flags = manner.flags,
                              .turns = manner.turns,
                              .turns_size = manner.turns_size,
                              .executor = s->executor,
                              .clock_ns = tini_host_clock};
    tin_image *images = listed(s, &how.image_count);
    how.images = images;
    size_t need = images ? tin_vision_size(model, messages, count, &how, &s->error) : 0;
    int32_t status = need || !images ? TIN_ERR_MEMORY : s->error.status;
    s->vision_memory = need ? tini_block_take(need) : (tini_block){0};
    if (s->vision_memory.data)
        status =
            tin_vision_create(model, messages, count, &how, s->vision_memory.data, need, &s->vision, &s->error);
    else if (status == TIN_ERR_MEMORY)
        tini_host_fail(s, status, "there is no memory for the images");
    free(images);
    if (status)
        return status;
    tin_vision_info info;
    tin_vision_describe(s->vision, &info);
    *tokens = tin_vision_tokens(s->vision);
    return info.tokens;
}

int32_t tini_host_encode_step(tinhost_session *s, uint64_t budget_ns) {
    int32_t event = tin_vision_step(s->vision, s->core, budget_ns, &s->error);
    if (event != TIN_STEP_PENDING)
        s->vision = NULL;
    return event;
}
#endif
