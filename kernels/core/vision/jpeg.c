#include "jpeg.h"
#include "../base/memory.h"
#include "../base/region.h"
#include "jpeg_rows.h"
#include "jpeg_scan.h"

#include <string.h>

TINI_REGION_COLD

const uint8_t tini_jpeg_zigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                      12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                      35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                      58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

enum {
    JPEG_SOF0 = 0xC0,
    JPEG_SOF1 = 0xC1,
    JPEG_SOF2 = 0xC2,
    JPEG_DHT = 0xC4,
    JPEG_JPG = 0xC8,
    JPEG_DAC = 0xCC,
    JPEG_SOF15 = 0xCF,
    JPEG_RST0 = 0xD0,
    JPEG_SOI = 0xD8,
    JPEG_EOI = 0xD9,
    JPEG_SOS = 0xDA,
    JPEG_DQT = 0xDB,
    JPEG_DRI = 0xDD,
    JPEG_APP0 = 0xE0,
    JPEG_APP1 = 0xE1,
    JPEG_APP14 = 0xEE
};

/* Scans that are read; and how often they may go over all blocks on average, where they go over more than FEW blocks. */
enum { JPEG_SCANS = 256, JPEG_VISITS = 32, JPEG_FEW = 1 << 20 };

int tini_jpeg_fail(tini_jpeg *s, const char *fault) {
    if (!s->fault)
        s->fault = fault;
    return 0;
}

/* The next marker; -1 where the file ends first. What lies before it is passed over. */
static int jpeg_marker(tini_jpeg *s) {
    while (s->end - s->at >= 2) {
        if (s->at[0] != 0xFF || s->at[1] == 0 || s->at[1] == 0xFF) {
            s->at++;
            continue;
        }
        s->at += 2;
        return s->at[-1];
    }
    return -1;
}

/* The data of the segment at hand, which is passed; NULL where the file ends first. */
static const uint8_t *jpeg_segment(tini_jpeg *s, size_t *size) {
    uint32_t length = s->end - s->at >= 2 ? tini_big_u16(s->at) : 0;
    if (length < 2 || length > (size_t)(s->end - s->at)) {
        tini_jpeg_fail(s, "it is cut short");
        return NULL;
    }
    const uint8_t *data = s->at + 2;
    *size = length - 2;
    s->at += length;
    return data;
}

/* The size, and what each component is. */
static int jpeg_frame(tini_jpeg *s, const uint8_t *d, size_t size, int marker) {
    if (s->parts)
        return tini_jpeg_fail(s, "it has two frames");
    if (size < 6 || size != 6 + 3 * (size_t)d[5])
        return tini_jpeg_fail(s, "its frame header is damaged");
    if (d[0] != 8)
        return tini_jpeg_fail(s, "it is a JPEG of more than 8 bits");
    if (d[5] != 1 && d[5] != 3 && d[5] != 4)
        return tini_jpeg_fail(s, "it is a JPEG of other than 1, 3 or 4 components");
    s->progressive = marker == JPEG_SOF2;
    s->height = tini_big_u16(d + 1);
    s->width = tini_big_u16(d + 3);
    if (!s->width || !s->height)
        return tini_jpeg_fail(s, "its width or height is 0");
    s->parts = d[5];
    s->most_h = s->most_v = 1;
    for (uint32_t k = 0; k < s->parts; k++) {
        tini_jpeg_part *part = s->part + k;
        const uint8_t *given = d + 6 + 3 * k;
        part->id = given[0];
        part->h = given[1] >> 4;
        part->v = given[1] & 15;
        part->quant = given[2];
        if (!part->h || part->h > 4 || !part->v || part->v > 4 || part->quant > 3)
            return tini_jpeg_fail(s, "its frame header is damaged");
        s->most_h = part->h > s->most_h ? part->h : s->most_h;
        s->most_v = part->v > s->most_v ? part->v : s->most_v;
    }
    for (uint32_t k = 0; k < s->parts; k++) {
        tini_jpeg_part *part = s->part + k;
        if (s->most_h % part->h || s->most_v % part->v)
            return tini_jpeg_fail(s, "it is a JPEG whose components have sizes of no whole ratio");
        part->width = (s->width * part->h + s->most_h - 1) / s->most_h;
        part->height = (s->height * part->v + s->most_v - 1) / s->most_v;
        part->across = (s->width + 8 * s->most_h - 1) / (8 * s->most_h) * part->h;
        part->down = (s->height + 8 * s->most_v - 1) / (8 * s->most_v) * part->v;
        memset(part->low, -1, sizeof part->low);
    }
    return 1;
}

