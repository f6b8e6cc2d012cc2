#include "host.h"

#include <stdio.h>

/* ---- Characters ---- */

/* How many bytes of text[length] belong to the character that it begins with, and whether that is whole: 0 where it may
 * go on behind the end. Bytes that are no UTF-8 are taken as Unicode advises (chapter 3.9, maximal subparts), and so is a NUL. */
static size_t character(const uint8_t *text, size_t length, int *good) {
    uint8_t lead = text[0], low = 0x80, high = 0xBF;
    size_t count = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    *good = 0;
    if (!count || !lead) /* a NUL would end the text */
        return 1;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (size_t k = 1; k < count; k++, low = 0x80, high = 0xBF) {
        if (k == length)
            return 0;
        if (text[k] < low || text[k] > high)
            return k;
    }
    *good = 1;
    return count;
}

size_t tini_host_characters(const uint8_t *text, size_t length, int last, char *out, size_t *written) {
    size_t done = 0, at = 0;
    while (done < length) {
        int good;
        size_t count = character(text + done, length - done, &good);
        if (!count && !last)
            break;
        if (good)
            memcpy(out + at, text + done, count);
        else
            memcpy(out + at, "\xEF\xBF\xBD", 3);
        at += good ? count : 3;
        done = count ? done + count : length;
    }
    *written = at;
    return done;
}

/* ---- Messages ---- */

int32_t tini_host_room(tinhost_session *s, int32_t messages) {
    if (messages <= s->message_capacity)
        return TIN_OK;
    int32_t room = messages > 2 * s->message_capacity ? messages : 2 * s->message_capacity;
    tini_host_message *grown = realloc(s->messages, (size_t)room * sizeof *grown);
    if (!grown)
        return tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for another message");
    s->messages = grown;
    s->message_capacity = room;
    return TIN_OK;
}

int32_t tinhost_say(tinhost_session *s, int32_t role, const char *text) {
    int32_t status = tini_host_ready(s);
    if (status)
        return status;
    if (role < TIN_ROLE_SYSTEM || role > TIN_ROLE_TOOL || !text)
        return tini_host_fail(s, TIN_ERR_ARGUMENT, "a message has a text, and a role from 0 to 3");
    status = tini_host_room(s, s->message_count + 1);
    if (status)
        return status;
    char *copied = tini_host_copied(text);
    if (!copied)
        return tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for another message");
    tini_host_message message = {.role = role, .text = copied};
    if (role == TIN_ROLE_USER) {
        message.images = s->pending.images;
        message.image_count = s->pending.image_count;
        s->pending = (tini_host_message){0};
    }
    s->messages[s->message_count++] = message;
    return TIN_OK;
}

static void drop_last(tinhost_session *s) {
    tini_host_message *message = &s->messages[--s->message_count];
    free(message->text);
    tini_host_drop_images(message);
}

int32_t tinhost_messages(const tinhost_session *s) {
    return s ? s->message_count : 0;
}

const char *tinhost_message(const tinhost_session *s, int32_t k) {
    return s && k >= 0 && k < s->message_count ? s->messages[k].text : NULL;
}

int32_t tinhost_message_role(const tinhost_session *s, int32_t k) {
    return s && k >= 0 && k < s->message_count ? s->messages[k].role : -1;
}

int32_t tinhost_forget(tinhost_session *s, int32_t k) {
    if (!s || !s->core)
        return tini_host_ready(s);
    if (k < 0 || k > s->message_count)
        return tini_host_fail(s, TIN_ERR_ARGUMENT, "there are not so many messages");
    tinhost_cancel(s);
    tini_host_drop_answer(s); /* it may be one of them */
    tini_host_drop_images(&s->pending);
    while (s->message_count > k)
        drop_last(s);
    return TIN_OK;
}

/* ---- The answer ---- */

static const char OPENING[] = "<think>";
enum { LEAD = sizeof OPENING - 1 };

void tini_host_drop_answer(tinhost_session *s) {
    free(s->bytes);
    if (!s->handed_over)
        free(s->lead);
    s->handed_over = 0;
    tini_block_drop(&s->vision_memory);
    s->vision = NULL;
    s->bytes = NULL;
    s->lead = s->text = s->piece = NULL;
    s->byte_count = s->whole = s->text_length = 0;
    s->tokens = 0;
    s->digest = 0xCBF29CE484222325u;
}

