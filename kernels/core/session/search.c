#include "search.h"
#include "record.h"
#include "sampler.h"

#include <string.h>

TINI_REGION_COLD

/* Of a candidate: it is a part of what was gone on with; it might be gone on with; it is complete, or the context is full
 * before its token, and ends by this finish. */
enum { TAKEN = 0, OPEN = 1, COMPLETE = 2 };

enum { CHOICES = 8 }; /* of a choice: the one that is taken, and others that are left behind */

enum { SPARE = 2 }; /* of the room: a token at hand, and a complete prefix */

enum { LIKELY = 16 }; /* the first tokens of the vocabulary: a share of it */

/* What is less likely than this, of the one that is taken, is not left behind: e^-10. */
static const double LEAST = -10;

/* Adds one that follows the tip, where there is room, of which the last is for what must not be lost: those at hand. */
static int leave_behind(tin_session *s, tini_candidate candidate, uint32_t spare) {
    tini_search *search = s->search;
    search->over |= search->count + spare >= TINI_CANDIDATES;
    if (search->count + spare >= TINI_CANDIDATES)
        return 0;
    candidate.before = search->tip;
    candidate.length = search->tip == TINI_NONE ? 0 : search->all[search->tip].length;
    candidate.length += candidate.state < COMPLETE;
    search->all[search->count++] = candidate;
    return 1;
}

/* The prefix at hand has this score and so on. */
static void stand(tin_session *s, double score, double confidence, tini_chosen by) {
    s->search->score = score;
    s->search->confidence = confidence;
    s->search->by = by;
    s->log_probability = s->sampling.measure ? confidence : 0;
}

void tini_search_begin(tin_session *s, uint32_t most) {
    tini_search *search = s->search;
    if (!search)
        return;
    search->most = most;
    search->begin = s->count;
    search->left = s->left;
    search->tip = TINI_NONE;
    search->count = search->backtracks = 0;
    search->over = search->settled = 0;
    stand(s, 0, 0, (tini_chosen){0, 1});
    if (most)
        tini_cover_begin(&search->cover, &s->constraint->matcher.automaton, s->model, s->input.tokens,
                         s->count);
}

/* The penalty of the answer that ends behind the prefix at hand. */
static double left_out(const tin_session *s) {
    const tini_search *search = s->search;
    uint32_t length = search->tip == TINI_NONE ? 0 : search->all[search->tip].length;
    return tini_cover_cost(&search->cover, &s->constraint->matcher.automaton, s->model, s->input.tokens,
                           search->begin, length);
}

/* Whether a choice among so many tokens is weighed by all: where that is most of them, or in a constraint of before. */
static int weighs_all(const tin_session *s, uint32_t allowed) {
    return allowed > s->model->program.header->vocab / 2 ||
           !tini_constraint_likely(s->constraint->matcher.automaton.header);
}

/* Sets the bits of what a model may have wanted, in groups of so many tokens: likely ones, as byte pairs have their ids by
 * how early they were merged, so by how often they occur; and the prompt's, of which it copies. */
static void add_wanted(const tin_session *s, uint32_t group, uint32_t *bits) {
    for (uint32_t token = 0; token < s->model->program.header->vocab / LIKELY; token += group)
        bits[token / group / 32] |= 1u << token / group % 32;
    for (uint32_t k = 0; k < s->search->begin; k++) {
        uint32_t at = (uint32_t)s->input.tokens[k] / group;
        if (s->input.tokens[k] != TIN_EMBEDDED)
            bits[at / 32] |= 1u << at % 32;
    }
}

void tini_search_ask(const tin_session *s, tini_pass *pass) {
    uint32_t tiles = (s->model->program.header->vocab + TINI_TILE - 1) / TINI_TILE;
    if (weighs_all(s, TINI_TILE * tini_allowed(pass->tile_bits, tiles)))
        pass->every_tile = 1;
    else
        add_wanted(s, TINI_TILE, pass->tile_bits);
}

/* The logarithm of the token's share in a choice among the mask's. */
static double weight_of(const tin_session *s, const float *logits, const uint32_t *mask, uint32_t allowed,
                        int32_t token) {
    uint32_t vocab = s->model->program.header->vocab, *bits = NULL;
    if (!weighs_all(s, allowed)) {
        bits = s->scratch;
        memcpy(bits, mask, (vocab + 31) / 32 * sizeof *bits);
        add_wanted(s, 1, bits);
    }
    return tini_log_share(logits, vocab, bits, (uint32_t)token);
}

