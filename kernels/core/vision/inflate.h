/* DEFLATE in a zlib stream (RFC 1950, RFC 1951), pulled: the reader asks for bytes, the input comes in chunks. */
#ifndef TINI_INFLATE_H
#define TINI_INFLATE_H

#include <stddef.h>
#include <stdint.h>

enum { TINI_INFLATE_WINDOW = 32768, TINI_INFLATE_FAST = 9 };

/* A canonical code. fast: by the next 9 bits, symbol << 4 | length; 0 where the code is longer, or none. */
typedef struct tini_inflate_code {
    uint16_t fast[1 << TINI_INFLATE_FAST];
    uint16_t count[16];   /* codes of each length */
    uint16_t symbol[288]; /* in the order of the codes */
} tini_inflate_code;

typedef struct tini_inflate {
    const uint8_t *at, *end; /* what is left of the chunk */
    /* The next chunk; 0: there is none. */
    int (*more)(void *context, const uint8_t **at, const uint8_t **end);
    void *context;
    const char *fault;           /* what is wrong, once something is */
    uint64_t bits;               /* read and not yet used, the first lowest */
    uint32_t bit_count;          /* how many */
    uint32_t state, last, fixed; /* fixed: the codes at hand are the fixed ones */
    uint32_t left, distance;     /* of a stored block or a copy under way */
    uint32_t filled;             /* bytes made, modulo the window's, and whether it was full */
    uint32_t full;
    uint32_t sum[2]; /* Adler-32 */
    tini_inflate_code literals, distances;
    uint8_t window[TINI_INFLATE_WINDOW];
} tini_inflate;

/* Starts, with no chunk yet. */
void tini_inflate_begin(tini_inflate *s, int (*more)(void *, const uint8_t **, const uint8_t **),
                        void *context);

/* Writes the next `size` bytes to out. 0: there are not as many; s->fault says why. */
int tini_inflate_read(tini_inflate *s, uint8_t *out, size_t size);

/* Whether the stream ends here, and its Adler-32 is right. 0: s->fault says what is wrong. */
int tini_inflate_end(tini_inflate *s);

#endif
