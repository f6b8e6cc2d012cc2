#include "generate.h"
#include "../base/error.h"
#include "speculate.h"
#include "predictor.h"
#include "record.h"
#include "sampler.h"
#include "search.h"

TINI_REGION_COLD

/* What choosing has in hand. */
typedef struct choice {
    const float *row;           /* the logits that the next token is chosen by, or NULL */
    uint32_t at;                /* where the next token comes to stand */
    uint32_t first, used;       /* rows of logits that were each chosen by, the last of them */
    uint32_t drafts, right;     /* from `at` on, those that may still be right; those that were */
    uint32_t forced, forced_at; /* how many are known, and the next one */
    uint32_t same; /* tokens that stayed where another beginning was taken up; TINI_NONE: none was */
    int32_t tokens[TINI_FORCED_MAX];
} choice;

tin_status tini_generate_end(tin_session *s, tin_error *error) {
    uint32_t known = tini_session_known(s);
    tini_session_cancel_prediction(s);
    if (known < s->count) {
        tin_status status = tini_session_check_free(s, error);
        if (status)
            return status;
        s->drafts = 0;
        uint32_t computed = tini_session_computed(s);
        tini_session_reset(s, computed < known ? computed : known, known);
    }
    s->stale = s->running && !s->running->every_tile;
    if (s->phase == TINI_CHOOSING &&
        s->ready.partial) { /* nothing was chosen by them yet, and nothing will be */
        tini_session_drop_logits(s);
        if (s->position == s->count)
            tini_session_recompute(s, s->count - 1);
    }
    s->phase = TINI_READING;
    s->healing = 0;
    return TIN_OK;
}

/* Whether all tokens that the caller knows of are computed, and the logits of the last are not there, nor made again when a
 * generation ends here. */
static int lacks_logits(const tin_session *s) {
    uint32_t known = tini_session_known(s);
    if (tini_session_computed(s) < known || (s->phase == TINI_CHOOSING && s->ready.partial))
        return 0;
    return known < s->count || !known || !tini_session_row(s, known - 1);
}

tin_status tin_session_generate(tin_session *s, const tin_sampling *sampling, uint32_t max_tokens,
                                uint32_t lookup, tin_error *error) {
    static const tin_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    const tin_sampling *chosen = sampling ? sampling : &greedy;
    if (!tini_sampling_allowed(chosen, s->model->program.header->vocab))
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "sampling options out of range: temperature >= 0, 0 <= top_p <= 1, 0 <= min_p <= 1, "
                         "repetition_penalty > 0, penalties and biases numbers, their tokens the model's");
    if (!max_tokens)
        return tini_fail(error, TIN_ERR_ARGUMENT, "max_tokens is 0");
    uint32_t search = s->constraint && tini_sampling_plain(chosen)
                          ? tini_constraint_search(s->constraint->matcher.automaton.header)
                          : 0;
    if (search && !s->search)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "the constraint has best-first search, and the session has no room for it: make it "
                         "with `searches`");
    if (lacks_logits(s))
        return tini_fail(error, TIN_ERR_STATE, "nothing to go on from: append tokens first");
    uint32_t healing = s->healing;
    tin_status status = tini_generate_end(s, error);
    if (status)
        return status;
    if (tini_session_computed(s) == s->count && s->ready.partial)
        tini_session_recompute(s, s->count - 1);
    if (s->constraint)
        status = tin_constraint_begin(s->constraint, s->prefix, healing, error);
    if (status)
        return status;
    s->healed = healing;
    s->healing = 0;
    s->sampling = *chosen;
    s->finish = TIN_FINISH_NONE;
    s->limit_finish = TIN_FINISH_NONE;
    s->end = -1;
    s->left = max_tokens;
    s->announced = s->certain = s->count;
    tini_search_begin(s, search);
    tini_speculate_begin(s, lookup);
    s->passes = 0;
    s->log_probability = 0;
    s->allowed = NULL;
    tini_record_begin(s->record);
    /* A constraint may know the first tokens before anything is computed. */
    s->phase = s->position == s->count || s->constraint ? TINI_CHOOSING : TINI_FOLLOWING;
    s->ready.fresh = 0;
    if (s->phase == TINI_FOLLOWING) /* checked with the prompt */
        tini_speculate(s, NULL);
    return TIN_OK;
}

tin_status tin_session_constrain(tin_session *s, tin_constraint *constraint, tin_error *error) {
    if (constraint && constraint->model != s->model)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the constraint was made for another model");
    if (constraint && constraint->owner && constraint->owner != s)
        return tini_fail(error, TIN_ERR_STATE,
                         "another session has the constraint; take it from there first, or make a second one");
    tin_status status = tini_generate_end(s, error);
    if (status)
        return status;
    if (s->constraint)
        s->constraint->owner = NULL;
    if (constraint)
        constraint->owner = s;
    s->constraint = constraint;
    s->healing = 0;
    return TIN_OK;
}

