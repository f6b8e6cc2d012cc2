#include "inflate.h"

#include <string.h>

enum { INFLATE_START, INFLATE_BLOCK, INFLATE_STORED, INFLATE_CODES, INFLATE_COPY, INFLATE_END };

static const uint16_t length_base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                         31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_base[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                           33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                           1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};

void tini_inflate_begin(tini_inflate *s, int (*more)(void *, const uint8_t **, const uint8_t **),
                        void *context) {
    memset(s, 0, offsetof(tini_inflate, literals));
    s->more = more;
    s->context = context;
    s->sum[0] = 1;
}

static int inflate_fail(tini_inflate *s, const char *fault) {
    if (!s->fault)
        s->fault = fault;
    return 0;
}

/* Holds `wanted` bits (at most 48) if the input has as many; whether it has. */
static int inflate_fill(tini_inflate *s, uint32_t wanted) {
    while (s->bit_count < wanted) {
        if (s->at == s->end && !s->more(s->context, &s->at, &s->end))
            return 0;
        if (s->at == s->end)
            continue;
        s->bits |= (uint64_t)*s->at++ << s->bit_count;
        s->bit_count += 8;
    }
    return 1;
}

static void inflate_use(tini_inflate *s, uint32_t count) {
    s->bits >>= count;
    s->bit_count -= count;
}

/* The next `count` bits (at most 16), or 0 with a fault where there are fewer. */
static uint32_t inflate_bits(tini_inflate *s, uint32_t count) {
    if (!inflate_fill(s, count)) {
        inflate_fail(s, "its compressed data end early");
        return 0;
    }
    uint32_t value = (uint32_t)(s->bits & ((1u << count) - 1));
    inflate_use(s, count);
    return value;
}

/* Makes the code of `n` symbols from their lengths (0: unused). How many codes are left unused, of 2^15; negative where
 * there are too many. */
static int32_t inflate_code(tini_inflate_code *code, const uint8_t *lengths, uint32_t n) {
    uint16_t first[16], place[16];
    int32_t left = 1;
    memset(code->fast, 0, sizeof code->fast);
    memset(code->count, 0, sizeof code->count);
    for (uint32_t k = 0; k < n; k++)
        code->count[lengths[k]]++;
    code->count[0] = 0;
    first[0] = place[0] = 0;
    for (uint32_t length = 1; length < 16; length++) {
        left = left * 2 - code->count[length];
        if (left < 0)
            return left;
        first[length] = (uint16_t)((first[length - 1] + code->count[length - 1]) << 1);
        place[length] = (uint16_t)(place[length - 1] + code->count[length - 1]);
    }
    for (uint32_t k = 0; k < n; k++) {
        uint32_t length = lengths[k], value, reversed = 0;
        if (!length)
            continue;
        value = first[length]++;
        code->symbol[place[length]++] = (uint16_t)k;
        if (length > TINI_INFLATE_FAST)
            continue;
        for (uint32_t bit = 0; bit < length; bit++)
            reversed |= (value >> bit & 1) << (length - 1 - bit);
        for (; reversed < 1u << TINI_INFLATE_FAST; reversed += 1u << length)
            code->fast[reversed] = (uint16_t)(k << 4 | length);
    }
    return left;
}

/* The next symbol, or -1 with a fault. */
static int32_t inflate_symbol(tini_inflate *s, const tini_inflate_code *code) {
    (void)inflate_fill(s, 15); /* the last codes may have fewer bits than that left */
    uint32_t entry = code->fast[s->bits & ((1u << TINI_INFLATE_FAST) - 1)];
    if (entry && (entry & 15) <= s->bit_count) {
        inflate_use(s, entry & 15);
        return (int32_t)(entry >> 4);
    }
    uint32_t value = 0, first = 0, place = 0;
    for (uint32_t length = 1; length < 16 && length <= s->bit_count; length++) {
        value = value << 1 | (uint32_t)(s->bits >> (length - 1) & 1);
        uint32_t count = code->count[length];
        if (value < first + count) {
            inflate_use(s, length);
            return code->symbol[place + value - first];
        }
        place += count;
        first = (first + count) << 1;
    }
    inflate_fail(s, s->bit_count < 15 ? "its compressed data end early"
                                      : "its compressed data have an unknown code");
    return -1;
}

