/* delta.c for one instruction set (each_set.h). */
#include "products_set.h"

/* out[i] += the sum over j <= i of pairs[i][j] * matrix[j], for tokens i from `from` to before `to`. */
TINI_INLINE void TINI_OF(tini_earlier)(float *out, const float *pairs, const float *matrix, uint32_t width,
                                       uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; i += 4) {
        const uint32_t rows = to - i < 4 ? to - i : 4;
        TINI_OF(tini_times)
        (out + (size_t)i * width, width, rows, width, pairs + (size_t)i * TINI_CHUNK, TINI_CHUNK, 1, i + rows,
         matrix, width);
    }
}

/* out[j] += the sum over i >= j of pairs[i][j] * matrix[i], i from `first` to before `to`, for tokens j from `from` to
 * before `end`. */
TINI_INLINE void TINI_OF(tini_later)(float *out, const float *pairs, const float *matrix, uint32_t width,
                                     uint32_t first, uint32_t to, uint32_t from, uint32_t end) {
    for (uint32_t j = from; j < end; j += 4) {
        const uint32_t rows = end - j < 4 ? end - j : 4, i = j > first ? j : first;
        TINI_OF(tini_times)
        (out + (size_t)j * width, width, rows, width, pairs + (size_t)i * TINI_CHUNK + j, 1, TINI_CHUNK, to - i,
         matrix + (size_t)i * width, width);
    }
}

TINI_INLINE void TINI_OF(tini_clear_rows)(float *out, uint32_t width, uint32_t from, uint32_t to) {
    memset(out + (size_t)from * width, 0, (size_t)(to - from) * width * sizeof(float));
}

/* out = factor * row. */
TINI_INLINE void TINI_OF(tini_scaled)(float *out, const float *row, float factor, uint32_t width) {
    for (uint32_t k = 0; k < width; k += LANES)
        TINI_OF(tini_store)(out + k, factor * TINI_OF(tini_load)(row + k));
}

/* out += factor * row. */
TINI_INLINE void TINI_OF(tini_add_scaled)(float *out, const float *row, float factor, uint32_t width) {
    for (uint32_t k = 0; k < width; k += LANES)
        TINI_OF(tini_store)(out + k, TINI_OF(tini_load)(out + k) + factor * TINI_OF(tini_load)(row + k));
}

TINI_INLINE float TINI_OF(tini_along)(const float *a, const float *b, size_t width) {
    LANE sum = {0};
    for (size_t k = 0; k < width; k += LANES)
        sum += TINI_OF(tini_load)(a + k) * TINI_OF(tini_load)(b + k);
    return TINI_OF(tini_total)(sum);
}

TINI_INLINE void TINI_OF(tini_transposed)(float *out, uint32_t out_row, const float *matrix, uint32_t rows,
                                          uint32_t width) {
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t k = 0; k < width; k++)
            out[(size_t)k * out_row + r] = matrix[(size_t)r * width + k];
}

/* Values of a matrix from `at` on to a row of whole vectors. */
TINI_INLINE void TINI_OF(tini_read_row)(float *out, const uint8_t *from, const int narrow, size_t at,
                                        uint32_t width) {
#define TINI_READ(k, room) TINI_OF(tini_store)(out + k, TINI_OF(tini_take)(from, narrow, at + k, room))
    if (narrow) {
        TINI_EACH(width, TINI_READ);
    } else {
        TINI_EACH(width, TINI_READ);
    }
#undef TINI_READ
}

/* And back; add: to what is there. */
TINI_INLINE void TINI_OF(tini_write_row)(uint8_t *to, const int narrow, size_t at, uint32_t width,
                                         const float *row, int add) {
#define TINI_WRITE(k, room) TINI_OF(tini_put)(to, narrow, at + k, room, TINI_OF(tini_load)(row + k))
#define TINI_ADD(k, room)                  \
    TINI_OF(tini_put)(to, 0, at + k, room, \
                      TINI_OF(tini_take)(to, 0, at + k, room) + TINI_OF(tini_load)(row + k))
    if (narrow) {
        TINI_EACH(width, TINI_WRITE);
    } else if (add) {
        TINI_EACH(width, TINI_ADD);
    } else {
        TINI_EACH(width, TINI_WRITE);
    }
#undef TINI_ADD
#undef TINI_WRITE
}

