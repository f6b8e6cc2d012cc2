#include "jpeg_rows.h"

#include <string.h>

/* One dimension of the transform, of 8 values `step` apart. Inputs are int16, products and sums modulo 2^32: only what no
 * encoder writes comes near. out[k] = (8 values times sqrt(8) and 2^13). */
static void jpeg_eight(const int16_t *in, size_t step, uint32_t out[8]) {
    uint32_t i[8];
    for (int k = 0; k < 8; k++)
        i[k] = (uint32_t)(int32_t)in[k * step];
    uint32_t z = (i[2] + i[6]) * 4433u, even2 = z - i[6] * 15137u, even3 = z + i[2] * 6270u;
    uint32_t sum = (i[0] + i[4]) << 13, less = (i[0] - i[4]) << 13;
    uint32_t a[4] = {sum + even3, less + even2, less - even2, sum - even3};
    uint32_t z1 = i[7] + i[1], z2 = i[5] + i[3], z3 = i[7] + i[3], z4 = i[5] + i[1], z5 = (z3 + z4) * 9633u;
    z1 *= 0u - 7373u;
    z2 *= 0u - 20995u;
    z3 = z3 * (0u - 16069u) + z5;
    z4 = z4 * (0u - 3196u) + z5;
    uint32_t b[4] = {i[1] * 12299u + z1 + z4, i[3] * 25172u + z2 + z3, i[5] * 16819u + z2 + z4,
                     i[7] * 2446u + z1 + z3};
    for (int k = 0; k < 4; k++) {
        out[k] = a[k] + b[k];
        out[7 - k] = a[k] - b[k];
    }
}

/* Rounded, by an arithmetic shift. */
static int32_t jpeg_scaled(uint32_t value, uint32_t shift) {
    value += 1u << (shift - 1);
    return value >> 31 ? -(int32_t)(~value >> shift) - 1 : (int32_t)(value >> shift);
}