/* Made once for any number of blocks in a row, since an empty one takes but ten bits of a file. */
static int inflate_fixed(tini_inflate *s) {
    uint8_t lengths[288];
    if (s->fixed)
        return 1;
    s->fixed = 1;
    for (uint32_t k = 0; k < 288; k++)
        lengths[k] = k < 144 ? 8 : k < 256 ? 9 : k < 280 ? 7 : 8;
    inflate_code(&s->literals, lengths, 288);
    memset(lengths, 5, 30);
    inflate_code(&s->distances, lengths, 30);
    return 1;
}

/* A code may be incomplete where it has but codes of one bit. */
static int inflate_usable(const tini_inflate_code *code, int32_t left) {
    uint32_t longer = 0;
    for (uint32_t length = 2; length < 16; length++)
        longer += code->count[length];
    return left == 0 || (left > 0 && !longer);
}

/* The codes that stand before a block's data. */
static int inflate_dynamic(tini_inflate *s) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[320] = {0};
    uint32_t literals = inflate_bits(s, 5) + 257, distances = inflate_bits(s, 5) + 1, n = 0;
    uint32_t orders = inflate_bits(s, 4) + 4;
    s->fixed = 0;
    if (literals > 286 || distances > 30)
        return inflate_fail(s, "its compressed data have too many codes");
    for (uint32_t k = 0; k < orders; k++)
        lengths[order[k]] = (uint8_t)inflate_bits(s, 3);
    if (inflate_code(&s->literals, lengths, 19))
        return inflate_fail(s, "its compressed data have a bad code of lengths");
    memset(lengths, 0, sizeof lengths);
    while (n < literals + distances && !s->fault) {
        int32_t symbol = inflate_symbol(s, &s->literals);
        uint32_t times = 1;
        uint8_t length = (uint8_t)symbol;
        if (symbol == 16) {
            if (!n)
                return inflate_fail(s, "its compressed data repeat a length before the first");
            length = lengths[n - 1];
            times = 3 + inflate_bits(s, 2);
        } else if (symbol >= 17) {
            length = 0;
            times = symbol == 17 ? 3 + inflate_bits(s, 3) : 11 + inflate_bits(s, 7);
        }
        if (times > literals + distances - n)
            return inflate_fail(s, "its compressed data have too many lengths");
        memset(lengths + n, length, times);
        n += times;
    }
    if (s->fault || !lengths[256])
        return inflate_fail(s, "its compressed data have a block without an end");
    int32_t left = inflate_code(&s->distances, lengths + literals, distances);
    if (!inflate_usable(&s->distances, left))
        return inflate_fail(s, "its compressed data have a bad code of distances");
    left = inflate_code(&s->literals, lengths, literals);
    return inflate_usable(&s->literals, left) || inflate_fail(s, "its compressed data have a bad code");
}

static int inflate_start(tini_inflate *s) {
    uint32_t method = inflate_bits(s, 8), flags = inflate_bits(s, 8);
    if (s->fault || (method & 15) != 8 || method >> 4 > 7 || (method << 8 | flags) % 31 || flags & 32)
        return inflate_fail(s, "its compressed data are no zlib stream");
    s->state = INFLATE_BLOCK;
    return 1;
}

static int inflate_block(tini_inflate *s) {
    if (s->last) {
        s->state = INFLATE_END;
        return 1;
    }
    s->last = inflate_bits(s, 1);
    uint32_t kind = inflate_bits(s, 2);
    if (s->fault)
        return 0;
    if (kind == 0) {
        inflate_use(s, s->bit_count % 8);
        s->left = inflate_bits(s, 16);
        if (s->left != (inflate_bits(s, 16) ^ 0xFFFF))
            return inflate_fail(s, "its compressed data have a block whose length is wrong");
        s->state = INFLATE_STORED;
        return !s->fault;
    }
    s->state = INFLATE_CODES;
    if (kind == 1)
        return inflate_fixed(s);
    return kind == 2 ? inflate_dynamic(s) : inflate_fail(s, "its compressed data have an unknown block");
}

