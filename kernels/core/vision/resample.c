#include "resample.h"
#include "../base/memory.h"
#include "../base/region.h"

enum { RESAMPLE_BITS = 22 };

TINI_REGION_SCALAR

/* sin(x) for |x| < 10: x less a multiple n of pi, whose parts make n times the first exact; then the series of sine, whose
 * first term left out is below 2^-58. */
static double resample_sin(double x) {
    static const double terms[10] = {-1.0 / 6,
                                     1.0 / 120,
                                     -1.0 / 5040,
                                     1.0 / 362880,
                                     -1.0 / 39916800,
                                     1.0 / 6227020800,
                                     -1.0 / 1307674368000,
                                     1.0 / 355687428096000,
                                     -1.0 / 121645100408832000,
                                     1.0 / 51090942171709440000.0};
    double n = x * 0.31830988618379067154;
    int32_t whole = (int32_t)(n < 0 ? n - 0.5 : n + 0.5);
    double r = (x - whole * 0x1.921fb544p+1) - whole * 0x1.0b4611a626331p-33, square = r * r, sum = 0;
    for (int k = 9; k >= 0; k--)
        sum = (sum + terms[k]) * square;
    r += r * sum;
    return whole & 1 ? -r : r;
}

static double resample_sinc(double x) {
    x *= 3.14159265358979323846;
    return x == 0.0 ? 1.0 : resample_sin(x) / x;
}

static double resample_weight(uint32_t filter, double x) {
    double size = x < 0 ? -x : x;
    if (filter == TIN_FILTER_BILINEAR)
        return size < 1.0 ? 1.0 - size : 0.0;
    if (filter == TIN_FILTER_BICUBIC) /* Keys 1981, a = -1/2 */
        return size < 1.0   ? (1.5 * size - 2.5) * size * size + 1
               : size < 2.0 ? (((size - 5) * size + 8) * size - 4) * -0.5
                            : 0.0;
    return x >= -3.0 && x < 3.0 ? resample_sinc(x) * resample_sinc(x / 3) : 0.0; /* Lanczos, 3 lobes */
}

/* How far a filter reaches, in inputs. */
static double resample_reach(uint32_t filter, uint32_t in, uint32_t out) {
    double scale = (double)in / out;
    double lobes = filter == TIN_FILTER_BILINEAR ? 1.0 : filter == TIN_FILTER_BICUBIC ? 2.0 : 3.0;
    return lobes * (scale < 1.0 ? 1.0 : scale);
}

static uint32_t resample_room(uint32_t filter, uint32_t in, uint32_t out) {
    double reach = resample_reach(filter, in, out);
    uint32_t whole = (uint32_t)reach;
    return (whole + (whole < reach)) * 2 + 1;
}