int32_t tini_search_choose(tin_session *s, const float *logits, const uint32_t *mask) {
    tini_search *search = s->search;
    tin_top tops[CHOICES];
    uint32_t vocab = s->model->program.header->vocab, allowed = tini_allowed(mask, vocab);
    uint32_t count = tini_tops(logits, vocab, mask, tops, CHOICES);
    if (!count)
        return TIN_ERR_STATE;
    int32_t token = tops[0].token;
    double score = search->score, confidence = search->confidence, first = tops[0].log_probability;
    uint32_t length = search->tip == TINI_NONE ? 0 : search->all[search->tip].length;
    int full = !tini_session_room(s, search->begin + length);
    if (allowed > 1)
        score += weight_of(s, logits, mask, allowed, token);
    if (s->sampling.measure || tini_record_shares(s->record))
        confidence += tini_log_share(logits, vocab, mask, (uint32_t)token);
    for (uint32_t k = !full; k < count; k++) { /* the taken one, too, where it will not be placed */
        int ends = tin_token_is_end(s->model, tops[k].token);
        if (!k && ends)
            continue;
        tini_candidate other = {
            .score = score + (tops[k].log_probability - first),
            .confidence = confidence + (tops[k].log_probability - first),
            .by = {logits[tops[k].token], allowed},
            .token = tops[k].token,
            .state = ends   ? COMPLETE + TIN_FINISH_END
                     : full ? COMPLETE + TIN_FINISH_CONTEXT
                            : OPEN,
        };
        other.score -= ends ? left_out(s) : 0;
        if (other.score - score > LEAST)
            leave_behind(s, other, SPARE);
    }
    stand(s, score, confidence, (tini_chosen){allowed > 1 ? logits[token] : 0, allowed});
    return token;
}

void tini_search_place(tin_session *s, int32_t token) {
    tini_search *search = s->search;
    tini_candidate placed = {search->score, search->confidence, search->by, token, 0, 0, TAKEN};
    if (leave_behind(s, placed, 0))
        search->tip = search->count - 1;
    search->over |= search->count + SPARE >= TINI_CANDIDATES;
    search->by = (tini_chosen){0, 1}; /* until the next choice */
}

/* The likeliest that is likelier than what is at hand, the first of equals; TINI_NONE: none is. */
static uint32_t best_candidate(const tin_session *s) {
    const tini_search *search = s->search;
    int dead =
        s->finish == TIN_FINISH_CONSTRAINT || (search->over && tini_cover_costs(&search->cover) && !s->finish);
    uint32_t best = TINI_NONE;
    double most = search->score;
    for (uint32_t k = 0; k < search->count; k++) {
        const tini_candidate *c = &search->all[k];
        if (c->state == TAKEN || (search->over && c->state == OPEN) || !(c->score > most || dead))
            continue;
        best = k;
        most = c->score;
        dead = 0;
    }
    return best;
}

/* What is at hand may be come back to. */
static void leave_tip(tin_session *s) {
    tini_search *search = s->search;
    if (!s->finish && search->tip != TINI_NONE)
        search->all[search->tip].state = OPEN;
    else if (s->finish == TIN_FINISH_END)
        leave_behind(s,
                     (tini_candidate){search->score, search->confidence, search->by, s->end, 0, 0,
                                      COMPLETE + TIN_FINISH_END},
                     0);
}

/* Puts the tokens of the candidate and those before it; where the first of them that were not there stands. */
static uint32_t put_beginning(tin_session *s, uint32_t candidate, uint32_t at) {
    const tini_search *search = s->search;
    uint32_t same = at;
    for (uint32_t k = candidate; k != TINI_NONE; k = search->all[k].before) {
        uint32_t place = search->begin + search->all[k].length - 1;
        if (place >= at || s->input.tokens[place] != search->all[k].token)
            same = place < same ? place : same;
        s->input.tokens[place] = search->all[k].token;
    }
    return same;
}

/* The constraint stands behind the session's tokens up to `end`. It took them before, so it takes them again. */
static void constrain_again(tin_session *s, uint32_t end) {
    tin_status status = tin_constraint_begin(s->constraint, s->prefix, s->healed, NULL);
    for (uint32_t k = s->search->begin; k < end && !status; k++)
        status = tin_constraint_accept(s->constraint, s->input.tokens[k], NULL);
    if (status)
        s->finish = TIN_FINISH_CONSTRAINT;
}

