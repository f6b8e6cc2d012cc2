/* A session driver: plays a script of bytes, a move a byte or more, over the whole run-time interface of tin.h. The
 * fuzzers invent scripts; alloc_check.c and the sanitizer runs play made ones. All memory is taken before the first
 * move and given back after the last. */
#ifndef MOVES_H
#define MOVES_H

#include "../../kernels/include/tin.h"
#include "poison.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PLAYERS = 3, LIMITS = 2, TEXT = 96, MOST_TOKENS = 256, MESSAGES = 3, TOPS = 3, TILES = 3, ROWS = 8 };

/* A model that asks for more than this is not played: it is what the file asks for, but more than a test has. */
enum { MOVES_LIMIT = 1 << 26 };

typedef struct script {
    const uint8_t *data;
    size_t size;
} script;

/* The next byte; 0 past the end. */
static uint32_t next_byte(script *s) {
    if (!s->size)
        return 0;
    s->size--;
    return *s->data++;
}

static uint32_t next_word(script *s) {
    uint32_t low = next_byte(s);
    return low | next_byte(s) << 8;
}

static void *moves_aligned(size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, TIN_ALIGNMENT, size ? size : 1))
        abort();
    return memory;
}

/* Whether a program that is played may be a damaged one. */
static int moves_damaged;

static void *moves_block(size_t size) {
    void *block = moves_aligned(size);
    if (moves_damaged)
        TAKE_AS_WRITTEN(block, size);
    return block;
}

typedef struct table {
    const tin_model *model;
    tin_model_info info;
    tin_session *players[PLAYERS]; /* the last one only in the batch */
    tin_batch *batch;
    tin_constraint *limits[LIMITS]; /* NULL where the file has no constraint */
    void *blocks[PLAYERS + 1 + LIMITS];
    void *records[PLAYERS];
    size_t record_size[PLAYERS];
    uint8_t *saved; /* room for any player's state */
    size_t saved_size;
    float *rows;   /* [ROWS][dim], of every image; NULL where the model takes none */
    void *scratch; /* for tin_tokenize and tin_chat */
    size_t scratch_size;
    uint64_t now, tick; /* the clock, and how far it goes each time it is read */
    float touched;
} table;

static uint64_t table_clock(void *context) {
    table *t = context;
    t->now += t->tick;
    return t->now;
}

static inline void table_free(table *t) {
    for (uint32_t k = 0; k < PLAYERS + 1 + LIMITS; k++)
        free(t->blocks[k]);
    for (uint32_t k = 0; k < PLAYERS; k++)
        free(t->records[k]);
    free(t->saved);
    free(t->rows);
    free(t->scratch);
}

/* 0 when it asks for too much. */
static inline int create_limits(table *t, uint32_t kind) {
    const void *data;
    size_t length;
    if (tin_model_entry(t->model, "grammar/answer.bin", &data, &length))
        return 1;
    for (uint32_t k = 0; k < LIMITS; k++) {
        tin_constraint_options options = {.depth = kind & 1 ? 8 : 0, .masks = k ? 2 : 0};
        size_t size = tin_constraint_size(t->model, data, length, &options, NULL);
        if (size > MOVES_LIMIT)
            return 0;
        if (!size)
            continue;
        void *block = t->blocks[PLAYERS + 1 + k] = moves_aligned(size);
        if (tin_constraint_create(t->model, data, length, &options, block, size, &t->limits[k], NULL))
            t->limits[k] = NULL; /* a damaged one */
    }
    return 1;
}