/* A key or query, its length brought to `length`; returns what it was multiplied by. */
TINI_INLINE float TINI_OF(tini_read_unit)(float *out, const tini_packed_delta *d, const uint8_t *mixed,
                                          size_t at, uint32_t width, float length) {
    TINI_OF(tini_read_row)(out, mixed, d->narrow, at, d->keys);
    const float scale = 1.0f / tini_sqrt(TINI_OF(tini_along)(out, out, width) + d->epsilon);
    TINI_OF(tini_scaled)(out, out, scale * length, width);
    return scale;
}

TINI_INLINE void TINI_OF(tini_read_tokens)(const tini_packed_delta *d, const tini_packed_delta_inputs *in,
                                           const tini_packed_delta_room *room,
                                           const tini_packed_delta_line *line,
                                           const tini_packed_delta_piece *piece) {
    const uint32_t c = piece->chunk, keys = room->keys;
    float *across = tini_part(room, TINI_ACROSS, c), *decay = tini_numbers(room, c, TINI_DECAY);
    for (uint32_t i = piece->from; i < piece->to; i++) {
        const size_t r = tini_packed_delta_row(line, piece, i), query = tini_query_at(d, line, r),
                     key = tini_key_at(d, line, r), value = tini_value_at(d, line, r);
        if (i + TINI_AHEAD < piece->to) {
            const size_t later = r + TINI_AHEAD;
            tini_expect(d, in->mixed, tini_query_at(d, line, later), d->keys);
            tini_expect(d, in->mixed, tini_key_at(d, line, later), d->keys);
            tini_expect(d, in->mixed, tini_value_at(d, line, later), d->values);
        }
        float *own = tini_part(room, TINI_KEYS, c) + (size_t)i * keys;
        tini_numbers(room, c, TINI_KEY_SCALE)[i] = TINI_OF(tini_read_unit)(own, d, in->mixed, key, keys, 1.0f);
        for (uint32_t k = 0; k < d->keys; k++)
            across[(size_t)k * TINI_CHUNK + i] = own[k];
        tini_numbers(room, c, TINI_QUERY_SCALE)[i] =
            TINI_OF(tini_read_unit)(tini_part(room, TINI_QUERIES, c) + (size_t)i * keys, d, in->mixed, query,
                                    keys, 1.0f / tini_sqrt((float)d->keys));
        TINI_OF(tini_read_row)
        (tini_part(room, TINI_RESIDUALS, c) + (size_t)i * room->values, in->mixed, d->narrow, value, d->values);
        decay[i] = (i ? decay[i - 1] : 0.0f) + in->rates[r * d->heads + line->head];
        tini_numbers(room, c, TINI_LEFT)[i] = tini_exp(decay[i]);
        tini_numbers(room, c, TINI_STEP)[i] = in->steps[r * d->heads + line->head];
    }
}

/* Multiplies pairs' products by what is left between their tokens, and clears those of later tokens; strict: and of the
 * same one. */
TINI_INLINE void TINI_OF(tini_decayed)(float *pairs, const float *decays, float factor, uint32_t i,
                                       int strict) {
    for (uint32_t j = 0; j <= i; j += LANES)
        TINI_OF(tini_store)
    (pairs + j, TINI_OF(tini_load)(pairs + j) * (factor * TINI_OF(tini_load)(decays + j)));
    for (uint32_t j = strict ? i : i + 1; j < TINI_CHUNK; j++)
        pairs[j] = 0.0f;
}

/* What queries see of keys, and keys of keys. */
TINI_INLINE void TINI_OF(tini_compare)(const tini_packed_delta *d, const tini_packed_delta_room *room,
                                       const tini_packed_delta_piece *piece) {
    const uint32_t c = piece->chunk, from = piece->from, rows = piece->to - from, keys = room->keys,
                   width = (piece->to + LANES - 1) / LANES * LANES;
    float *decays = tini_part(room, TINI_DECAYS, c), *scores = tini_part(room, TINI_SCORES, c),
          *overlaps = tini_part(room, TINI_OVERLAPS, c);
    const float *across = tini_part(room, TINI_ACROSS, c), *decay = tini_numbers(room, c, TINI_DECAY);
    const LANE lowest = (LANE){0} - 87.0f;
    TINI_OF(tini_clear_rows)(scores, TINI_CHUNK, from, piece->to);
    TINI_OF(tini_clear_rows)(overlaps, TINI_CHUNK, from, piece->to);
    TINI_OF(tini_times)
    (scores + (size_t)from * TINI_CHUNK, TINI_CHUNK, rows, width,
     tini_part(room, TINI_QUERIES, c) + (size_t)from * keys, keys, 1, d->keys, across, TINI_CHUNK);
    TINI_OF(tini_times)
    (overlaps + (size_t)from * TINI_CHUNK, TINI_CHUNK, rows, width,
     tini_part(room, TINI_KEYS, c) + (size_t)from * keys, keys, 1, d->keys, across, TINI_CHUNK);
    for (uint32_t i = from; i < piece->to; i++) {
        float *row = decays + (size_t)i * TINI_CHUNK;
        for (uint32_t j = 0; j <= i; j += LANES)
            TINI_OF(tini_store)
        (row + j,
         TINI_OF(tini_exponent)(TINI_OF(tini_greater)(decay[i] - TINI_OF(tini_load)(decay + j), lowest)));
        TINI_OF(tini_decayed)(scores + (size_t)i * TINI_CHUNK, row, 1.0f, i, 0);
        TINI_OF(tini_decayed)(overlaps + (size_t)i * TINI_CHUNK, row, -1.0f, i, 1);
    }
}

