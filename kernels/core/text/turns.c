#include "turns.h"
#include "../base/error.h"
#include "../base/region.h"
#include "encode.h"

#include <string.h>

TINI_REGION_COLD

static uint64_t turns_bytes(const tini_turns_header *h) {
    return sizeof *h + sizeof(tini_turn_rules) * (uint64_t)h->tables +
           sizeof(tini_turn_word) * (uint64_t)h->words +
           sizeof(uint32_t) * ((uint64_t)h->tables * TINI_TURN_TEXTS + 1) +
           sizeof(tini_turn_part) * (uint64_t)h->parts + h->text_bytes;
}

static void lay_out_turns(tini_turns *view, const tini_turns_header *h) {
    view->header = h;
    view->rules = (const void *)(h + 1);
    view->words = (const void *)(view->rules + h->tables);
    view->first = (const void *)(view->words + h->words);
    view->parts = (const void *)(view->first + h->tables * TINI_TURN_TEXTS + 1);
    view->text = (const void *)(view->parts + h->parts);
}

static int rules_are_sound(const tini_turn_rules *rules) {
    int sound = rules->flags <= TINI_TURNS_FLAGS && rules->thoughts <= TINI_STRIPS &&
                rules->rest <= TINI_STRIPS && !rules->reserved[0] && !rules->reserved[1];
    for (uint32_t k = 0; k < TINI_SLOTS; k++)
        sound &= rules->strip[k] <= TINI_STRIPS;
    for (uint32_t k = 0; k < 3; k++)
        sound &= rules->modes[k] <= TINI_THINK_ALWAYS;
    return sound;
}

static tin_status check_turn_texts(const tini_turns *view, tin_error *error) {
    const tini_turns_header *h = view->header;
    uint32_t texts = h->tables * TINI_TURN_TEXTS, last = 0;
    for (uint32_t k = 0; k < texts; k++)
        if (view->first[k] > view->first[k + 1])
            return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: text %u is damaged", k);
    if (view->first[0] != 0 || view->first[texts] != h->parts)
        return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: its texts do not fill it");
    for (uint32_t k = 0; k < h->parts; k++) {
        const tini_turn_part *part = &view->parts[k];
        if (part->end < last || part->end > h->text_bytes)
            return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: part %u is damaged", k);
        last = part->end;
    }
    for (uint32_t k = 0; k < h->words; k++) {
        const tini_turn_word *word = &view->words[k];
        if (word->table >= h->tables || word->role > TIN_ROLE_TOOL || word->begin != last ||
            word->length > h->text_bytes - last || word->length > TINI_TURN_WORD_LONGEST)
            return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: word %u is damaged", k);
        last += word->length;
    }
    return last == h->text_bytes ? TIN_OK
                                 : tini_fail(error, TIN_ERR_FORMAT, "turns.bin: its texts do not fill it");
}

tin_status tini_turns_open(tini_turns *view, const uint8_t *data, size_t size, tin_error *error) {
    memset(view, 0, sizeof *view);
    const tini_turns_header *h = (const void *)data;
    if ((uintptr_t)data % sizeof(uint32_t) || size < sizeof *h || h->magic != TINI_TURNS_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "turns.bin does not begin as one");
    if (h->version != TINI_TURNS_VERSION)
        return tini_other_version(error, "turns.bin", h->version, TINI_TURNS_VERSION, TINI_BUILD_AGAIN);
    int sound = h->tables - 1 < TINI_TURN_TABLES && h->table[0] < h->tables;
    for (uint32_t k = 1; k < TINI_TURN_TABLES; k++)
        sound = sound && (h->table[k] < h->tables || h->table[k] == TINI_TURN_NONE);
    if (!sound)
        return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: its tables are damaged");
    if (turns_bytes(h) != size || h->text_bytes > TINI_TEXT_MAX)
        return tini_fail(error, TIN_ERR_FORMAT, "turns.bin has %llu bytes; its counts make %llu",
                         (unsigned long long)size, (unsigned long long)turns_bytes(h));
    tini_turns turns;
    lay_out_turns(&turns, h);
    for (uint32_t k = 0; k < h->tables; k++)
        if (!rules_are_sound(&turns.rules[k]))
            return tini_fail(error, TIN_ERR_FORMAT, "turns.bin: the rules of table %u are damaged", k);
    tin_status status = check_turn_texts(&turns, error);
    if (!status)
        *view = turns;
    return status;
}

