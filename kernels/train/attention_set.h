/* attention.c for one instruction set (each_set.h). */
#include "lanes_set.h"

/* out[c] = the sum over k < count of factors[k] * matrix[k][c], for c from begin (rounded down to whole vectors) to
 * before end. Four sums of a column are under way at once, and are added at the end. */
TINI_INLINE void TINI_OF(tini_combine)(float *out, const float *factors, uint32_t count, const float *matrix,
                                       uint32_t columns, uint32_t begin, uint32_t end) {
    for (uint32_t c = begin / LANES * LANES; c < end; c += LANES) {
        LANE sums[4] = {{0}};
        const float *column = matrix + c;
        uint32_t k = 0;
        for (; k + 4 <= count; k += 4, column += 4 * (size_t)columns)
            for (uint32_t j = 0; j < 4; j++)
                sums[j] += factors[k + j] * TINI_OF(tini_load)(column + j * (size_t)columns);
        for (; k < count; k++, column += columns)
            sums[0] += factors[k] * TINI_OF(tini_load)(column);
        TINI_OF(tini_store)(out + c, (sums[0] + sums[1]) + (sums[2] + sums[3]));
    }
}

/* matrix[k][w] += factors[k] * vector[w], for the rows k from begin to before end. */
TINI_INLINE void TINI_OF(tini_add_outer)(float *matrix, const float *factors, const float *vector,
                                         uint32_t width, uint32_t begin, uint32_t end) {
    for (uint32_t k = begin; k < end; k++)
        for (uint32_t w = 0; w < width; w += LANES) {
            float *at = matrix + (size_t)k * width + w;
            TINI_OF(tini_store)(at, TINI_OF(tini_load)(at) + factors[k] * TINI_OF(tini_load)(vector + w));
        }
}

/* Fills what whole vectors hold around the columns begin .. end. */
TINI_INLINE void TINI_OF(tini_fill_around)(float *columns, uint32_t begin, uint32_t end, float value) {
    for (uint32_t c = begin / LANES * LANES; c < begin; c++)
        columns[c] = value;
    for (uint32_t c = end; c % LANES; c++)
        columns[c] = value;
}

/* The weights of the columns begin .. end that the query in the room gives; zero around them. */
TINI_INLINE void TINI_OF(tini_weigh)(const tini_packed_row *row, tini_attend_room *room, uint32_t begin,
                                     uint32_t end) {
    float *weights = room->weights;
    const uint32_t from = begin / LANES * LANES;
    TINI_OF(tini_combine)(weights, room->query, row->width, room->across, room->columns, begin, end);
    for (uint32_t c = begin; row->cap > 0.0f && c < end; c++)
        weights[c] = room->capped[c] = tini_soft_cap(weights[c], row->cap);
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

/* Weighs the columns that token i of the sequence sees under the query at `from`; returns them. */
TINI_INLINE tini_columns TINI_OF(tini_look)(const tini_packed_row *row, tini_attend_room *room,
                                            const float *from, uint32_t first, uint32_t i) {
    const tini_columns seen = tini_sees(row, room, first, i);
    for (uint32_t w = 0; w < row->width; w++)
        room->query[w] = from[w] * row->scale;
    TINI_OF(tini_weigh)(row, room, seen.begin, seen.end);
    return seen;
}

static void TINI_OF(tini_forward)(const tini_packed_row *row, const tini_packed_inputs *in, float *out,
                                  uint32_t sequence, tini_attend_room *room) {
    const uint32_t share = row->heads / row->groups, first = row->spans[2 * sequence];
    for (uint32_t head = 0; head < row->heads; head++) {
        if (head % share == 0)
            tini_gather(row, in, sequence, head / share, room, 0);
        for (uint32_t i = 0; i < room->length; i++) {
            size_t at = ((size_t)(first + i) * row->heads + head) * row->width;
            const tini_columns seen = TINI_OF(tini_look)(row, room, in->query + at, first, i);
            TINI_OF(tini_combine)(room->sum, room->weights + seen.begin, seen.end - seen.begin,
                                  room->values + (size_t)seen.begin * room->width, room->width, 0, row->width);
            memcpy(out + at, room->sum, row->width * sizeof(float));
        }
    }
}

/* From the gradient of a token's output in the room to that of its scores, in `slopes`. */
TINI_INLINE void TINI_OF(tini_slopes)(const tini_packed_row *row, tini_attend_room *room, uint32_t begin,
                                      uint32_t end) {
    float *slopes = room->slopes;
    const float *weights = room->weights;
    LANE products = {0};
    TINI_OF(tini_combine)(slopes, room->gradient, row->width, room->values_across, room->columns, begin, end);
    for (uint32_t c = begin / LANES * LANES; c < end; c += LANES)
        products += TINI_OF(tini_load)(weights + c) * TINI_OF(tini_load)(slopes + c);
    const float mean = TINI_OF(tini_total)(products);
    for (uint32_t c = begin / LANES * LANES; c < end; c += LANES)
        TINI_OF(tini_store)(slopes + c,
                            TINI_OF(tini_load)(weights + c) * (TINI_OF(tini_load)(slopes + c) - mean));
    for (uint32_t c = begin; row->cap > 0.0f && c < end; c++) {
        float tanh = room->capped[c] / row->cap;
        slopes[c] *= 1.0f - tanh * tanh;
    }
}

static void TINI_OF(tini_backward)(const tini_packed_row *row, const tini_packed_inputs *in,
                                   const float *gradient, const tini_packed_gradients *to, uint32_t sequence,
                                   tini_attend_room *room) {
    const uint32_t share = row->heads / row->groups, first = row->spans[2 * sequence];
    const size_t side = (size_t)room->columns * room->width * sizeof(float),
                 early = (size_t)row->shared * row->groups * row->width;
    for (uint32_t head = 0; head < row->heads; head++) {
        if (head % share == 0) {
            tini_gather(row, in, sequence, head / share, room, 1);
            memset(room->key_gradients, 0, side);
            memset(room->value_gradients, 0, side);
        }
        for (uint32_t i = 0; i < room->length; i++) {
            size_t at = ((size_t)(first + i) * row->heads + head) * row->width;
            const tini_columns seen = TINI_OF(tini_look)(row, room, in->query + at, first, i);
            const uint32_t begin = seen.begin, end = seen.end;
            memcpy(room->gradient, gradient + at, row->width * sizeof(float));
            TINI_OF(tini_slopes)(row, room, begin, end);
            TINI_OF(tini_combine)(room->sum, room->slopes + begin, end - begin,
                                  room->keys + (size_t)begin * room->width, room->width, 0, row->width);
            for (uint32_t w = 0; w < row->width; w++)
                to->query[at + w] = room->sum[w] * row->scale;
            TINI_OF(tini_add_outer)(room->key_gradients, room->slopes, room->query, room->width, begin, end);
            TINI_OF(tini_add_outer)(room->value_gradients, room->weights, room->gradient, room->width, begin,
                                    end);
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
