/* Choosing tokens inside tin_step, with guesses.
 *
 * The queue of a generating session is the token chosen last and then guesses. A pass gives the logits of all of them;
 * the token chosen after each either is the next guess, which is then known to be right and whose own logits are at
 * hand, or takes its place, and the rest is forgotten. What is chosen depends on logits and position alone (the draw is
 * a hash of both seed and position), so the tokens are those of plain decoding, sampled or greedy. */
#include "error.h"
#include "sampler.h"
#include "session.h"

/* Guesses are looked up by the last 3 tokens, or else the last 2. */
enum { LONGEST_MATCH = 3, SHORTEST_MATCH = 2, FIRST_STRETCH = 2 };

tin_status tini_generate_end(tin_session *s, tin_error *error) {
    uint32_t known = tini_session_known(s);
    if (known < s->count) {
        tin_status status = tini_session_check_free(s, error);
        if (status)
            return status;
        s->guesses = 0;
        tini_session_reset(s, s->position < known ? s->position : known, known);
    }
    s->generating = s->choosing = 0;
    return TIN_OK;
}

tin_status tin_session_generate(tin_session *s, const tin_sampling *sampling, uint32_t max_tokens,
                                uint32_t lookup, tin_error *error) {
    static const tin_sampling greedy = {.top_p = 1, .repetition_penalty = 1};
    const tin_sampling *chosen = sampling ? sampling : &greedy;
    const float nothing = 0;
    if (tini_sample(chosen, &nothing, 1, NULL, NULL, 0, 0, s->scratch) < 0)
        return tini_fail(error, TIN_ERR_ARGUMENT,
                         "sampling options out of range: temperature >= 0, 0 <= top_p <= 1, 0 <= min_p <= 1, "
                         "repetition_penalty > 0");
    if (!max_tokens)
        return tini_fail(error, TIN_ERR_ARGUMENT, "max_tokens is 0");
    tin_status status = tini_generate_end(s, error);
    if (status)
        return status;
    if (s->position == s->count && !s->ready_rows)
        return tini_fail(error, TIN_ERR_STATE, "nothing to go on from: append tokens first");
    s->sampling = *chosen;
    s->generating = 1;
    s->finish = TIN_FINISH_NONE;
    s->left = max_tokens;
    s->told = s->count;
    s->lookup = lookup;
    s->stretch = FIRST_STRETCH;
    s->choosing = s->position == s->count;
    return TIN_OK;
}

/* The end of the latest earlier place whose last `length` tokens are the session's last; 0 when there is none. */
static uint32_t find_match(const tin_session *s, uint32_t length) {
    const int32_t *last = s->tokens + s->count - length;
    for (uint32_t end = s->count; end-- > length;) {
        uint32_t k = 0;
        while (k < length && s->tokens[end - length + k] == last[k])
            k++;
        if (k == length)
            return end;
    }
    return 0;
}

static void guess(tin_session *s) {
    uint32_t most = s->lookup < s->stretch ? s->lookup : s->stretch, room = s->options.context - s->count;
    most = most < room ? most : room;
    most = most < s->left ? most : s->left;
    most = most < s->options.logit_rows ? most : s->options.logit_rows - 1;
    uint32_t from = 0;
    for (uint32_t length = LONGEST_MATCH; !from && length >= SHORTEST_MATCH && most; length--)
        if (s->count > length)
            from = find_match(s, length);
    if (!from)
        return;
    /* A match may reach into what is guessed: a repetition goes on. */
    for (uint32_t k = 0; k < most; k++)
        s->tokens[s->count + k] = s->tokens[from + k];
    s->count += most;
    s->guesses = most;
}

static void choose(tin_session *s) {
    uint32_t vocab = s->model->program.header->vocab, guesses = s->guesses, right = 0;
    uint32_t at = s->count - guesses; /* where the next token comes to stand */
    const float *row = s->logits + (size_t)(at - 1 - s->ready_first) * vocab;
    for (;; row += vocab) {
        int32_t token = tini_sample(&s->sampling, row, vocab, NULL, s->tokens, at, at, s->scratch);
        if (tin_token_is_end(s->model, token))
            s->finish = TIN_FINISH_END;
        else if (at == s->options.context)
            s->finish = TIN_FINISH_CONTEXT;
        if (s->finish)
            break;
        int guessed = right < guesses && s->tokens[at] == token;
        if (!guessed && s->position > at)
            s->position = at;
        s->tokens[at++] = token;
        right += (uint32_t)guessed;
        if (!--s->left)
            s->finish = TIN_FINISH_LENGTH;
        if (!guessed || s->finish)
            break;
    }
    s->count = at;
    s->guesses = 0;
    s->position = s->position < at ? s->position : at;
    s->ready_rows = s->position > s->ready_first ? s->position - s->ready_first : 0;
    if (guesses)
        s->stretch = right == guesses ? 2 * s->stretch : right ? s->stretch : (s->stretch + 1) / 2;
    if (s->stretch > s->lookup && s->lookup)
        s->stretch = s->lookup;
    if (!s->finish)
        guess(s);
}

int tini_generate_choose(tin_session *s, const tini_budget *budget, int worked) {
    if (!s->choosing)
        return 1;
    uint64_t spent = tini_budget_spent(budget);
    if (budget->clock_ns && worked && spent + s->choice_ns > budget->ns)
        return 0;
    choose(s);
    s->choosing = 0;
    if (budget->clock_ns)
        s->choice_ns = tini_budget_spent(budget) - spent;
    return 1;
}

int32_t tin_session_token(const tin_session *s) {
    return s->token;
}

int32_t tin_session_finish(const tin_session *s) {
    return s->finish;
}
