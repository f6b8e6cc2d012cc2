#include "delta.h"
#include "../core/base/isa.h"
#include "../core/base/math.h"
#include "../pack/sets.h"

/* Tokens of a chunk, with which the triangle's work grows and the number of states falls; how far ahead rows are fetched. */
enum { TINI_CHUNK = 64, TINI_AHEAD = 3 };

/* The matrices at hand, rows of whole vectors. A chunk has those before TINI_CHUNK_PARTS: of tokens [TINI_CHUNK][keys or
 * values], of pairs of tokens [TINI_CHUNK][TINI_CHUNK], zero above the diagonal, of states [keys][values]. A sequence's
 * first chunk begins with the prefix's last tokens, whose rows all sequences find there. */
typedef enum tini_packed_delta_part {
    TINI_KEYS,      /* of length 1 */
    TINI_QUERIES,   /* of length 1 / root of keys */
    TINI_ACROSS,    /* keys, transposed: [keys][TINI_CHUNK] */
    TINI_RESIDUALS, /* what the state lacks of a token's value */
    TINI_WRITES,    /* step times that */
    TINI_DECAYS,    /* exp of the rates between two tokens */
    TINI_SCORES,    /* query times key, faded */
    TINI_OVERLAPS,  /* - key times key, faded; zero on the diagonal */
    TINI_STATE,     /* before the chunk */
    TINI_TOKENS,    /* numbers of a token: [TINI_NUMBERS][TINI_CHUNK] */
    TINI_TO_KEYS,   /* gradients: of keys as they are written, */
    TINI_TO_WRITES,
    TINI_TO_STATE,
    TINI_CHUNK_PARTS,
    TINI_OUT = TINI_CHUNK_PARTS, /* for a moment, one of each: rows of values */
    TINI_MORE,
    TINI_SLOPES,
    TINI_TO_RESIDUALS,
    TINI_WRITES_ACROSS, /* [values][TINI_CHUNK] */
    TINI_STATE_ACROSS,  /* [values][keys] */
    TINI_TO_SCORES,
    TINI_TO_OVERLAPS,
    TINI_TO_QUERIES,
    TINI_TO_READS, /* of keys as they are looked up */
    TINI_PARTS,
} tini_packed_delta_part;

/* decay: the sum of rates from the chunk's first token on; left: exp of it; what keys and queries were divided by; the
 * gradient of decay. */
enum { TINI_DECAY, TINI_LEFT, TINI_STEP, TINI_KEY_SCALE, TINI_QUERY_SCALE, TINI_TO_DECAY, TINI_NUMBERS };

typedef struct tini_packed_delta_room {
    float *memory;
    size_t at[TINI_PARTS], size[TINI_PARTS], chunk; /* floats; chunk: of all parts of one */
    uint32_t keys, values;                          /* of a row, filled to whole vectors */
} tini_packed_delta_room;

/* A sequence of one head: tokens from `before`, of the shared rows or none, to before `total`; its own rows' first;
 * is_prefix: others go on from it. */
typedef struct tini_packed_delta_line {
    uint32_t head, group, before, total, begin;
    int is_prefix;
} tini_packed_delta_line;

/* Tokens of one of its chunks, counted from the chunk's first; goes_on: whether there is a chunk after it. */
typedef struct tini_packed_delta_piece {
    uint32_t chunk, from, to;
    int has_next;
} tini_packed_delta_piece;

typedef struct tini_packed_delta_set {
    void (*forward)(const tini_packed_delta *, const tini_packed_delta_inputs *, const tini_packed_delta_room *,
                    const tini_packed_delta_line *, const tini_packed_delta_piece *, uint8_t *);
    void (*backward)(const tini_packed_delta *, const tini_packed_delta_room *, const tini_packed_delta_line *,
                     const tini_packed_delta_piece *, const uint8_t *, const tini_packed_delta_gradients *);
} tini_packed_delta_set;

TINI_REGION_SCALAR

enum { TINI_DELTA_FILL = 16 }; /* the widest set's vector */

static float *tini_part(const tini_packed_delta_room *room, tini_packed_delta_part part, uint32_t chunk) {
    return room->memory + room->at[part] + (part < TINI_CHUNK_PARTS ? chunk * room->chunk : 0);
}

static float *tini_numbers(const tini_packed_delta_room *room, uint32_t chunk, uint32_t kind) {
    return tini_part(room, TINI_TOKENS, chunk) + (size_t)kind * TINI_CHUNK;
}

static uint32_t tini_packed_delta_filled(uint32_t count) {
    return (count + TINI_DELTA_FILL - 1) / TINI_DELTA_FILL * TINI_DELTA_FILL;
}