/* Room for whatever most_tokens may say, so that no step takes memory. */
static int32_t make_room(tinhost_session *s, int32_t most_tokens, int is_message) {
    for (int32_t k = 0; k < s->message_count && s->handed_over; k++)
        if (s->messages[k].text ==
            s->lead) { /* it had the room of the longest answer, and keeps what it needs */
            char *shrunk = realloc(s->lead, strlen(s->lead) + 1);
            s->messages[k].text = shrunk ? shrunk : s->lead;
            break;
        }
    tini_host_drop_answer(s);
    size_t room = (size_t)most_tokens * s->model->longest + 1;
    s->bytes = malloc(room);
    s->lead = malloc(LEAD + 3 * room);
    s->is_message = is_message;
    s->opened = 0;
    if (!s->bytes || !s->lead || (is_message && tini_host_room(s, s->message_count + 1))) {
        tini_host_drop_answer(s);
        return tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for an answer of so many tokens");
    }
    memcpy(s->lead, OPENING, LEAD);
    s->text = s->piece = s->lead + LEAD;
    *s->text = 0;
    return TIN_OK;
}

/* Whether a prompt ends with the mark that opens thoughts, and nothing but spaces behind it. */
static int opens_thoughts(const tinhost_session *s, const int32_t *tokens, int64_t count) {
    char end[32];
    size_t kept = 0; /* bytes of the prompt's end, written from the back of `end` on */
    for (int64_t k = count; k-- > 0 && kept < LEAD;) {
        uint32_t length;
        int control;
        const char *text = tin_token_text(s->model->core, tokens[k], &length, &control);
        if (!text) /* an image's */
            return 0;
        while (length && !kept && strchr(" \n\r\t", text[length - 1]))
            length--;
        for (; length && kept < sizeof end; kept++)
            end[sizeof end - 1 - kept] = text[--length];
    }
    return kept >= LEAD && !memcmp(end + sizeof end - LEAD, OPENING, LEAD);
}

/* TIN_OK where so many tokens leave room for one more. */
static int32_t fits(tinhost_session *s, int64_t count) {
    if ((uint64_t)count < s->context)
        return TIN_OK;
    snprintf(s->error.text, sizeof s->error.text,
             "the prompt has %lld tokens, and the session room for %u; forget messages, or open it with more",
             (long long)count, s->context);
    return s->error.status = TIN_ERR_CONTEXT;
}

/* Drafts are by the table of the skill that answers, or by none. */
static int32_t draft_by_skill(tinhost_session *s) {
    const tini_skill *skill = s->applied_count ? s->applied[0] : s->model->skills;
    if (skill == s->drafting || !s->model->drafts)
        return TIN_OK;
    int32_t status = tin_session_draft(s->core, skill->draft, skill->draft_size, &s->error);
    if (!status)
        s->drafting = skill;
    return status;
}

/* Goes on from the session's tokens. */
static int32_t go_on(tinhost_session *s, int32_t most_tokens) {
    /* What is drafted is chosen in one go. The likeliest token takes microseconds, a drawn one up to a millisecond. */
    uint32_t lookup = s->sampling.temperature > 0 ? 0 : TINI_HOST_LOOKUP;
    int32_t status = draft_by_skill(s);
    return status ? status
                  : tin_session_generate(s->core, &s->sampling, (uint32_t)most_tokens, lookup, &s->error);
}

static int32_t generate(tinhost_session *s, const int32_t *tokens, int64_t count, int32_t most_tokens) {
    if (count < 0)
        return s->error.status;
    int32_t status = fits(s, count);
    if (!status)
        status = tin_session_replace(s->core, tokens, (uint32_t)count, &s->error);
    if (!status)
        status = go_on(s, most_tokens);
    s->under_way = !status;
    return status;
}

/* By the chat template of the first adapter, or of the file. */
static tini_manner manner_of(const tinhost_session *s) {
    const tini_skill *skill = s->applied_count ? s->applied[0] : s->model->skills;
    const void *turns = skill->name ? skill->turns : NULL;
    return (tini_manner){TIN_CHAT_ANSWER | (uint32_t)s->think * TIN_CHAT_THINK, turns,
                         turns ? skill->turns_size : 0};
}

/* The prompt's tokens; [count] to be freed, NULL on failure. */
static int32_t *render(tinhost_session *s, const tin_message *messages, int64_t *count) {
    const tini_manner how = manner_of(s);
    const tin_model *model = s->model->core;
    uint32_t n = (uint32_t)s->message_count;
    *count = -1;
    size_t need = tin_template_scratch(model, how.turns, how.turns_size, messages, n, &s->error);
    void *scratch = need ? malloc(need) : NULL;
    int32_t *tokens = malloc(s->context * sizeof *tokens);
    if (need && scratch && tokens)
        *count = tin_template_chat(model, how.turns, how.turns_size, messages, n, how.flags, tokens, s->context,
                                   scratch, need, &s->error);
    else if (need)
        tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for the prompt");
    free(scratch);
    return tokens;
}

