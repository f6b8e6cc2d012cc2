/* JPEG (ITU-T T.81): Huffman-coded, 8 bits, sequential or progressive; grey, YCbCr, RGB, CMYK, YCCK. Its pixels are those
 * of libjpeg's accurate integer transform (Loeffler, Ligtenberg and Moschytz 1989, 13-bit constants), with its triangle
 * filter for halved colours, bit for bit. */
#ifndef TINI_JPEG_H
#define TINI_JPEG_H

#include "image.h"

/* Canonical code. fast: by the next 8 bits, length << 8 | symbol; 0 where the code is longer, or none. */
typedef struct tini_jpeg_code {
    uint16_t fast[256];
    int32_t last[18];  /* the greatest code of each length, -1: none; [17] ends every search */
    int32_t shift[17]; /* a code's place among the symbols, less the code */
    uint8_t symbol[256];
    uint8_t there;
} tini_jpeg_code;

typedef struct tini_jpeg_part { /* a component */
    uint32_t id, h, v, quant;
    uint32_t width, height; /* samples that count */
    uint32_t across, down;  /* blocks kept: whole MCUs */
    uint32_t dc, ac;        /* its codes in the scan */
    uint32_t before;        /* the last DC, modulo 2^32 */
    uint8_t *plane;         /* uint8[down * 8][across * 8] */
    int16_t *blocks;        /* int16[down][across][64], of a progressive image; NULL: none */
    uint8_t *row;           /* a row at the image's own width, whole MCUs */
    uint16_t table[64];     /* of quantization, in the order of rows; taken at its first scan */
    uint8_t scanned;
    int8_t low[64]; /* by zigzag: the bits that are still to come; -1: all */
} tini_jpeg_part;

typedef struct tini_jpeg {
    const uint8_t *at, *end;
    const char *fault;
    uint32_t width, height, parts, progressive, most_h, most_v;
    uint32_t adobe, transform, jfif; /* whether the markers are there, and Adobe's colour transform */
    uint32_t restart;                /* MCUs between restarts; 0: none */
    uint32_t orientation;
    uint32_t scanning[4], scanned;   /* the parts of the scan at hand, and how many */
    uint32_t first, last, high, low; /* its coefficients and bits */
    uint32_t scans;                  /* of which headers have been read */
    uint64_t visited;                /* blocks of these scans */
    uint32_t run;                    /* blocks left of an end-of-band run */
    uint32_t bits, bit_count,
        padded;             /* read and not yet used, the first highest; of these, zeros after the end */
    uint16_t tables[4][64]; /* of quantization, in zigzag order */
    uint8_t has_table[4];
    tini_jpeg_part part[4];
    tini_jpeg_code (*code)[4]; /* [2][4]: DC's, AC's */
} tini_jpeg;

/* The order in which coefficients are stored: where the k-th is in rows of 8. */
extern const uint8_t tini_jpeg_zigzag[64];

/* Fills in size, orientation and memory from what stands before the first scan. */
tin_status tini_jpeg_look(tini_image *p, tin_error *error);

/* Writes the pixels. memory: p->memory bytes, aligned. */
tin_status tini_jpeg_read(const tini_image *p, void *memory, const tini_sink *sink, tin_error *error);

int tini_jpeg_fail(tini_jpeg *s, const char *fault);

#endif
