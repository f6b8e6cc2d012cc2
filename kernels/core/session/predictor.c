#include "predictor.h"
#include "../base/memory.h"
#include "guess.h"
#include "sampler.h"

#include <string.h>

TINI_REGION_COLD

/* Guesses left out after bad luck, at first and at most, so that they cost little where they are of no use. */
enum { FIRST_PAUSE = 15, LONGEST_PAUSE = 63 };

typedef struct predictor_layout {
    uint64_t states, pass, total;
} predictor_layout;

static predictor_layout plan(const tin_model *model) {
    predictor_layout l = {0};
    tini_take(&l.total, TINI_PREDICTOR_ROOM);
    l.states = tini_take(&l.total, 2 * tini_states_bytes(&model->mtp));
    l.pass = l.total;
    l.total += tini_pass_place(NULL, &model->mtp, 1, 1, 0, NULL);
    return l;
}

uint64_t tini_predictor_bytes(const tin_model *model, const tin_session_options *options) {
    return model->mtp.header && !options->batched && options->logit_rows > 1 ? plan(model).total : 0;
}

/* Bytes of the weights that a token goes through. */
static uint64_t bytes_read(const tini_program *p) {
    uint64_t total = 0;
    for (uint32_t k = 0; k < p->header->ops; k++)
        for (uint32_t i = 0; i < 6 && p->ops[k].kind != TINI_OP_EMBED; i++)
            if (p->ops[k].tensor[i] < p->header->tensors)
                total += p->tensors[p->ops[k].tensor[i]].bytes;
    return total;
}

tini_predictor *tini_predictor_create(const tin_session *s, uint8_t *memory) {
    const tin_model *model = s->model;
    predictor_layout l = plan(model);
    tini_predictor *p = (tini_predictor *)(void *)memory;
    uint64_t own = bytes_read(&model->mtp), all = bytes_read(&model->program);
    memset(p, 0, sizeof *p);
    p->states = (tini_states){
        .program = &model->mtp,
        .base = memory + l.states,
        .at = p->at,
        .bytes = tini_states_bytes(&model->mtp),
        .slots = 2,
    };
    tini_pass_place(&p->pass, &model->mtp, 1, 1, 0, memory + l.pass);
    p->pass.kernels = model->kernels;
    p->pass.executor = s->options.executor;
    p->cost = own < all ? (uint32_t)(TINI_CERTAIN * own / all) : TINI_CERTAIN;
    p->luck = TINI_UNTRIED;
    return p;
}

/* The hidden state of the newest token, where all but the one chosen last is computed and the states are at hand; else NULL.
 * Behind a pass of a batch there is none: it goes on there. */
static const float *newest_hidden(const tin_session *s) {
    if (!s->position || s->position + 1 != s->count || s->ready.pass != &s->pass)
        return NULL;
    return tini_states_of(&s->states, s->position, s->states.program->header->states - 1);
}

/* Which logits are wanted: all, or those that the constraint allows; 0 where it does not say. */
static int ask(tin_session *s, tini_pass *pass) {
    pass->every_tile = !s->constraint;
    return !s->constraint || tini_constraint_tiles(s->constraint, NULL, 0, 0, s->left,
                                                   tini_session_context(s) - s->count, pass->tile_bits);
}

int tini_predictor_begin(tin_session *s, uint32_t expected) {
    static const tini_adapters none;
    tini_predictor *p = s->predictor;
    if (!p || expected >= TINI_CERTAIN * p->luck)
        return 0;
    const float *hidden = newest_hidden(s);
    if (!hidden)
        return 0;
    if (p->resting) {
        p->resting--;
        return 0;
    }
    memcpy(tini_states_at(&p->states, 0, 0), hidden, (size_t)p->states.bytes);
    p->states.from = 0;
    p->states.to = 1;
    p->states.work = TINI_NONE;
    p->caches = s->caches;
    p->caches.program = &s->model->mtp;
    p->caches.offsets = s->caches.offsets + s->caches.program->header->caches - 1;
    tini_pass_begin(&p->pass);
    for (uint32_t rows = 0; rows < 2; rows++) {
        tini_pass_add(&p->pass, &p->caches, &p->states, &none, &s->input, s->position, rows);
        if (!rows)
            tini_pass_logits_begin(&p->pass);
    }
    p->due = ask(s, &p->pass);
    tini_pass_begun(&p->pass);
    return p->due;
}

int tini_predictor_run(tin_session *s, const tini_budget *budget) {
    tini_predictor *p = s->predictor;
    const uint32_t *mask = NULL;
    if (!tini_pass_run(&p->pass, budget))
        return 0;
    p->due = 0;
    if (s->constraint && tin_constraint_mask(s->constraint, tini_tokens_left(s, s->count), &mask, NULL))
        return 1;
    int32_t token = tini_argmax(p->pass.logits, s->model->program.header->vocab, mask);
    p->made = tini_guess_put(s, token);
    return 1;
}

void tini_predictor_checked(tin_session *s, int right) {
    tini_predictor *p = s->predictor;
    p->luck = tini_guess_judged(p->luck, TINI_CERTAIN, right != 0);
    p->made = 0;
    if (tini_guess_pays(s, p->luck, p->cost))
        p->rest = 0;
    else if (p->rest < LONGEST_PAUSE)
        p->rest += p->rest + 1 > FIRST_PAUSE ? p->rest + 1 : FIRST_PAUSE;
    p->resting = p->rest;
}

TINI_REGION_END