uint32_t tini_search_backtrack(tin_session *s, uint32_t at, uint32_t *same) {
    tini_search *search = s->search;
    search->over |= search->backtracks == search->most;
    search->score -= s->finish == TIN_FINISH_END ? left_out(s) : 0;
    uint32_t chosen = best_candidate(s);
    search->settled = search->over;
    if (chosen == TINI_NONE)
        return 0;
    search->backtracks++;
    leave_tip(s);
    tini_candidate *c = &search->all[chosen];
    int complete = c->state >= COMPLETE;
    s->finish = complete ? (int32_t)(c->state - COMPLETE) : TIN_FINISH_NONE;
    s->end = s->finish == TIN_FINISH_END ? c->token : -1;
    c->state = TAKEN;
    search->tip = complete ? c->before : chosen;
    stand(s, c->score, c->confidence, complete ? c->by : (tini_chosen){0, 1});
    s->left = search->left - c->length;
    s->allowed = NULL;
    uint32_t end = search->begin + c->length;
    *same = put_beginning(s, search->tip, at);
    *same = *same < end ? *same : end;
    if (!complete)
        constrain_again(s, end);
    return end;
}

/* The candidate that is the answer's token there; TINI_NONE: its end stands there. */
static uint32_t candidate_of(const tini_search *search, uint32_t place) {
    uint32_t k = search->tip;
    if (k == TINI_NONE || place >= search->begin + search->all[k].length)
        return TINI_NONE;
    while (search->all[k].length > place - search->begin + 1)
        k = search->all[k].before;
    return k;
}

/* Puts a token where it belongs among tops[count] of at most `most`; how many there are then. */
static uint32_t put_top(tin_top *tops, uint32_t count, uint32_t most, tin_top one) {
    uint32_t at = count;
    for (; at && (one.log_probability > tops[at - 1].log_probability ||
                  (one.log_probability == tops[at - 1].log_probability && one.token < tops[at - 1].token));
         at--)
        if (at < most)
            tops[at] = tops[at - 1];
    if (at < most)
        tops[at] = one;
    return count < most ? count + 1 : most;
}

tin_choice tini_search_choice(const tin_session *s, uint32_t place, tin_top *tops, uint32_t most) {
    const tini_search *search = s->search;
    const uint32_t k = candidate_of(search, place);
    tini_candidate c = {0, search->confidence, search->by, s->end, search->tip, 0, TAKEN};
    if (k != TINI_NONE)
        c = search->all[k];
    const double from = c.before == TINI_NONE ? 0 : search->all[c.before].confidence;
    tin_choice choice = {
        .log_probability = c.confidence - from, .logit = c.by.logit, .allowed = c.by.allowed, .tops = tops};
    if (c.by.allowed < 2 || !most)
        return choice;
    choice.top_count = put_top(tops, 0, most, (tin_top){choice.log_probability, c.token, 0});
    for (uint32_t j = 0; j < search->count; j++)
        if (search->all[j].before == c.before && search->all[j].token != c.token)
            choice.top_count = put_top(tops, choice.top_count, most,
                                       (tin_top){search->all[j].confidence - from, search->all[j].token, 0});
    return choice;
}

/* The last token that two prefixes share; those before a candidate have lower numbers. */
static uint32_t shared(const tini_search *search, uint32_t a, uint32_t b) {
    while (a != b && a != TINI_NONE && b != TINI_NONE)
        if (a > b)
            a = search->all[a].before;
        else
            b = search->all[b].before;
    return a == b ? a : TINI_NONE;
}

uint32_t tini_search_certain(const tin_session *s) {
    const tini_search *search = s->search;
    const tini_candidate *complete = NULL; /* what is less likely than the best is never taken up */
    for (uint32_t k = 0; k < search->count; k++) {
        const tini_candidate *c = &search->all[k];
        if (c->state >= COMPLETE && (!complete || c->score > complete->score))
            complete = c;
    }
    uint32_t last = search->tip;
    for (uint32_t k = 0; k < search->count && last != TINI_NONE; k++) {
        const tini_candidate *c = &search->all[k];
        if (c->state == TAKEN || (search->over && c->state == OPEN) || (complete && c->score < complete->score))
            continue;
        last = shared(search, last, c->state == OPEN ? k : c->before);
    }
    return search->begin + (last == TINI_NONE ? 0 : search->all[last].length);
}

TINI_REGION_END