/* Lays out the memory; returns how many floats it has. */
static size_t tini_packed_delta_lay_out(tini_packed_delta_room *room, const tini_packed_delta *d,
                                        float *memory) {
    uint32_t longest = 0;
    for (uint32_t s = 0; s < d->sequences; s++) {
        uint32_t length = d->spans[2 * s + 1] - d->spans[2 * s];
        longest = length > longest ? length : longest;
    }
    const size_t keys = tini_packed_delta_filled(d->keys), values = tini_packed_delta_filled(d->values),
                 by_key = TINI_CHUNK * keys, by_value = TINI_CHUNK * values, pairs = TINI_CHUNK * TINI_CHUNK,
                 sizes[TINI_PARTS] = {
                     [TINI_KEYS] = by_key,
                     [TINI_QUERIES] = by_key,
                     [TINI_ACROSS] = by_key,
                     [TINI_RESIDUALS] = by_value,
                     [TINI_WRITES] = by_value,
                     [TINI_DECAYS] = pairs,
                     [TINI_SCORES] = pairs,
                     [TINI_OVERLAPS] = pairs,
                     [TINI_STATE] = keys * values,
                     [TINI_TOKENS] = (size_t)TINI_NUMBERS * TINI_CHUNK,
                     [TINI_TO_KEYS] = by_key,
                     [TINI_TO_WRITES] = by_value,
                     [TINI_TO_STATE] = keys * values,
                     [TINI_OUT] = by_value,
                     [TINI_MORE] = by_value,
                     [TINI_SLOPES] = by_value,
                     [TINI_TO_RESIDUALS] = by_value,
                     [TINI_WRITES_ACROSS] = by_value,
                     [TINI_STATE_ACROSS] = keys * values,
                     [TINI_TO_SCORES] = pairs,
                     [TINI_TO_OVERLAPS] = pairs,
                     [TINI_TO_QUERIES] = by_key,
                     [TINI_TO_READS] = by_key,
                 };
    const size_t chunks = ((size_t)d->shared + longest) / TINI_CHUNK + 1;
    size_t used = 0;
    for (uint32_t part = 0; part < TINI_PARTS; part++) {
        room->size[part] = sizes[part];
        room->at[part] = used;
        used += sizes[part];
        if (part + 1 == TINI_CHUNK_PARTS) {
            room->chunk = used;
            used *= chunks;
        }
    }
    room->memory = memory;
    room->keys = (uint32_t)keys;
    room->values = (uint32_t)values;
    return used;
}

size_t tini_packed_delta_memory(const tini_packed_delta *d) {
    tini_packed_delta_room room;
    return tini_packed_delta_lay_out(&room, d, NULL) * sizeof(float);
}

static tini_packed_delta_line tini_line(const tini_packed_delta *d, uint32_t sequence, uint32_t head) {
    const int is_prefix = d->shared && !sequence;
    const uint32_t begin = d->spans[2 * sequence], length = d->spans[2 * sequence + 1] - begin,
                   before = is_prefix ? 0 : d->shared;
    return (tini_packed_delta_line){head,     head / (d->heads / d->groups), before, before + length, begin,
                                    is_prefix};
}

/* The row of the packed row that a token of the line is. */
static size_t tini_packed_delta_row(const tini_packed_delta_line *line, const tini_packed_delta_piece *piece,
                                    uint32_t token) {
    return (size_t)line->begin + (size_t)piece->chunk * TINI_CHUNK + token - line->before;
}

/* Where a row's query, key and value are in mixed. */
static size_t tini_query_at(const tini_packed_delta *d, const tini_packed_delta_line *line, size_t row) {
    return row * (2 * (size_t)d->groups * d->keys + (size_t)d->heads * d->values) +
           (size_t)line->group * d->keys;
}

static size_t tini_key_at(const tini_packed_delta *d, const tini_packed_delta_line *line, size_t row) {
    return tini_query_at(d, line, row) + (size_t)d->groups * d->keys;
}

static size_t tini_value_at(const tini_packed_delta *d, const tini_packed_delta_line *line, size_t row) {
    return tini_key_at(d, line, row) + (size_t)(d->groups - line->group) * d->keys +
           (size_t)line->head * d->values;
}

/* Fetches values of mixed that are read soon: rows are too far apart for processors to do so themselves. */
static void tini_expect(const tini_packed_delta *d, const uint8_t *mixed, size_t at, uint32_t width) {
#if defined(__GNUC__)
    const size_t size = d->narrow ? 2 : 4;
    for (size_t k = 0; k < width * size; k += 64)
        __builtin_prefetch(mixed + at * size + k);
#else
    (void)d, (void)mixed, (void)at, (void)width;
#endif
}

static uint32_t tini_chunks_end(const tini_packed_delta_line *line) {
    return (line->total + TINI_CHUNK - 1) / TINI_CHUNK;
}

static tini_packed_delta_piece tini_piece(const tini_packed_delta_line *line, uint32_t chunk) {
    const uint32_t begin = chunk * TINI_CHUNK, rest = line->total - begin;
    return (tini_packed_delta_piece){chunk, line->before > begin ? line->before - begin : 0,
                                     rest < TINI_CHUNK ? rest : TINI_CHUNK,
                                     rest > TINI_CHUNK || (rest == TINI_CHUNK && line->is_prefix)};
}

