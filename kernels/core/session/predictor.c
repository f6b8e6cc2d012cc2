#include "predictor.h"
#include "../base/memory.h"
#include "speculate.h"

#include <string.h>

TINI_REGION_COLD

/* Passes without drafts after bad luck, at first and at most, so that they cost little where they are of no use. And as how many
 * of others each is judged, so that this is soon known: the first, and later. */
enum { FIRST_PAUSE = 7, LONGEST_PAUSE = 63, FIRST_WEIGHT = 12, WEIGHT = 4 };

/* How many of 256 are held to come true before any was seen to: enough to be worth a row where few sessions share a pass; where
 * many do, they are only heard at first. */
enum { LAYER_ACCEPTANCE = 112 };

/* A draft is looked for among the first tokens of the vocabulary, a share of it or at least so many, and those of the session:
 * byte pairs have their ids by how early they were merged, so by how often they occur. The head is what most of a draft costs. */
enum { VOCABULARY_SHARE = 4, MIN_LIKELY_TOKENS = 4096 };

static uint32_t likely_tokens(const tin_model *model) {
    uint32_t vocab = model->program.header->vocab, share = vocab / VOCABULARY_SHARE;
    share = share > MIN_LIKELY_TOKENS ? share : MIN_LIKELY_TOKENS;
    return share < vocab ? share : vocab;
}

typedef struct predictor_layout {
    uint32_t most;
    uint64_t members, states, total;
} predictor_layout;

/* The rows, with what the layer's program has in the arena for each, must find room in the host. */
static predictor_layout plan(const tin_model *model, uint32_t rows, uint32_t logit_rows, uint32_t sessions) {
    predictor_layout l = {0};
    if (!model->mtp.header)
        return l;
    uint64_t fit = rows * model->program.header->row_bytes / model->mtp.header->row_bytes;
    l.most = sessions < logit_rows / 2 ? sessions : logit_rows / 2;
    l.most = l.most < fit ? l.most : (uint32_t)fit;
    if (!l.most)
        return l;
    tini_take(&l.total, TINI_PREDICTOR_ROOM);
    l.members = tini_take(&l.total, (uint64_t)l.most * TINI_PREDICTOR_ROW_ROOM);
    l.states = tini_take(&l.total, l.most * tini_states_bytes(&model->mtp));
    return l;
}

