#include "speculate.h"
#include "../base/error.h"
#include "generate.h"
#include "predictor.h"

TINI_REGION_COLD

/* What followed is looked up by the last 3 tokens, or else the last 2. */
enum { LONGEST_MATCH = 3, SHORTEST_MATCH = 2, FIRST_DRAFT_LENGTH = 2, LONGEST_LOOKUP_PAUSE = 15 };

enum { MAX_DRAFTS = 64 }; /* a bit each of session->due */

/* Of 256: what a row more of a pass costs, of a pass of one row, where that was not measured: the weights are read once for
 * all rows of a small pass. */
enum { ROW_COST = 40, CERTAIN = TINI_CERTAIN };

/* How many of 256 drafts are held to come true before any was seen to, of those that stood earlier; how many at most, since
 * a table may be too modest; and over how many of the last ones it is judged. */
enum { LOOKUP_ACCEPTANCE = 128, MAX_CALIBRATION = 288, MEMORY = 16 };

void tini_speculate_with_table(tin_session *s, const tini_draft_table *table) {
    if (s->drafter->table.header != table->header)
        s->drafter->calibration = TINI_INITIAL_CALIBRATION;
    s->drafter->table = *table;
}

/* Nothing was said that could be judged. */
static void forget(tin_session *s) {
    s->lookup_token = -1;
    s->drafted = 0;
    s->predicted = TINI_PREDICTION_NONE;
    if (s->drafter)
        s->drafter->table_token = -1;
}

