#include "attention.h"
#include "../core/base/isa.h"
#include "../core/base/math.h"
#include "../pack/sets.h"

/* What one sequence and group of heads need at hand; matrices' rows are filled with zeros to whole vectors. */
typedef struct tini_attend_room {
    uint32_t before, length, columns; /* keys before the sequence's own, its own, and both, filled */
    uint32_t width;                   /* of a head, filled */
    float *keys, *values;             /* [columns][width] */
    float *across, *values_across;    /* [width][columns] */
    float *key_gradients, *value_gradients;
    float *query, *gradient, *sum;    /* [TINI_QUERY_ROWS][width] */
    float *weights, *capped, *slopes; /* [TINI_QUERY_ROWS][columns] */
} tini_attend_room;

typedef struct tini_attend_set {
    void (*forward)(const tini_packed_row *, const tini_packed_inputs *, float *, uint32_t, tini_attend_room *);
    void (*backward)(const tini_packed_row *, const tini_packed_inputs *, const float *,
                     const tini_packed_gradients *, uint32_t, tini_attend_room *);
} tini_attend_set;

/* Of a sequence: from begin to before end. */
typedef struct tini_columns {
    uint32_t begin, end;
} tini_columns;

TINI_REGION_SCALAR

/* Filled to four vectors of the widest set: as many sums are under way at once, of so many tokens' rows. */
enum { TINI_ATTEND_FILL = 64, TINI_QUERY_ROWS = 8 };

TINI_INLINE uint32_t tini_filled(uint32_t count) {
    return (count + TINI_ATTEND_FILL - 1) / TINI_ATTEND_FILL * TINI_ATTEND_FILL;
}

static uint32_t tini_before(const tini_packed_row *row, uint32_t sequence) {
    return row->spans[2 * sequence] < row->shared ? 0 : row->shared;
}

static size_t tini_rooms_floats(uint32_t columns, uint32_t width) {
    return 6 * (size_t)columns * width + 3 * (size_t)TINI_QUERY_ROWS * (width + columns);
}

size_t tini_attend_memory(const tini_packed_row *row) {
    uint32_t longest = 0;
    for (uint32_t s = 0; s < row->sequences; s++) {
        uint32_t columns = tini_before(row, s) + row->spans[2 * s + 1] - row->spans[2 * s];
        longest = columns > longest ? columns : longest;
    }
    return tini_rooms_floats(tini_filled(longest), tini_filled(row->width)) * sizeof(float);
}

/* Lays out the memory for a sequence; what is filled is zero. */
static void tini_lay_out(tini_attend_room *room, const tini_packed_row *row, uint32_t sequence, float *memory) {
    room->before = tini_before(row, sequence);
    room->length = row->spans[2 * sequence + 1] - row->spans[2 * sequence];
    const uint32_t columns = room->columns = tini_filled(room->before + room->length),
                   width = room->width = tini_filled(row->width);
    memset(memory, 0, tini_rooms_floats(columns, width) * sizeof(float));
    float **matrices[] = {&room->keys,          &room->values,        &room->across,
                          &room->values_across, &room->key_gradients, &room->value_gradients};
    for (uint32_t k = 0; k < 6; k++, memory += (size_t)columns * width)
        *matrices[k] = memory;
    float **rows[] = {&room->query, &room->gradient, &room->sum};
    for (uint32_t k = 0; k < 3; k++, memory += (size_t)TINI_QUERY_ROWS * width)
        *rows[k] = memory;
    float **by_column[] = {&room->weights, &room->capped, &room->slopes};
    for (uint32_t k = 0; k < 3; k++, memory += (size_t)TINI_QUERY_ROWS * columns)
        *by_column[k] = memory;
}

/* The row of the packed row that column c of a sequence is. */
TINI_INLINE uint32_t tini_column_row(const tini_packed_row *row, const tini_attend_room *room,
                                     uint32_t sequence, uint32_t column) {
    return column < room->before ? column : row->spans[2 * sequence] + column - room->before;
}

/* What token i of the sequence whose rows begin at `first` sees. */
TINI_INLINE tini_columns tini_visible(const tini_packed_row *row, const tini_attend_room *room, uint32_t first,
                                      uint32_t i) {
    tini_columns visible = {.end = room->before + i + 1};
    visible.begin = row->window && visible.end > row->window ? visible.end - row->window : 0;
    if (row->together) {
        const uint32_t *with = row->together + 2 * (size_t)(first + i);
        const uint32_t begin = with[0] - first + room->before, end = with[1] - first + room->before;
        visible.begin = begin < visible.begin ? begin : visible.begin;
        visible.end = end > visible.end ? end : visible.end;
    }
    return visible;
}

static void tini_gather(const tini_packed_row *row, const tini_packed_inputs *in, uint32_t sequence,
                        uint32_t group, tini_attend_room *room, int backward) {
    for (uint32_t c = 0; c < room->before + room->length; c++) {
        size_t at = ((size_t)tini_column_row(row, room, sequence, c) * row->groups + group) * row->width;
        for (uint32_t w = 0; w < row->width; w++)
            room->across[(size_t)w * room->columns + c] = in->key[at + w];
        memcpy(room->values + (size_t)c * room->width, in->value + at, row->width * sizeof(float));
        if (!backward)
            continue;
        memcpy(room->keys + (size_t)c * room->width, in->key + at, row->width * sizeof(float));
        for (uint32_t w = 0; w < row->width; w++)
            room->values_across[(size_t)w * room->columns + c] = in->value[at + w];
    }
}

TINI_REGION_END

#define TINI_SET_FILE "../train/attention_set.h"
#include "../pack/each_set.h"

#define TINI_WAYS(set) {tini_forward_##set, tini_backward_##set},
static const tini_attend_set tini_attend_sets[] = {TINI_SETS(TINI_WAYS)};

void tini_attend(const tini_packed_row *row, const tini_packed_inputs *in, float *out, uint32_t first,
                 uint32_t end, void *memory) {
    const tini_attend_set *set = tini_attend_sets + tini_set_best(row->passed_over);
    for (uint32_t sequence = first; sequence < end; sequence++) {
        tini_attend_room room;
        tini_lay_out(&room, row, sequence, memory);
        set->forward(row, in, out, sequence, &room);
    }
}

void tini_attend_back(const tini_packed_row *row, const tini_packed_inputs *in, const float *gradient,
                      const tini_packed_gradients *to, uint32_t first, uint32_t end, void *memory) {
    const tini_attend_set *set = tini_attend_sets + tini_set_best(row->passed_over);
    for (uint32_t sequence = first; sequence < end; sequence++) {
        tini_attend_room room;
        tini_lay_out(&room, row, sequence, memory);
        set->backward(row, in, gradient, to, sequence, &room);
    }
}
