/* attention.c for one instruction set (each_set.h). */
#include "products_set.h"

/* out [rows][width] = factors [rows][count] * matrix [count][matrix_row]. */
TINI_INLINE void TINI_OF(tini_product)(float *out, size_t out_row, uint32_t rows, uint32_t width,
                                       const float *factors, size_t row, uint32_t count, const float *matrix,
                                       size_t matrix_row) {
    for (size_t r = 0; r < rows; r++)
        memset(out + r * out_row, 0, width * sizeof(float));
    TINI_OF(tini_times)(out, out_row, rows, width, factors, row, 1, count, matrix, matrix_row);
}

/* Fills what whole vectors hold around the columns begin .. end. */
TINI_INLINE void TINI_OF(tini_fill_around)(float *columns, uint32_t begin, uint32_t end, float value) {
    for (uint32_t c = begin / LANES * LANES; c < begin; c++)
        columns[c] = value;
    for (uint32_t c = end; c % LANES; c++)
        columns[c] = value;
}

/* From the scores of the columns begin .. end to their weights; capped: the scores, where there is a cap. */
TINI_INLINE void TINI_OF(tini_weigh)(const tini_packed_row *row, float *weights, float *capped, uint32_t begin,
                                     uint32_t end) {
    const uint32_t from = begin / LANES * LANES;
    for (uint32_t c = begin; row->cap > 0.0f && c < end; c++)
        weights[c] = capped[c] = tini_soft_cap(weights[c], row->cap);
    TINI_OF(tini_fill_around)(weights, begin, end, -TINI_INFINITY);
    LANE highest = TINI_OF(tini_load)(weights + from), sum = {0}, lowest = sum - 87.0f;
    for (uint32_t c = from + LANES; c < end; c += LANES)
        highest = TINI_OF(tini_greater)(highest, TINI_OF(tini_load)(weights + c));
    float each[sizeof(LANE) / sizeof(float)], most = weights[begin];
    TINI_OF(tini_store)(each, highest);
    for (uint32_t k = 0; k < LANES; k++)
        most = each[k] > most ? each[k] : most;
    for (uint32_t c = from; c < end; c += LANES) {
        LANE x = TINI_OF(tini_greater)(TINI_OF(tini_load)(weights + c) - most, lowest);
        TINI_OF(tini_store)(weights + c, TINI_OF(tini_exponent)(x));
    }
    TINI_OF(tini_fill_around)(weights, begin, end, 0.0f);
    for (uint32_t c = from; c < end; c += LANES)
        sum += TINI_OF(tini_load)(weights + c);
    const float inverse = 1.0f / TINI_OF(tini_total)(sum);
    for (uint32_t c = from; c < end; c += LANES)
        TINI_OF(tini_store)(weights + c, TINI_OF(tini_load)(weights + c) * inverse);
}

TINI_INLINE uint32_t TINI_OF(tini_whole)(uint32_t columns) {
    return (columns + LANES - 1) / LANES * LANES;
}

/* Weighs the columns that `rows` tokens of the sequence, i and the next, see under their queries, the first at `from`: 0
 * where one sees none. Returns what they see together, from the beginning of a vector. */
TINI_INLINE tini_columns TINI_OF(tini_weigh_rows)(const tini_packed_row *row, tini_attend_room *room,
                                                  const float *from, uint32_t first, uint32_t i,
                                                  uint32_t rows) {
    tini_columns visible = tini_visible(row, room, first, i);
    for (uint32_t r = 1; r < rows; r++) {
        const tini_columns one = tini_visible(row, room, first, i + r);
        visible.begin = one.begin < visible.begin ? one.begin : visible.begin;
        visible.end = one.end > visible.end ? one.end : visible.end;
    }
    visible.begin = visible.begin / LANES * LANES;
    const uint32_t whole = TINI_OF(tini_whole)(visible.end);
    for (size_t r = 0; r < rows; r++)
        for (uint32_t w = 0; w < row->width; w++)
            room->query[r * room->width + w] = from[r * row->heads * row->width + w] * row->scale;
    TINI_OF(tini_product)
    (room->weights + visible.begin, room->columns, rows, whole - visible.begin, room->query, room->width,
     row->width, room->across + visible.begin, room->columns);
    for (uint32_t r = 0; r < rows; r++) {
        float *weights = room->weights + (size_t)r * room->columns;
        const tini_columns one = tini_visible(row, room, first, i + r);
        TINI_OF(tini_weigh)(row, weights, room->capped + (size_t)r * room->columns, one.begin, one.end);
        for (uint32_t c = visible.begin; c < one.begin; c++)
            weights[c] = 0.0f;
        for (uint32_t c = one.end; c < whole; c++)
            weights[c] = 0.0f;
    }
    return visible;
}