static int jpeg_tables(tini_jpeg *s, const uint8_t *d, size_t size) {
    while (size) {
        uint32_t wide = d[0] >> 4, which = d[0] & 15, bytes = 1 + 64 * (wide + 1);
        if (wide > 1 || which > 3 || size < bytes)
            return tini_jpeg_fail(s, "a quantization table is damaged");
        for (uint32_t k = 0; k < 64; k++)
            s->tables[which][k] = (uint16_t)(wide ? tini_big_u16(d + 1 + 2 * k) : d[1 + k]);
        s->has_table[which] = 1;
        d += bytes;
        size -= bytes;
    }
    return 1;
}

static int jpeg_codes(tini_jpeg *s, const uint8_t *d, size_t size) {
    while (size) {
        uint32_t symbols = 0;
        if (size < 17 || (d[0] & 0xEF) > 3)
            return tini_jpeg_fail(s, "a Huffman table is damaged");
        for (uint32_t k = 1; k <= 16; k++)
            symbols += d[k];
        if (symbols > 256 || size < 17 + symbols ||
            !tini_jpeg_make_code(&s->code[d[0] >> 4][d[0] & 3], d + 1, d + 17))
            return tini_jpeg_fail(s, "a Huffman table is damaged");
        d += 17 + symbols;
        size -= 17 + symbols;
    }
    return 1;
}

/* Markers of applications: which colours, and how the image lies. */
static void jpeg_application(tini_jpeg *s, int marker, const uint8_t *d, size_t size) {
    if (marker == JPEG_APP0 && size >= 14 && !memcmp(d, "JFIF", 5))
        s->jfif = 1;
    if (marker == JPEG_APP1 && size > 6 && !memcmp(d, "Exif\0", 6) && !s->orientation)
        s->orientation = tini_exif_orientation(d + 6, size - 6);
    if (marker == JPEG_APP14 && size >= 12 && !memcmp(d, "Adobe", 5)) {
        s->adobe = 1;
        s->transform = d[11];
    }
}

/* Segments up to the next scan's header, which is not read: JPEG_SOS; or JPEG_EOI, also where the file ends; 0: a fault.
 * tables: those too are read, and not only what says the size. */
static int jpeg_segments(tini_jpeg *s, int tables) {
    for (;;) {
        int marker = jpeg_marker(s);
        if (marker < 0 || marker == JPEG_EOI)
            return JPEG_EOI;
        if (marker == JPEG_SOS)
            return marker;
        if (marker == 1 || (marker >= JPEG_RST0 && marker <= JPEG_SOI))
            continue;
        size_t size;
        const uint8_t *d = jpeg_segment(s, &size);
        if (!d)
            return 0;
        int good = 1;
        if (marker >= JPEG_SOF0 && marker <= JPEG_SOF2)
            good = jpeg_frame(s, d, size, marker);
        else if (marker >= JPEG_SOF0 && marker <= JPEG_SOF15 && marker != JPEG_DHT)
            good = tini_jpeg_fail(s, "it is a JPEG of arithmetic coding, without loss or in layers");
        else if (marker == JPEG_DRI && size == 2)
            s->restart = tini_big_u16(d);
        else if (tables && marker == JPEG_DQT)
            good = jpeg_tables(s, d, size);
        else if (tables && marker == JPEG_DHT)
            good = jpeg_codes(s, d, size);
        else
            jpeg_application(s, marker, d, size);
        if (!good)
            return 0;
    }
}

