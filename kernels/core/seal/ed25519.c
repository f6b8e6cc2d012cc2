#include "ed25519.h"
#include "../base/region.h"
#include "sha512.h"

TINI_REGION_COLD

/* ---- The field of 2^255 - 19 -------------------------------------------------------------------------- */

/* 16 limbs of 16 bits, least first. A limb may leave its 16 bits, and be negative, between operations: those of a sum or
 * difference stay below 2^18 in size, so that a product of two such sums stays far below 2^63. */
typedef int64_t ed_field[16];

static const ed_field ed_zero = {0}, ed_one = {1};
static const ed_field ed_d = {0x78a3, 0x1359, 0x4dca, 0x75eb, 0xd8ab, 0x4141, 0x0a4d, 0x0070,
                              0xe898, 0x7779, 0x4079, 0x8cc7, 0xfe73, 0x2b6f, 0x6cee, 0x5203};
static const ed_field ed_root = {0xa0b0, 0x4a0e, 0x1b27, 0xc4ee, 0xe478, 0xad2f, 0x1806, 0x2f43,
                                 0xd7a7, 0x3dfb, 0x0099, 0x2b4d, 0xdf0b, 0x4fc1, 0x2480, 0x2b83}; /* of -1 */

/* Brings every limb but the first into 16 bits; what overflows at the top counts 38-fold at the bottom. */
static void ed_carry(ed_field a) {
    int64_t over = 0;
    for (int i = 0; i < 16; i++) {
        a[i] += over;
        over = a[i] >> 16; /* rounds down, as every compiler here has it: test vectors fail elsewhere */
        a[i] -= over * 65536;
    }
    a[0] += 38 * over;
}

static void ed_add(ed_field out, const ed_field a, const ed_field b) {
    for (int i = 0; i < 16; i++)
        out[i] = a[i] + b[i];
}

static void ed_subtract(ed_field out, const ed_field a, const ed_field b) {
    for (int i = 0; i < 16; i++)
        out[i] = a[i] - b[i];
}

static void ed_multiply(ed_field out, const ed_field a, const ed_field b) {
    int64_t wide[32] = {0};
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            wide[i + j] += a[i] * b[j];
    for (int i = 0; i < 16; i++)
        out[i] = wide[i] + 38 * wide[i + 16];
    ed_carry(out);
    ed_carry(out);
}

/* x to the power 2^(top + 1) - 1 less the two powers of two given: every exponent that is needed has that form. */
static void ed_power(ed_field out, const ed_field x, int top, int without, int and_without) {
    ed_field power;
    memcpy(power, x, sizeof power);
    for (int bit = top - 1; bit >= 0; bit--) {
        ed_multiply(power, power, power);
        if (bit != without && bit != and_without)
            ed_multiply(power, power, x);
    }
    memcpy(out, power, sizeof power);
}

/* out = choose ? b : out, without a branch. choose: 0 or 1. */
static void ed_select(ed_field out, const ed_field b, int64_t choose) {
    for (int i = 0; i < 16; i++)
        out[i] ^= -choose & (out[i] ^ b[i]);
}

static void ed_load(ed_field out, const uint8_t bytes[32]) {
    for (int i = 0; i < 16; i++)
        out[i] = bytes[2 * i] | (int64_t)bytes[2 * i + 1] << 8;
    out[15] &= 0x7fff;
}

/* The one form below 2^255 - 19. */
static void ed_store(uint8_t bytes[32], const ed_field a) {
    ed_field t, less;
    memcpy(t, a, sizeof t);
    for (int i = 0; i < 3; i++)
        ed_carry(t);
    for (int round = 0; round < 2; round++) { /* t is below 2^256, so at most twice too large */
        for (int i = 0; i < 16; i++)
            less[i] = t[i] - (i == 0 ? 0xffed : i == 15 ? 0x7fff : 0xffff);
        for (int i = 0; i < 15; i++) {
            int64_t over = less[i] >> 16;
            less[i] &= 0xffff;
            less[i + 1] += over;
        }
        int64_t negative = less[15] >> 16 & 1;
        less[15] &= 0xffff;
        ed_select(t, less, 1 - negative);
    }
    for (int i = 0; i < 16; i++) {
        bytes[2 * i] = (uint8_t)t[i];
        bytes[2 * i + 1] = (uint8_t)(t[i] >> 8);
    }
}

static int ed_equal(const ed_field a, const ed_field b) {
    uint8_t x[32], y[32];
    ed_store(x, a);
    ed_store(y, b);
    return !memcmp(x, y, 32);
}

static int ed_odd(const ed_field a) {
    uint8_t bytes[32];
    ed_store(bytes, a);
    return bytes[0] & 1;
}

