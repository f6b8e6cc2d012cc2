/* The case that kernel_check.c has come to: its name, buffers that nothing may write beside, and random data for them. */
#ifndef KERNEL_CASE_H
#define KERNEL_CASE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/formats.h"
#include "core/base/isa.h"
#include "core/base/math.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#define HAVE_PAGES 1
#else
#define HAVE_PAGES 0
#endif

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))

/* ---- the case at hand ---- */

static const char *kernel, *set;
static char what[200];
static uint32_t cases;

#define CASE(...) (cases++, (void)snprintf(what, sizeof what, __VA_ARGS__))

static void fail(const char *how) {
    printf("DIFFERS %s %s case %u (%s): %s\n", kernel, set, cases, what, how);
    exit(1);
}

static void same(const void *scalar, const void *vector, size_t bytes) {
    const uint8_t *a = scalar, *b = vector;
    for (size_t i = 0; i < bytes; i++) {
        if (a[i] != b[i]) {
            char how[100];
            (void)snprintf(how, sizeof how, "byte %zu of %zu is %02x, scalar %02x", i, bytes, b[i], a[i]);
            fail(how);
        }
    }
}

/* ---- memory: each block ends at a page that can't be touched, or, without pages, at bytes that must stay ---- */

enum { SLOT_BYTES = 2 << 20, CANARY = 64 };
enum { WEIGHTS, X, Y, Z, OUT, OTHER, KEYS, VALUES, OTHER_KEYS, OTHER_VALUES, SLOTS };

static struct slot {
    uint8_t *end, *block;
} slots[SLOTS];

static void make_slots(void) {
    for (uint32_t k = 0; k < SLOTS; k++) {
#if HAVE_PAGES
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        uint8_t *memory =
            mmap(NULL, SLOT_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory + SLOT_BYTES, page, PROT_NONE))
            exit(2);
#else
        uint8_t *memory = aligned_alloc(64, SLOT_BYTES + CANARY);
        if (!memory)
            exit(2);
        memset(memory + SLOT_BYTES, 0xa5, CANARY);
#endif
        slots[k].end = slots[k].block = memory + SLOT_BYTES;
    }
}

/* A block of the slot, full of NaN; what it held before is gone. */
static void *place(uint32_t slot, size_t bytes) {
    if (bytes + CANARY > SLOT_BYTES)
        exit(2);
    uint8_t *block = slots[slot].end - bytes;
    slots[slot].block = block;
    memset(block - CANARY, 0xa5, CANARY);
    memset(block, 0xff, bytes);
    return block;
}

static void check_canaries(void) {
    for (uint32_t k = 0; k < SLOTS; k++) {
        for (uint32_t i = 0; i < CANARY; i++) {
            if (slots[k].block != slots[k].end && slots[k].block[-1 - (int32_t)i] != 0xa5)
                fail("wrote before a buffer");
            if (!HAVE_PAGES && slots[k].end[i] != 0xa5)
                fail("wrote past a buffer");
        }
    }
}

/* ---- data ---- */

static uint64_t state;

static uint32_t random_bits(void) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(state * 0x2545f4914f6cdd1du >> 32);
}

static uint32_t below(uint32_t n) {
    return (uint32_t)((uint64_t)random_bits() * n >> 32);
}

/* About normal, with zeros of both signs, denormals and large ones among them. */
static float spread(void) {
    static const float special[] = {0.0f, -0.0f, 1e-40f, -1e-40f, 1e-20f, 300.0f, -300.0f};
    if (below(7) == 0)
        return special[below(COUNT(special))];
    float sum = 0.0f;
    for (int i = 0; i < 4; i++)
        sum = sum + (float)below(1 << 16) * 0x1p-16f;
    return (sum - 2.0f) * 1.75f;
}

static float *spread_floats(uint32_t slot, size_t n) {
    float *x = place(slot, n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = spread();
    return x;
}

static float *copy_floats(uint32_t slot, const float *x, size_t n) {
    return memcpy(place(slot, n * sizeof *x), x, n * sizeof *x);
}

#endif
