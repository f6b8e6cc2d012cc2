/* Generations near the end of the context, with all that a session can do there:
 *
 *   room_check FILE.tin SEED COUNT
 *
 * At each room from 30 tokens to none, COUNT generations of features drawn by chance: a search, a plain constraint or none, a
 * healed prompt, drafts, rows of an image, adapters, a prefix, a batch, a copy or a saved session, small max_tokens, and calls
 * that are refused in the middle. Each must give the tokens and the finish of a plain session, and stay within the context.
 * What lies between the parts of a session's block is fenced: poisoned for the address sanitizer, filled and read again
 * without it. Prints how many generations there were, and how many ended at the context's end. */
#include "core/session/speculate.h"
#include "core/session/sampler.h"
#include "core/session/search.h"
#include "core/session/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#include <sanitizer/asan_interface.h>
#endif
#endif

enum { CONTEXT = 101, MOST = 30, IMAGE = 4, RANK = 96, ADAPTERS = 2, PLAYERS = 3, FENCES = 16 };

typedef struct fence {
    uint8_t *begin;
    size_t size;
} fence;

typedef struct player {
    tin_session *s;
    void *memory, *constraint;
    fence fences[FENCES];
    uint32_t fence_count;
} player;

typedef struct features {
    uint32_t constraint; /* 0: none; 1: a search; 2: choices */
    uint32_t heal, lookup, image, adapters, prefix, batched, handed, refused, most, sampled;
} features;

typedef struct answer {
    int32_t tokens[CONTEXT];
    uint32_t count;
    int32_t finish;
} answer;

static tin_model *model;
static tin_model_info info;
static tin_adapter *adapters[ADAPTERS], *prefix;
static uint32_t chance;

static uint32_t below(uint32_t n) {
    chance ^= chance << 13;
    chance ^= chance >> 17;
    chance ^= chance << 5;
    return (chance >> 8) % n;
}

static void check(int good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "room_check: %s\n", what);
    exit(1);
}

static void *aligned(size_t size) {
    void *memory = NULL;
    check(!posix_memalign(&memory, TIN_ALIGNMENT, size ? size : 1), "no memory");
    memset(memory, 0, size);
    return memory;
}

/* What follows a part up to the next one. */
static void add_fence(player *p, const void *part, uint64_t bytes) {
    if (!part)
        return;
    uint8_t *begin = (uint8_t *)(uintptr_t)part + bytes;
    size_t size = (TIN_ALIGNMENT - (uintptr_t)begin % TIN_ALIGNMENT) % TIN_ALIGNMENT;
    if (!size)
        return;
    check(p->fence_count < FENCES, "too many fences");
    p->fences[p->fence_count++] = (fence){begin, size};
#ifdef POISONS
    ASAN_POISON_MEMORY_REGION(begin, size);
#else
    memset(begin, 0xA5, size);
#endif
}

static void check_fences(const player *p) {
#ifndef POISONS
    for (uint32_t k = 0; k < p->fence_count; k++)
        for (size_t at = 0; at < p->fences[k].size; at++)
            check(p->fences[k].begin[at] == 0xA5, "a fence was written over");
#else
    (void)p;
#endif
}

static player make(uint32_t logit_rows, uint32_t chunk, int batched) {
    player p = {0};
    tin_session_options options = {.context = CONTEXT,
                                   .chunk = chunk,
                                   .logit_rows = logit_rows,
                                   .batched = batched,
                                   .checkpoints = 1,
                                   .adapter_rank = RANK,
                                   .searches = 1};
    if (tini_input_width(&model->program)) {
        options.tiles = 1;
        options.image_rows = IMAGE + 1;
    }
    size_t size = tin_session_size(model, &options, NULL);
    p.memory = aligned(size);
    check(!tin_session_create(model, &options, p.memory, size, &p.s, NULL), "no session");
    const tin_session *s = p.s;
    const tini_input *input = &s->input;
    add_fence(&p, s, sizeof *s);
    add_fence(&p, s->caches.offsets, model->program.header->caches * sizeof(uint64_t));
    add_fence(&p, s->states.bytes ? s->states.at : NULL, s->states.slots * sizeof(uint32_t));
    add_fence(&p, input->tokens, CONTEXT * sizeof(int32_t));
    add_fence(&p, input->most_spans ? input->spans : NULL, input->most_spans * sizeof(tini_span));
    add_fence(&p, input->most_rows ? input->rows : NULL,
              (uint64_t)input->most_rows * input->width * sizeof(float));
    add_fence(&p, s->scratch, tini_sample_scratch(info.vocab));
    add_fence(&p, s->search, sizeof *s->search);
    return p;
}

static void release(player *p) {
    tin_session_constrain(p->s, NULL, NULL);
#ifdef POISONS
    for (uint32_t k = 0; k < p->fence_count; k++)
        ASAN_UNPOISON_MEMORY_REGION(p->fences[k].begin, p->fences[k].size);
#endif
    free(p->memory);
    free(p->constraint);
}

