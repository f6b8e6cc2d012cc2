#include "png.h"
#include "../base/memory.h"
#include "inflate.h"

#include <string.h>

enum { PNG_GREY = 0, PNG_RGB = 2, PNG_PALETTE = 3, PNG_GREY_ALPHA = 4, PNG_RGB_ALPHA = 6 };

#define PNG_NAME(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
#define PNG_IHDR PNG_NAME('I', 'H', 'D', 'R')
#define PNG_PLTE PNG_NAME('P', 'L', 'T', 'E')
#define PNG_IDAT PNG_NAME('I', 'D', 'A', 'T')
#define PNG_IEND PNG_NAME('I', 'E', 'N', 'D')
#define PNG_TRNS PNG_NAME('t', 'R', 'N', 'S')
#define PNG_EXIF PNG_NAME('e', 'X', 'I', 'f')

typedef struct png_chunk {
    uint32_t name, size;
    const uint8_t *data;
} png_chunk;

typedef struct png_form {
    uint32_t depth, kind, channels, interlaced;
    uint32_t pixel; /* bytes of one, at least 1 */
} png_form;

/* What is being read. */
typedef struct png {
    const uint8_t *end, *next; /* next: the chunk after that at hand */
    png_form form;
    uint32_t colours, has_key;
    uint32_t key[3];         /* the samples that are transparent */
    uint8_t palette[256][4]; /* R, G, B, alpha */
    const char *fault;
    tini_inflate inflate;
} png;

