#include "views.h"
#include "../base/error.h"
#include "../base/region.h"

#include <string.h>

TINI_REGION_SCALAR

/* The square root, correctly rounded, of a finite x that is 0 or no less than 2^-1000. In integers: a machine without
 * double arithmetic would take it from libm. */
static double view_sqrt(double x) {
    uint64_t bits, root = 0, rest = 0;
    memcpy(&bits, &x, sizeof bits);
    if (!bits)
        return 0;
    int32_t exponent = (int32_t)(bits >> 52) - 1023;
    uint64_t digits = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    if (exponent & 1) { /* so that half of it is whole */
        digits <<= 1;
        exponent--;
    }
    for (int k = 0; k < 54; k++) { /* a bit of the root takes two of the number, zeros after its last */
        rest = rest << 2 | (k < 27 ? digits >> (52 - 2 * k) & 3 : 0);
        root <<= 1;
        if (rest > root << 1) {
            rest -= root << 1 | 1;
            root |= 1;
        }
    }
    root = (root + 1) >> 1; /* 54 bits to 53; half is never left over */
    bits = (uint64_t)(exponent / 2 + 1023 + (root >> 53)) << 52 | (root & ((UINT64_C(1) << 52) - 1));
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Python's round(a / b) * b: ties to even. */
static uint32_t view_round(uint32_t a, uint32_t b) {
    uint32_t whole = a / b, rest = 2 * (a % b);
    return (whole + (rest > b || (rest == b && whole & 1))) * b;
}

static uint32_t view_ceil(double x) {
    uint32_t whole = (uint32_t)x;
    return whole + (whole < x);
}

static uint32_t view_most(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static void view_add(tin_pixels_plan *plan, uint32_t width, uint32_t height, uint32_t from) {
    plan->views[plan->count++] = (tin_pixels_view){.width = width, .height = height, .from = from};
}

static void view_cut(tin_pixels_view *view, uint32_t across, uint32_t down) {
    view->across = across;
    view->down = down;
}

/* Multiples of factor whose product is between min_pixels and max_pixels, where the shape allows. least: what rounding may
 * not go below. */
static void view_smart(const tin_pixels_rules *rules, uint32_t least, uint32_t width, uint32_t height,
                       uint32_t *to_width, uint32_t *to_height) {
    uint32_t factor = rules->factor;
    uint32_t w = view_most(least, view_round(width, factor)), h = view_most(least, view_round(height, factor));
    uint64_t area = (uint64_t)w * h;
    double size = (double)((uint64_t)width * height);
    if (area > rules->max_pixels) {
        double beta = view_sqrt(size / rules->max_pixels);
        h = view_most(factor, (uint32_t)(height / beta / factor) * factor);
        w = view_most(factor, (uint32_t)(width / beta / factor) * factor);
    } else if (area < rules->min_pixels) {
        double beta = view_sqrt(rules->min_pixels / size);
        h = view_ceil(height * beta / factor) * factor;
        w = view_ceil(width * beta / factor) * factor;
    }
    *to_width = w;
    *to_height = h;
}

/* The other side's length, where the longer one becomes `to`; odd: by one more where it is odd, if that is asked. */
static void view_fit(uint32_t to, int even, uint32_t *width, uint32_t *height) {
    int wide = *width >= *height;
    double shape = (double)*width / *height;
    uint32_t other = wide ? (uint32_t)(to / shape) : (uint32_t)(to * shape);
    other = view_most(1, other + (even ? other & 1 : 0));
    *width = wide ? to : other;
    *height = wide ? other : to;
}

/* Idefics3, SmolVLM: to the longest edge; to whole tiles; and all of it once more in one tile. */
static void view_idefics3(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                          tin_pixels_plan *plan) {
    enum { LIMIT = 4096 };
    uint32_t tile = rules->tile, w = width, h = height;
    view_fit(rules->edge, 1, &w, &h);
    if (view_most(w, h) > LIMIT)
        view_fit(LIMIT, 0, &w, &h);
    view_add(plan, w, h, 0);
    if (rules->max_tiles == 1) {
        view_add(plan, tile, tile, 1);
        view_cut(plan->views + 1, 1, 1);
        return;
    }
    double shape = (double)w / h;
    int wide = w >= h;
    if (wide) {
        w = (w + tile - 1) / tile * tile;
        h = view_most(1, ((uint32_t)(w / shape) + tile - 1) / tile) * tile;
    } else {
        h = (h + tile - 1) / tile * tile;
        w = view_most(1, ((uint32_t)(h * shape) + tile - 1) / tile) * tile;
    }
    view_add(plan, w, h, 1);
    view_cut(plan->views + 1, w / tile, h / tile);
    if (w / tile * (h / tile) > 1) {
        view_add(plan, tile, tile, 2);
        view_cut(plan->views + 2, 1, 1);
    }
}

/* The grid of tiles whose shape is nearest, the larger of equals where the image has half as many pixels. */
static void view_grid(const tin_pixels_rules *rules, uint32_t width, uint32_t height, uint32_t *across,
                      uint32_t *down) {
    double shape = (double)width / height, best = 1e300;
    double area = (double)((uint64_t)width * height), one = (double)rules->tile * rules->tile;
    for (uint32_t n = rules->min_tiles; n <= rules->max_tiles; n++)
        for (uint32_t w = 1; w <= n; w++) {
            if (n % w)
                continue;
            uint32_t h = n / w;
            double off = shape - (double)w / h;
            off = off < 0 ? -off : off;
            if (off < best || (off == best && area > 0.5 * one * n)) {
                best = off;
                *across = w;
                *down = h;
            }
        }
}

static tin_status view_lfm2(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                            tin_pixels_plan *plan, tin_error *error) {
    uint32_t w, h, across = 1, down = 1;
    uint64_t area = (uint64_t)view_most(rules->patch, view_round(width, rules->factor)) *
                    view_most(rules->patch, view_round(height, rules->factor));
    view_smart(rules, rules->factor, width, height, &w, &h);
    int large = (double)area > (double)rules->max_pixels * rules->tolerance && rules->max_tiles > 1;
    if (large) {
        view_grid(rules, width, height, &across, &down);
        view_add(plan, rules->tile * across, rules->tile * down, 0);
        view_cut(plan->views, across, down);
    }
    if (large && (!rules->thumbnail || across * down == 1))
        return TIN_OK;
    if ((uint64_t)w * h > rules->max_pixels && (uint64_t)w * h > rules->min_pixels)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the image of %u x %u is too long and narrow for this model; crop it", width, height);
    view_add(plan, w, h, 0);
    view_cut(plan->views + plan->count - 1, 1, 1);
    return TIN_OK;
}

tin_status tini_pixels_views(const tin_pixels_rules *rules, uint32_t width, uint32_t height,
                             tin_pixels_plan *plan, tin_error *error) {
    uint32_t w = rules->width, h = rules->height;
    plan->count = 0;
    switch (rules->tiling) {
    case TIN_TILING_IDEFICS3:
        view_idefics3(rules, width, height, plan);
        return TIN_OK;
    case TIN_TILING_LFM2:
        return view_lfm2(rules, width, height, plan, error);
    case TIN_TILING_SMART:
        if (view_most(width, height) > 200 * (uint64_t)(width < height ? width : height))
            return tini_fail(error, TIN_ERR_UNSUPPORTED,
                             "the image of %u x %u is more than 200 times as long as wide; crop it", width,
                             height);
        view_smart(rules, 0, width, height, &w, &h);
        break;
    default:
        break;
    }
    view_add(plan, w, h, 0);
    view_cut(plan->views, 1, 1);
    return TIN_OK;
}

TINI_REGION_END