/* Where everything lies in the memory: parts of it are s->part's, once base is known. Returns its bytes. */
static uint64_t jpeg_layout(tini_jpeg *s, uint8_t *base) {
    uint64_t total = 0;
    tini_take(&total, sizeof *s);
    tini_take(&total, 2 * sizeof *s->code);
    for (uint32_t k = 0; k < s->parts; k++) {
        tini_jpeg_part *part = s->part + k;
        uint64_t samples = (uint64_t)part->across * part->down * 64, at = tini_take(&total, samples);
        part->plane = base ? base + at : NULL;
        at = tini_take(&total, (uint64_t)part->across * 8 * (s->most_h / part->h));
        part->row = base ? base + at : NULL;
        at = s->progressive ? tini_take(&total, 2 * samples) : 0;
        part->blocks = base && s->progressive ? (int16_t *)(void *)(base + at) : NULL;
    }
    return total;
}

static tin_status jpeg_failed(const tini_jpeg *s, tin_error *error) {
    int kind = !memcmp(s->fault, "it is a", 7);
    return tini_image_fail(error, kind ? TIN_ERR_UNSUPPORTED : TIN_ERR_FORMAT, s->fault);
}

tin_status tini_jpeg_look(tini_image *p, tin_error *error) {
    tini_jpeg s;
    memset(&s, 0, sizeof s);
    s.at = p->file;
    s.end = p->file + p->size;
    int marker = jpeg_segments(&s, 0);
    if (marker == JPEG_EOI)
        tini_jpeg_fail(&s, "it is cut short");
    else if (marker && !s.parts)
        tini_jpeg_fail(&s, "it has data before its frame header");
    if (s.fault)
        return jpeg_failed(&s, error);
    p->width = s.width;
    p->height = s.height;
    p->orientation = s.orientation ? s.orientation : 1;
    p->memory = jpeg_layout(&s, NULL);
    return TIN_OK;
}

/* Whether the scans' blocks so far are within bounds. A scan of a few bytes may go over all blocks of its components,
 * and thousands of scans could be in order; encoders make some ten, and go over each block some six times. */
static int jpeg_visits(tini_jpeg *s) {
    uint64_t all = 0;
    for (uint32_t k = 0; k < s->parts; k++)
        all += (uint64_t)s->part[k].across * s->part[k].down;
    for (uint32_t k = 0; k < s->scanned; k++)
        s->visited += (uint64_t)s->part[s->scanning[k]].across * s->part[s->scanning[k]].down;
    return s->visited <= JPEG_FEW || s->visited <= JPEG_VISITS * all;
}

/* The scan's header: which parts, codes, coefficients and bits. */
static int jpeg_scan_header(tini_jpeg *s) {
    size_t size;
    if (++s->scans > JPEG_SCANS)
        return tini_jpeg_fail(s, "it is a JPEG of more than 256 scans");
    const uint8_t *d = jpeg_segment(s, &size);
    if (!d)
        return 0;
    if (!s->parts || !size || !d[0] || d[0] > s->parts || size != 4 + 2 * (size_t)d[0])
        return tini_jpeg_fail(s, "a scan's header is damaged");
    s->scanned = d[0];
    uint32_t blocks = 0;
    for (uint32_t k = 0, from = 0; k < s->scanned; k++, from++) {
        while (from < s->parts && s->part[from].id != d[1 + 2 * k])
            from++;
        if (from == s->parts || (d[2 + 2 * k] & 0xCC))
            return tini_jpeg_fail(s, "a scan's header is damaged");
        s->scanning[k] = from;
        s->part[from].dc = d[2 + 2 * k] >> 4;
        s->part[from].ac = d[2 + 2 * k] & 3;
        blocks += s->part[from].h * s->part[from].v;
    }
    if (s->scanned > 1 && blocks > 10)
        return tini_jpeg_fail(s, "a scan's blocks are more than JPEG allows");
    if (!jpeg_visits(s))
        return tini_jpeg_fail(s, "it is a JPEG whose scans go over its blocks more than 32 times");
    d += size - 3;
    s->first = d[0];
    s->last = d[1];
    s->high = d[2] >> 4;
    s->low = d[2] & 15;
    if (!s->progressive) { /* nothing else can be meant */
        s->first = s->high = s->low = 0;
        s->last = 63;
        return 1;
    }
    int dc = s->first == 0;
    if (s->last > 63 || s->first > s->last || (dc && s->last) || (!dc && s->scanned > 1) || s->low > 13 ||
        (s->high && s->high != s->low + 1))
        return tini_jpeg_fail(s, "a scan's header is damaged");
    return 1;
}