/* Three sessions, a batch and two constraints of one model; `kind` picks their options. 0 when the model asks for too much. */
static inline int table_create(table *t, const tin_model *model, const tin_executor *executor, uint32_t kind) {
    memset(t, 0, sizeof *t);
    t->model = model;
    tin_model_describe(model, &t->info);
    uint32_t context = t->info.context < 160 ? t->info.context : 160;
    int has_vision = t->info.dim && (uint64_t)t->info.dim * context < MOVES_LIMIT / 16;
    if (has_vision) {
        t->rows = moves_aligned((size_t)ROWS * t->info.dim * sizeof(float));
        for (size_t k = 0; k < (size_t)ROWS * t->info.dim; k++)
            t->rows[k] = (float)(k * 7 % 13) - 6;
    }
    uint32_t kv_type = kind & 1 ? TIN_KV_Q8 : TIN_KV_F16, chunk = kind & 2 ? 5 : 16;
    for (uint32_t k = 0; k < PLAYERS; k++) {
        tin_session_options options = {.context = k == 1 ? (context + 1) / 2 : context,
                                       .chunk = k == 1 ? 3 : chunk,
                                       .logit_rows = k == 1 ? 1 : 4,
                                       .kv_type = kv_type,
                                       .batched = k + 1 == PLAYERS,
                                       .executor = k == 1 ? NULL : executor,
                                       .clock_ns = table_clock,
                                       .clock_context = t,
                                       .checkpoints = k,
                                       .tiles = has_vision ? TILES + 1 : 0,
                                       .image_rows = has_vision ? TILES * ROWS : 0};
        size_t size = tin_session_size(model, &options, NULL);
        if (!size || size > MOVES_LIMIT)
            return 0;
        t->blocks[k] = moves_block(size);
        t->saved_size = size > t->saved_size ? size : t->saved_size;
        if (tin_session_create(model, &options, t->blocks[k], size, &t->players[k], NULL))
            abort(); /* its size was told */
        t->record_size[k] = tin_session_record_size(t->players[k], TOPS, NULL);
        t->records[k] = moves_aligned(t->record_size[k]);
    }
    tin_batch_options options = {
        .rows = 9, .logit_rows = 4, .executor = executor, .clock_ns = table_clock, .clock_context = t};
    size_t size = tin_batch_size(model, &options, NULL);
    if (!size || size > MOVES_LIMIT)
        return 0;
    t->blocks[PLAYERS] = moves_block(size);
    if (tin_batch_create(model, &options, t->blocks[PLAYERS], size, &t->batch, NULL))
        abort();
    t->saved_size += 4096; /* headers, and whole groups of positions */
    t->saved = moves_aligned(t->saved_size);
    t->scratch_size = 1 << 16;
    t->scratch = moves_aligned(t->scratch_size);
    return create_limits(t, kind);
}

/* Reads what a session shows, and aborts where it shows what can't be. */
static void look_at(table *t, const tin_session *s) {
    uint32_t count, rows, first;
    const int32_t *tokens;
    if (tin_session_position(s, &count, &tokens) > count)
        abort();
    for (uint32_t k = 0; k < count; k++)
        if (tokens[k] != TIN_EMBEDDED && (tokens[k] < 0 || (uint32_t)tokens[k] >= t->info.vocab))
            abort();
    const float *logits = tin_session_logits(s, &rows, &first);
    for (size_t k = 0; logits && k < (size_t)rows * t->info.vocab; k++)
        t->touched += logits[k];
    tin_choice choice;
    if (tin_session_choice(s, &choice, NULL) == TIN_OK) {
        if (!choice.allowed || choice.allowed > t->info.vocab || choice.top_count > TOPS)
            abort();
        for (uint32_t k = 0; k < choice.top_count; k++)
            if (choice.tops[k].token < 0 || (uint32_t)choice.tops[k].token >= t->info.vocab)
                abort();
        t->touched += choice.logit;
    }
    /* With drafts, rows of tokens that are right but not yet announced are among them. */
    if (logits && (first > t->info.context || rows > t->info.context - first))
        abort();
}

/* Any id of the vocabulary, and now and then one just outside. */
static uint32_t next_tokens(const table *t, script *s, int32_t *tokens) {
    uint32_t count = next_byte(s) % 24;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t byte = next_byte(s);
        tokens[k] = byte == 255 ? (int32_t)t->info.vocab : (int32_t)(byte % t->info.vocab);
    }
    return count;
}

static tin_sampling next_sampling(script *s) {
    static const float temperatures[] = {0, 1, 0.5f, 1e-30f, 1e30f, -1};
    static const tin_bias biases[] = {
        {.token = 2, .value = -INFINITY}, {.token = 5, .value = 2.5f}, {.token = 2, .value = 1}};
    uint32_t bits = next_byte(s), more = next_byte(s);
    return (tin_sampling){.temperature = temperatures[bits % 6],
                          .top_k = bits >> 4,
                          .top_p = (float)(more % 9) / 8,
                          .min_p = (float)(more >> 4) / 16,
                          .repetition_penalty = (float)(more % 5) / 2,
                          .repeat_last = more % 7,
                          .seed = bits,
                          .measure = more & 1,
                          .presence_penalty = (float)(more % 3) - 1,
                          .frequency_penalty = (float)(bits % 5) / 4,
                          .answered = more % 11,
                          .bias_count = bits % 4,
                          .biases = biases};
}