static void constrain(player *p, uint32_t which) {
    static const char *const names[] = {"grammar/search.bin", "grammar/choices.bin"};
    const void *data;
    size_t size;
    tin_constraint *constraint;
    if (!which)
        return;
    check(!tin_model_entry(model, names[which - 1], &data, &size), "no constraint");
    size_t needed = tin_constraint_size(model, data, size, NULL, NULL);
    p->constraint = aligned(needed);
    check(!tin_constraint_create(model, data, size, NULL, p->constraint, needed, &constraint, NULL),
          "the constraint");
    check(!tin_session_constrain(p->s, constraint, NULL), "the constraint is refused");
}

/* Gives the session its adapters, its prompt, with `room` tokens left behind it, and begins. */
static void begin(player *p, const features *f, uint32_t room, uint32_t lookup) {
    int32_t tokens[CONTEXT];
    float rows[IMAGE * 4096];
    for (uint32_t k = 0; k < f->adapters; k++)
        check(!tin_session_adapter(p->s, adapters[k], 1.0f, 0, NULL), "an adapter");
    if (f->prefix)
        check(!tin_session_adapter(p->s, prefix, 1.0f, 0, NULL), "the prefix");
    uint32_t count = tini_session_room(p->s, 0) - room;
    for (uint32_t k = 0; k < count; k++)
        tokens[k] = (int32_t)((k * 7 + room * 13 + k % 11 * 5) % (info.vocab - 3) + 3);
    tin_embedded image = {.at = 2, .count = IMAGE, .columns = 2, .rows = rows};
    if (f->image)
        for (uint32_t k = 0; k < IMAGE; k++)
            tokens[image.at + k] = TIN_EMBEDDED;
    for (uint32_t k = 0; k < IMAGE * info.dim; k++)
        rows[k] = (float)(k % 17) / 8 - 1;
    check(!tin_session_append_embedded(p->s, tokens, count, &image, f->image, NULL), "the prompt");
    check(tin_session_append(p->s, tokens + IMAGE + 2, room + 1, NULL) == TIN_ERR_CONTEXT, "too much fits");
    constrain(p, f->constraint);
    if (f->heal)
        check(!tin_session_heal(p->s, NULL), "healing");
    tin_sampling drawn = {.temperature = 1.5f, .top_p = 1, .repetition_penalty = 1, .seed = room};
    check(!tin_session_generate(p->s, f->sampled ? &drawn : NULL, f->most, lookup, NULL), "generating");
}

/* Calls that can't be done change nothing. */
static void refuse(player *p, player *other) {
    uint32_t count;
    const int32_t *tokens;
    int32_t wrong = (int32_t)info.vocab;
    tin_sampling sampling = {.temperature = -1};
    tin_session_position(p->s, &count, &tokens);
    check(tin_session_append(p->s, tokens, CONTEXT, NULL) == TIN_ERR_CONTEXT, "append");
    check(tin_session_append(p->s, &wrong, 1, NULL) != TIN_OK, "append of no token");
    check(tin_session_replace(p->s, &wrong, 1, NULL) == TIN_ERR_ARGUMENT, "replace");
    check(tin_session_rewind(p->s, count + 1, NULL) == TIN_ERR_ARGUMENT, "rewind");
    check(tin_session_shift(p->s, count, 1, NULL) == TIN_ERR_ARGUMENT, "shift");
    check(tin_session_generate(p->s, NULL, 0, 0, NULL) == TIN_ERR_ARGUMENT, "generate");
    check(tin_session_generate(p->s, &sampling, 3, 0, NULL) == TIN_ERR_ARGUMENT, "sampling");
    check(tin_session_restore(p->s, "TINSTATE", 8, NULL) == TIN_ERR_FORMAT, "restore");
    check(tin_session_copy(p->s, other->s, CONTEXT + 1, NULL) != TIN_OK, "copy");
}

static int32_t step(player *p, tin_batch *batch, player *other) {
    if (!batch)
        return tin_step(p->s, 0);
    tin_session *sessions[] = {p->s, other->s};
    int32_t events[2];
    do
        check(tin_batch_step(batch, sessions, 2, 0, events) >= 0, "a batch's step");
    while (events[0] == TIN_STEP_PENDING);
    return events[0];
}

/* The rest of the answer. */
static void finish(player *p, answer *a, const features *f, tin_batch *batch, player *other) {
    int32_t event;
    while ((event = step(p, batch, other)) == TIN_STEP_TOKEN) {
        a->tokens[a->count++] = tin_session_token(p->s);
        uint32_t count;
        tin_session_position(p->s, &count, NULL);
        check(count <= tini_session_room(p->s, 0), "past the context");
        check(a->count <= f->most, "past max_tokens");
        check_fences(p);
        if (f->refused && a->count % 3 == 1)
            refuse(p, other);
    }
    check(event == TIN_STEP_DONE, "a step's event");
    a->finish = tin_session_finish(p->s);
    check_fences(p);
}

