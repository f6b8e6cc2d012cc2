#include "error.h"
#include "model.h"

#include <string.h>

tin_status tini_turns_open(tini_turns *view, const tini_tokenizer *tokenizer, const uint8_t *data, size_t size,
                           tin_error *error) {
    memset(view, 0, sizeof *view);
    const tini_turns_header *h = (const void *)data;
    if ((uintptr_t)data % sizeof(uint32_t) || size < sizeof *h || h->magic != TINI_TURNS_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "turns.bin does not begin as one");
    if (h->version != TINI_TURNS_VERSION || h->flags > TINI_TURNS_STRIP)
        return tini_fail(error, TIN_ERR_VERSION,
                         "turns.bin has version %u, flags %u; this runtime reads version %u", h->version,
                         h->flags, TINI_TURNS_VERSION);
    uint64_t want = sizeof *h + sizeof(uint32_t) * (TINI_TURN_TEXTS + 1) +
                    sizeof(tini_turn_part) * (uint64_t)h->parts + h->text_bytes;
    if (want != size || h->text_bytes > TINI_TEXT_MAX)
        return tini_fail(error, TIN_ERR_FORMAT, "turns.bin has %llu bytes; its counts make %llu",
                         (unsigned long long)size, (unsigned long long)want);
    view->header = h;
    view->first = (const void *)(data + sizeof *h);
    view->parts = (const void *)(view->first + TINI_TURN_TEXTS + 1);
    view->text = (const void *)(view->parts + h->parts);
    for (uint32_t k = 0; k < TINI_TURN_TEXTS; k++)
        if (view->first[k] > view->first[k + 1])
            return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: text %u is damaged", k);
    if (view->first[0] != 0 || view->first[TINI_TURN_TEXTS] != h->parts)
        return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: its texts do not fill it");
    uint32_t last = 0;
    for (uint32_t k = 0; k < h->parts; k++) {
        const tini_turn_part *part = &view->parts[k];
        int known =
            part->token == -1 || (part->token >= 0 && (uint32_t)part->token < tokenizer->header->vocab &&
                                  tini_token_is_control(tokenizer, part->token));
        if (part->end < last || part->end > h->text_bytes || !known)
            return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: part %u is damaged", k);
        last = part->end;
    }
    return last == h->text_bytes ? TIN_OK
                                 : tini_fail(error, TIN_ERR_FORMAT, "turns.bin: its texts do not fill it");
}

/* The tokens of a conversation, as they are made. Template and contents between two control tokens are ONE run of
 * plain text: the tokens are those of the rendered text. */
typedef struct turn_sink {
    const tini_tokenizer *tokenizer;
    uint8_t *run;           /* NULL: only measure */
    size_t length, longest; /* of the run under way, and of the longest */
    int32_t *tokens;
    size_t capacity;
    int64_t count;
    int32_t before; /* the control token before the run, or -1 */
    void *scratch;
    size_t scratch_size;
} turn_sink;

static tin_status put_plain(turn_sink *out, const uint8_t *text, size_t length, tin_error *error) {
    if (length > TINI_TEXT_MAX - out->length)
        return tini_fail(error, TIN_ERR_ARGUMENT, "a message of more than %u bytes", TINI_TEXT_MAX);
    if (out->run && length)
        memcpy(out->run + out->length, text, length);
    out->length += length;
    return TIN_OK;
}

/* `after`: the control token behind the run, or -1. */
static void end_run(turn_sink *out, int32_t after) {
    if (out->length > out->longest)
        out->longest = out->length;
    if (out->run) {
        size_t used = (uint64_t)out->count < out->capacity ? (size_t)out->count : out->capacity;
        /* Can't fail: the run fits both TINI_TEXT_MAX and the scratch. */
        const uint8_t *run = out->run;
        size_t length = out->length;
        tini_special_strip(out->tokenizer, out->before, after, &run, &length);
        out->count += tini_tokenize(
            out->tokenizer, (const char *)run, length, out->before < 0 ? 0 : TINI_TEXT_INNER,
            out->capacity ? out->tokens + used : NULL, out->capacity - used, out->scratch, out->scratch_size);
    }
    out->length = 0;
    out->before = after;
}

static tin_status put_text(turn_sink *out, const tini_turns *turns, uint32_t text, tin_error *error) {
    for (uint32_t k = turns->first[text]; k < turns->first[text + 1]; k++) {
        uint32_t begin = k ? turns->parts[k - 1].end : 0;
        tin_status status = put_plain(out, turns->text + begin, turns->parts[k].end - begin, error);
        if (status)
            return status;
        if (turns->parts[k].token < 0)
            continue;
        end_run(out, turns->parts[k].token);
        if ((uint64_t)out->count < out->capacity)
            out->tokens[out->count] = turns->parts[k].token;
        out->count++;
    }
    return TIN_OK;
}