int tini_generate_overruns(const tin_session *s, const int32_t *tokens, uint32_t count, uint32_t left) {
    if (!left || !s->constraint || (s->search && s->search->most))
        return 0;
    return tini_constraint_overruns(s->constraint, tokens, count, left);
}

/* As tini_generate_overruns, of what would be chosen without a limit: from now on the answer is another one. */
static int bends(tin_session *s, const choice *c, const int32_t *tokens, uint32_t count) {
    uint32_t left = tini_tokens_left(s, c->at, 0);
    if (!tini_generate_overruns(s, tokens, count, left))
        return 0;
    s->limit_finish = left == s->left ? TIN_FINISH_LENGTH : TIN_FINISH_CONTEXT;
    return 1;
}

/* The text ends, by that token; -1: none had to be chosen. */
static void end_text(tin_session *s, int32_t token) {
    s->finish = s->limit_finish ? s->limit_finish : TIN_FINISH_END;
    s->end = s->limit_finish ? -1 : token;
}

/* Takes the next token of a forced run, if there is one. */
static int take_forced(tin_session *s, choice *c, int32_t *token) {
    if (c->drafts) { /* which were made with what must come */
        *token = s->input.tokens[c->at];
        return s->forced_drafts >> c->right & 1;
    }
    if (c->forced_at == c->forced) {
        int64_t count =
            tin_constraint_forced(s->constraint, s->input.tokens, c->at, 0, c->tokens, TINI_FORCED_MAX);
        if (count < 0)
            s->finish = TIN_FINISH_CONSTRAINT;
        c->forced = count > 0 && !bends(s, c, c->tokens, (uint32_t)count) ? (uint32_t)count : 0;
        c->forced_at = 0;
    }
    if (c->forced_at == c->forced)
        return 0;
    *token = c->tokens[c->forced_at++];
    if (!tini_session_room(s, c->at))
        s->finish = TIN_FINISH_CONTEXT;
    return !s->finish;
}

static int32_t draw_token(tin_session *s, const choice *c, const uint32_t *mask) {
    return tini_sample(&s->sampling, c->row, s->model->program.header->vocab, mask, s->input.tokens, c->at,
                       c->at, s->scratch);
}

/* A token by the logits at hand, among those of the mask, which may become a smaller one; negative: it is empty. */
static int32_t sampled(tin_session *s, const choice *c, const uint32_t *mask) {
    uint32_t vocab = s->model->program.header->vocab;
    int32_t token = draw_token(s, c, mask);
    if (s->constraint && token >= 0 && !tin_token_is_end(s->model, token) && bends(s, c, &token, 1))
        token = tin_constraint_mask(s->constraint, tini_tokens_left(s, c->at, 0), &mask, NULL)
                    ? TIN_ERR_UNSUPPORTED
                    : draw_token(s, c, mask);
    double share = 0;
    if (token >= 0 && (s->sampling.measure || tini_record_shares(s->record)))
        share = tini_log_share(c->row, vocab, mask, (uint32_t)token);
    if (token >= 0 && s->record)
        tini_record_add(s->record, c->at, c->row, vocab, mask, (uint32_t)token, share);
    s->log_probability += s->sampling.measure ? share : 0;
    return token;
}

/* The next token, forced or of the logits at hand. 0 when there is none, or the generation ends: there is no room for one,
 * or nothing but the end can follow. */
static int next_token(tin_session *s, choice *c, int32_t *token) {
    const uint32_t *mask =
        s->allowed; /* where it is there, no token had to come; to ask again would overwrite it */
    s->allowed = NULL;
    if (s->constraint && tin_constraint_state(s->constraint) == TIN_CONSTRAINT_MUST_END)
        end_text(s, -1);
    else if (!s->left)
        s->finish = TIN_FINISH_LENGTH;
    else if (s->constraint && !mask && take_forced(s, c, token))
        return 1;
    if (s->finish || !c->row)
        return 0;
    if (s->constraint && !mask && tin_constraint_mask(s->constraint, 0, &mask, NULL)) {
        s->finish = TIN_FINISH_CONSTRAINT;
        return 0;
    }
    c->first = c->used + 1 == c->at ? c->first : c->at - 1;
    c->used = c->at;
    *token = tini_searches(s) ? tini_search_choose(s, c->row, mask) : sampled(s, c, mask);
    if (s->constraint && s->wanted >= s->count &&
        s->ready.pass->tile_bits) { /* another runtime's stay as they came */
        tini_mask_logits(tini_session_row(s, c->at - 1), s->model->program.header->vocab, mask);
        s->ready.partial = 1;
    }
    if (*token < 0)
        s->finish = TIN_FINISH_CONSTRAINT; /* the mask is empty */
    else if (tin_token_is_end(s->model, *token))
        end_text(s, *token);
    else if (!tini_session_room(s, c->at))
        s->finish = TIN_FINISH_CONTEXT;
    return !s->finish;
}