/* The session's tokens in another one, by a copy or by bytes, whose answer to them begins anew. */
static void hand_over(player *from, player *to, const features *f) {
    answer other = {0};
    for (uint32_t k = 0; k < f->adapters; k++)
        check(!tin_session_adapter(to->s, adapters[k], 1.0f, 0, NULL), "an adapter");
    if (f->prefix)
        check(!tin_session_adapter(to->s, prefix, 1.0f, 0, NULL), "the prefix");
    size_t size = tin_session_save_size(from->s);
    void *saved = aligned(size);
    tin_status status = f->handed == 1 ? tin_session_copy(to->s, from->s, UINT32_MAX, NULL)
                                       : tin_session_save(from->s, saved, size, NULL);
    if (!status && f->handed > 1)
        status = tin_session_restore(to->s, saved, size, NULL);
    free(saved);
    if (status) { /* a window, or a batch's pass */
        check(status == TIN_ERR_STATE, "handing over");
        return;
    }
    constrain(to, f->constraint);
    check(!tin_session_generate(to->s, NULL, MOST, 4, NULL), "generating again");
    features plain = {.most = MOST};
    finish(to, &other, &plain, NULL, from);
}

/* 1: it ended at the context's end. */
static int play(uint32_t room) {
    features f = {.constraint = below(3),
                  .lookup = below(2) * 5,
                  .image = info.dim && tini_input_width(&model->program) ? below(2) : 0,
                  .adapters = below(ADAPTERS + 1),
                  .prefix = below(3) == 0,
                  .batched = below(2),
                  .handed = below(3),
                  .refused = below(2),
                  .most = below(2) ? 200 : 1 + below(MOST),
                  .sampled = below(4) == 0};
    f.heal = f.constraint && below(3) == 0;
    player p = make(6, 6 + below(20), (int)f.batched), plain = make(1, 32, 0), other = make(2, 8, 0);
    answer given = {0}, wanted = {0};
    begin(&plain, &f, room, 0);
    features quiet = {.most = f.most};
    finish(&plain, &wanted, &quiet, NULL, NULL);
    begin(&p, &f, room, f.lookup);
    tin_batch *batch = NULL;
    void *memory = NULL;
    if (f.batched) {
        tin_batch_options options = {.rows = 9, .logit_rows = 7, .adapter_rank = RANK};
        size_t size = tin_batch_size(model, &options, NULL);
        memory = aligned(size);
        check(!tin_batch_create(model, &options, memory, size, &batch, NULL), "no batch");
        features beside = {.most = 5};
        begin(&other, &beside, 20, 0);
    }
    finish(&p, &given, &f, batch, &other);
    check(given.count == wanted.count && given.finish == wanted.finish &&
              !memcmp(given.tokens, wanted.tokens, given.count * sizeof *given.tokens),
          "another answer than a plain session's");
    if (batch)
        tin_batch_cancel(batch);
    if (f.handed && !batch)
        hand_over(&p, &other, &f);
    release(&p);
    release(&plain);
    release(&other);
    free(memory);
    return given.finish == TIN_FINISH_CONTEXT;
}

static tin_adapter *open_adapter(const char *name) {
    const void *data;
    size_t size;
    tin_adapter *adapter = NULL;
    check(!tin_model_entry(model, name, &data, &size), name);
    size_t needed = tin_adapter_size(model, data, size, NULL);
    check(needed && !tin_adapter_open(model, data, size, aligned(needed), needed, &adapter, NULL), name);
    return adapter;
}

int main(int count, char **words) {
    check(count == 4, "room_check FILE.tin SEED COUNT");
    FILE *file = fopen(words[1], "rb");
    check(file && !fseek(file, 0, SEEK_END), "no file");
    size_t size = (size_t)ftell(file);
    rewind(file);
    void *data = aligned(size);
    check(fread(data, 1, size, file) == size, "the file is not read");
    fclose(file);
    size_t needed = tin_model_size(data, size, NULL);
    check(!tin_model_create(data, size, NULL, aligned(needed), needed, &model, NULL), "no model");
    tin_model_describe(model, &info);
    adapters[0] = open_adapter("adapter/a.bin");
    adapters[1] = open_adapter("adapter/b.bin");
    prefix = open_adapter("adapter/p.bin");
    chance = (uint32_t)atoi(words[2]) * 2654435761u + 1;
    uint32_t played = 0, full = 0;
    for (uint32_t room = 0; room <= MOST; room++)
        for (int k = 0; k < atoi(words[3]); k++, played++)
            full += (uint32_t)play(room);
    printf("%u %u\n", played, full);
    return 0;
}