/* What any answer begins with; a constraint of its own in data[size], or NULL. */
static int32_t prepare(tinhost_session *s, int32_t most_tokens, int is_message) {
    int32_t status = tini_host_ready(s);
    if (status)
        return status;
    if (most_tokens < 1)
        return tini_host_fail(s, TIN_ERR_ARGUMENT, "an answer has at least 1 token");
    if ((uint32_t)most_tokens > s->context)
        most_tokens = (int32_t)s->context;
    s->error = (tin_error){0};
    s->chosen = -1;
    s->choosing = 0;
    return make_room(s, most_tokens, is_message);
}

/* Its images are seen first. */
static int32_t begin_encoding(tinhost_session *s, const tin_message *messages, int32_t most_tokens) {
    const int32_t *tokens;
    int64_t count = tini_host_begin_images(s, messages, manner_of(s), &tokens);
    if (count < 0)
        return (int32_t)count;
    s->opened = opens_thoughts(s, tokens, count);
    s->most_tokens = most_tokens;
    int32_t status = fits(s, count);
    s->under_way = !status;
    return status;
}

static int32_t begin_conversation(tinhost_session *s, int32_t most_tokens) {
    size_t n = (size_t)s->message_count;
    tin_message *messages = malloc((n + 1) * sizeof *messages);
    if (!messages)
        return tini_host_fail(s, TIN_ERR_MEMORY, "there is no memory for the prompt");
    for (size_t k = 0; k < n; k++)
        messages[k] =
            (tin_message){(uint32_t)s->messages[k].role, s->messages[k].text, strlen(s->messages[k].text)};
    int32_t status;
    if (tini_host_images(s)) {
        status = begin_encoding(s, messages, most_tokens);
    } else {
        int64_t count;
        int32_t *tokens = render(s, messages, &count);
        s->opened = count > 0 && (uint64_t)count < s->context && opens_thoughts(s, tokens, count);
        status = generate(s, tokens, count, most_tokens);
        free(tokens);
    }
    free(messages);
    return status;
}

int32_t tinhost_begin(tinhost_session *s, int32_t most_tokens) {
    int32_t status = prepare(s, most_tokens, 1);
    if (!status)
        status = tini_host_constrain(s);
    return status ? status : begin_conversation(s, most_tokens);
}

int32_t tinhost_ask(tinhost_session *s, const char *text, int32_t most_tokens) {
    int32_t status = tinhost_say(s, TIN_ROLE_USER, text);
    if (status)
        return status;
    status = tinhost_begin(s, most_tokens);
    if (status)
        drop_last(s);
    return status;
}

int32_t tinhost_choose(tinhost_session *s, const char *options) {
    int32_t status = tini_host_ready(s);
    if (!status)
        status = tini_host_options(s, options);
    if (status)
        return status;
    int32_t most = 1; /* a token is at least a byte */
    const char *option = s->options;
    for (int32_t k = 0; k < s->option_count; k++, option += strlen(option) + 1)
        most = (int32_t)strlen(option) > most ? (int32_t)strlen(option) : most;
    status = prepare(s, most, 1);
    if (!status)
        status = tini_host_constrain_by(s, &s->choice, s->automaton.data, s->automaton.size);
    s->choosing = !status;
    return status ? status : begin_conversation(s, most);
}

int32_t tinhost_complete(tinhost_session *s, const char *text, int32_t most_tokens) {
    int32_t status = tini_host_ready(s);
    if (!status && !text)
        status = tini_host_fail(s, TIN_ERR_ARGUMENT, "there is no text to go on from");
    if (!status)
        status = prepare(s, most_tokens, 0);
    if (!status)
        status = tini_host_constrain(s);
    if (status)
        return status;
    size_t length = strlen(text), need = tin_tokenize_scratch(s->model->core, length);
    void *scratch = malloc(need);
    int32_t *tokens = malloc(s->context * sizeof *tokens);
    int64_t count = TIN_ERR_MEMORY;
    if (scratch && tokens && need)
        count = tin_tokenize(s->model->core, text, length, TIN_TEXT_BOS, tokens, s->context, scratch, need);
    if (count < 0)
        tini_host_fail(s, (int32_t)count, "the text can't be tokenized, or there is no memory for it");
    status = generate(s, tokens, count, most_tokens);
    free(scratch);
    free(tokens);
    return status;
}

/* ---- Steps ---- */

static uint64_t mix(uint64_t digest, uint32_t value) {
    for (uint32_t k = 0; k < 4; k++, value >>= 8)
        digest = (digest ^ (value & 0xFF)) * 0x100000001B3u;
    return digest;
}