static uint8_t jpeg_clamp(int32_t value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

void tini_jpeg_transform(const int16_t *block, const uint16_t *table, uint8_t *to, size_t stride) {
    int16_t whole[64], half[64];
    uint32_t out[8];
    for (int k = 0; k < 64; k++)
        whole[k] = (int16_t)(uint16_t)((uint32_t)(int32_t)block[k] * table[k]);
    for (int x = 0; x < 8; x++) {
        jpeg_eight(whole + x, 8, out);
        for (int y = 0; y < 8; y++) {
            int32_t value = jpeg_scaled(out[y], 11);
            half[8 * y + x] = (int16_t)(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
        }
    }
    for (int y = 0; y < 8; y++, to += stride) {
        jpeg_eight(half + 8 * y, 1, out);
        for (int x = 0; x < 8; x++)
            to[x] = jpeg_clamp(jpeg_scaled(out[x], 18) + 128);
    }
}

/* 3/4 of the nearer sample and 1/4 of the further one; halves go up and down in turn. width > 2. */
static void jpeg_twice_across(const uint8_t *in, uint32_t width, uint8_t *out) {
    out[0] = in[0];
    out[1] = (uint8_t)((in[0] * 3 + in[1] + 2) >> 2);
    for (uint32_t x = 1; x + 1 < width; x++) {
        out[2 * x] = (uint8_t)((in[x] * 3 + in[x - 1] + 1) >> 2);
        out[2 * x + 1] = (uint8_t)((in[x] * 3 + in[x + 1] + 2) >> 2);
    }
    out[2 * width - 2] = (uint8_t)((in[width - 1] * 3 + in[width - 2] + 1) >> 2);
    out[2 * width - 1] = in[width - 1];
}

/* The same in both directions: own is the row that counts three times. (Windows calls nothing near or far: its headers
 * define both.) */
static void jpeg_twice_both(const uint8_t *own, const uint8_t *beside, uint32_t width, uint8_t *out) {
    int before, here = own[0] * 3 + beside[0], after = own[1] * 3 + beside[1];
    out[0] = (uint8_t)((here * 4 + 8) >> 4);
    out[1] = (uint8_t)((here * 3 + after + 7) >> 4);
    for (uint32_t x = 1; x + 1 < width; x++) {
        before = here;
        here = after;
        after = own[x + 1] * 3 + beside[x + 1];
        out[2 * x] = (uint8_t)((here * 3 + before + 8) >> 4);
        out[2 * x + 1] = (uint8_t)((here * 3 + after + 7) >> 4);
    }
    out[2 * width - 2] = (uint8_t)((after * 3 + here + 8) >> 4);
    out[2 * width - 1] = (uint8_t)((after * 4 + 7) >> 4);
}

/* Row y of the image, of one part, at the image's width. */
static const uint8_t *jpeg_row(const tini_jpeg *s, const tini_jpeg_part *part, uint32_t y) {
    uint32_t h = s->most_h / part->h, v = s->most_v / part->v, row = y / v, other = y & 1 ? row + 1 : row - 1;
    size_t stride = (size_t)part->across * 8;
    const uint8_t *own = part->plane + row * stride;
    if (v == 2) {
        other = y == 0 ? 0 : other >= part->height ? part->height - 1 : other;
    }
    const uint8_t *beside = v == 2 ? part->plane + other * stride : own;
    uint8_t *out = part->row;
    if (h == 1 && v == 1)
        return own;
    if (h == 1 && v == 2) {
        for (uint32_t x = 0; x < part->width; x++)
            out[x] = (uint8_t)((own[x] * 3 + beside[x] + (y & 1 ? 2 : 1)) >> 2);
    } else if (h == 2 && v == 1 && part->width > 2) {
        jpeg_twice_across(own, part->width, out);
    } else if (h == 2 && v == 2 && part->width > 2) {
        jpeg_twice_both(own, beside, part->width, out);
    } else {
        for (uint32_t x = 0; x < s->width; x++)
            out[x] = own[x / h];
    }
    return out;
}

/* ITU-R BT.601 with 16-bit constants, rounded. */
static void jpeg_rgb(int32_t y, int32_t cb, int32_t cr, uint8_t rgb[3]) {
    rgb[0] = jpeg_clamp(y + jpeg_scaled((uint32_t)((cr - 128) * 91881), 16));
    rgb[1] = jpeg_clamp(y + jpeg_scaled((uint32_t)((cb - 128) * -22554 + (cr - 128) * -46802), 16));
    rgb[2] = jpeg_clamp(y + jpeg_scaled((uint32_t)((cb - 128) * 116130), 16));
}

/* Ink, as Adobe's programs store it, which is inverted; to light as Pillow has it. */
static uint8_t jpeg_ink(uint32_t stored, uint32_t black) {
    uint32_t product = (255 - stored) * black + 128;
    return (uint8_t)(black - ((product + (product >> 8)) >> 8));
}

/* Whether the three colours are YCbCr, of which libjpeg drafts the same. */
static int jpeg_luma(const tini_jpeg *s) {
    if (s->parts == 4)
        return s->adobe && s->transform;
    if (s->jfif)
        return 1;
    if (s->adobe)
        return s->transform != 0;
    return !(s->part[0].id == 'R' && s->part[1].id == 'G' && s->part[2].id == 'B');
}

void tini_jpeg_rows(tini_jpeg *s, const tini_sink *sink) {
    int luma = s->parts > 1 && jpeg_luma(s);
    for (uint32_t y = 0; y < s->height; y++) {
        const uint8_t *rows[4] = {jpeg_row(s, s->part, y)};
        uint8_t *to = sink->at + (ptrdiff_t)y * sink->down;
        for (uint32_t k = 1; k < 4; k++)
            rows[k] = k < s->parts ? jpeg_row(s, s->part + k, y) : rows[0];
        for (uint32_t x = 0; x < s->width; x++, to += sink->across) {
            if (s->parts == 1) {
                to[0] = to[1] = to[2] = rows[0][x];
                continue;
            }
            uint8_t colour[3] = {rows[0][x], rows[1][x], rows[2][x]};
            if (luma)
                jpeg_rgb(rows[0][x], rows[1][x], rows[2][x], colour);
            for (int k = 0; k < 3 && s->parts == 4; k++)
                colour[k] = jpeg_ink(luma ? 255u - colour[k] : colour[k], rows[3][x]);
            memcpy(to, colour, 3);
        }
    }
}