/* What each token writes: its value less what the state and the chunk's earlier tokens have of it. */
TINI_INLINE void TINI_OF(tini_solve)(const tini_packed_delta *d, const tini_packed_delta_room *room,
                                     const tini_packed_delta_piece *piece) {
    const uint32_t c = piece->chunk, keys = room->keys, values = room->values, from = piece->from;
    float *residuals = tini_part(room, TINI_RESIDUALS, c), *writes = tini_part(room, TINI_WRITES, c),
          *known = tini_part(room, TINI_OUT, 0);
    const float *overlaps = tini_part(room, TINI_OVERLAPS, c), *left = tini_numbers(room, c, TINI_LEFT),
                *step = tini_numbers(room, c, TINI_STEP);
    if (c) {
        TINI_OF(tini_clear_rows)(known, values, from, piece->to);
        TINI_OF(tini_times)
        (known + (size_t)from * values, values, piece->to - from, values,
         tini_part(room, TINI_KEYS, c) + (size_t)from * keys, keys, 1, d->keys, tini_part(room, TINI_STATE, c),
         values);
    }
    for (uint32_t i = from; i < piece->to; i += 4) {
        const uint32_t end = piece->to - i < 4 ? piece->to : i + 4;
        for (uint32_t token = i; c && token < end; token++)
            TINI_OF(tini_add_scaled)
        (residuals + (size_t)token * values, known + (size_t)token * values, -left[token], values);
        TINI_OF(tini_times)
        (residuals + (size_t)i * values, values, end - i, values, overlaps + (size_t)i * TINI_CHUNK, TINI_CHUNK,
         1, i, writes, values);
        for (uint32_t token = i; token < end; token++) {
            float *lack = residuals + (size_t)token * values;
            for (uint32_t other = i; other < token; other++)
                TINI_OF(tini_add_scaled)
            (lack, writes + (size_t)other * values, overlaps[(size_t)token * TINI_CHUNK + other], values);
            TINI_OF(tini_scaled)(writes + (size_t)token * values, lack, step[token], values);
        }
    }
}

/* Rows of what each of a chunk's tokens up to `to` writes, times what is left of it after the last of them. */
TINI_INLINE float *TINI_OF(tini_kept)(const tini_packed_delta_room *room, uint32_t c, uint32_t to) {
    const float *decay = tini_numbers(room, c, TINI_DECAY), *writes = tini_part(room, TINI_WRITES, c);
    float *kept = tini_part(room, TINI_MORE, 0);
    for (size_t i = 0; i < to; i++)
        TINI_OF(tini_scaled)
    (kept + i * room->values, writes + i * room->values, tini_exp(decay[to - 1] - decay[i]), room->values);
    return kept;
}

