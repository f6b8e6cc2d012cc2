/* What a vision encoder reads of an image: its views, resized, cut into patches, normalized. */
#include "../base/error.h"
#include "../base/memory.h"
#include "../base/region.h"
#include "pixels.h"
#include "views.h"

#include <string.h>

enum { PIXELS_EDGE = 32768 }; /* the longest that a view may be */

static int pixels_between(uint32_t value, uint32_t least, uint32_t most) {
    return value >= least && value <= most;
}

static tin_status pixels_check(const tin_pixels_rules *r, tin_error *error) {
    const char *wrong = NULL;
    if (!pixels_between(r->filter, TIN_FILTER_LANCZOS, TIN_FILTER_BICUBIC))
        wrong = "filter";
    else if (!pixels_between(r->patch, 1, 256) || !pixels_between(r->merge, 1, 16) ||
             !pixels_between(r->frames, 0, 16))
        wrong = "patch, merge or frames";
    else if (r->tiling == TIN_TILING_PLAIN)
        wrong =
            pixels_between(r->width, 1, 8192) && pixels_between(r->height, 1, 8192) ? NULL : "width or height";
    else if (r->tiling == TIN_TILING_IDEFICS3)
        wrong = pixels_between(r->edge, 1, 16384) && pixels_between(r->tile, 1, 4096) ? NULL : "edge or tile";
    else if (r->tiling == TIN_TILING_SMART || r->tiling == TIN_TILING_LFM2)
        wrong = pixels_between(r->factor, 1, 1024) && pixels_between(r->min_pixels, 1, r->max_pixels) &&
                        r->max_pixels <= 1u << 28
                    ? NULL
                    : "factor, min_pixels or max_pixels";
    else
        wrong = "tiling";
    if (!wrong && r->tiling == TIN_TILING_LFM2)
        wrong = pixels_between(r->max_tiles, 1, 256) && pixels_between(r->min_tiles, 1, r->max_tiles) &&
                        pixels_between(r->tile, 1, 4096) && r->tolerance >= 0
                    ? NULL
                    : "min_tiles, max_tiles, tile or tolerance";
    for (int c = 0; c < 3 && !wrong; c++)
        wrong = r->std[c] > 0 ? NULL : "std";
    return wrong ? tini_fail(error, TIN_ERR_ARGUMENT, "the image rules' %s is out of range; see tin.h", wrong)
                 : TIN_OK;
}

static uint32_t pixels_grid(const tin_pixels_rules *rules, uint32_t edge, uint32_t tiles) {
    return edge / tiles / rules->patch;
}

/* Floats of a patch. */
static uint32_t pixels_columns(const tin_pixels_rules *rules) {
    return 3 * (rules->frames ? rules->frames : 1) * rules->patch * rules->patch;
}

/* Fills in what the views make, where they are sound. */
static tin_status pixels_count(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                               tin_pixels_plan *plan, tin_error *error) {
    uint64_t rows = 0;
    plan->tiles = 0;
    plan->columns = pixels_columns(rules);
    for (uint32_t k = 0; k < plan->count; k++) {
        const tin_pixels_view *view = plan->views + k;
        if (!pixels_between(view->width, 1, PIXELS_EDGE) || !pixels_between(view->height, 1, PIXELS_EDGE))
            return tini_fail(error, TIN_ERR_UNSUPPORTED,
                             "the image of %u x %u is too long and narrow for this model; crop it", width,
                             height);
        if (!view->across)
            continue;
        uint32_t x = pixels_grid(rules, view->width, view->across),
                 y = pixels_grid(rules, view->height, view->down);
        if (!x || !y || x % rules->merge || y % rules->merge)
            return tini_fail(error, TIN_ERR_ARGUMENT,
                             "tiles of %u x %u patches; merge asks for whole blocks of %u x %u", x, y,
                             rules->merge, rules->merge);
        plan->tiles += view->across * view->down;
        rows += (uint64_t)x * y * view->across * view->down;
    }
    if (!plan->columns || rows > UINT32_MAX / plan->columns)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the image of %u x %u makes too many patches; make it smaller", width, height);
    plan->rows = (uint32_t)rows;
    return TIN_OK;
}

