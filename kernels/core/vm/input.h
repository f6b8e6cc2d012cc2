/* The contents of a session's positions: tokens, and rows that replace their embeddings. */
#ifndef TINI_INPUT_H
#define TINI_INPUT_H

#include "program.h"

/* Consecutive positions whose rows are given: an image. Without pointers, so that it takes the same bytes
 * everywhere. */
typedef struct tini_span {
    uint32_t first, count, columns; /* positions first .. first + count - 1; columns: as in tin_embedded */
    uint32_t row;                   /* of tini_input's rows, that of its first position */
    uint32_t rotary_saved;          /* rotary positions that it and those before it did not take */
    uint8_t digest[32];
} tini_span;

_Static_assert(sizeof(tini_span) == 52, "layout of a span");

typedef struct tini_input {
    int32_t *tokens;  /* [context]; TIN_EMBEDDED where a row is given */
    tini_span *spans; /* [most_spans], in order, of which none goes into another */
    float *rows;      /* [most_rows][width] */
    uint32_t width, most_spans, most_rows;
    uint32_t span_count, row_count;
    uint32_t whole;  /* most rows of an image, if they attend to each other and share a pass; else 0 */
    uint32_t graded; /* an image's rows have the rotary positions of their places in it */
} tini_input;

/* Floats of a row that is given in the place of one of the program's embeddings, of which it has one table; else
 * 0. */
uint32_t tini_input_width(const tini_program *program);

/* The first span that ends behind `position`; span_count where there is none. */
uint32_t tini_input_span(const tini_input *input, uint32_t position);

/* The span that `position` is inside of, not at its beginning; NULL where there is none. */
const tini_span *tini_input_inside(const tini_input *input, uint32_t position);

/* `position`, or the beginning of the image that it is inside of. */
uint32_t tini_input_edge(const tini_input *input, uint32_t position);

/* How many of the first positions match tokens[count], with spans as in tin_embedded. An image counts completely
 * or not at all. */
uint32_t tini_input_shared(const tini_input *input, uint32_t count_before, const int32_t *tokens,
                           uint32_t count, const tin_embedded *embedded, uint32_t embedded_count);

/* The most rows of an image, if they attend to each other; else 0. */
uint32_t tini_input_widest(const tini_input *input);

/* Forgets the spans from position `end` on, which is in none. */
void tini_input_cut(tini_input *input, uint32_t end);

/* Moves what is behind position keep + drop, up to `count`, to `keep`; both are in no span. */
void tini_input_drop(tini_input *input, uint32_t keep, uint32_t drop, uint32_t count);

/* Adds a span behind the others, at position `first`; there is room. Its rows may be missing: the caller writes
 * them next. */
void tini_input_add(tini_input *input, uint32_t first, const tin_embedded *embedded);

/* The first `count` positions of `from`, which is in none of its spans, become those of `to`; there is room. */
void tini_input_copy(tini_input *to, const tini_input *from, uint32_t count);

/* Spans and rows of the first `count` positions. */
void tini_input_counts(const tini_input *input, uint32_t count, uint32_t *spans, uint32_t *rows);

/* The rotary position of the token at `position`; stream: 0 time, 1 rows, 2 columns, which differ inside an
 * image where they are graded. `span` is tini_input_span's. */
uint32_t tini_input_rotary(const tini_input *input, uint32_t span, uint32_t position, uint32_t stream);

#endif