static void TINI_OF(tini_forward)(const tini_packed_row *row, const tini_packed_inputs *in, float *out,
                                  uint32_t sequence, tini_attend_room *room) {
    const uint32_t share = row->heads / row->groups, first = row->spans[2 * sequence];
    for (uint32_t head = 0; head < row->heads; head++) {
        if (head % share == 0)
            tini_gather(row, in, sequence, head / share, room, 0);
        for (uint32_t i = 0; i < room->length; i += TINI_QUERY_ROWS) {
            const uint32_t rows = room->length - i < TINI_QUERY_ROWS ? room->length - i : TINI_QUERY_ROWS;
            const size_t at = ((size_t)(first + i) * row->heads + head) * row->width;
            const tini_columns visible = TINI_OF(tini_weigh_rows)(row, room, in->query + at, first, i, rows);
            TINI_OF(tini_product)
            (room->sum, room->width, rows, room->width, room->weights + visible.begin, room->columns,
             visible.end - visible.begin, room->values + (size_t)visible.begin * room->width, room->width);
            for (size_t r = 0; r < rows; r++)
                memcpy(out + at + r * row->heads * row->width, room->sum + r * room->width,
                       row->width * sizeof(float));
        }
    }
}

/* From the gradients of tokens' outputs in the room to those of their scores, in `slopes`. */
TINI_INLINE void TINI_OF(tini_slopes)(const tini_packed_row *row, tini_attend_room *room, tini_columns visible,
                                      uint32_t rows) {
    const uint32_t whole = TINI_OF(tini_whole)(visible.end);
    TINI_OF(tini_product)
    (room->slopes + visible.begin, room->columns, rows, whole - visible.begin, room->gradient, room->width,
     row->width, room->values_across + visible.begin, room->columns);
    for (size_t r = 0; r < rows; r++) {
        float *slopes = room->slopes + r * room->columns;
        const float *weights = room->weights + r * room->columns, *capped = room->capped + r * room->columns;
        LANE products = {0};
        for (uint32_t c = visible.begin; c < whole; c += LANES)
            products += TINI_OF(tini_load)(weights + c) * TINI_OF(tini_load)(slopes + c);
        const float mean = TINI_OF(tini_total)(products);
        for (uint32_t c = visible.begin; c < whole; c += LANES)
            TINI_OF(tini_store)
        (slopes + c, TINI_OF(tini_load)(weights + c) * (TINI_OF(tini_load)(slopes + c) - mean));
        for (uint32_t c = visible.begin; row->cap > 0.0f && c < visible.end; c++) {
            float tanh = weights[c] > 0.0f ? capped[c] / row->cap : 0.0f;
            slopes[c] *= 1.0f - tanh * tanh;
        }
    }
}

static void TINI_OF(tini_backward)(const tini_packed_row *row, const tini_packed_inputs *in,
                                   const float *gradient, const tini_packed_gradients *to, uint32_t sequence,
                                   tini_attend_room *room) {
    const uint32_t share = row->heads / row->groups, first = row->spans[2 * sequence];
    const size_t side = (size_t)room->columns * room->width * sizeof(float),
                 early = (size_t)row->shared * row->groups * row->width, next = (size_t)row->heads * row->width;
    for (uint32_t head = 0; head < row->heads; head++) {
        if (head % share == 0) {
            tini_gather(row, in, sequence, head / share, room, 1);
            memset(room->key_gradients, 0, side);
            memset(room->value_gradients, 0, side);
        }
        for (uint32_t i = 0; i < room->length; i += TINI_QUERY_ROWS) {
            const uint32_t rows = room->length - i < TINI_QUERY_ROWS ? room->length - i : TINI_QUERY_ROWS;
            const size_t at = ((size_t)(first + i) * row->heads + head) * row->width;
            const tini_columns visible = TINI_OF(tini_weigh_rows)(row, room, in->query + at, first, i, rows);
            const uint32_t count = visible.end - visible.begin;
            const size_t begin = (size_t)visible.begin * room->width;
            for (size_t r = 0; r < rows; r++)
                memcpy(room->gradient + r * room->width, gradient + at + r * next, row->width * sizeof(float));
            TINI_OF(tini_slopes)(row, room, visible, rows);
            TINI_OF(tini_product)
            (room->sum, room->width, rows, room->width, room->slopes + visible.begin, room->columns, count,
             room->keys + begin, room->width);
            for (size_t r = 0; r < rows; r++)
                for (uint32_t w = 0; w < row->width; w++)
                    to->query[at + r * next + w] = room->sum[r * room->width + w] * row->scale;
            TINI_OF(tini_times)
            (room->key_gradients + begin, room->width, count, room->width, room->slopes + visible.begin, 1,
             room->columns, rows, room->query, room->width);
            TINI_OF(tini_times)
            (room->value_gradients + begin, room->width, count, room->width, room->weights + visible.begin, 1,
             room->columns, rows, room->gradient, room->width);
        }
        if ((head + 1) % share)
            continue;
        for (uint32_t c = 0; c < room->before + room->length; c++) {
            size_t group = head / share, from = (size_t)c * room->width, size = row->width * sizeof(float);
            int own = c >= room->before;
            size_t at = ((size_t)tini_column_row(row, room, sequence, c) * row->groups + group) * row->width;
            float *keys = own ? to->key : to->early + 2 * sequence * early,
                  *values = own ? to->value : to->early + (2 * sequence + 1) * early;
            memcpy(keys + at, room->key_gradients + from, size);
            memcpy(values + at, room->value_gradients + from, size);
        }
    }
}
