#include "written.h"
#include "../base/error.h"

#include <string.h>

TINI_REGION_COLD

tin_status tini_written_open(tini_written *view, const tin_model *model, tin_error *error) {
    if (!model->encoder.header)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the model has no image input: the tin has no vision/program.bin");
    size_t size, total = sizeof *view->header;
    const uint8_t *data = tini_zip_find(&model->zip, "vision/images.bin", &size);
    if (!data)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the tin has no vision/images.bin, which says how images are written; build it again");
    const tini_images_header *h = (const void *)data;
    if ((uintptr_t)data % TIN_ALIGNMENT || size < sizeof *h || h->magic != TINI_IMAGES_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "vision/images.bin does not begin as one");
    if (h->version != TINI_IMAGES_VERSION)
        return tini_other_version(error, "vision/images.bin", h->version, TINI_IMAGES_VERSION,
                                  TINI_BUILD_AGAIN);
    *view = (tini_written){.header = h, .side = model->encoder.side};
    for (uint32_t k = 0; k < TINI_WRITTEN_TEXTS; k++) {
        view->texts[k] = data + total;
        if (h->lengths[k] > TINI_IMAGES_LONGEST || h->lengths[k] > size - total)
            return tini_fail(error, TIN_ERR_FORMAT, "vision/images.bin: text %u is damaged", k);
        total += h->lengths[k];
    }
    int sound = total == size && !h->rules.frames && h->rules.merge == 1 && h->image >= 0 &&
                (uint32_t)h->image < model->program.header->vocab;
    return sound ? TIN_OK : tini_fail(error, TIN_ERR_FORMAT, "vision/images.bin is damaged");
}

tini_tile tini_written_tile(const tini_written *view, const tin_pixels_plan *plan, uint32_t k) {
    tini_tile tile = {0};
    for (uint32_t n = 0; n < plan->count; n++) {
        const tin_pixels_view *from = &plan->views[n];
        if (!from->across)
            continue;
        tile.height = from->height / from->down / view->header->rules.patch;
        tile.width = from->width / from->across / view->header->rules.patch;
        uint32_t tiles = from->across * from->down, before = k < tiles ? k : tiles;
        tile.first += before * tile.height * tile.width;
        if (before < tiles)
            break;
        k -= tiles;
    }
    tile.rows = tile.height * tile.width / (view->side * view->side);
    return tile;
}

tin_status tini_written_plan(const tini_written *view, const tin_model *model, const tin_image *image,
                             tin_pixels_plan *plan, tin_error *error) {
    tin_status status = tin_pixels_size(&view->header->rules, image->width, image->height, plan, error);
    if (status)
        return status;
    if (!image->rgb || image->stride < (size_t)image->width * 3)
        return tini_fail(error, TIN_ERR_ARGUMENT, "rows of %llu bytes; %u pixels of RGB take %u",
                         (unsigned long long)(image->rgb ? image->stride : 0), image->width, image->width * 3);
    int taken = plan->tiles && plan->columns == model->encoder.patch;
    for (uint32_t k = 0; taken && k < plan->tiles; k++) {
        tini_tile tile = tini_written_tile(view, plan, k);
        taken = !(tile.height % view->side) && !(tile.width % view->side) &&
                (uint64_t)tile.height * tile.width <= model->encoder.header->context;
    }
    return taken ? TIN_OK
                 : tini_fail(error, TIN_ERR_FORMAT,
                             "vision/images.bin cuts an image of %u x %u into tiles that "
                             "vision/program.bin does not take",
                             image->width, image->height);
}

static tin_status put_written(const tini_written *view, tini_turn_sink *sink, uint32_t text) {
    return tini_turn_put(sink, view->texts[text], view->header->lengths[text]);
}

static size_t copy_text(const tini_written *view, uint32_t text, uint8_t *out) {
    memcpy(out, view->texts[text], view->header->lengths[text]);
    return view->header->lengths[text];
}

static size_t copy_number(uint32_t number, uint8_t *out) {
    uint8_t digits[10];
    size_t length = 0;
    for (; number || !length; number /= 10)
        digits[length++] = (uint8_t)('0' + number % 10);
    for (size_t k = 0; k < length; k++)
        out[k] = digits[length - 1 - k];
    return length;
}

/* What stands before a tile: in one text, since a token may be written over its parts. */
static tin_status put_place(const tini_written *view, tini_turn_sink *sink, uint32_t row, uint32_t column) {
    uint8_t text[3 * TINI_IMAGES_LONGEST + 20];
    size_t length = copy_text(view, TINI_WRITTEN_ROW, text);
    length += copy_number(row + 1, text + length);
    length += copy_text(view, TINI_WRITTEN_COLUMN, text + length);
    length += copy_number(column + 1, text + length);
    length += copy_text(view, TINI_WRITTEN_TILE, text + length);
    return tini_turn_put(sink, text, length);
}

tin_status tini_written_put(const tini_written *view, tini_turn_sink *sink, const tin_pixels_plan *plan,
                            tini_written_rows *rows, void *context) {
    const tin_pixels_view *tiled = plan->views;
    while (!tiled->across)
        tiled++;
    const uint32_t across = tiled->across, tiles = across * tiled->down;
    const int alone = plan->tiles == 1;
    tin_status status = put_written(view, sink, alone ? TINI_WRITTEN_ALONE : TINI_WRITTEN_TILED);
    for (uint32_t k = 0; k < plan->tiles && !status; k++) {
        if (!alone)
            status = k < tiles ? put_place(view, sink, k / across, k % across)
                               : put_written(view, sink, TINI_WRITTEN_WHOLE);
        tini_tile tile = tini_written_tile(view, plan, k);
        if (!status)
            rows(context, sink, k, &tile);
        if (!status && !alone && k < tiles && k % across == across - 1)
            status = put_written(view, sink, TINI_WRITTEN_ROW_END);
        if (!status && !alone && k == tiles - 1)
            status = put_written(view, sink, TINI_WRITTEN_TILES_END);
    }
    return status ? status : put_written(view, sink, alone ? TINI_WRITTEN_ALONE_END : TINI_WRITTEN_TILED_END);
}

TINI_REGION_END