/* Is text[length] one white-space character? As Python's str.strip, which templates are written for, has it. */
static int is_space(const uint8_t *text, size_t length) {
    if (length == 1)
        return (text[0] >= 0x09 && text[0] <= 0x0D) || (text[0] >= 0x1C && text[0] <= 0x20);
    if (length == 2)
        return text[0] == 0xC2 && (text[1] == 0x85 || text[1] == 0xA0);
    uint32_t code = (uint32_t)text[0] << 16 | (uint32_t)text[1] << 8 | text[2];
    return (code >= 0xE28080 && code <= 0xE2808A) || code == 0xE19A80 || code == 0xE280A8 || code == 0xE280A9 ||
           code == 0xE280AF || code == 0xE2819F || code == 0xE38080;
}

static void strip(const uint8_t **text, size_t *length) {
    for (size_t width = 1; width <= 3 && width <= *length; width++)
        if (is_space(*text, width)) {
            *text += width;
            *length -= width;
            width = 0;
        }
    for (size_t width = 1; width <= 3 && width <= *length; width++)
        if (is_space(*text + *length - width, width)) {
            *length -= width;
            width = 0;
        }
}

static tin_status put_message(turn_sink *out, const tini_turns *turns, const tin_message *m, uint32_t number,
                              tin_error *error) {
    static const uint32_t opening[] = {TINI_TURN_START_SYSTEM, TINI_TURN_OPEN_USER, TINI_TURN_OPEN_ASSISTANT};
    static const uint32_t ending[] = {TINI_TURN_END_SYSTEM, TINI_TURN_END_USER, TINI_TURN_END_ASSISTANT};
    if (m->role > TIN_ROLE_ASSISTANT)
        return tini_fail(error, TIN_ERR_ARGUMENT, "message %u: role %u is none of TIN_ROLE_*", number + 1,
                         m->role);
    if (m->role == TIN_ROLE_SYSTEM && number)
        return tini_fail(error, TIN_ERR_ARGUMENT, "message %u: a system message can only be the first",
                         number + 1);
    if (m->length && !m->content)
        return tini_fail(error, TIN_ERR_ARGUMENT, "message %u: no content", number + 1);
    const uint8_t *content = (const uint8_t *)m->content;
    size_t length = m->length;
    if (turns->header->flags & TINI_TURNS_STRIP)
        strip(&content, &length);
    tin_status status = put_text(out, turns, opening[m->role], error);
    if (!status)
        status = put_plain(out, content, length, error);
    return status ? status : put_text(out, turns, ending[m->role], error);
}

static tin_status put_conversation(turn_sink *out, const tin_model *model, const tin_message *messages,
                                   uint32_t count, uint32_t flags, tin_error *error) {
    const tini_turns *turns = &model->turns;
    if (!turns->header)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "the model has no chat template that could be compiled; "
                         "manifest.json says why, and tin_tokenize takes raw prompts");
    if (count && !messages)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no messages");
    tin_status status = TIN_OK;
    if (!count || messages[0].role != TIN_ROLE_SYSTEM)
        status = put_text(out, turns, TINI_TURN_START, error);
    for (uint32_t k = 0; k < count && !status; k++)
        status = put_message(out, turns, &messages[k], k, error);
    if (!status && (flags & TIN_CHAT_ANSWER))
        status = put_text(out, turns, TINI_TURN_ANSWER, error);
    if (!status)
        end_run(out, -1);
    return status;
}

/* The bytes of the longest run of plain text, with or without the answer's opening. */
static tin_status measure(const tin_model *model, const tin_message *messages, uint32_t count, size_t *longest,
                          tin_error *error) {
    turn_sink sink = {.tokenizer = &model->tokenizer, .before = -1};
    tin_status status = put_conversation(&sink, model, messages, count, TIN_CHAT_ANSWER, error);
    *longest = sink.longest;
    return status;
}

size_t tin_chat_scratch(const tin_model *model, const tin_message *messages, uint32_t count, tin_error *error) {
    size_t longest;
    return measure(model, messages, count, &longest, error)
               ? 0
               : tini_tokenize_scratch(&model->tokenizer, longest) + longest;
}

int64_t tin_chat(const tin_model *model, const tin_message *messages, uint32_t count, uint32_t flags,
                 int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size, tin_error *error) {
    if ((capacity && !tokens) || (flags & ~(uint32_t)TIN_CHAT_ANSWER))
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the tokens, or an unknown flag");
    size_t longest;
    tin_status status = measure(model, messages, count, &longest, error);
    if (status)
        return status;
    size_t room = tini_tokenize_scratch(&model->tokenizer, longest);
    if (!scratch || (uintptr_t)scratch % sizeof(uint32_t) || scratch_size < room + longest)
        return tini_fail(error, TIN_ERR_MEMORY, "the conversation needs %llu bytes of scratch, aligned to %u",
                         (unsigned long long)(room + longest), (uint32_t)sizeof(uint32_t));
    turn_sink out = {.tokenizer = &model->tokenizer,
                     .before = -1,
                     .run = (uint8_t *)scratch + room,
                     .tokens = tokens,
                     .capacity = capacity,
                     .scratch = scratch,
                     .scratch_size = room};
    status = put_conversation(&out, model, messages, count, flags, error);
    return status ? status : out.count;
}
