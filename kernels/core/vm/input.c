#include "input.h"
#include "../base/kernel.h"

#include <string.h>

TINI_REGION_COLD

uint32_t tini_input_width(const tini_program *p) {
    const tini_tensor *table = NULL;
    for (uint32_t k = 0; k < p->header->ops; k++) {
        if (p->ops[k].kind != TINI_OP_EMBED)
            continue;
        if (table) /* a row for one of them says nothing of the others */
            return 0;
        table = &p->tensors[p->ops[k].tensor[0]];
    }
    return table ? table->inputs * tini_program_parts(p) : 0;
}

static uint32_t span_end(const tini_span *span) {
    return span->first + span->count;
}

uint32_t tini_input_span(const tini_input *input, uint32_t position) {
    uint32_t low = 0, high = input->span_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (span_end(&input->spans[middle]) > position)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

const tini_span *tini_input_inside(const tini_input *input, uint32_t position) {
    uint32_t at = tini_input_span(input, position);
    return at < input->span_count && input->spans[at].first < position ? &input->spans[at] : NULL;
}

uint32_t tini_input_edge(const tini_input *input, uint32_t position) {
    const tini_span *span = tini_input_inside(input, position);
    return span ? span->first : position;
}

static int is_same(const tini_span *span, const tin_embedded *given) {
    return span->first == given->at && span->count == given->count && span->columns == given->columns &&
           !memcmp(span->digest, given->digest, sizeof span->digest);
}

uint32_t tini_input_shared(const tini_input *input, uint32_t count_before, const int32_t *tokens,
                           uint32_t count, const tin_embedded *embedded, uint32_t embedded_count) {
    uint32_t same = 0, most = count_before < count ? count_before : count, at = 0;
    while (same < most && input->tokens[same] == tokens[same]) {
        if (tokens[same] != TIN_EMBEDDED) {
            same++;
            continue;
        }
        if (at == embedded_count || at == input->span_count || !is_same(&input->spans[at], &embedded[at]))
            break;
        same += embedded[at++].count;
    }
    return same;
}

uint32_t tini_input_widest(const tini_input *input) {
    uint32_t most = 0;
    for (uint32_t k = 0; input->whole && k < input->span_count; k++)
        most = input->spans[k].count > most ? input->spans[k].count : most;
    return most;
}

void tini_input_cut(tini_input *input, uint32_t end) {
    tini_input_counts(input, end, &input->span_count, &input->row_count);
}

/* Rotary positions that a span does not take. */
static uint32_t rotary_saved_by(const tini_input *input, const tini_span *span) {
    uint32_t high = span->count / span->columns;
    return input->graded ? span->count - (high > span->columns ? high : span->columns) : 0;
}

/* Puts right what follows from the spans before it, from number `at` on. */
static void settle_spans(tini_input *input, uint32_t at) {
    for (; at < input->span_count; at++) {
        tini_span *span = &input->spans[at];
        const tini_span *before = at ? span - 1 : NULL;
        span->row = before ? before->row + before->count : 0;
        span->rotary_saved = (before ? before->rotary_saved : 0) + rotary_saved_by(input, span);
    }
}

void tini_input_drop(tini_input *input, uint32_t keep, uint32_t drop, uint32_t count) {
    memmove(input->tokens + keep, input->tokens + keep + drop,
            (size_t)(count - keep - drop) * sizeof *input->tokens);
    uint32_t spans, rows, spans_behind, rows_behind;
    tini_input_counts(input, keep, &spans, &rows);
    tini_input_counts(input, keep + drop, &spans_behind, &rows_behind);
    if (!input->row_count)
        return;
    memmove(input->spans + spans, input->spans + spans_behind,
            (input->span_count - spans_behind) * sizeof *input->spans);
    memmove(input->rows + (size_t)rows * input->width, input->rows + (size_t)rows_behind * input->width,
            (size_t)(input->row_count - rows_behind) * input->width * sizeof *input->rows);
    input->span_count -= spans_behind - spans;
    input->row_count -= rows_behind - rows;
    for (uint32_t k = spans; k < input->span_count; k++)
        input->spans[k].first -= drop;
    settle_spans(input, spans);
}

void tini_input_add(tini_input *input, uint32_t first, const tin_embedded *given) {
    tini_span *span = &input->spans[input->span_count++];
    *span = (tini_span){.first = first, .count = given->count, .columns = given->columns};
    memcpy(span->digest, given->digest, sizeof span->digest);
    settle_spans(input, input->span_count - 1);
    if (given->rows)
        memcpy(input->rows + (size_t)span->row * input->width, given->rows,
               (size_t)span->count * input->width * sizeof *input->rows);
    input->row_count += span->count;
}

void tini_input_copy(tini_input *to, const tini_input *from, uint32_t count) {
    memcpy(to->tokens, from->tokens, (size_t)count * sizeof *to->tokens);
    tini_input_counts(from, count, &to->span_count, &to->row_count);
    if (!to->row_count)
        return;
    memcpy(to->spans, from->spans, to->span_count * sizeof *to->spans);
    memcpy(to->rows, from->rows, (size_t)to->row_count * to->width * sizeof *to->rows);
}

void tini_input_counts(const tini_input *input, uint32_t count, uint32_t *spans, uint32_t *rows) {
    *spans = tini_input_span(input, count);
    if (*spans < input->span_count && input->spans[*spans].first < count)
        ++*spans;
    const tini_span *last = *spans ? &input->spans[*spans - 1] : NULL;
    *rows = last ? last->row + last->count : 0;
}

uint32_t tini_input_rotary(const tini_input *input, uint32_t at, uint32_t position, uint32_t stream) {
    uint32_t rotary_saved = at ? input->spans[at - 1].rotary_saved : 0;
    const tini_span *span = at < input->span_count ? &input->spans[at] : NULL;
    if (!span || position < span->first || !input->graded)
        return position - rotary_saved;
    uint32_t k = position - span->first, places[] = {0, k / span->columns, k % span->columns};
    return span->first - rotary_saved + places[stream];
}

TINI_REGION_END