/* Whether the scan may come now and its tables are there; takes note of the bits that it brings. */
static int jpeg_scan_ready(tini_jpeg *s) {
    for (uint32_t k = 0; k < s->scanned; k++) {
        tini_jpeg_part *part = s->part + s->scanning[k];
        if (!part->scanned) {
            if (!s->has_table[part->quant])
                return tini_jpeg_fail(s, "a quantization table is missing");
            for (uint32_t i = 0; i < 64; i++)
                part->table[tini_jpeg_zigzag[i]] = s->tables[part->quant][i];
        } else if (!s->progressive) {
            return tini_jpeg_fail(s, "a component comes twice");
        }
        part->scanned = 1;
        for (uint32_t i = s->first; i <= s->last; i++) {
            if (s->progressive && part->low[i] != (s->high ? (int)s->high : -1))
                return tini_jpeg_fail(s, "its scans come in another order than their headers say");
            part->low[i] = (int8_t)s->low;
        }
        int dc = !s->first && !s->high, ac = s->last > 0;
        if ((dc && !s->code[0][part->dc].there) || (ac && !s->code[1][part->ac].there))
            return tini_jpeg_fail(s, "a Huffman table is missing");
    }
    return 1;
}

/* libjpeg drafts at what a progressive image that stops short would have become; nobody else need. */
static int jpeg_complete(tini_jpeg *s) {
    for (uint32_t k = 0; k < s->parts; k++) {
        const tini_jpeg_part *part = s->part + k;
        if (!part->scanned)
            return tini_jpeg_fail(s, "it is cut short");
        for (uint32_t i = 0; i < 10 && s->progressive; i++)
            if (part->low[i])
                return tini_jpeg_fail(s, "it is cut short");
    }
    return 1;
}

static void jpeg_transform_all(tini_jpeg *s) {
    for (uint32_t k = 0; k < s->parts; k++) {
        tini_jpeg_part *part = s->part + k;
        size_t stride = (size_t)part->across * 8;
        for (uint32_t y = 0; y < part->down; y++)
            for (uint32_t x = 0; x < part->across; x++)
                tini_jpeg_transform(part->blocks + ((size_t)y * part->across + x) * 64, part->table,
                                    part->plane + (size_t)y * 8 * stride + (size_t)x * 8, stride);
    }
}

tin_status tini_jpeg_read(const tini_image *p, void *memory, const tini_sink *sink, tin_error *error) {
    tini_jpeg *s = memory;
    uint64_t total = 0;
    memset(s, 0, sizeof *s);
    tini_take(&total, sizeof *s);
    s->code = (tini_jpeg_code(*)[4])(void *)((uint8_t *)memory + total);
    memset(s->code, 0, 2 * sizeof *s->code);
    s->at = p->file;
    s->end = p->file + p->size;
    int marker = jpeg_segments(s, 1), left = 1;
    if (marker == JPEG_SOS && s->parts) {
        jpeg_layout(s, memory);
        for (uint32_t k = 0; k < s->parts && s->progressive; k++)
            memset(s->part[k].blocks, 0, (size_t)s->part[k].across * s->part[k].down * 128);
    }
    while (marker == JPEG_SOS && left) {
        if (!jpeg_scan_header(s) || !jpeg_scan_ready(s) || !tini_jpeg_scan(s))
            break;
        left = (int)s->progressive;
        for (uint32_t k = 0; k < s->parts; k++)
            left |= !s->part[k].scanned;
        if (left)
            marker = jpeg_segments(s, 1);
    }
    if (s->fault || !jpeg_complete(s))
        return jpeg_failed(s, error);
    if (s->progressive)
        jpeg_transform_all(s);
    tini_jpeg_rows(s, sink);
    return TIN_OK;
}

TINI_REGION_END
