#include "predictor.h"
#include "../base/memory.h"
#include "guess.h"

#include <string.h>

TINI_REGION_COLD

/* Guesses left out after bad luck, at first and at most, so that they cost little where they are of no use; and as how many of
 * others each is judged, so that this is soon known. */
enum { FIRST_PAUSE = 15, LONGEST_PAUSE = 63, WEIGHT = 4 };

/* A guess is looked for among the first tokens of the vocabulary, a share of it or at least so many, and those of the session:
 * byte pairs have their ids by how early they were merged, so by how often they occur. The head is what most of a guess costs. */
enum { SHARE = 4, LEAST_LIKELY = 4096 };

static uint32_t likely_tokens(const tin_model *model) {
    uint32_t vocab = model->program.header->vocab, share = vocab / SHARE;
    share = share > LEAST_LIKELY ? share : LEAST_LIKELY;
    return share < vocab ? share : vocab;
}

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

/* Bytes of the weights that a token goes through, with so many of the head's rows. */
static uint64_t bytes_read(const tini_program *p, uint32_t tokens) {
    uint64_t total = 0;
    for (uint32_t k = 0; k < p->header->ops; k++)
        for (uint32_t i = 0; i < 6 && p->ops[k].kind != TINI_OP_EMBED; i++) {
            if (p->ops[k].tensor[i] >= p->header->tensors)
                continue;
            const tini_tensor *t = &p->tensors[p->ops[k].tensor[i]];
            total += p->ops[k].kind == TINI_OP_LOGITS ? t->bytes / t->rows * tokens : t->bytes;
        }
    return total;
}

tini_predictor *tini_predictor_create(const tin_session *s, uint8_t *memory) {
    const tin_model *model = s->model;
    predictor_layout l = plan(model);
    tini_predictor *p = (tini_predictor *)(void *)memory;
    uint64_t own = bytes_read(&model->mtp, likely_tokens(model)),
             all = bytes_read(&model->program, model->program.header->vocab);
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

/* Which tiles of logits are wanted: those that the constraint allows, and where they are more than the likely tokens', of
 * these; 0 where it does not say. */
static int ask(const tin_session *s, tini_pass *pass) {
    uint32_t *bits = pass->tile_bits, tiles = (s->model->program.header->vocab + TINI_TILE - 1) / TINI_TILE;
    uint32_t likely = (likely_tokens(s->model) + TINI_TILE - 1) / TINI_TILE, allowed = 0;
    if (!s->constraint)
        memset(bits, 0xFF, (tiles + 31) / 32 * sizeof *bits);
    else if (!tini_constraint_tiles(s->constraint, NULL, 0, 0, s->left, tini_session_context(s) - s->count,
                                    bits))
        return 0;
    for (uint32_t tile = 0; tile < tiles; tile++)
        allowed += bits[tile >> 5] >> (tile & 31) & 1;
    if (allowed <= likely)
        return 1;
    for (uint32_t tile = likely; tile < tiles; tile++)
        bits[tile >> 5] &= ~((uint32_t)1 << (tile & 31));
    for (uint32_t k = 0; k < s->count; k++) {
        uint32_t tile = (uint32_t)s->input.tokens[k] / TINI_TILE;
        if (s->input.tokens[k] != TIN_EMBEDDED)
            bits[tile >> 5] |= (uint32_t)1 << (tile & 31);
    }
    return 1;
}

/* The likeliest of the tokens whose logits were made and whose bit is set in the mask, where there is one; -1: none is. */
static int32_t likely_guess(const tini_pass *pass, const uint32_t *mask) {
    const float *logits = pass->logits;
    int32_t best = -1;
    for (uint32_t k = 0; k < pass->tile_count; k++) {
        uint32_t first = pass->tile_list[k] * TINI_TILE, vocab = pass->program->header->vocab;
        for (uint32_t token = first; token < first + TINI_TILE && token < vocab; token++)
            if ((!mask || mask[token >> 5] >> (token & 31) & 1) && (best < 0 || logits[token] > logits[best]))
                best = (int32_t)token;
    }
    return best;
}

int tini_predictor_begin(tin_session *s, uint32_t expected) {
    static const tini_adapters none;
    tini_predictor *p = s->predictor;
    if (!p || (expected && expected + TINI_CERTAIN * p->cost >= TINI_CERTAIN * p->luck))
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
    p->made = tini_guess_put(s, likely_guess(&p->pass, mask));
    return 1;
}

void tini_predictor_checked(tin_session *s, int right) {
    tini_predictor *p = s->predictor;
    p->luck = tini_guess_judged(p->luck, WEIGHT * TINI_CERTAIN, right ? WEIGHT : 0);
    p->made = 0;
    if (tini_guess_pays(s, p->luck, p->cost))
        p->rest = 0;
    else if (p->rest < LONGEST_PAUSE)
        p->rest += p->rest + 1 > FIRST_PAUSE ? p->rest + 1 : FIRST_PAUSE;
    p->resting = p->rest;
}

TINI_REGION_END