/* Whether another view is made of view k. */
static int pixels_kept(const tin_pixels_plan *plan, uint32_t k) {
    for (uint32_t other = k + 1; other < plan->count; other++)
        if (plan->views[other].from == k + 1)
            return 1;
    return 0;
}

/* The size that view k is resized from. */
static void pixels_source(const tin_pixels_plan *plan, uint32_t k, uint32_t *width, uint32_t *height) {
    uint32_t from = plan->views[k].from;
    *width = from ? plan->views[from - 1].width : plan->width;
    *height = from ? plan->views[from - 1].height : plan->height;
}

static tini_pixels_layout pixels_place(const tin_pixels_rules *rules, const tin_pixels_plan *plan) {
    tini_pixels_layout at = {0};
    uint64_t most = 0, row = 0;
    at.values = tini_take(&at.total, 3 * 256 * sizeof(float));
    for (uint32_t k = 0; k < plan->count; k++) {
        const tin_pixels_view *view = plan->views + k;
        uint32_t width, height;
        pixels_source(plan, k, &width, &height);
        uint64_t size = tini_resample_size(rules->filter, width, height, view->width, view->height);
        most = size > most ? size : most;
        row = 3 * (uint64_t)view->width > row ? 3 * (uint64_t)view->width : row;
        if (pixels_kept(plan, k))
            at.kept[k] = tini_take(&at.total, 3 * (uint64_t)view->width * view->height);
    }
    at.row = tini_take(&at.total, row);
    at.resample = tini_take(&at.total, most);
    return at;
}

tin_status tin_pixels_size(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                           tin_pixels_plan *plan, tin_error *error) {
    if (!rules || !plan || !pixels_between(width, 1, 65535) || !pixels_between(height, 1, 65535))
        return tini_fail(error, TIN_ERR_ARGUMENT, "an image of %u x %u; either may be 1 to 65535", width,
                         height);
    tin_pixels_plan made = {.width = width, .height = height};
    tin_status status = pixels_check(rules, error);
    if (!status)
        status = tini_pixels_views(rules, width, height, &made, error);
    if (!status)
        status = pixels_count(rules, width, height, &made, error);
    if (status)
        return status;
    uint64_t total = pixels_place(rules, &made).total;
    if (total > SIZE_MAX / 2)
        return tini_fail(error, TIN_ERR_MEMORY, "the image of %u x %u takes %llu bytes; make it smaller", width,
                         height, (unsigned long long)total);
    made.memory = (size_t)total;
    *plan = made;
    return TIN_OK;
}

TINI_REGION_SCALAR

/* values[c][byte]: what a channel's byte becomes. */
static void pixels_values(const tin_pixels_rules *rules, float *values) {
    for (int c = 0; c < 3; c++)
        for (int byte = 0; byte < 256; byte++)
            values[256 * c + byte] = ((float)(byte * rules->scale) - rules->mean[c]) / rules->std[c];
}

TINI_REGION_END

/* Where the patch at (x, y) of a tile's x_count lies among its rows. */
static uint32_t pixels_order(uint32_t merge, uint32_t x_count, uint32_t x, uint32_t y) {
    uint32_t block = y / merge * (x_count / merge) + x / merge;
    return (block * merge + y % merge) * merge + x % merge;
}

/* Pixels of one row of a patch, to out[3][frames][area] or, where frames is 0, to out[][3]. */
static void pixels_patch(const tin_pixels_rules *rules, const uint8_t *in, const float *values, float *out) {
    uint32_t area = rules->patch * rules->patch;
    for (uint32_t x = 0; x < rules->patch; x++, in += 3)
        for (uint32_t c = 0; c < 3; c++) {
            float value = values[256 * c + in[c]];
            if (!rules->frames)
                out[3 * x + c] = value;
            for (uint32_t f = 0; f < rules->frames; f++)
                out[(c * rules->frames + f) * area + x] = value;
        }
}