static void move_text(table *t, script *s, tin_session *player) {
    char text[TEXT];
    int32_t tokens[MOST_TOKENS];
    size_t length = next_byte(s) % TEXT;
    uint32_t flags = next_byte(s) % 4;
    for (size_t k = 0; k < length; k++)
        text[k] = (char)next_byte(s);
    if (tin_tokenize_scratch(t->model, length) > t->scratch_size)
        return;
    int64_t count =
        tin_tokenize(t->model, text, length, flags, tokens, MOST_TOKENS, t->scratch, t->scratch_size);
    for (int64_t k = 0; k < count && k < MOST_TOKENS; k++)
        if (!tin_token_text(t->model, tokens[k], NULL, NULL))
            abort();
    if (count >= 0 && count <= MOST_TOKENS)
        tin_session_append(player, tokens, (uint32_t)count, NULL);
}

/* Images in the places of some tokens; how many. */
static uint32_t next_images(const table *t, script *s, int32_t *tokens, uint32_t count, tin_embedded *images) {
    uint32_t made = 0;
    for (uint32_t at = next_byte(s) % 8; t->rows && made < TILES && at < count; at += next_byte(s) % 8) {
        uint32_t shape = next_byte(s), columns = 1 + shape % 4, rows = columns * (1 + (shape >> 2) % 2);
        if (rows > count - at)
            break;
        images[made] = (tin_embedded){.at = at, .count = rows, .columns = columns};
        images[made].rows = shape & 128 ? NULL : t->rows;
        images[made++].digest[0] = shape >> 6 & 1;
        for (; rows; rows--)
            tokens[at++] = TIN_EMBEDDED;
    }
    return made;
}

static void move_images(const table *t, script *s, tin_session *player) {
    int32_t tokens[MOST_TOKENS];
    tin_embedded images[TILES] = {{0}};
    uint32_t count = next_tokens(t, s, tokens), made = next_images(t, s, tokens, count, images);
    uint32_t same = tin_session_shared(player, tokens, count, images, made);
    if (same > count)
        abort();
    if (next_byte(s) & 1)
        tin_session_replace_embedded(player, tokens, count, images, made, NULL);
    else
        tin_session_append_embedded(player, tokens, count, images, made, NULL);
    for (uint32_t k = 0; tin_session_embedded(player, k, images); k++)
        if (!images->rows || !images->count)
            abort();
}

static void move_chat(table *t, script *s, tin_session *player) {
    char text[MESSAGES][TEXT];
    tin_message messages[MESSAGES];
    int32_t tokens[MOST_TOKENS];
    uint32_t count = next_byte(s) % (MESSAGES + 1), flags = next_byte(s) % 3;
    for (uint32_t m = 0; m < count; m++) {
        size_t length = next_byte(s) % TEXT;
        messages[m] = (tin_message){.role = next_byte(s) % 4, .content = text[m], .length = length};
        for (size_t k = 0; k < length; k++)
            text[m][k] = (char)next_byte(s);
    }
    tin_error error;
    size_t needed = tin_chat_scratch(t->model, messages, count, &error);
    if (!needed || needed > t->scratch_size)
        return;
    int64_t made = tin_chat(t->model, messages, count, flags, tokens, MOST_TOKENS, t->scratch, needed, &error);
    for (int64_t k = 0; k < made && k < MOST_TOKENS; k++)
        if (!tin_token_text(t->model, tokens[k], NULL, NULL))
            abort();
    if (made >= 0 && made <= MOST_TOKENS)
        tin_session_replace(player, tokens, (uint32_t)made, NULL);
}

static void move_save(table *t, tin_session *from, tin_session *to) {
    size_t size = tin_session_save_size(from);
    if (size > t->saved_size)
        abort(); /* more than the session itself has */
    if (tin_session_save(from, t->saved, size, NULL) == TIN_OK)
        tin_session_restore(to, t->saved, size, NULL);
}