/* Puts the token behind the others. What was computed of a draft that it is not is forgotten. */
static void place(tin_session *s, choice *c, int32_t token) {
    if (s->constraint && tin_constraint_accept(s->constraint, token, NULL)) {
        s->finish = TIN_FINISH_CONSTRAINT;
        return;
    }
    if (c->drafts && s->input.tokens[c->at] == token) {
        c->drafts--;
        c->right++;
        c->row = tini_session_row(s, c->at);
    } else {
        c->drafts = 0;
        c->row = NULL;
        if (s->position > c->at)
            s->position = c->at;
    }
    s->input.tokens[c->at++] = token;
    if (tini_searches(s))
        tini_search_place(s, token);
    s->sampling.answered++;
    s->left--;
}

/* Takes up another beginning, where a search has a likelier one. */
static void turn(tin_session *s, choice *c) {
    uint32_t same, end = tini_searches(s) ? tini_search_backtrack(s, c->at, &same) : 0;
    if (!end)
        return;
    c->at = end;
    c->same = same < c->same ? same : c->same;
    c->row = NULL;
    c->drafts = c->forced = c->forced_at = 0;
}

/* What was computed of tokens that are no longer there is forgotten; the last one is queued again, for its logits. */
static void turned(tin_session *s, uint32_t same) {
    uint32_t computed = tini_session_computed(s), most = same < s->count ? same : s->count - 1;
    computed = computed < most ? computed : most;
    tini_session_reset(s, tini_session_check_window(s, computed, NULL) ? 0 : computed, s->count);
    if (s->drafter && s->drafter->table.header)
        tini_drafter_begin(s->drafter, s->input.tokens, s->search->begin);
}

static void choose(tin_session *s, tini_predictor *predictor) {
    uint32_t drafts = s->drafts, at = s->count - drafts;
    choice c = {.at = at, .drafts = drafts, .same = TINI_NONE};
    c.first = c.used = c.at - 1;
    c.row = tini_session_row(s, c.at - 1);
    const int had_row = c.row != NULL;
    if (s->position == s->count && !c.row) /* a batch has written others in their place */
        tini_session_recompute(s, c.at - 1);
    int32_t token;
    tini_record_begin(s->record);
    while (!s->finish) {
        if (next_token(s, &c, &token))
            place(s, &c, token);
        else if (!s->finish)
            break;
        turn(s, &c);
    }
    s->allowed = NULL;
    s->count = c.at;
    s->drafts = 0;
    s->position = s->position < c.at ? s->position : c.at;
    tini_session_keep_rows(s, s->position);
    if (had_row && s->ready.partial) { /* a row that none was chosen by lacks logits */
        tini_session_keep_rows(s, c.used);
        tini_session_skip_rows(s, c.first);
        if (c.used < s->position && s->position == s->count)
            tini_session_recompute(s, s->count - 1);
    }
    tini_speculate_checked(s, predictor, at, drafts, c.right);
    if (drafts)
        tini_session_drop_drafts(s);
    if (c.same != TINI_NONE)
        turned(s, c.same);
    if (tini_searches(s))
        s->certain = tini_search_certain(s);
    if (!s->finish)
        tini_speculate(s, predictor);
}

/* What a choice may take: the most that one took lately, since the tokens that have a weight decide how long drawing
 * takes, and they are few after one token and most of the vocabulary after another. */
static uint64_t expected_ns(const tin_session *s) {
    return s->chosen_ns > s->choice_ns ? s->chosen_ns : s->choice_ns;
}

int tini_generate_choose(tin_session *s, tini_predictor *predictor, const tini_budget *budget, int worked) {
    if (s->phase != TINI_CHOOSING)
        return 1;
    uint64_t spent = tini_budget_spent(budget);
    if (budget->clock_ns && worked && spent + expected_ns(s) > budget->ns)
        return 0;
    choose(s, predictor);
    s->phase = TINI_FOLLOWING;
    if (budget->clock_ns) {
        uint64_t most = expected_ns(s);
        s->choice_ns = most - (most - s->chosen_ns) / 8;
        s->chosen_ns = tini_budget_spent(budget) - spent;
    }
    return 1;
}

int32_t tin_session_token(const tin_session *s) {
    return s->token;
}

double tin_session_log_probability(const tin_session *s) {
    return s->log_probability;
}

uint32_t tin_session_passes(const tin_session *s) {
    return s->passes;
}

int32_t tin_session_finish(const tin_session *s) {
    return s->finish;
}

TINI_REGION_END