typedef struct span {
    const uint8_t *data;
    size_t length;
} span;

static tin_status put_plain(tini_turn_sink *out, span text) {
    if (text.length > TINI_TEXT_MAX - out->length)
        return tini_fail(out->error, TIN_ERR_ARGUMENT, "a message of more than %u bytes", TINI_TEXT_MAX);
    if (out->run && text.length)
        memcpy(out->run + out->length, text.data, text.length);
    out->length += text.length;
    return TIN_OK;
}

/* `behind`: the control token behind the run, or -1. */
static void end_run(tini_turn_sink *out, int32_t behind) {
    if (out->length > out->longest)
        out->longest = out->length;
    if (out->run) {
        size_t used = (uint64_t)out->count < out->capacity ? (size_t)out->count : out->capacity;
        /* Can't fail: the run fits both TINI_TEXT_MAX and the scratch. */
        const uint8_t *run = out->run;
        size_t length = out->length;
        tini_special_strip(out->tokenizer, out->before, behind, &run, &length);
        out->count += tini_tokenize(
            out->tokenizer, (const char *)run, length, out->before < 0 ? 0 : TINI_TEXT_INNER,
            out->capacity ? out->tokens + used : NULL, out->capacity - used, out->scratch, out->scratch_size);
    }
    out->length = 0;
    out->before = behind;
}

static void put_token(tini_turn_sink *out, int32_t token) {
    if ((uint64_t)out->count < out->capacity)
        out->tokens[out->count] = token;
    out->count++;
}

tin_status tini_turn_put(tini_turn_sink *out, const uint8_t *text, size_t length) {
    size_t at = 0, behind = 0;
    tin_status status = TIN_OK;
    while (at < length && !status) {
        int32_t token;
        size_t place = tini_special_control(out->tokenizer, text, at, length, &token, &behind);
        status = put_plain(out, (span){text + at, place - at});
        if (place == length || status)
            break;
        end_run(out, token);
        put_token(out, token);
        at = behind;
    }
    return status;
}

int64_t tini_turn_rows(tini_turn_sink *out, int32_t image, uint32_t count) {
    end_run(out, image);
    int64_t first = out->count;
    for (uint32_t k = 0; k < count; k++)
        put_token(out, TIN_EMBEDDED);
    return first;
}

void tini_turn_drop(tini_turn_sink *out, const uint8_t *text, size_t length) {
    if (out->run && length <= out->length && !memcmp(out->run + out->length - length, text, length))
        out->length -= length;
}

int tini_turn_measures(const tini_turn_sink *out) {
    return !out->run;
}