static void tini_clear(const tini_packed_delta_room *room, tini_packed_delta_part part, uint32_t chunk,
                       uint32_t from) {
    const size_t first = room->size[part] / TINI_CHUNK * from;
    memset(tini_part(room, part, chunk) + first, 0, (room->size[part] - first) * sizeof(float));
}

/* No gradients yet of a chunk's tokens from `from` on, and of the state before it if that is not the prefix's. */
static void tini_clear_gradients(const tini_packed_delta_room *room, uint32_t chunk, uint32_t from, int state) {
    tini_clear(room, TINI_TO_KEYS, chunk, from);
    tini_clear(room, TINI_TO_WRITES, chunk, from);
    for (uint32_t token = from; token < TINI_CHUNK; token++)
        tini_numbers(room, chunk, TINI_TO_DECAY)[token] = 0.0f;
    if (state)
        tini_clear(room, TINI_TO_STATE, chunk, 0);
}

static void tini_packed_delta_line_on(const tini_packed_delta_set *set, const tini_packed_delta *d,
                                      const tini_packed_delta_inputs *in, const tini_packed_delta_room *room,
                                      const tini_packed_delta_line *line, uint8_t *out) {
    for (uint32_t chunk = line->before / TINI_CHUNK; chunk < tini_chunks_end(line); chunk++) {
        const tini_packed_delta_piece piece = tini_piece(line, chunk);
        set->forward(d, in, room, line, &piece, out);
    }
}

static void tini_packed_delta_line_back(const tini_packed_delta_set *set, const tini_packed_delta *d,
                                        const tini_packed_delta_room *room, const tini_packed_delta_line *line,
                                        const uint8_t *gradient, const tini_packed_delta_gradients *to) {
    for (uint32_t chunk = tini_chunks_end(line); chunk-- > line->before / TINI_CHUNK;) {
        const tini_packed_delta_piece piece = tini_piece(line, chunk);
        set->backward(d, room, line, &piece, gradient, to);
    }
}

TINI_REGION_END

#define TINI_SET_FILE "../train/delta_set.h"
#include "../pack/each_set.h"

#define TINI_WAYS(set) {tini_packed_delta_##set, tini_packed_delta_back_##set},
static const tini_packed_delta_set tini_packed_delta_sets[] = {TINI_SETS(TINI_WAYS)};

void tini_packed_delta_rule(const tini_packed_delta *d, const tini_packed_delta_inputs *in, void *out,
                            uint32_t first, uint32_t end, void *memory) {
    const tini_packed_delta_set *set = tini_packed_delta_sets + tini_set_best(d->passed_over);
    const uint32_t share = d->heads / d->groups;
    tini_packed_delta_room room;
    tini_packed_delta_lay_out(&room, d, memory);
    for (uint32_t head = first * share; head < end * share; head++)
        for (uint32_t s = 0; s < d->sequences; s++) {
            const tini_packed_delta_line line = tini_line(d, s, head);
            tini_packed_delta_line_on(set, d, in, &room, &line, out);
        }
}

/* The prefix goes forward first, since sequences go on from it, and backward last, since they have gradients for it. */
void tini_packed_delta_rule_back(const tini_packed_delta *d, const tini_packed_delta_inputs *in,
                                 const void *gradient, const tini_packed_delta_gradients *to, uint32_t first,
                                 uint32_t end, void *memory) {
    const tini_packed_delta_set *set = tini_packed_delta_sets + tini_set_best(d->passed_over);
    const uint32_t share = d->heads / d->groups, early = d->shared / TINI_CHUNK, own = d->shared > 0;
    tini_packed_delta_room room;
    tini_packed_delta_lay_out(&room, d, memory);
    for (uint32_t head = first * share; head < end * share; head++) {
        const tini_packed_delta_line prefix = tini_line(d, 0, head);
        for (uint32_t chunk = 0; chunk <= early; chunk++)
            tini_clear_gradients(&room, chunk, 0, 1);
        if (own)
            tini_packed_delta_line_on(set, d, in, &room, &prefix, NULL);
        for (uint32_t s = own; s < d->sequences; s++) {
            const tini_packed_delta_line line = tini_line(d, s, head);
            for (uint32_t chunk = early; chunk < tini_chunks_end(&line); chunk++)
                tini_clear_gradients(&room, chunk, chunk == early ? d->shared % TINI_CHUNK : 0, chunk > early);
            tini_packed_delta_line_on(set, d, in, &room, &line, NULL);
            tini_packed_delta_line_back(set, d, &room, &line, gradient, to);
        }
        if (own)
            tini_packed_delta_line_back(set, d, &room, &prefix, gradient, to);
    }
}