/* ---- The curve ------------------------------------------------------------------------------------------ */

/* x = X / Z, y = Y / Z, T = XY / Z (RFC 8032, 5.1.4). */
typedef struct ed_point {
    ed_field x, y, z, t;
} ed_point;

static void ed_neutral(ed_point *p) {
    memcpy(p->x, ed_zero, sizeof p->x);
    memcpy(p->y, ed_one, sizeof p->y);
    memcpy(p->z, ed_one, sizeof p->z);
    memcpy(p->t, ed_zero, sizeof p->t);
}

/* p += q; the formula holds for all points, also for equal ones. */
static void ed_plus(ed_point *p, const ed_point *q) {
    ed_field a, b, c, d, t;
    ed_subtract(a, p->y, p->x);
    ed_subtract(t, q->y, q->x);
    ed_multiply(a, a, t);
    ed_add(b, p->x, p->y);
    ed_add(t, q->x, q->y);
    ed_multiply(b, b, t);
    ed_multiply(c, p->t, q->t);
    ed_multiply(c, c, ed_d);
    ed_add(c, c, c);
    ed_multiply(d, p->z, q->z);
    ed_add(d, d, d);
    ed_field e, f, g, h;
    ed_subtract(e, b, a);
    ed_subtract(f, d, c);
    ed_add(g, d, c);
    ed_add(h, b, a);
    ed_multiply(p->x, e, f);
    ed_multiply(p->y, g, h);
    ed_multiply(p->z, f, g);
    ed_multiply(p->t, e, h);
}

/* out = scalar * p, by the same steps for every scalar. scalar: 32 bytes, least first. */
static void ed_times(ed_point *out, const uint8_t scalar[32], const ed_point *p) {
    ed_point sum, other;
    ed_neutral(&sum);
    for (int bit = 255; bit >= 0; bit--) {
        ed_point same = sum;
        ed_plus(&sum, &same);
        other = sum;
        ed_plus(&other, p);
        int64_t set = scalar[bit / 8] >> bit % 8 & 1;
        ed_select(sum.x, other.x, set);
        ed_select(sum.y, other.y, set);
        ed_select(sum.z, other.z, set);
        ed_select(sum.t, other.t, set);
    }
    *out = sum;
}

/* out = a * p + b * q, by steps that depend on the scalars: for those that anyone may know. */
static void ed_sum_of_times(ed_point *out, const uint8_t a[32], const ed_point *p, const uint8_t b[32],
                            const ed_point *q) {
    ed_point terms[3] = {*p, *q, *p}; /* by the bits of a and b, less one */
    ed_plus(&terms[2], q);
    ed_neutral(out);
    for (int bit = 255; bit >= 0; bit--) {
        ed_point same = *out;
        ed_plus(out, &same);
        int term = (a[bit / 8] >> bit % 8 & 1) | (b[bit / 8] >> bit % 8 & 1) << 1;
        if (term)
            ed_plus(out, &terms[term - 1]);
    }
}

static void ed_encode(uint8_t bytes[32], const ed_point *p) {
    ed_field inverse, x, y;
    ed_power(inverse, p->z, 254, 2, 4); /* to the p - 2 */
    ed_multiply(x, p->x, inverse);
    ed_multiply(y, p->y, inverse);
    ed_store(bytes, y);
    bytes[31] = (uint8_t)(bytes[31] | ed_odd(x) << 7);
}

/* 1, or 0 for bytes that are no point, or not in its one form (RFC 8032, 5.1.3). */
static int ed_decode(ed_point *p, const uint8_t bytes[32]) {
    uint8_t again[32];
    int odd = bytes[31] >> 7;
    ed_load(p->y, bytes);
    ed_store(again, p->y);
    again[31] = (uint8_t)(again[31] | odd << 7);
    if (memcmp(again, bytes, 32))
        return 0;
    /* x^2 = u / v; x = u v^3 (u v^7)^((p - 5) / 8), or that times the root of -1. */
    ed_field u, v, v3, t;
    memcpy(p->z, ed_one, sizeof p->z);
    ed_multiply(u, p->y, p->y);
    ed_multiply(v, u, ed_d);
    ed_subtract(u, u, ed_one);
    ed_add(v, v, ed_one);
    ed_multiply(v3, v, v);
    ed_multiply(v3, v3, v);
    ed_multiply(t, v3, v3);
    ed_multiply(t, t, v);
    ed_multiply(t, t, u);
    ed_power(t, t, 251, 1, 1);
    ed_multiply(t, t, v3);
    ed_multiply(p->x, t, u);
    ed_multiply(t, p->x, p->x);
    ed_multiply(t, t, v);
    if (!ed_equal(t, u)) {
        ed_multiply(p->x, p->x, ed_root);
        ed_multiply(t, p->x, p->x);
        ed_multiply(t, t, v);
        if (!ed_equal(t, u))
            return 0;
    }
    if (ed_odd(p->x) != odd) {
        if (ed_equal(p->x, ed_zero))
            return 0;
        ed_subtract(p->x, ed_zero, p->x);
    }
    ed_multiply(p->t, p->x, p->y);
    return 1;
}