static void TINI_OF(tini_packed_delta)(const tini_packed_delta *d, const tini_packed_delta_inputs *in,
                                       const tini_packed_delta_room *room, const tini_packed_delta_line *line,
                                       const tini_packed_delta_piece *piece, uint8_t *out) {
    const uint32_t c = piece->chunk, keys = room->keys, values = room->values, from = piece->from,
                   to = piece->to;
    const float *left = tini_numbers(room, c, TINI_LEFT);
    float *rows = tini_part(room, TINI_OUT, 0);
    TINI_OF(tini_read_tokens)(d, in, room, line, piece);
    TINI_OF(tini_compare)(d, room, piece);
    TINI_OF(tini_solve)(d, room, piece);
    if (out) {
        TINI_OF(tini_clear_rows)(rows, values, from, to);
        if (c)
            TINI_OF(tini_times)
        (rows + (size_t)from * values, values, to - from, values,
         tini_part(room, TINI_QUERIES, c) + (size_t)from * keys, keys, 1, d->keys,
         tini_part(room, TINI_STATE, c), values);
        for (size_t i = from; c && i < to; i++)
            TINI_OF(tini_scaled)(rows + i * values, rows + i * values, left[i], values);
        TINI_OF(tini_earlier)
        (rows, tini_part(room, TINI_SCORES, c), tini_part(room, TINI_WRITES, c), values, from, to);
        for (uint32_t i = from; i < to; i++)
            TINI_OF(tini_write_row)
        (out, d->narrow, (tini_packed_delta_row(line, piece, i) * d->heads + line->head) * d->values, d->values,
         rows + (size_t)i * values, 0);
    }
    if (piece->has_next) {
        float *next = tini_part(room, TINI_STATE, c + 1);
        if (c)
            TINI_OF(tini_scaled)
        (next, tini_part(room, TINI_STATE, c), left[to - 1], keys * values);
        else tini_clear(room, TINI_STATE, 1, 0);
        TINI_OF(tini_times)
        (next, values, d->keys, values, tini_part(room, TINI_KEYS, c), 1, keys, to,
         TINI_OF(tini_kept)(room, c, to), values);
    }
}

/* From the gradients of the state after the chunk. */
TINI_INLINE void TINI_OF(tini_state_back)(const tini_packed_delta *d, const tini_packed_delta_room *room,
                                          uint32_t c, uint32_t to) {
    const uint32_t keys = room->keys, values = room->values;
    const float *after = tini_part(room, TINI_TO_STATE, c + 1), *decay = tini_numbers(room, c, TINI_DECAY);
    float *read = tini_part(room, TINI_OUT, 0), *across = tini_part(room, TINI_STATE_ACROSS, 0);
    TINI_OF(tini_clear_rows)(read, values, 0, to);
    TINI_OF(tini_times)
    (read, values, to, values, tini_part(room, TINI_KEYS, c), keys, 1, d->keys, after, values);
    for (size_t i = 0; i < to; i++)
        TINI_OF(tini_add_scaled)
    (tini_part(room, TINI_TO_WRITES, c) + i * values, read + i * values, tini_exp(decay[to - 1] - decay[i]),
     values);
    TINI_OF(tini_transposed)(across, keys, after, d->keys, values);
    TINI_OF(tini_times)
    (tini_part(room, TINI_TO_KEYS, c), keys, to, keys, TINI_OF(tini_kept)(room, c, to), values, 1, d->values,
     across, keys);
    tini_numbers(room, c, TINI_TO_DECAY)[to - 1] +=
        TINI_OF(tini_along)(after, tini_part(room, TINI_STATE, c + 1), (size_t)keys * values);
    if (c)
        TINI_OF(tini_add_scaled)
    (tini_part(room, TINI_TO_STATE, c), after, tini_numbers(room, c, TINI_LEFT)[to - 1], keys * values);
}

/* From the gradients of what tokens write to those of what they lack, and of what earlier ones write. */
TINI_INLINE void TINI_OF(tini_solve_back)(const tini_packed_delta_room *room,
                                          const tini_packed_delta_piece *piece) {
    const uint32_t c = piece->chunk, values = room->values, from = piece->from, to = piece->to;
    float *to_writes = tini_part(room, TINI_TO_WRITES, c), *to_lacks = tini_part(room, TINI_TO_RESIDUALS, 0);
    const float *overlaps = tini_part(room, TINI_OVERLAPS, c), *step = tini_numbers(room, c, TINI_STEP);
    for (uint32_t end = to, begin; end > from; end = begin) {
        begin = end - from < 4 ? from : end - 4;
        TINI_OF(tini_times)
        (to_writes + (size_t)begin * values, values, end - begin, values,
         overlaps + (size_t)end * TINI_CHUNK + begin, 1, TINI_CHUNK, to - end, to_lacks + (size_t)end * values,
         values);
        for (uint32_t token = end; token-- > begin;) {
            float *own = to_writes + (size_t)token * values;
            for (uint32_t later = token + 1; later < end; later++)
                TINI_OF(tini_add_scaled)
            (own, to_lacks + (size_t)later * values, overlaps[(size_t)later * TINI_CHUNK + token], values);
            TINI_OF(tini_scaled)(to_lacks + (size_t)token * values, own, step[token], values);
        }
    }
    TINI_OF(tini_later)(to_writes, overlaps, to_lacks, values, from, to, 0, from);
}