/* Until the generation ends, or nothing is left, or `most` slices. */
static void move_run(tin_session *player, uint64_t budget, uint32_t most) {
    while (most--) {
        int32_t event = tin_step(player, budget);
        if (event < 0 || event == TIN_STEP_IDLE || event == TIN_STEP_DONE)
            return;
        if (event == TIN_STEP_LOGITS && tin_session_sample(player, NULL) < 0)
            abort();
    }
}

static void move_generate(table *t, script *s, uint32_t who) {
    tin_session *player = t->players[who];
    tin_sampling sampling = next_sampling(s);
    uint32_t bits = next_byte(s);
    tin_session_record(player, bits % (TOPS + 1), bits & 8 ? t->records[who] : NULL, t->record_size[who], NULL);
    tin_session_generate(player, bits & 1 ? &sampling : NULL, bits >> 3, bits >> 1 & 3, NULL);
}

static void move_limit(table *t, script *s, tin_session *player) {
    uint32_t bits = next_byte(s);
    tin_constraint *limit = bits & 1 ? t->limits[bits >> 1 & 1] : NULL;
    tin_session_constrain(player, limit, NULL);
    if (bits & 4)
        tin_session_heal(player, NULL);
}

static void move_batch(table *t, script *s) {
    int32_t events[PLAYERS];
    uint32_t bits = next_byte(s);
    t->tick = bits & 2 ? 100 : 0;
    tin_batch_slice(t->batch, bits & 4 ? 1 + bits % 5 : 0);
    for (uint32_t k = 0; k < 1 + bits % 8; k++)
        if (tin_batch_step(t->batch, t->players + (bits >> 7), 2 + (bits >> 6 & (bits < 128)),
                           bits & 2 ? 250 : 0, events) < 0)
            break;
}

/* One move. 0 at the end of the script. */
static int play_move(table *t, script *s) {
    if (!s->size)
        return 0;
    int32_t tokens[24];
    uint32_t move = next_byte(s), who = move >> 5 & 3, count;
    tin_session *player = t->players[who % PLAYERS], *other = t->players[(who + 1 + (move >> 7)) % PLAYERS];
    tin_sampling sampling;
    switch (move % 21) {
    case 0:
        count = next_tokens(t, s, tokens);
        tin_session_append(player, tokens, count, NULL);
        break;
    case 1:
        move_images(t, s, player);
        break;
    case 2:
        t->tick = 100;
        move_run(player, 150, 1 + next_byte(s) % 16);
        break;
    case 3:
        move_run(player, 0, 1 + next_byte(s) % 4);
        break;
    case 4:
    case 5:
        move_generate(t, s, who % PLAYERS);
        break;
    case 6:
        move_run(player, 0, 40);
        break;
    case 7:
        tin_session_rewind(player, next_byte(s), NULL);
        break;
    case 8:
        count = next_byte(s);
        tin_session_shift(player, count, next_byte(s), NULL);
        break;
    case 9:
        count = next_byte(s);
        tin_session_copy(player, other, count == 255 ? UINT32_MAX : count, NULL);
        break;
    case 10:
        move_save(t, player, other);
        break;
    case 11:
        count = next_tokens(t, s, tokens);
        tin_session_replace(player, tokens, count, NULL);
        break;
    case 12:
        count = next_word(s);
        tin_session_want_logits(player, count > 999 ? UINT32_MAX : count, NULL);
        break;
    case 13:
        sampling = next_sampling(s);
        tin_session_sample(player, &sampling);
        break;
    case 14:
    case 15:
        move_batch(t, s);
        break;
    case 16:
        tin_batch_cancel(t->batch);
        break;
    case 17:
        move_text(t, s, player);
        break;
    case 18:
    case 19:
        move_limit(t, s, player);
        break;
    default:
        move_chat(t, s, player);
    }
    look_at(t, player);
    look_at(t, other);
    return 1;
}

static inline void play(table *t, const uint8_t *data, size_t size, uint32_t most_moves) {
    script s = {data, size};
    while (most_moves-- && play_move(t, &s))
        ;
}

#endif