static uint32_t png_crc(const uint8_t *data, size_t size) {
    static const uint32_t half[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                      0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                      0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = ~0u;
    for (; size; size--, data++) {
        crc = crc >> 4 ^ half[(crc ^ *data) & 15];
        crc = crc >> 4 ^ half[(crc ^ *data >> 4) & 15];
    }
    return ~crc;
}

/* The chunk at *at, which moves past it; 0 where the file ends first. */
static int png_next(const uint8_t **at, const uint8_t *end, png_chunk *chunk) {
    if (end - *at < 12)
        return 0;
    chunk->size = tini_big_u32(*at);
    chunk->name = tini_big_u32(*at + 4);
    chunk->data = *at + 8;
    if (chunk->size > (size_t)(end - *at) - 12)
        return 0;
    *at += 12 + (size_t)chunk->size;
    return 1;
}

static int png_whole(const png_chunk *chunk) {
    return png_crc(chunk->data - 4, (size_t)chunk->size + 4) == tini_big_u32(chunk->data + chunk->size);
}

/* IHDR's fields; the fault, or NULL. */
static const char *png_header(png_form *form, const png_chunk *chunk, tini_image *p) {
    static const uint8_t depths[7] = {31, 0, 24, 15, 24, 0, 24}, channels[7] = {1, 0, 3, 1, 2, 0, 4};
    const uint8_t *d = chunk->data;
    if (chunk->name != PNG_IHDR || chunk->size != 13 || !png_whole(chunk))
        return "its header is damaged";
    form->depth = d[8];
    form->kind = d[9];
    form->interlaced = d[12];
    uint32_t depth = form->depth == 1    ? 1
                     : form->depth == 2  ? 2
                     : form->depth == 4  ? 4
                     : form->depth == 8  ? 8
                     : form->depth == 16 ? 16
                                         : 0;
    if (form->kind > 6 || !(depths[form->kind] & depth) || d[10] || d[11] || form->interlaced > 1)
        return "its header names a kind of PNG that does not exist";
    p->width = tini_big_u32(d);
    p->height = tini_big_u32(d + 4);
    if (!p->width || !p->height || p->width > TINI_IMAGE_EDGE || p->height > TINI_IMAGE_EDGE)
        return "its width or height is 0 or more than 65535";
    form->channels = channels[form->kind];
    form->pixel = form->channels * form->depth >= 8 ? form->channels * form->depth / 8 : 1;
    return NULL;
}

static uint64_t png_row_bytes(const png_form *form, uint32_t width) {
    return ((uint64_t)width * form->channels * form->depth + 7) / 8;
}

tin_status tini_png_look(tini_image *p, tin_error *error) {
    png_form form;
    png_chunk chunk;
    const uint8_t *at = p->file + 8, *end = p->file + p->size;
    if (!png_next(&at, end, &chunk))
        return tini_image_fail(error, TIN_ERR_FORMAT, "it is cut short");
    const char *fault = png_header(&form, &chunk, p);
    if (fault)
        return tini_image_fail(error, TIN_ERR_FORMAT, fault);
    int data = 0;
    while (png_next(&at, end, &chunk) && chunk.name != PNG_IEND) {
        data |= chunk.name == PNG_IDAT;
        if (chunk.name == PNG_EXIF && png_whole(&chunk))
            p->orientation = tini_exif_orientation(chunk.data, chunk.size);
    }
    if (!data)
        return tini_image_fail(error, TIN_ERR_FORMAT, "it is cut short");
    uint64_t total = 0, row = 1 + png_row_bytes(&form, p->width);
    tini_take(&total, sizeof(png));
    tini_take(&total, row);
    tini_take(&total, row);
    p->memory = total;
    return TIN_OK;
}

static int png_fail(png *s, const char *fault) {
    if (!s->fault)
        s->fault = fault;
    return 0;
}

static int png_palette(png *s, const png_chunk *chunk) {
    s->colours = chunk->size / 3;
    if (chunk->size % 3 || s->colours > 256 || !s->colours)
        return png_fail(s, "its palette is damaged");
    for (uint32_t k = 0; k < s->colours; k++) {
        memcpy(s->palette[k], chunk->data + 3 * k, 3);
        s->palette[k][3] = 255;
    }
    return 1;
}

static int png_transparency(png *s, const png_chunk *chunk) {
    if (s->form.kind == PNG_PALETTE) {
        if (chunk->size > s->colours)
            return png_fail(s, "its palette has fewer colours than transparencies");
        for (uint32_t k = 0; k < chunk->size; k++)
            s->palette[k][3] = chunk->data[k];
        return 1;
    }
    if ((s->form.kind != PNG_GREY && s->form.kind != PNG_RGB) || chunk->size != 2 * s->form.channels)
        return png_fail(s, "its transparent colour is damaged");
    for (uint32_t k = 0; k < s->form.channels; k++)
        s->key[k] = tini_big_u16(chunk->data + 2 * k);
    s->has_key = 1;
    return 1;
}

/* Reads the chunks before the data, so that s->next is the first IDAT's. */
static int png_chunks(png *s, const tini_image *p) {
    png_chunk chunk;
    tini_image again = *p;
    s->next = p->file + 8;
    s->end = p->file + p->size;
    if (!png_next(&s->next, s->end, &chunk) || (s->fault = png_header(&s->form, &chunk, &again)) != NULL)
        return png_fail(s, "its header is damaged");
    for (;;) {
        const uint8_t *here = s->next;
        if (!png_next(&s->next, s->end, &chunk))
            return png_fail(s, "it is cut short");
        if (chunk.name == PNG_IDAT) {
            s->next = here;
            break;
        }
        int wanted = chunk.name == PNG_PLTE || chunk.name == PNG_TRNS;
        if (!wanted && !(chunk.name >> 29 & 1))
            return png_fail(s, "it has a chunk that no reader may pass over");
        if (!wanted)
            continue;
        if (!png_whole(&chunk))
            return png_fail(s, "a chunk's checksum is wrong");
        if (chunk.name == PNG_PLTE ? !png_palette(s, &chunk) : !png_transparency(s, &chunk))
            return 0;
    }
    return s->form.kind != PNG_PALETTE || s->colours || png_fail(s, "it has no palette");
}

/* The next IDAT, for inflate. */
static int png_more(void *context, const uint8_t **at, const uint8_t **end) {
    png *s = context;
    png_chunk chunk;
    const uint8_t *next = s->next;
    if (!png_next(&next, s->end, &chunk))
        return png_fail(s, "it is cut short");
    if (chunk.name != PNG_IDAT)
        return 0; /* for good: later IDATs are not read */
    s->next = next;
    if (!png_whole(&chunk))
        return png_fail(s, "a chunk's checksum is wrong");
    *at = chunk.data;
    *end = chunk.data + chunk.size;
    return 1;
}

static uint8_t png_paeth(uint8_t left, uint8_t above, uint8_t corner) {
    int draft = left + above - corner, a = draft - left, b = draft - above, c = draft - corner;
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    c = c < 0 ? -c : c;
    return a <= b && a <= c ? left : b <= c ? above : corner;
}

/* Undoes the filter of a row of `bytes`; above: the row before, zeros for the first. */
static int png_unfilter(png *s, uint32_t filter, uint8_t *row, const uint8_t *above, size_t bytes) {
    if (filter > 4)
        return png_fail(s, "a row has an unknown filter");
    for (size_t k = 0; k < bytes && filter; k++) {
        uint8_t left = k < s->form.pixel ? 0 : row[k - s->form.pixel],
                corner = k < s->form.pixel ? 0 : above[k - s->form.pixel];
        uint8_t draft = filter == 1   ? left
                        : filter == 2 ? above[k]
                        : filter == 3 ? (uint8_t)((left + above[k]) / 2)
                                      : png_paeth(left, above[k], corner);
        row[k] = (uint8_t)(row[k] + draft);
    }
    return 1;
}

/* Sample k of a row, as stored. */
static uint32_t png_sample(const png *s, const uint8_t *row, size_t k) {
    if (s->form.depth == 8)
        return row[k];
    if (s->form.depth == 16)
        return tini_big_u16(row + 2 * k);
    size_t bit = k * s->form.depth;
    return row[bit / 8] >> (8 - s->form.depth - bit % 8) & ((1u << s->form.depth) - 1);
}

/* As 8 bits: the high byte of 16, the bits repeated of fewer. */
static uint32_t png_byte(const png *s, uint32_t sample) {
    return s->form.depth == 16 ? sample >> 8 : sample * (255 / ((1u << s->form.depth) - 1));
}

/* Pixel x of a row as RGB, over white where it is transparent. */
static int png_colour(png *s, const uint8_t *row, size_t x, uint8_t *rgb) {
    uint32_t sample[4] = {0}, alpha = 255;
    for (uint32_t k = 0; k < s->form.channels; k++)
        sample[k] = png_sample(s, row, x * s->form.channels + k);
    if (s->form.kind == PNG_PALETTE) {
        if (sample[0] >= s->colours)
            return png_fail(s, "a pixel names a colour that its palette has not");
        const uint8_t *colour = s->palette[sample[0]];
        for (int k = 0; k < 3; k++)
            rgb[k] = tini_over_white(colour[k], colour[3]);
        return 1;
    }
    uint32_t colours = s->form.kind & 2 ? 3 : 1;
    if (s->form.kind & 4)
        alpha = png_byte(s, sample[colours]);
    else if (s->has_key && !memcmp(sample, s->key, s->form.channels * sizeof *sample))
        alpha = 0;
    for (uint32_t k = 0; k < 3; k++)
        rgb[k] = tini_over_white(png_byte(s, sample[colours == 3 ? k : 0]), alpha);
    return 1;
}

/* One of the passes of an interlaced image, or all of another: pixels (x0 + i dx, y0 + j dy). */
static int png_pass(png *s, const tini_image *p, const uint8_t pass[4], uint8_t *rows[2],
                    const tini_sink *sink) {
    uint32_t x0 = pass[0], y0 = pass[1], dx = pass[2], dy = pass[3];
    if (x0 >= p->width || y0 >= p->height)
        return 1;
    uint32_t width = (p->width - x0 + dx - 1) / dx;
    size_t bytes = (size_t)png_row_bytes(&s->form, width);
    memset(rows[1], 0, 1 + bytes);
    for (uint32_t y = y0; y < p->height; y += dy) {
        uint8_t *row = rows[0];
        if (!tini_inflate_read(&s->inflate, row, 1 + bytes) ||
            !png_unfilter(s, row[0], row + 1, rows[1] + 1, bytes))
            return 0;
        uint8_t *to = sink->at + (ptrdiff_t)y * sink->down + (ptrdiff_t)x0 * sink->across;
        for (uint32_t x = 0; x < width; x++, to += (ptrdiff_t)dx * sink->across)
            if (!png_colour(s, row + 1, x, to))
                return 0;
        rows[0] = rows[1];
        rows[1] = row;
    }
    return 1;
}

tin_status tini_png_read(const tini_image *p, void *memory, const tini_sink *sink, tin_error *error) {
    static const uint8_t all[1][4] = {{0, 0, 1, 1}};
    static const uint8_t adam7[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                        {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    png *s = memory;
    memset(s, 0, offsetof(png, inflate));
    if (png_chunks(s, p)) {
        uint64_t total = 0, row = 1 + png_row_bytes(&s->form, p->width);
        uint8_t *rows[2];
        tini_take(&total, sizeof *s);
        for (int k = 0; k < 2; k++)
            rows[k] = (uint8_t *)memory + tini_take(&total, row);
        tini_inflate_begin(&s->inflate, png_more, s);
        const uint8_t (*pass)[4] = s->form.interlaced ? adam7 : all;
        uint32_t passes = s->form.interlaced ? 7 : 1, k = 0;
        while (k < passes && png_pass(s, p, pass[k], rows, sink))
            k++;
        if (k == passes && tini_inflate_end(&s->inflate))
            return TIN_OK;
    }
    return tini_image_fail(error, TIN_ERR_FORMAT, s->fault ? s->fault : s->inflate.fault);
}