/* Row y of a view into the rows of its patches. */
static void pixels_cut(const tin_pixels_rules *rules, const tin_pixels_view *view, const uint8_t *row,
                       uint32_t y, const float *values, float *rows) {
    uint32_t patch = rules->patch, columns = pixels_columns(rules);
    uint32_t tile_width = view->width / view->across, tile_height = view->height / view->down;
    uint32_t x_count = tile_width / patch, y_count = tile_height / patch;
    uint32_t in_tile = y % tile_height, py = in_tile / patch;
    if (py >= y_count)
        return;
    for (uint32_t tile = 0; tile < view->across; tile++) {
        size_t first = (size_t)(y / tile_height * view->across + tile) * x_count * y_count;
        const uint8_t *in = row + (size_t)tile * tile_width * 3;
        for (uint32_t px = 0; px < x_count; px++) {
            float *out = rows + (first + pixels_order(rules->merge, x_count, px, py)) * columns;
            pixels_patch(rules, in, values, out + in_tile % patch * patch * (rules->frames ? 1 : 3));
            in += 3 * patch;
        }
    }
}

tin_status tini_pixels_begin(tini_pixels *p, const tin_pixels_rules *rules, const uint8_t *rgb, size_t stride,
                             uint32_t width, uint32_t height, void *memory, size_t memory_size, float *rows,
                             size_t count, tin_error *error) {
    tin_pixels_plan plan = {0};
    tin_status status = tin_pixels_size(rules, width, height, &plan, error);
    if (status)
        return status;
    if (!rgb || stride < (size_t)width * 3)
        return tini_fail(error, TIN_ERR_ARGUMENT, "rows of %llu bytes; %u pixels of RGB take %u",
                         (unsigned long long)stride, width, width * 3);
    uint64_t wanted = (uint64_t)plan.rows * plan.columns;
    if (!rows || count < wanted || !memory || (uintptr_t)memory % TIN_ALIGNMENT || memory_size < plan.memory)
        return tini_fail(
            error, TIN_ERR_MEMORY,
            "room for %llu floats and %llu bytes of memory; the image makes %llu in %llu, aligned to %u",
            (unsigned long long)(rows ? count : 0), (unsigned long long)(memory ? memory_size : 0),
            (unsigned long long)wanted, (unsigned long long)plan.memory, (uint32_t)TIN_ALIGNMENT);
    *p =
        (tini_pixels){.rules = rules, .rgb = rgb, .stride = stride, .plan = plan, .base = memory, .rows = rows};
    p->at = pixels_place(rules, &plan);
    p->values = (float *)(void *)(p->base + p->at.values);
    pixels_values(rules, p->values);
    return TIN_OK;
}

/* Prepares the view whose rows come next. */
static void pixels_begin_view(tini_pixels *p) {
    const tin_pixels_view *view = p->plan.views + p->view;
    uint32_t width, height;
    pixels_source(&p->plan, p->view, &width, &height);
    tini_resample_begin(&p->resample, p->rules->filter,
                        view->from ? p->base + p->at.kept[view->from - 1] : p->rgb,
                        view->from ? (size_t)width * 3 : p->stride, width, height, view->width, view->height,
                        p->base + p->at.resample);
}

int tini_pixels_row(tini_pixels *p) {
    if (p->view == p->plan.count)
        return 0;
    const tin_pixels_view *view = p->plan.views + p->view;
    if (!p->y)
        pixels_begin_view(p);
    size_t kept = (size_t)p->y * view->width * 3;
    uint8_t *row = p->base + (pixels_kept(&p->plan, p->view) ? p->at.kept[p->view] + kept : p->at.row);
    tini_resample_row(&p->resample, p->y, row);
    if (view->across)
        pixels_cut(p->rules, view, row, p->y, p->values, p->rows);
    if (++p->y < view->height)
        return 1;
    if (view->across)
        p->rows += (size_t)pixels_grid(p->rules, view->width, view->across) *
                   pixels_grid(p->rules, view->height, view->down) * view->across * view->down *
                   p->plan.columns;
    p->view++;
    p->y = 0;
    return 1;
}

tin_status tin_pixels_make(const tin_pixels_rules *rules, const uint8_t *rgb, size_t stride, uint32_t width,
                           uint32_t height, void *memory, size_t memory_size, float *rows, size_t count,
                           tin_error *error) {
    tini_pixels p = {0};
    tin_status status =
        tini_pixels_begin(&p, rules, rgb, stride, width, height, memory, memory_size, rows, count, error);
    while (!status && tini_pixels_row(&p))
        continue;
    return status;
}