void tini_speculate_begin(tin_session *s, uint32_t lookup) {
    s->lookup = lookup;
    s->draft_length = FIRST_DRAFT_LENGTH;
    s->pause = s->pause_left = 0;
    s->acceptance = LOOKUP_ACCEPTANCE;
    forget(s);
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

/* Where what followed the session's last tokens earlier begins; 0: nowhere. */
static uint32_t find_earlier(const tin_session *s) {
    uint32_t from = 0;
    for (uint32_t length = LONGEST_MATCH; !from && length >= SHORTEST_MATCH; length--)
        if (s->count > length)
            from = find_match(s, length);
    return from;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* Drafts in the making: behind the session's tokens up to `at`, where the next comes, and before `end`. Its constraint has
 * gone ahead with them. */
typedef struct ahead {
    tin_session *s;
    uint32_t at, end;
} ahead;

/* Puts what must come behind tokens[at - 1], which the constraint has taken. Where it then ends; 0: there is no room for it,
 * the text ends with it, or could not end behind it. */
static uint32_t put_forced(const ahead *a, uint32_t at) {
    tin_session *s = a->s;
    int32_t tokens[TINI_FORCED_MAX];
    for (;;) {
        if (tin_constraint_state(s->constraint) == TIN_CONSTRAINT_MUST_END)
            return 0;
        int64_t count = tin_constraint_forced(s->constraint, s->input.tokens, at, 0, tokens, TINI_FORCED_MAX);
        if (!count)
            return at;
        if (count < 0 || count > a->end - at ||
            tini_generate_overruns(s, tokens, (uint32_t)count, tini_tokens_left(s, at, at - s->count)))
            return 0;
        for (int64_t k = 0; k < count; k++) {
            if (!tini_constraint_accept_ahead(s->constraint, tokens[k]))
                return 0;
            s->forced_drafts |= (uint64_t)1 << (at - s->count);
            s->input.tokens[at++] = tokens[k];
        }
    }
}

/* Puts the token where the next draft comes, and what must come behind it: only with that are there logits to choose by.
 * How many that are; 0 where it may not come, or would be for nothing. */
static uint32_t put_draft(const ahead *a, int32_t token) {
    tin_session *s = a->s;
    if (token < 0 || tini_token_is_end(&s->model->tokenizer, token))
        return 0;
    s->input.tokens[a->at] = token;
    if (!s->constraint)
        return 1;
    const tini_constraint_position here = tini_constraint_save(s->constraint);
    uint32_t end = 0;
    s->forced_drafts &= ((uint64_t)1 << (a->at - s->count)) - 1;
    if (tini_constraint_accept_ahead(s->constraint, token))
        end = put_forced(a, a->at + 1);
    if (!end)
        tini_constraint_rewind(s->constraint, &here);
    return end ? end - a->at : 0;
}

/* What so many rows cost, of 256 of the session's share of a pass. */
static uint32_t cost_of(const tin_session *s, uint32_t rows) {
    return (s->row_cost ? s->row_cost : ROW_COST) * (s->beside ? s->beside : 1) * rows;
}

/* The least chance, of 256, that drafts of so many rows must have. Right ones cost their rows now and not later, and spare
 * the session's share of a pass; wrong ones cost them. So chance (cost + share) > cost. */
static uint32_t least_chance(const tin_session *s, uint32_t rows) {
    uint32_t cost = cost_of(s, rows);
    return CERTAIN * cost / (cost + CERTAIN);
}

int tini_speculate_is_worth(const tin_session *s, uint32_t chance, uint32_t making) {
    uint32_t cost = cost_of(s, 1);
    return chance * (cost + CERTAIN) > CERTAIN * (cost + making);
}

/* Puts what the draft table says, *confidence of 256; as put_draft. */
static uint32_t put_drafted(const ahead *a, tini_copying copying, uint32_t *confidence) {
    tin_session *s = a->s;
    const uint32_t *mask = NULL;
    uint32_t worth = least_chance(s, 1);
    int32_t token = tini_drafter_next(s->drafter, copying, s->input.tokens, a->at, NULL, confidence);
    uint32_t rows = *confidence < worth ? 0 : put_draft(a, token);
    if (rows || *confidence < worth || !s->constraint || tin_constraint_mask(s->constraint, 0, &mask, NULL))
        return rows;
    token = tini_drafter_next(s->drafter, copying, s->input.tokens, a->at, mask, confidence);
    return *confidence < worth ? 0 : put_draft(a, token);
}

/* Those by the draft table. How many choices they are expected to spare, times 65,536. */
static uint32_t draft(ahead *a) {
    tin_session *s = a->s;
    tini_drafter *d = s->drafter;
    for (; d->known < s->count; d->known++)
        d->copying = tini_drafter_follow(d, d->copying, s->input.tokens, d->known);
    tini_copying copying = d->copying;
    uint32_t chance = CERTAIN * CERTAIN, expected = 0, confidence, rows;
    while (a->at < a->end && (rows = put_drafted(a, copying, &confidence))) {
        if (a->at == s->count) /* whether it is then made or not */
            d->table_token = s->input.tokens[a->at];
        d->confidence[a->at - s->count] = (uint8_t)confidence;
        chance = chance / CERTAIN * least(confidence * d->calibration / CERTAIN, CERTAIN - 1);
        if (chance < least_chance(s, rows) * CERTAIN)
            break;
        expected += chance;
        for (; rows; rows--, a->at++)
            copying = tini_drafter_follow(d, copying, s->input.tokens, a->at);
    }
    return expected;
}

/* The same of so many by what followed earlier. */
static uint32_t expected_of(uint32_t acceptance, uint32_t drafts) {
    uint32_t chance = CERTAIN * CERTAIN, expected = 0;
    while (drafts--)
        expected += chance = chance / CERTAIN * acceptance;
    return expected;
}

/* At most so many that followed earlier, up to an image. A match may reach into what is drafted: a repetition goes on. */
static void look_up(ahead *a, uint32_t from, uint32_t most) {
    const int32_t *tokens = a->s->input.tokens;
    for (int matches = 1; matches && most && a->at < a->end && tokens[from] != TIN_EMBEDDED; most--) {
        uint32_t rows = put_draft(a, tokens[from]);
        matches = rows != 0;
        for (uint32_t end = a->at + rows; a->at < end; a->at++)
            matches &= tokens[from++] == tokens[a->at];
    }
}

void tini_speculate(tin_session *s, tini_predictor *predictor) {
    uint32_t room = tini_session_room(s, s->count), expected = 0;
    room = least(least(room, MAX_DRAFTS), least(s->left, s->options.logit_rows) - 1);
    forget(s);
    if (!s->lookup || !room || !tini_states_may_draft(&s->states))
        return;
    ahead a = {s, s->count, s->count + room};
    tini_constraint_position here;
    s->forced_drafts = 0;
    if (s->constraint)
        here = tini_constraint_save(s->constraint);
    if (s->drafter && s->drafter->table.header) {
        a.end = s->count + least(room, TINI_DRAFT_MOST);
        expected = draft(&a);
        a.end = s->count + room;
    }
    if (s->constraint) /* from what was not worth it, too */
        tini_constraint_rewind(s->constraint, &here);
    uint32_t from = find_earlier(s), most = from ? least(s->lookup, s->draft_length) : 0;
    if (from)
        s->lookup_token = s->input.tokens[from];
    if (from && s->pause_left) {
        s->pause_left--;
        most = 0;
    }
    /* Where many share a pass, it takes more than that something came twice. */
    if (!tini_speculate_is_worth(s, s->acceptance, 0))
        most = 0;
    s->drafted = a.at != s->count && expected >= expected_of(s->acceptance, most);
    if (tini_predictor_request(predictor, s, s->drafted ? expected : expected_of(s->acceptance, most))) {
        s->drafted = 0;
        return;
    }
    if (!s->drafted) {
        a.at = s->count;
        look_up(&a, from, most);
        if (s->constraint)
            tini_constraint_rewind(s->constraint, &here);
    }
    s->drafts = a.at - s->count;
    s->count = a.at;
}

int tini_speculate_put(tin_session *s, int32_t token) {
    const uint32_t room = least(tini_session_room(s, s->count), s->options.logit_rows - 1);
    const ahead a = {s, s->count, s->count + least(room, MAX_DRAFTS)};
    tini_constraint_position here;
    if (s->constraint)
        here = tini_constraint_save(s->constraint);
    s->forced_drafts = 0;
    s->drafts = put_draft(&a, token);
    if (s->constraint)
        tini_constraint_rewind(s->constraint, &here);
    s->count += s->drafts;
    return s->drafts != 0;
}

uint32_t tini_speculate_updated(uint32_t rate, uint32_t expected, uint32_t accepted) {
    uint32_t cases = MEMORY * CERTAIN + expected;
    return (CERTAIN * (MEMORY * rate + CERTAIN * accepted) + cases / 2) / cases;
}

/* What each says of the next token is judged, drafted or not: to see whether it came true costs nothing. */
static void update_rates(tin_session *s, int32_t token, uint32_t drafts, uint32_t right) {
    tini_drafter *d = s->drafter;
    if (s->lookup_token >= 0)
        s->acceptance = tini_speculate_updated(s->acceptance, CERTAIN, s->lookup_token == token);
    if (!d || d->table_token < 0)
        return;
    uint32_t expected = d->confidence[0], accepted = d->table_token == token;
    for (uint32_t k = 1; s->drafted && k <= right && k < drafts; k++)
        if (!(s->forced_drafts >> k & 1)) {
            expected += d->confidence[k];
            accepted += k < right;
        }
    d->calibration = least(tini_speculate_updated(d->calibration, expected, accepted), MAX_CALIBRATION);
}

void tini_speculate_checked(tin_session *s, tini_predictor *predictor, uint32_t at, uint32_t drafts,
                            uint32_t right) {
    if (at < s->count)
        update_rates(s, s->input.tokens[at], drafts, right);
    if (s->predicted == TINI_PREDICTION_PROBED && at < s->count)
        tini_predictor_checked(predictor, s, s->input.tokens[at] == s->predicted_token);
    if (drafts && s->predicted == TINI_PREDICTION_DRAFTED) {
        tini_predictor_checked(predictor, s, right != 0);
        return;
    }
    if (s->drafted || !drafts)
        return;
    if (!right) /* and the longer, the oftener that was so */
        s->pause = least(2 * s->pause + (s->draft_length == 1), LONGEST_LOOKUP_PAUSE);
    else
        s->pause = 0;
    s->pause_left = s->pause;
    s->draft_length = right == drafts ? 2 * s->draft_length
                      : right         ? s->draft_length
                                      : (s->draft_length + 1) / 2;
    if (s->draft_length > s->lookup && s->lookup)
        s->draft_length = s->lookup;
}

tin_status tin_session_draft(tin_session *s, const void *data, size_t size, tin_error *error) {
    tini_draft_table table = {0};
    tin_status status = data ? tini_draft_table_open(&table, data, size, &s->model->tokenizer, error) : TIN_OK;
    if (!status)
        status = tini_generate_end(s, error);
    if (!status && s->drafter) /* a session of one row of logits has no room for drafts */
        tini_speculate_with_table(s, &table);
    return status;
}

TINI_REGION_END