/* The weights of one output, from k inputs around it: `work` has room for as many. */
static void resample_output(tini_axis *axis, uint32_t filter, uint32_t k, double *work) {
    double scale = (double)axis->in / axis->out, inverse = 1.0 / (scale < 1.0 ? 1.0 : scale);
    double centre = (k + 0.5) * scale, reach = resample_reach(filter, axis->in, axis->out), sum = 0.0;
    double low = centre - reach + 0.5, high = centre + reach + 0.5;
    uint32_t first = low < 0 ? 0 : (uint32_t)low, end = high > axis->in ? axis->in : (uint32_t)high;
    int32_t *weights = axis->weights + (size_t)k * axis->room;
    /* There was memory. */
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    axis->first[k] = first;
    axis->count[k] = end - first;
    for (uint32_t i = 0; i < end - first; i++) {
        work[i] = resample_weight(filter, (i + (double)first - centre + 0.5) * inverse);
        sum += work[i];
    }
    for (uint32_t i = 0; i < end - first; i++) {
        double weight = (sum != 0.0 ? work[i] / sum : work[i]) * (1 << RESAMPLE_BITS);
        weights[i] = (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
}

TINI_REGION_END

static void axis_place(tini_axis *axis, uint8_t *memory, uint64_t *total) {
    uint64_t at = tini_take(total, 4 * (uint64_t)axis->out);
    axis->first = memory ? (uint32_t *)(void *)(memory + at) : NULL;
    at = tini_take(total, 4 * (uint64_t)axis->out);
    axis->count = memory ? (uint32_t *)(void *)(memory + at) : NULL;
    at = tini_take(total, 4 * (uint64_t)axis->out * axis->room);
    axis->weights = memory ? (int32_t *)(void *)(memory + at) : NULL;
}

/* Where everything lies; *work is for either axis' weights. Returns the bytes. */
static uint64_t resample_layout(tini_resample *r, uint32_t filter, uint8_t *memory, double **work) {
    uint64_t total = 0, at;
    r->across.room = resample_room(filter, r->across.in, r->across.out);
    r->down.room = resample_room(filter, r->down.in, r->down.out);
    axis_place(&r->across, memory, &total);
    axis_place(&r->down, memory, &total);
    int64_t lost = (int64_t)r->down.in - r->down.out;
    r->down_first = lost > 0 && lost > ((int64_t)r->across.in - r->across.out) * 2;
    at = tini_take(&total, 3 * (r->down_first ? r->across.in : (uint64_t)r->down.room * r->across.out));
    r->ring = memory ? memory + at : NULL;
    at = tini_take(&total, 8 * (uint64_t)(r->across.room > r->down.room ? r->across.room : r->down.room));
    *work = memory ? (double *)(void *)(memory + at) : NULL;
    return total;
}

uint64_t tini_resample_size(uint32_t filter, uint32_t width, uint32_t height, uint32_t to_width,
                            uint32_t to_height) {
    tini_resample r = {.across = {.in = width, .out = to_width}, .down = {.in = height, .out = to_height}};
    double *work;
    return resample_layout(&r, filter, NULL, &work);
}

void tini_resample_begin(tini_resample *r, uint32_t filter, const uint8_t *rgb, size_t stride, uint32_t width,
                         uint32_t height, uint32_t to_width, uint32_t to_height, void *memory) {
    double *work;
    *r = (tini_resample){.across = {.in = width, .out = to_width}, .down = {.in = height, .out = to_height}};
    r->rgb = rgb;
    r->stride = stride;
    resample_layout(r, filter, memory, &work);
    for (uint32_t k = 0; k < to_width; k++)
        resample_output(&r->across, filter, k, work);
    for (uint32_t k = 0; k < to_height; k++)
        resample_output(&r->down, filter, k, work);
}

static uint8_t resample_clamp(int32_t sum) {
    return (uint8_t)(sum < 0 ? 0 : sum >> RESAMPLE_BITS > 255 ? 255 : sum >> RESAMPLE_BITS);
}

static void resample_across(const tini_axis *axis, const uint8_t *row, uint8_t *out) {
    for (uint32_t x = 0; x < axis->out; x++, out += 3) {
        const uint8_t *in = row + (size_t)axis->first[x] * 3;
        const int32_t *weights = axis->weights + (size_t)x * axis->room;
        int32_t sum[3] = {1 << (RESAMPLE_BITS - 1), 1 << (RESAMPLE_BITS - 1), 1 << (RESAMPLE_BITS - 1)};
        for (uint32_t k = 0; k < axis->count[x]; k++, in += 3)
            for (int c = 0; c < 3; c++)
                sum[c] += in[c] * weights[k];
        for (int c = 0; c < 3; c++)
            out[c] = resample_clamp(sum[c]);
    }
}

/* Row y of the image, or of the rows done across: `bytes` of it. */
static void resample_down(const tini_resample *r, uint32_t y, size_t bytes, uint8_t *out) {
    const tini_axis *down = &r->down;
    uint32_t first = down->first[y], count = down->count[y];
    const int32_t *weights = down->weights + (size_t)y * down->room;
    for (size_t x = 0; x < bytes; x++) {
        int32_t sum = 1 << (RESAMPLE_BITS - 1);
        for (uint32_t k = 0; k < count; k++) {
            uint32_t row = first + k;
            sum += weights[k] *
                   (r->down_first ? r->rgb[row * r->stride + x] : r->ring[row % down->room * bytes + x]);
        }
        out[x] = resample_clamp(sum);
    }
}

void tini_resample_row(tini_resample *r, uint32_t y, uint8_t *out) {
    const tini_axis *down = &r->down;
    uint32_t first = down->first[y], count = down->count[y];
    size_t bytes = (size_t)r->across.out * 3;
    if (r->down_first) {
        resample_down(r, y, (size_t)r->across.in * 3, r->ring);
        resample_across(&r->across, r->ring, out);
        return;
    }
    if (r->done < first) /* rows that no output needs */
        r->done = first;
    for (; r->done < first + count; r->done++)
        resample_across(&r->across, r->rgb + r->done * r->stride, r->ring + r->done % down->room * bytes);
    resample_down(r, y, bytes, out);
}