/* Is 8 p the neutral point? Such keys and signatures hold for messages that nobody signed. */
static int ed_small_order(const ed_point *p) {
    ed_point sum = *p;
    for (int i = 0; i < 3; i++) {
        ed_point same = sum;
        ed_plus(&sum, &same);
    }
    return ed_equal(sum.x, ed_zero) && ed_equal(sum.y, sum.z);
}

static void ed_base(ed_point *p) {
    static const uint8_t
        bytes[32] = {0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                     0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
                     0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66}; /* y = 4 / 5 */
    ed_decode(p, bytes);
}

void tini_ed25519_base_times(uint8_t out[32], const uint8_t scalar[32]) {
    ed_point p;
    ed_base(&p);
    ed_times(&p, scalar, &p);
    ed_encode(out, &p);
}

/* ---- Scalars ------------------------------------------------------------------------------------------ */

/* The order of the base point, 32-bit words, least first. */
static const uint32_t ed_order[8] = {0x5cf5d3ed, 0x5812631a, 0xa2f79cd6, 0x14def9de,
                                     0x00000000, 0x00000000, 0x00000000, 0x10000000};

/* a -= order where a is at least that, without a branch; returns whether it was. */
static int ed_reduce_once(uint32_t a[8]) {
    uint32_t less[8];
    uint64_t borrow = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t difference = (uint64_t)a[i] - ed_order[i] - borrow;
        less[i] = (uint32_t)difference;
        borrow = difference >> 63;
    }
    uint32_t keep = (uint32_t)0 - (uint32_t)borrow;
    for (int i = 0; i < 8; i++)
        a[i] = (a[i] & keep) | (less[i] & ~keep);
    return !borrow;
}

void tini_ed25519_reduce(uint8_t out[32], const uint8_t wide[64]) {
    uint32_t r[8] = {0};
    for (int bit = 511; bit >= 0; bit--) { /* r = (2 r + bit) mod order; the order has 253 bits, so 2 r fits */
        uint32_t next = wide[bit / 8] >> bit % 8 & 1;
        for (int i = 0; i < 8; i++) {
            uint32_t top = r[i] >> 31;
            r[i] = r[i] << 1 | next;
            next = top;
        }
        ed_reduce_once(r);
    }
    for (int i = 0; i < 32; i++)
        out[i] = (uint8_t)(r[i / 4] >> 8 * (i % 4));
}

/* Is the scalar below the order? Its other forms would make a second signature of one. */
static int ed_reduced(const uint8_t scalar[32]) {
    uint32_t a[8];
    for (int i = 0; i < 8; i++)
        a[i] = scalar[4 * i] | (uint32_t)scalar[4 * i + 1] << 8 | (uint32_t)scalar[4 * i + 2] << 16 |
               (uint32_t)scalar[4 * i + 3] << 24;
    return !ed_reduce_once(a);
}

void tini_ed25519_challenge(uint8_t out[32], const uint8_t point[32], const uint8_t key[32],
                            const uint8_t *message, size_t size, const uint8_t *more, size_t more_size) {
    uint8_t digest[64];
    tini_sha512 hash = tini_sha512_begin();
    tini_sha512_add(&hash, point, 32);
    tini_sha512_add(&hash, key, 32);
    tini_sha512_add(&hash, message, size);
    tini_sha512_add(&hash, more, more_size);
    tini_sha512_end(&hash, digest);
    tini_ed25519_reduce(out, digest);
}

int tini_ed25519_verify(const uint8_t signature[64], const uint8_t key[32], const uint8_t *message, size_t size,
                        const uint8_t *more, size_t more_size) {
    ed_point owner, base, sum;
    if (!ed_reduced(signature + 32) || !ed_decode(&owner, key) || ed_small_order(&owner))
        return 0;
    uint8_t challenge[32], point[32];
    tini_ed25519_challenge(challenge, signature, key, message, size, more, more_size);
    ed_subtract(owner.x, ed_zero, owner.x);
    ed_subtract(owner.t, ed_zero, owner.t);
    ed_base(&base);
    ed_sum_of_times(&sum, signature + 32, &base, challenge, &owner);
    ed_encode(point, &sum);
    return !memcmp(point, signature, 32) && !ed_small_order(&sum);
}

TINI_REGION_END