static tin_status put_text(tini_turn_sink *out, uint32_t text) {
    const tini_turns *turns = out->turns;
    const uint32_t *first = turns->first + out->table * TINI_TURN_TEXTS + text;
    for (uint32_t k = first[0]; k < first[1]; k++) {
        uint32_t begin = k ? turns->parts[k - 1].end : 0;
        tin_status status = put_plain(out, (span){turns->text + begin, turns->parts[k].end - begin});
        if (status)
            return status;
        if (turns->parts[k].token < 0)
            continue;
        end_run(out, turns->parts[k].token);
        put_token(out, turns->parts[k].token);
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

static int is_dropped(const uint8_t *text, size_t length, uint32_t how) {
    return how & TINI_STRIP_LINES ? length == 1 && *text == '\n' : is_space(text, length);
}

static span strip(span text, uint32_t how) {
    for (size_t width = 1; how & TINI_STRIP_LEFT && width <= 3 && width <= text.length; width++)
        if (is_dropped(text.data, width, how)) {
            text.data += width;
            text.length -= width;
            width = 0;
        }
    for (size_t width = 1; how & TINI_STRIP_RIGHT && width <= 3 && width <= text.length; width++)
        if (is_dropped(text.data + text.length - width, width, how)) {
            text.length -= width;
            width = 0;
        }
    return text;
}

/* Where `word` begins in `text`, the first time or the last; text.length: nowhere. */
static size_t find_text(span text, span word, int last) {
    size_t place = text.length;
    for (size_t k = 0; word.length <= text.length - k; k++)
        if (!memcmp(text.data + k, word.data, word.length)) {
            place = k;
            if (!last)
                break;
        }
    return place;
}

static span text_after(span text, size_t length) {
    return (span){text.data + length, text.length - length};
}

/* An assistant's content, its thoughts treated as they are where it stands. */
static tin_status put_answer(tini_turn_sink *out, span content, uint32_t place) {
    const tini_turn_rules *rules = &out->turns->rules[out->table];
    const span opening = {(const uint8_t *)"<think>", 7}, closing = {(const uint8_t *)"</think>", 8};
    uint32_t mode = rules->flags & TINI_TURNS_THOUGHTS ? rules->modes[place] : TINI_THINK_RAW;
    if (mode == TINI_THINK_RAW)
        return put_plain(out, content);
    span thoughts = {content.data, 0}, rest = content;
    size_t end = find_text(content, closing, 0);
    if (end < content.length) {
        thoughts.length = end;
        size_t begin = find_text(thoughts, opening, 1);
        if (begin < thoughts.length)
            thoughts = text_after(thoughts, begin + opening.length);
        thoughts = strip(thoughts, rules->thoughts);
        rest = strip(text_after(content, find_text(content, closing, 1) + closing.length), rules->rest);
    }
    if (mode == TINI_THINK_DROP || (mode == TINI_THINK_SOME && !thoughts.length))
        return put_plain(out, rest);
    tin_status status = put_text(out, TINI_TURN_BEFORE_THOUGHTS);
    if (!status)
        status = put_plain(out, thoughts);
    if (!status)
        status = put_text(out, TINI_TURN_AFTER_THOUGHTS);
    return status ? status : put_plain(out, strip(rest, rules->rest));
}

/* As Python's json.dumps(content, ensure_ascii=False) writes it, without the quotes. */
static tin_status put_escaped(tini_turn_sink *out, span content) {
    static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt", hex[] = "0123456789abcdef";
    tin_status status = TIN_OK;
    for (size_t k = 0; k < content.length && !status; k++) {
        uint8_t byte = content.data[k], written[6] = {'\\', 'u', '0', '0'};
        span text = {written, 2};
        size_t name = 0;
        while (name < sizeof names - 1 && (uint8_t)names[name] != byte)
            name++;
        if (name < sizeof names - 1) {
            written[1] = (uint8_t)letters[name];
        } else if (byte < 0x20) {
            written[4] = (uint8_t)hex[byte >> 4];
            written[5] = (uint8_t)hex[byte & 15];
            text.length = 6;
        } else {
            text = (span){content.data + k, 1};
        }
        status = put_plain(out, text);
    }
    return status;
}

/* The words of a content, a quote in the place of each space and around them all. */
static tin_status put_spelled(tini_turn_sink *out, span content) {
    static const uint8_t marks[] = {'\n', '"'};
    tin_status status = put_plain(out, (span){marks, 2});
    for (size_t k = 0; k <= content.length && !status; k++) {
        int is_mark = k == content.length || content.data[k] == ' ';
        status = put_plain(out, (span){is_mark ? marks + 1 : content.data + k, 1});
    }
    return status;
}

typedef struct conversation {
    const tin_message *messages;
    uint32_t count;
    /* Messages up to the last one of the user, and of the assistant; 0: there is none. */
    uint32_t asked, answered;
} conversation;

static span content_of(const tini_turn_sink *out, conversation c, uint32_t k) {
    static const uint32_t slots[] = {TINI_SLOT_SYSTEM, TINI_SLOT_USER, TINI_SLOT_ASSISTANT, TINI_SLOT_TOOL};
    const tin_message *m = &c.messages[k];
    int first = m->role == TIN_ROLE_USER && k && c.messages[k - 1].role == TIN_ROLE_SYSTEM;
    uint32_t slot = first ? TINI_SLOT_FIRST_USER : slots[m->role];
    return strip((span){(const uint8_t *)m->content, m->length}, out->turns->rules[out->table].strip[slot]);
}

/* A message that no conversation has there. */
static tin_status check_place(const tini_turn_sink *out, conversation c, uint32_t k) {
    const tin_message *m = &c.messages[k];
    uint32_t before = k ? c.messages[k - 1].role : TIN_ROLE_SYSTEM;
    if (m->role > TIN_ROLE_TOOL)
        return tini_fail(out->error, TIN_ERR_ARGUMENT, "message %u: role %u is none of TIN_ROLE_*", k + 1,
                         m->role);
    if (m->role == TIN_ROLE_SYSTEM && k)
        return tini_fail(out->error, TIN_ERR_ARGUMENT, "message %u: a system message can only be the first",
                         k + 1);
    if (m->role == TIN_ROLE_TOOL && before != TIN_ROLE_ASSISTANT && before != TIN_ROLE_TOOL)
        return tini_fail(out->error, TIN_ERR_ARGUMENT,
                         "message %u: a tool's message follows the assistant's or a tool's", k + 1);
    if (m->length > TINI_TEXT_MAX) /* before it is searched */
        return tini_fail(out->error, TIN_ERR_ARGUMENT, "message %u has more than %u bytes", k + 1,
                         TINI_TEXT_MAX);
    return m->length && !m->content ? tini_fail(out->error, TIN_ERR_ARGUMENT, "message %u: no content", k + 1)
                                    : TIN_OK;
}

static int has_images(const tini_turn_sink *out, uint32_t message) {
    const tini_turn_images *images = out->images;
    for (uint32_t k = 0; images && k < images->count; k++)
        if (images->images[k].message == message)
            return 1;
    return 0;
}

static tin_status check_images(const tini_turn_sink *out, conversation c) {
    const tini_turn_images *images = out->images;
    for (uint32_t k = 0; images && k < images->count; k++) {
        uint32_t at = images->images[k].message;
        if (at >= c.count || c.messages[at].role != TIN_ROLE_USER)
            return tini_fail(out->error, TIN_ERR_ARGUMENT,
                             "image %u stands before message %u; it must be one of the user's, of %u messages",
                             k + 1, at + 1, c.count);
        if (k && at < images->images[k - 1].message)
            return tini_fail(out->error, TIN_ERR_ARGUMENT, "image %u stands before the one given before it",
                             k + 1);
    }
    return TIN_OK;
}

static tin_status put_images(tini_turn_sink *out, uint32_t message) {
    const tini_turn_images *images = out->images;
    tin_status status = TIN_OK;
    for (uint32_t k = 0, n = 0; images && k < images->count && !status; k++)
        if (images->images[k].message == message)
            status = images->put(images->context, out, &images->images[k], n++);
    return status;
}

/* A message that the template does not take there. */
static tin_status check_taken(const tini_turn_sink *out, conversation c, uint32_t k) {
    const tini_turns *turns = out->turns;
    uint32_t flags = turns->rules[out->table].flags, role = c.messages[k].role;
    uint32_t before = k ? c.messages[k - 1].role : TIN_ROLE_ASSISTANT;
    if (before == TIN_ROLE_SYSTEM)
        before = TIN_ROLE_ASSISTANT;
    if ((role == TIN_ROLE_SYSTEM && flags & TINI_TURNS_NO_SYSTEM) ||
        (role == TIN_ROLE_TOOL && flags & TINI_TURNS_NO_TOOL))
        return tini_fail(out->error, TIN_ERR_UNSUPPORTED,
                         "message %u: the chat template takes no message of role %u; template.json says why",
                         k + 1, role);
    int out_of_turn = (role == TIN_ROLE_USER && before != TIN_ROLE_ASSISTANT) ||
                      (role == TIN_ROLE_ASSISTANT && before == TIN_ROLE_ASSISTANT);
    if (flags & TINI_TURNS_STRICT && out_of_turn)
        return tini_fail(out->error, TIN_ERR_ARGUMENT,
                         "message %u is out of turn: user and assistant take turns, the user first", k + 1);
    span content = content_of(out, c, k);
    for (uint32_t n = 0; n < turns->header->words; n++) {
        const tini_turn_word *word = &turns->words[n];
        span text = {turns->text + word->begin, word->length};
        if (word->table == out->table && word->role == role &&
            (word->length ? find_text(content, text, 0) < content.length
                          : !content.length && !has_images(out, k)))
            return tini_fail(
                out->error, TIN_ERR_UNSUPPORTED,
                "message %u: its content means something to the chat template; template.json has it "
                "under special",
                k + 1);
    }
    return TIN_OK;
}

static tin_status put_message(tini_turn_sink *out, conversation c, uint32_t k, int first) {
    static const uint32_t opening[] = {TINI_TURN_START_SYSTEM, TINI_TURN_OPEN_USER, TINI_TURN_OPEN_ASSISTANT,
                                       TINI_TURN_OPEN_TOOL};
    const tini_turn_rules *rules = &out->turns->rules[out->table];
    uint32_t role = c.messages[k].role, text = opening[role];
    if (role == TIN_ROLE_USER && (first || c.messages[k - 1].role == TIN_ROLE_SYSTEM))
        text = TINI_TURN_FIRST_USER;
    else if (role == TIN_ROLE_TOOL && c.messages[k - 1].role == TIN_ROLE_TOOL)
        text = TINI_TURN_BETWEEN_TOOLS;
    tin_status status = put_text(out, text);
    if (!status)
        status = put_images(out, k);
    if (status)
        return status;
    span content = content_of(out, c, k);
    if (role == TIN_ROLE_ASSISTANT) {
        uint32_t last = rules->flags & TINI_TURNS_LAST_ANSWER ? c.answered : c.asked;
        status = put_answer(out, content, !last || k < last - 1 ? 0 : k + 1 < c.count ? 1 : 2);
    } else if (role == TIN_ROLE_TOOL && rules->flags & TINI_TURNS_ESCAPED) {
        status = put_escaped(out, content);
    } else {
        status = put_plain(out, content);
        if (!status && role == TIN_ROLE_USER && rules->flags & TINI_TURNS_SPELLED && !has_images(out, k))
            status = put_spelled(out, content);
    }
    int together = role == TIN_ROLE_TOOL && k + 1 < c.count && c.messages[k + 1].role == TIN_ROLE_TOOL;
    return status || together ? status : put_text(out, TINI_TURN_END_SYSTEM + role);
}

static tin_status put_conversation(tini_turn_sink *out, conversation c, int answer) {
    tin_status status = check_images(out, c);
    for (uint32_t k = 0; k < c.count && !status; k++) {
        status = check_place(out, c, k);
        if (!status)
            status = check_taken(out, c, k);
        c.asked = c.messages[k].role == TIN_ROLE_USER ? k + 1 : c.asked;
        c.answered = c.messages[k].role == TIN_ROLE_ASSISTANT ? k + 1 : c.answered;
    }
    if (status)
        return status;
    uint32_t flags = out->turns->rules[out->table].flags, last = c.messages[c.count - 1].role, k = 0;
    if (!c.asked && flags & (TINI_TURNS_STRICT | TINI_TURNS_ASKED))
        return tini_fail(out->error, TIN_ERR_ARGUMENT, "the conversation has no user's message");
    if (answer && last == TIN_ROLE_ASSISTANT && flags & TINI_TURNS_SINGLE)
        return tini_fail(out->error, TIN_ERR_ARGUMENT,
                         "the last message is the assistant's; the chat template opens no answer behind it");
    if (c.messages[0].role == TIN_ROLE_SYSTEM && flags & TINI_TURNS_BARE && !content_of(out, c, 0).length)
        k = 1;
    if (k || c.messages[0].role != TIN_ROLE_SYSTEM)
        status = put_text(out, TINI_TURN_START);
    for (uint32_t begin = k; k < c.count && !status; k++)
        status = put_message(out, c, k, k == begin);
    if (!status && (answer || last != TIN_ROLE_SYSTEM))
        status = put_text(out, answer ? TINI_TURN_ANSWER : TINI_TURN_FINISH_USER + last - TIN_ROLE_USER);
    if (!status)
        end_run(out, -1);
    return status;
}

tin_status tini_turns_agree(const tini_turns *turns, const tini_tokenizer *tokenizer, tin_error *error) {
    for (uint32_t k = 0; turns->header && k < turns->header->parts; k++) {
        int32_t token = turns->parts[k].token;
        if (token != -1 && (token < 0 || (uint32_t)token >= tokenizer->header->vocab ||
                            !tini_token_is_control(tokenizer, token)))
            return tini_fail(
                error, TIN_ERR_FORMAT,
                "turns.bin: part %u ends in the token %d, which is no control token of tokenizer.bin", k,
                token);
    }
    return TIN_OK;
}

/* The model's chat template, or the one in data[size]. */
static tin_status pick_turns(const tin_model *model, const void *data, size_t size, tini_turns *turns,
                             tin_error *error) {
    if (!data) {
        *turns = *tini_model_turns(model);
        return turns->header ? TIN_OK
                             : tini_fail(error, TIN_ERR_UNSUPPORTED,
                                         "the model has no chat template that could be compiled; "
                                         "manifest.json says why, and tin_tokenize takes raw prompts");
    }
    tin_status status = tini_turns_open(turns, data, size, error);
    return status ? status : tini_turns_agree(turns, tini_model_tokenizer(model), error);
}

/* The table that the flags ask for. */
static tin_status pick_table(const tini_turns *turns, uint32_t flags, uint32_t *table, tin_error *error) {
    *table = turns->header->table[flags & TIN_CHAT_THINK ? 1 : flags & TIN_CHAT_DIRECT ? 2 : 0];
    return *table == TINI_TURN_NONE
               ? tini_fail(error, TIN_ERR_UNSUPPORTED, "the model's chat template has no switch for thinking")
               : TIN_OK;
}

/* The bytes of the longest run of plain text that the sink gets; it gets none yet. */
static tin_status measure(const tini_turn_sink *out, conversation c, int answer, size_t *longest) {
    if (!c.count || !c.messages)
        return tini_fail(out->error, TIN_ERR_ARGUMENT, "no messages");
    tini_turn_sink sink = *out;
    tin_status status = put_conversation(&sink, c, answer);
    *longest = sink.longest;
    return status;
}

size_t tini_turns_scratch(const tin_model *model, const void *data, size_t size, const tin_message *messages,
                          uint32_t count, const tini_turn_images *images, tin_error *error) {
    conversation c = {.messages = messages, .count = count};
    size_t longest = 0, length = 0;
    int taken = 0;
    tini_turns turns;
    if (pick_turns(model, data, size, &turns, error))
        return 0;
    tini_turn_sink sink = {.tokenizer = tini_model_tokenizer(model),
                           .images = images,
                           .turns = &turns,
                           .before = -1,
                           .error = error};
    for (; sink.table < turns.header->tables; sink.table++)
        for (int answer = 0; answer < 2; answer++)
            if (!measure(&sink, c, answer, &length)) {
                taken = 1;
                longest = length > longest ? length : longest;
            }
    if (!taken)
        return 0;
    uint64_t need = tini_tokenize_scratch(sink.tokenizer, longest) + longest;
    if ((size_t)need == need)
        return (size_t)need;
    tini_fail(
        error, TIN_ERR_ARGUMENT,
        "the conversation needs %llu bytes of scratch, more than this machine can address; make it shorter",
        (unsigned long long)need);
    return 0;
}

int64_t tini_turns_chat(const tin_model *model, const void *data, size_t size, const tin_message *messages,
                        uint32_t count, const tini_turn_images *images, uint32_t flags, int32_t *tokens,
                        size_t capacity, void *scratch, size_t scratch_size, tin_error *error) {
    const uint32_t both = TIN_CHAT_THINK | TIN_CHAT_DIRECT, known = TIN_CHAT_ANSWER | both;
    if ((capacity && !tokens) || (flags & ~known) || (flags & both) == both)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the tokens, or an unknown flag");
    conversation c = {.messages = messages, .count = count};
    int answer = (flags & TIN_CHAT_ANSWER) != 0;
    size_t longest = 0;
    tini_turns turns;
    tini_turn_sink out = {.tokenizer = tini_model_tokenizer(model),
                          .images = images,
                          .turns = &turns,
                          .before = -1,
                          .error = error};
    tin_status status = pick_turns(model, data, size, &turns, error);
    if (!status)
        status = pick_table(&turns, flags, &out.table, error);
    if (!status)
        status = measure(&out, c, answer, &longest);
    if (status)
        return status;
    uint64_t room = tini_tokenize_scratch(out.tokenizer, longest);
    if (!scratch || (uintptr_t)scratch % sizeof(uint32_t) || scratch_size < room + longest)
        return tini_fail(error, TIN_ERR_MEMORY, "the conversation needs %llu bytes of scratch, aligned to %u",
                         (unsigned long long)(room + longest), (uint32_t)sizeof(uint32_t));
    out.run = (uint8_t *)scratch + room;
    out.tokens = tokens;
    out.capacity = capacity;
    out.scratch = scratch;
    out.scratch_size = (size_t)room;
    status = put_conversation(&out, c, answer);
    return status ? status : out.count;
}

size_t tin_template_scratch(const tin_model *model, const void *data, size_t size, const tin_message *messages,
                            uint32_t count, tin_error *error) {
    return tini_turns_scratch(model, data, size, messages, count, NULL, error);
}

int64_t tin_template_chat(const tin_model *model, const void *data, size_t size, const tin_message *messages,
                          uint32_t count, uint32_t flags, int32_t *tokens, size_t capacity, void *scratch,
                          size_t scratch_size, tin_error *error) {
    return tini_turns_chat(model, data, size, messages, count, NULL, flags, tokens, capacity, scratch,
                           scratch_size, error);
}

size_t tin_chat_scratch(const tin_model *model, const tin_message *messages, uint32_t count, tin_error *error) {
    return tin_template_scratch(model, NULL, 0, messages, count, error);
}

int64_t tin_chat(const tin_model *model, const tin_message *messages, uint32_t count, uint32_t flags,
                 int32_t *tokens, size_t capacity, void *scratch, size_t scratch_size, tin_error *error) {
    return tin_template_chat(model, NULL, 0, messages, count, flags, tokens, capacity, scratch, scratch_size,
                             error);
}

TINI_REGION_END