static void take(tinhost_session *s) {
    int32_t token = tin_session_token(s->core);
    tin_choice choice = {0};
    uint32_t length, bits;
    int control;
    if (tin_session_choice(s->core, &choice, NULL))
        choice.logit = 0;
    memcpy(&bits, &choice.logit, sizeof bits);
    s->digest = mix(mix(s->digest, (uint32_t)token), bits);
    const char *text = tin_token_text(s->model->core, token, &length, &control);
    if (!control) {
        memcpy(s->bytes + s->byte_count, text, length);
        s->byte_count += length;
    }
    s->tokens++;
}

static void write_characters(tinhost_session *s, int last) {
    size_t written;
    s->whole += tini_host_characters(s->bytes + s->whole, s->byte_count - s->whole, last,
                                     s->text + s->text_length, &written);
    s->text_length += written;
    s->text[s->text_length] = 0;
}

static int32_t finish(tinhost_session *s) {
    size_t piece = (size_t)(s->piece - s->text);
    write_characters(s, 1);
    s->under_way = 0;
    const char *option = s->options;
    for (int32_t k = 0; k < s->option_count && s->choosing; k++, option += strlen(option) + 1)
        if (s->byte_count == strlen(option) && !memcmp(s->bytes, option, s->byte_count))
            s->chosen = k;
    if (s->is_message) {
        char *text = s->opened ? s->lead : s->text;
        memmove(s->lead, text, strlen(text) + 1);
        s->text = s->lead + (s->opened ? LEAD : 0);
        s->piece = s->text + piece;
        s->messages[s->message_count++] = (tini_host_message){.role = TIN_ROLE_ASSISTANT, .text = s->lead};
        s->handed_over = 1;
    }
    return TINHOST_DONE;
}

static int32_t broken(tinhost_session *s, int32_t status) {
    s->under_way = 0;
    char text[96];
    snprintf(text, sizeof text, "the answer can't go on: %s", tin_status_name(status));
    return tini_host_fail(s, status, text);
}

/* Of a budget that is not 0: at least one, for what is late already; no more than a clock of 64 bits has room for. */
static uint64_t nanoseconds(int64_t microseconds) {
    if (microseconds < 0)
        return 1;
    return microseconds < INT64_MAX / 1000 ? (uint64_t)microseconds * 1000 : INT64_MAX;
}

int32_t tinhost_step(tinhost_session *s, int64_t budget_us) {
    if (!s || !s->core)
        return tini_host_ready(s);
    s->piece = s->text ? s->text + s->text_length : NULL;
    if (!s->under_way)
        return TINHOST_IDLE;
    const int bound = budget_us != 0;
    uint64_t now = bound ? tini_now_ns() : 0, end = bound ? now + nanoseconds(budget_us) : 0;
    if (s->vision) {
        int32_t event = tini_host_encode_step(s, end - now);
        if (event == TIN_STEP_PENDING)
            return TINHOST_PENDING;
        if (event < 0 || (event = go_on(s, s->most_tokens)) < 0)
            return broken(s, event);
        now = bound ? tini_now_ns() : 0;
    }
    while (!bound || now < end) {
        int32_t event = tin_step(s->core, end - now);
        if (event == TIN_STEP_TOKEN) {
            take(s);
            write_characters(s, 0);
        } else if (event == TIN_STEP_DONE)
            return finish(s);
        else if (event < 0)
            return broken(s, event);
        else /* a new step would do what has no room in this one */
            break;
        if (bound)
            now = tini_now_ns();
        else if (*s->piece)
            break;
    }
    return *s->piece ? TINHOST_PIECE : TINHOST_PENDING;
}

const char *tinhost_piece(const tinhost_session *s) {
    return s && s->piece ? s->piece : "";
}

const char *tinhost_answer(const tinhost_session *s) {
    return s && s->text ? s->text : "";
}

int32_t tinhost_chosen(const tinhost_session *s) {
    return s ? s->chosen : -1;
}

int32_t tinhost_finish(const tinhost_session *s) {
    return s && s->core && !s->under_way ? tin_session_finish(s->core) : TIN_FINISH_NONE;
}

int32_t tinhost_tokens(const tinhost_session *s) {
    return s ? s->tokens : 0;
}

int32_t tinhost_passes(const tinhost_session *s) {
    return s && s->core ? (int32_t)tin_session_passes(s->core) : 0;
}

int64_t tinhost_digest(const tinhost_session *s) {
    return s ? (int64_t)s->digest : 0;
}

void tinhost_cancel(tinhost_session *s) {
    if (!s || !s->under_way)
        return;
    tin_session_rewind(s->core, tin_session_position(s->core, NULL, NULL), NULL);
    s->vision = NULL;
    s->under_way = 0;
}
