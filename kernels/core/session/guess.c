#include "guess.h"
#include "../base/error.h"
#include "generate.h"

TINI_REGION_COLD

/* What followed is looked up by the last 3 tokens, or else the last 2. */
enum { LONGEST_MATCH = 3, SHORTEST_MATCH = 2, FIRST_STRETCH = 2, LONGEST_REST = 15 };

/* Of 256: what a row more of a pass costs, of a pass of one row, where that was not measured. An eighth is assumed: the
 * weights are read once for all rows of a small pass. */
enum { ROW_COST = 32, CERTAIN = 256, MOST_DRAFTED = 16 };

/* How good guesses of a table are held to be before any was checked: some seven are made at most. */
enum { UNTRIED = 192 };

uint32_t tini_tokens_left(const tin_session *s, uint32_t at) {
    uint32_t room = tini_session_context(s) - at;
    return s->left < room ? s->left : room;
}

void tini_guess_by(tin_session *s, const tini_draft *table) {
    if (s->drafter->table.header != table->header)
        s->trust = UNTRIED;
    s->drafter->table = *table;
}

void tini_guess_begin(tin_session *s, uint32_t lookup) {
    s->lookup = lookup;
    s->stretch = FIRST_STRETCH;
    s->rest = s->resting = 0;
    if (lookup && s->drafter && s->drafter->table.header)
        tini_drafter_begin(s->drafter, s->input.tokens, s->count);
}

/* The end of the latest earlier place whose last `length` tokens are the session's last; 0 when there is none. */
static uint32_t find_match(const tin_session *s, uint32_t length) {
    const int32_t *last = s->input.tokens + s->count - length;
    for (uint32_t end = s->count; end-- > length;) {
        uint32_t k = 0;
        while (k < length && last[k] != TIN_EMBEDDED && s->input.tokens[end - length + k] == last[k])
            k++;
        if (k == length)
            return end;
    }
    return 0;
}

static int is_set(const uint32_t *bits, int32_t token) {
    return bits && bits[token / 32] >> token % 32 & 1;
}

/* Which tokens the constraint allows next; NULL where that can't be known. It is kept for choosing. */
static const uint32_t *allowed_next(tin_session *s) {
    if (tin_constraint_mask(s->constraint, tini_tokens_left(s, s->count), &s->allowed, NULL))
        s->allowed = NULL;
    return s->allowed;
}

/* The least chance, of 256, that a guess must have. A right one costs its row now and not later, and spares the session's
 * share of a pass; a wrong one costs a row. So chance (cost + share) > cost. */
static uint32_t least_chance(const tin_session *s) {
    uint32_t cost = (s->row_cost ? s->row_cost : ROW_COST) * (s->beside ? s->beside : 1);
    return CERTAIN * cost / (cost + CERTAIN);
}

/* Those by the draft table; how many. Where bad luck alone keeps them from being made, it slowly turns. */
static uint32_t draft(tin_session *s, uint32_t most, const uint32_t *mask) {
    tini_drafter *d = s->drafter;
    for (; d->known < s->count; d->known++)
        d->copying = tini_drafter_follow(d, d->copying, s->input.tokens, d->known);
    tini_copying copying = d->copying;
    uint32_t chance = CERTAIN * CERTAIN, made = 0, sure, at = s->count, worth = least_chance(s);
    for (s->expected = 0; made < most; made++) {
        int32_t token = tini_drafter_guess(d, copying, s->input.tokens, at, made ? NULL : mask, &sure);
        if (token < 0 || tini_token_is_end(d->tokenizer, token) || sure < worth)
            break;
        chance = chance / CERTAIN * sure / CERTAIN * s->trust;
        if (chance < worth * CERTAIN) {
            s->trust += !made;
            break;
        }
        s->expected += chance;
        s->input.tokens[at] = token;
        copying = tini_drafter_follow(d, copying, s->input.tokens, at++);
    }
    return made;
}

/* Those that followed earlier, up to an image. A match may reach into what is guessed: a repetition goes on. */
static uint32_t look_up(tin_session *s, uint32_t most) {
    uint32_t from = 0;
    for (uint32_t length = LONGEST_MATCH; !from && length >= SHORTEST_MATCH && most; length--)
        if (s->count > length)
            from = find_match(s, length);
    if (!from || s->input.tokens[from] == TIN_EMBEDDED ||
        (s->constraint && !is_set(s->allowed ? s->allowed : allowed_next(s), s->input.tokens[from])))
        return 0;
    if (s->resting) {
        s->resting--;
        return 0;
    }
    uint32_t made = 0;
    for (; made < most && s->input.tokens[from + made] != TIN_EMBEDDED; made++)
        s->input.tokens[s->count + made] = s->input.tokens[from + made];
    return made;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

void tini_guess(tin_session *s) {
    uint32_t most = least(tini_session_context(s) - s->count, least(s->left, s->options.logit_rows - 1));
    int drafted = s->drafter && s->drafter->table.header;
    if (!s->lookup || !most || !tini_states_may_guess(&s->states))
        return;
    uint32_t made = 0;
    if (drafted && (!s->constraint || allowed_next(s)))
        made = draft(s, least(most, MOST_DRAFTED), s->allowed);
    s->drafted = made != 0;
    if (!made)
        made = look_up(s, least(most, least(s->lookup, s->stretch)));
    s->count += made;
    s->guesses = made;
}

void tini_guess_checked(tin_session *s, uint32_t guesses, uint32_t right) {
    if (s->drafted) {
        int well = 2 * right >= s->expected / CERTAIN / CERTAIN && right;
        s->trust = well ? s->trust + (CERTAIN - s->trust + 1) / 2 : s->trust / 2;
        return;
    }
    if (!right) /* and the longer, the oftener that was so */
        s->rest = least(2 * s->rest + (s->stretch == 1), LONGEST_REST);
    else
        s->rest = 0;
    s->resting = s->rest;
    s->stretch = right == guesses ? 2 * s->stretch : right ? s->stretch : (s->stretch + 1) / 2;
    if (s->stretch > s->lookup && s->lookup)
        s->stretch = s->lookup;
}

tin_status tin_session_draft(tin_session *s, const void *data, size_t size, tin_error *error) {
    tini_draft table = {0};
    tin_status status = data ? tini_draft_open(&table, data, size, &s->model->tokenizer, error) : TIN_OK;
    if (!status)
        status = tini_generate_end(s, error);
    if (!status && s->drafter) /* a session of one row of logits has no room for guesses */
        tini_guess_by(s, &table);
    return status;
}

TINI_REGION_END