/* From the gradients of outputs and lacks to those of keys, queries and the state before the chunk. */
TINI_INLINE void TINI_OF(tini_compare_back)(const tini_packed_delta *d, const tini_packed_delta_room *room,
                                            const tini_packed_delta_piece *piece) {
    const uint32_t c = piece->chunk, from = piece->from, to = piece->to, rows = to - from, keys = room->keys,
                   values = room->values, width = (to + LANES - 1) / LANES * LANES;
    const size_t pair = (size_t)from * TINI_CHUNK, key = (size_t)from * keys, value = (size_t)from * values;
    float *scores = tini_part(room, TINI_TO_SCORES, 0), *overlaps = tini_part(room, TINI_TO_OVERLAPS, 0),
          *across = tini_part(room, TINI_WRITES_ACROSS, 0), *slopes = tini_part(room, TINI_SLOPES, 0),
          *residuals = tini_part(room, TINI_TO_RESIDUALS, 0), *to_queries = tini_part(room, TINI_TO_QUERIES, 0),
          *to_reads = tini_part(room, TINI_TO_READS, 0), *to_keys = tini_part(room, TINI_TO_KEYS, c);
    const float *own = tini_part(room, TINI_KEYS, c), *queries = tini_part(room, TINI_QUERIES, c),
                *left = tini_numbers(room, c, TINI_LEFT);
    TINI_OF(tini_transposed)(across, TINI_CHUNK, tini_part(room, TINI_WRITES, c), to, values);
    TINI_OF(tini_clear_rows)(scores, TINI_CHUNK, from, to);
    TINI_OF(tini_clear_rows)(overlaps, TINI_CHUNK, from, to);
    TINI_OF(tini_times)
    (scores + pair, TINI_CHUNK, rows, width, slopes + value, values, 1, d->values, across, TINI_CHUNK);
    TINI_OF(tini_times)
    (overlaps + pair, TINI_CHUNK, rows, width, residuals + value, values, 1, d->values, across, TINI_CHUNK);
    for (uint32_t i = from; i < to; i++) {
        const float *decays = tini_part(room, TINI_DECAYS, c) + (size_t)i * TINI_CHUNK;
        TINI_OF(tini_decayed)(scores + (size_t)i * TINI_CHUNK, decays, 1.0f, i, 0);
        TINI_OF(tini_decayed)(overlaps + (size_t)i * TINI_CHUNK, decays, -1.0f, i, 1);
    }
    TINI_OF(tini_clear_rows)(to_queries, keys, from, to);
    TINI_OF(tini_clear_rows)(to_reads, keys, from, to);
    TINI_OF(tini_earlier)(to_queries, scores, own, keys, from, to);
    TINI_OF(tini_earlier)(to_reads, overlaps, own, keys, from, to);
    TINI_OF(tini_later)(to_keys, scores, queries, keys, from, to, 0, to);
    TINI_OF(tini_later)(to_keys, overlaps, own, keys, from, to, 0, to);
    if (!c)
        return;
    const float *state = tini_part(room, TINI_STATE, c);
    float *state_across = tini_part(room, TINI_STATE_ACROSS, 0), *to_state = tini_part(room, TINI_TO_STATE, c);
    for (size_t i = from; i < to; i++) {
        TINI_OF(tini_scaled)(slopes + i * values, slopes + i * values, left[i], values);
        TINI_OF(tini_scaled)(residuals + i * values, residuals + i * values, -left[i], values);
    }
    TINI_OF(tini_transposed)(state_across, keys, state, d->keys, values);
    TINI_OF(tini_times)
    (to_queries + key, keys, rows, keys, slopes + value, values, 1, d->values, state_across, keys);
    TINI_OF(tini_times)
    (to_reads + key, keys, rows, keys, residuals + value, values, 1, d->values, state_across, keys);
    TINI_OF(tini_times)
    (to_state, values, d->keys, values, queries + key, 1, keys, rows, slopes + value, values);
    TINI_OF(tini_times)
    (to_state, values, d->keys, values, own + key, 1, keys, rows, residuals + value, values);
}