static void inflate_emit(tini_inflate *s, uint8_t byte, uint8_t **out) {
    s->window[s->filled++] = byte;
    if (s->filled == TINI_INFLATE_WINDOW) {
        s->filled = 0;
        s->full = 1;
    }
    s->sum[0] += byte;
    s->sum[0] -= s->sum[0] >= 65521 ? 65521 : 0;
    s->sum[1] += s->sum[0];
    s->sum[1] -= s->sum[1] >= 65521 ? 65521 : 0;
    *(*out)++ = byte;
}

/* Bytes of the block at hand, until it or the room ends. */
static int inflate_codes(tini_inflate *s, uint8_t **out, const uint8_t *end) {
    while (*out < end) {
        int32_t symbol = inflate_symbol(s, &s->literals);
        if (symbol < 0)
            return 0;
        if (symbol < 256) {
            inflate_emit(s, (uint8_t)symbol, out);
            continue;
        }
        if (symbol == 256) {
            s->state = INFLATE_BLOCK;
            return 1;
        }
        if (symbol > 285)
            return inflate_fail(s, "its compressed data have an unknown length");
        s->left = length_base[symbol - 257] + inflate_bits(s, length_extra[symbol - 257]);
        symbol = inflate_symbol(s, &s->distances);
        if (symbol < 0)
            return 0;
        s->distance = distance_base[symbol] + inflate_bits(s, (uint32_t)(symbol < 4 ? 0 : symbol / 2 - 1));
        if (s->fault || (!s->full && s->distance > s->filled))
            return inflate_fail(s, "its compressed data copy from before their beginning");
        s->state = INFLATE_COPY;
        return 1;
    }
    return 1;
}

static void inflate_copy(tini_inflate *s, uint8_t **out, const uint8_t *end) {
    for (; s->left && *out < end; s->left--)
        inflate_emit(s, s->window[(s->filled - s->distance) % TINI_INFLATE_WINDOW], out);
    if (!s->left)
        s->state = INFLATE_CODES;
}

static int inflate_stored(tini_inflate *s, uint8_t **out, const uint8_t *end) {
    for (; s->left && *out < end; s->left--) {
        uint8_t byte = (uint8_t)inflate_bits(s, 8);
        if (s->fault)
            return 0;
        inflate_emit(s, byte, out);
    }
    if (!s->left)
        s->state = INFLATE_BLOCK;
    return 1;
}

static int inflate_step(tini_inflate *s, uint8_t **out, const uint8_t *end) {
    switch (s->state) {
    case INFLATE_START:
        return inflate_start(s);
    case INFLATE_BLOCK:
        return inflate_block(s);
    case INFLATE_STORED:
        return inflate_stored(s, out, end);
    case INFLATE_CODES:
        return inflate_codes(s, out, end);
    case INFLATE_COPY:
        inflate_copy(s, out, end);
        return 1;
    default:
        return inflate_fail(s, "its compressed data are fewer than its pixels");
    }
}

int tini_inflate_read(tini_inflate *s, uint8_t *out, size_t size) {
    const uint8_t *end = out + size;
    while (out < end)
        if (s->fault || !inflate_step(s, &out, end))
            return 0;
    return 1;
}

int tini_inflate_end(tini_inflate *s) {
    uint8_t more, *out = &more;
    while (s->state != INFLATE_END && out == &more)
        if (s->fault || !inflate_step(s, &out, &more + 1))
            return 0;
    if (out != &more)
        return inflate_fail(s, "its compressed data are more than its pixels");
    inflate_use(s, s->bit_count % 8);
    uint32_t high = inflate_bits(s, 8) << 8, sum;
    high |= inflate_bits(s, 8);
    sum = inflate_bits(s, 8) << 8;
    sum |= inflate_bits(s, 8);
    return (!s->fault && high == s->sum[1] && sum == s->sum[0]) ||
           inflate_fail(s, "its compressed data have another checksum than they state");
}