uint64_t tini_predictor_bytes(const tin_model *model, uint32_t rows, uint32_t logit_rows, uint32_t sessions) {
    return plan(model, rows, logit_rows, sessions).total;
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

tini_predictor *tini_predictor_create(const tin_model *model, tini_pass *host, uint32_t sessions,
                                      uint8_t *memory) {
    predictor_layout l = plan(model, host->most_rows, host->most_logits, sessions);
    tini_predictor *p = (tini_predictor *)(void *)memory;
    uint64_t own = bytes_read(&model->mtp, likely_tokens(model)),
             all = bytes_read(&model->program, model->program.header->vocab);
    memset(p, 0, sizeof *p);
    p->pass = *host;
    p->pass.program = &model->mtp;
    p->pass.most_rows = p->pass.most_logits = p->most = l.most;
    p->host = host;
    p->members = (tini_predictor_row *)(void *)(memory + l.members);
    for (uint32_t k = 0; k < l.most; k++) {
        tini_predictor_row *m = &p->members[k];
        m->caches.program = &model->mtp;
        m->states = (tini_states){.program = &model->mtp, .slots = 1};
        m->states.bytes = tini_states_bytes(&model->mtp);
        m->states.base = memory + l.states + k * m->states.bytes;
    }
    p->cost = own < all ? (uint32_t)(TINI_CERTAIN * own / all) : TINI_CERTAIN;
    p->share = p->cost;
    p->acceptance = LAYER_ACCEPTANCE;
    p->weight = FIRST_WEIGHT;
    return p;
}

/* The hidden state of the newest token, where all but the one chosen last is computed and the states are at hand; else NULL. */
static const float *newest_hidden(const tin_session *s) {
    if (!s->position || s->position + 1 != s->count)
        return NULL;
    return tini_states_of(&s->states, s->position, s->states.program->header->states - 1);
}

/* Which tiles of logits the session wants: those that its constraint allows, and where they are more than the likely tokens',
 * of these; 0 where it does not say. */
static int wanted_tiles(const tin_session *s, uint32_t *bits) {
    uint32_t tiles = (s->model->program.header->vocab + TINI_TILE - 1) / TINI_TILE;
    uint32_t likely = (likely_tokens(s->model) + TINI_TILE - 1) / TINI_TILE, allowed = 0;
    memset(bits, s->constraint ? 0 : 0xFF, (tiles + 31) / 32 * sizeof *bits);
    if (s->constraint && !tini_constraint_tiles(s->constraint, NULL, 0, 0, bits))
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
static int32_t likely_draft(const tini_pass *pass, const float *logits, const uint32_t *mask) {
    int32_t best = -1;
    for (uint32_t k = 0; k < pass->tile_count; k++) {
        uint32_t first = pass->tile_list[k] * TINI_TILE, vocab = pass->program->header->vocab;
        for (uint32_t token = first; token < first + TINI_TILE && token < vocab; token++)
            if ((!mask || mask[token >> 5] >> (token & 31) & 1) && (best < 0 || logits[token] > logits[best]))
                best = (int32_t)token;
    }
    return best;
}

int tini_predictor_request(tini_predictor *p, tin_session *s, uint32_t expected) {
    if (!p || !newest_hidden(s) ||
        (expected && expected + TINI_CERTAIN * p->share >= TINI_CERTAIN * p->acceptance))
        return 0;
    p->skipped |= p->pause_left != 0;
    if (!p->pause_left)
        s->predicted = TINI_PREDICTION_REQUESTED;
    return !p->pause_left;
}

/* The drafts of the last pass are judged as one. After good ones that can't yet be relied on, the next are heard at once. */
static void update_acceptance(tini_predictor *p, const tin_session *s) {
    uint32_t right = (p->weight * p->right + p->checked / 2) / p->checked;
    p->acceptance = tini_speculate_updated(p->acceptance, p->weight * TINI_CERTAIN, right);
    const int good = tini_speculate_is_worth(s, TINI_CERTAIN * right / p->weight, p->cost);
    p->weight = p->weight / 2 > WEIGHT ? p->weight / 2 : WEIGHT;
    p->made = p->checked = p->right = p->pause_left = 0;
    if (tini_speculate_is_worth(s, p->acceptance, p->cost))
        p->pause = good && !p->probing ? 0 : p->pause;
    else if (!good) {
        if (p->pause < LONGEST_PAUSE)
            p->pause += p->pause + 1 > FIRST_PAUSE ? p->pause + 1 : FIRST_PAUSE;
        p->pause_left = p->pause;
    }
}

void tini_predictor_checked(tini_predictor *p, const tin_session *s, int right) {
    if (!p || p->checked == p->made)
        return;
    p->checked++;
    p->right += right != 0;
    if (p->checked == p->made)
        update_acceptance(p, s);
}

/* Whether drafts for `count` of the sessions that share a pass are worth reading the layer's weights for these alone. Those
 * that are too seldom right for a row each are heard: what the layer says is compared with what is then chosen. */
static int is_worth_running(tini_predictor *p, const tin_session *s, uint32_t count) {
    p->share = count < s->beside ? p->cost * s->beside / count : p->cost;
    p->probing = !tini_speculate_is_worth(s, p->acceptance, p->cost);
    return p->probing || tini_speculate_is_worth(s, p->acceptance, p->share);
}

/* Takes up those that wish for a draft, but for those that did so before the last drafts of others were judged. How many. */
static uint32_t collect_requests(tini_predictor *p, tin_session *const *sessions, uint32_t count) {
    for (uint32_t k = 0; k < count; k++) {
        tin_session *s = sessions[k];
        if (s->predicted != TINI_PREDICTION_REQUESTED || s->running)
            continue;
        const float *hidden = newest_hidden(s);
        s->predicted = TINI_PREDICTION_NONE;
        if (p->pause_left || !hidden || p->count == p->most || !wanted_tiles(s, s->scratch))
            continue;
        const uint32_t *bits = s->scratch;
        for (uint32_t word = 0; word * 32 * TINI_TILE < s->model->program.header->vocab; word++)
            p->pass.tile_bits[word] |= bits[word];
        tini_predictor_row *m = &p->members[p->count++];
        m->session = s;
        m->caches = s->caches;
        m->caches.program = p->pass.program;
        m->caches.offsets = s->caches.offsets + s->caches.program->header->caches - 1;
        m->states.first = (const uint8_t *)(const void *)hidden;
        m->states.from = m->states.work = TINI_NONE;
        m->states.to = m->states.sure = 0;
        s->predicted = TINI_PREDICTION_RUNNING; /* a session that is given twice has one row */
    }
    return p->count;
}

static void begin_drafts(tini_predictor *p, tin_session *const *sessions, uint32_t count) {
    static const tini_adapters none;
    p->pause_left -= p->skipped && p->pause_left;
    p->skipped = 0;
    if (p->checked) /* the others were given up */
        update_acceptance(p, *sessions);
    tini_pass_begin(&p->pass);
    if (!collect_requests(p, sessions, count))
        return;
    if (!is_worth_running(p, p->members->session, p->count)) {
        tini_predictor_cancel(p);
        return;
    }
    p->host->serial++; /* its logits make room */
    for (uint32_t rows = 0; rows < 2; rows++) {
        for (uint32_t k = 0; k < p->count; k++) {
            tini_predictor_row *m = &p->members[k];
            tin_session *s = m->session;
            tini_pass_add(&p->pass, &m->caches, &m->states, &none, &s->input, s->position, rows);
            s->running = &p->pass;
        }
        if (!rows)
            tini_pass_logits_begin(&p->pass);
    }
    tini_pass_begun(&p->pass);
    p->made = p->checked = p->right = 0;
}

/* Puts the draft for the member, where it still wants one, or has it kept for comparing. */
static void put_prediction(tini_predictor *p, uint32_t member) {
    tin_session *s = p->members[member].session;
    const float *logits = p->pass.logits + (size_t)member * s->model->program.header->vocab;
    const uint32_t *mask = NULL;
    const int wanted = s->predicted == TINI_PREDICTION_RUNNING;
    s->running = NULL;
    s->predicted = TINI_PREDICTION_NONE;
    if (!wanted || (s->constraint && tin_constraint_mask(s->constraint, 0, &mask, NULL)))
        return;
    s->predicted_token = likely_draft(&p->pass, logits, mask);
    if (p->probing ? s->predicted_token >= 0 : tini_speculate_put(s, s->predicted_token)) {
        s->predicted = p->probing ? TINI_PREDICTION_PROBED : TINI_PREDICTION_DRAFTED;
        p->made++;
    }
}

int tini_predictor_due(tini_predictor *p, tin_session *const *sessions, uint32_t count) {
    if (p && !p->count)
        begin_drafts(p, sessions, count);
    return p && p->count;
}

int tini_predictor_run(tini_predictor *p, const tini_budget *budget) {
    if (!tini_pass_run(&p->pass, budget))
        return 0;
    for (uint32_t k = 0; k < p->count; k++)
        put_prediction(p, k);
    p->count = 0;
    return 1;
}

void tini_predictor_cancel(tini_predictor *p) {
    for (uint32_t k = 0; p && k < p->count; k++) {
        p->members[k].session->running = NULL;
        p->members[k].session->predicted = TINI_PREDICTION_NONE;
    }
    if (p)
        p->count = 0;
}

TINI_REGION_END