/* Writes the gradients of rates and of what keys and queries were before their lengths. A token's decay stands with its
 * query and with its key where that is looked up, and against it where it is written. */
TINI_INLINE void TINI_OF(tini_tokens_back)(const tini_packed_delta *d, const tini_packed_delta_room *room,
                                           const tini_packed_delta_line *line,
                                           const tini_packed_delta_piece *piece,
                                           const tini_packed_delta_gradients *to) {
    const int narrow = d->narrow && d->heads == d->groups, add = line->head % (d->heads / d->groups) != 0;
    const uint32_t c = piece->chunk, keys = room->keys;
    const float length = 1.0f / tini_sqrt((float)d->keys);
    float *to_decay = tini_numbers(room, c, TINI_TO_DECAY), rate = 0.0f;
    for (uint32_t i = piece->to; i-- > piece->from;) {
        const size_t r = tini_packed_delta_row(line, piece, i), at = (size_t)i * keys;
        const float *key = tini_part(room, TINI_KEYS, c) + at, *query = tini_part(room, TINI_QUERIES, c) + at;
        float *to_key = tini_part(room, TINI_TO_KEYS, c) + at,
              *to_read = tini_part(room, TINI_TO_READS, 0) + at,
              *to_query = tini_part(room, TINI_TO_QUERIES, 0) + at;
        const float asked = TINI_OF(tini_along)(query, to_query, keys),
                    read = TINI_OF(tini_along)(key, to_read, keys),
                    written = TINI_OF(tini_along)(key, to_key, keys),
                    key_scale = tini_numbers(room, c, TINI_KEY_SCALE)[i],
                    query_scale = tini_numbers(room, c, TINI_QUERY_SCALE)[i];
        rate += to_decay[i] + asked + read - written;
        to->rates[r * d->heads + line->head] = rate;
        TINI_OF(tini_add_scaled)(to_key, to_read, 1.0f, keys);
        TINI_OF(tini_add_scaled)(to_key, key, -(read + written), keys);
        TINI_OF(tini_scaled)(to_key, to_key, key_scale, keys);
        TINI_OF(tini_write_row)(to->mixed, narrow, tini_key_at(d, line, r), d->keys, to_key, add);
        TINI_OF(tini_scaled)(to_query, to_query, length, keys);
        TINI_OF(tini_add_scaled)(to_query, query, -asked / length, keys);
        TINI_OF(tini_scaled)(to_query, to_query, query_scale, keys);
        TINI_OF(tini_write_row)(to->mixed, narrow, tini_query_at(d, line, r), d->keys, to_query, add);
    }
    if (piece->from)
        to_decay[piece->from - 1] += rate;
}

static void TINI_OF(tini_packed_delta_back)(const tini_packed_delta *d, const tini_packed_delta_room *room,
                                            const tini_packed_delta_line *line,
                                            const tini_packed_delta_piece *piece, const uint8_t *gradient,
                                            const tini_packed_delta_gradients *to) {
    const uint32_t c = piece->chunk, values = room->values, from = piece->from;
    float *slopes = tini_part(room, TINI_SLOPES, 0), *to_writes = tini_part(room, TINI_TO_WRITES, c);
    for (uint32_t i = from; i < piece->to; i++)
        TINI_OF(tini_read_row)
    (slopes + (size_t)i * values, gradient, d->narrow,
     (tini_packed_delta_row(line, piece, i) * d->heads + line->head) * d->values, d->values);
    TINI_OF(tini_later)
    (to_writes, tini_part(room, TINI_SCORES, c), slopes, values, from, piece->to, 0, piece->to);
    if (piece->has_next)
        TINI_OF(tini_state_back)(d, room, c, piece->to);
    TINI_OF(tini_solve_back)(room, piece);
    for (uint32_t i = from; i < piece->to; i++) {
        const size_t r = tini_packed_delta_row(line, piece, i);
        to->steps[r * d->heads + line->head] = TINI_OF(tini_along)(
            to_writes + (size_t)i * values, tini_part(room, TINI_RESIDUALS, c) + (size_t)i * values, values);
        TINI_OF(tini_write_row)
        (to->mixed, d->narrow && d->heads == d->groups, tini_value_at(d, line, r), d->values,
         tini_part(room, TINI_TO_RESIDUALS, 0) + (size_t)i * values, 0);
    }
    TINI_OF(tini_compare_back)(d, room, piece);
    TINI_OF(tini_tokens_back)(d, room, line, piece, to);
}
