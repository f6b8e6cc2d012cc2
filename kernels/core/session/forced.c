/* What must come next, in the tokens that the model's own tokenizer would have chosen.
 *
 * The run is the bytes that can't be otherwise. Of its tokens, those are given that are the same whatever follows. In any
 * text that goes on from the run, some token ends where the run does, or covers that place, and then begins at some
 * byte p of the run and is one that the automaton allows. What byte-pair encoding makes of the bytes before a boundary
 * of tokens does not depend on those behind it, so the tokens before p are those of the run cut off at p. What all such
 * cuts have in common is given. Behind white space at a cut the pre-tokenizer may look ahead; the tokens that touch it
 * are not relied on, nor those that touch characters beyond ASCII there, which may be unfinished or white space. */
#include "../base/region.h"
#include "../constraint/constraint.h"
#include "../constraint/walk.h"
#include "../text/encode.h"

#include <string.h>

TINI_REGION_COLD

enum { MOST_TEXT = TINI_BEFORE_MAX + TINI_RUN_MAX };

typedef struct forced_run {
    tin_constraint *c;
    uint8_t bytes[TINI_RUN_MAX];
    uint32_t length;
    tini_config_list after; /* where the automaton then stands */
    int closed;             /* nothing, or a control token, follows */
} forced_run;

static uint32_t only_byte(tin_constraint *c, const tini_config_list *list) {
    uint32_t bytes[8], byte = 256;
    if (tini_list_may_end(&c->matcher, list))
        return 256;
    tini_list_bytes(&c->matcher, list, bytes);
    for (uint32_t w = 0; w < 8; w++) {
        if (!bytes[w])
            continue;
        if (byte != 256 || (bytes[w] & (bytes[w] - 1)))
            return 256;
        byte = 32 * w;
        while (!(bytes[w] >> (byte & 31) & 1))
            byte++;
    }
    return byte;
}

static void find_run(forced_run *r) {
    tin_constraint *c = r->c;
    uint32_t left = tini_prefix_left(c);
    memcpy(r->bytes, c->prefix + c->prefix_at, left);
    r->length = left;
    r->after = c->now;
    while (r->length < TINI_RUN_MAX) {
        uint32_t byte = only_byte(c, &r->after);
        if (byte == 256)
            break;
        tini_config_list next;
        tini_list_step(&c->matcher, r->after.items, r->after.count, byte, 0, &next);
        if (!next.count || c->matcher.full || c->matcher.ambiguous)
            break;
        r->after = next;
        r->bytes[r->length++] = (uint8_t)byte;
    }
    c->matcher.full = c->matcher.ambiguous = 0;
    r->closed = !tini_list_can_continue(&c->matcher, &r->after);
}

/* ---- Tokens ------------------------------------------------------------------------------------------------ */

/* Text that stands before the run: its last tokens back to a control token, in c->text. */
typedef struct context {
    const int32_t *tokens;
    uint32_t count, length;
} context;

static context find_context(const tin_constraint *c, const int32_t *before, uint32_t count) {
    const tini_tokenizer *tokenizer = c->tokenizer;
    context result = {count ? before + count : NULL, 0, 0};
    while (result.count < count) {
        uint32_t length;
        int32_t token = result.tokens[-1];
        const uint8_t *text = tini_token_bytes(tokenizer, token, &length);
        if (!text || tini_token_is_control(tokenizer, token) || result.length + length > TINI_BEFORE_MAX)
            break;
        result.tokens--;
        result.count++;
        result.length += length;
    }
    return result;
}

/* Puts the context's text at the beginning of c->text. */
static void put_context(const tin_constraint *c, const context *before) {
    uint32_t at = 0;
    for (uint32_t k = 0; k < before->count; k++) {
        uint32_t length;
        const uint8_t *text = tini_token_bytes(c->tokenizer, before->tokens[k], &length);
        memcpy(c->text + at, text, length);
        at += length;
    }
}

/* The tokens of the context's text, which c->text has, and text[length] behind it. How many come after those of the
 * context; -1 when the tokenizer would not have chosen the context's. */
static int64_t tokenize(const tin_constraint *c, const context *before, const uint8_t *text, uint32_t length,
                        int32_t *tokens) {
    memcpy(c->text + before->length, text, length);
    int64_t count = tini_tokenize(c->tokenizer, (const char *)c->text, before->length + length,
                                  TINI_TEXT_JOINED, tokens, MOST_TEXT, c->scratch, c->scratch_size);
    if (count < before->count || count > MOST_TEXT)
        return -1;
    for (uint32_t k = 0; k < before->count; k++)
        if (tokens[k] != before->tokens[k])
            return -1;
    memmove(tokens, tokens + before->count, (size_t)(count - before->count) * sizeof *tokens);
    return count - before->count;
}

/* As tokenize, with the longest part of the context that the tokenizer would have chosen itself. */
static int64_t tokenize_first(const tin_constraint *c, context *before, const uint8_t *text, uint32_t length,
                              int32_t *tokens) {
    for (;;) {
        put_context(c, before);
        int64_t count = tokenize(c, before, text, length, tokens);
        if (count >= 0 || !before->count)
            return count;
        for (uint32_t drop = (before->count + 1) / 2; drop; drop--) {
            uint32_t bytes;
            tini_token_bytes(c->tokenizer, *before->tokens++, &bytes);
            before->length -= bytes;
            before->count--;
        }
    }
}

/* Whether a token that the automaton allows begins with text[length] and goes on. */
static int is_crossed(tin_constraint *c, const tini_config_list *after, const uint8_t *text, uint32_t length) {
    const tini_trie_node *nodes = c->trie->nodes;
    uint32_t i = 0, end = c->trie->header->nodes, depth = 0;
    while (depth < length) {
        if (i == end)
            return 0;
        if (tini_trie_byte(nodes[i]) != text[depth]) {
            i += tini_trie_size(nodes[i]);
            continue;
        }
        end = i + tini_trie_size(nodes[i]);
        i++;
        depth++;
    }
    tini_walk w = {.m = &c->matcher, .trie = c->trie, .bits = c->bits, .bound = UINT32_MAX, .stop = 1};
    int good = tini_walk_begin(&w, after, 0) && tini_walk_on(&w, i, end, depth);
    tini_walk_end(&w);
    c->matcher.full = c->matcher.ambiguous = 0;
    return !good || w.any; /* where it can't be known, it may be */
}

/* Of `kept` tokens, those that the text cut off at `length` begins with too, and that end before what is not relied
 * on there. */
static int64_t keep_common(const tin_constraint *c, const context *before, const uint8_t *text, uint32_t length,
                           const int32_t *tokens, int64_t kept) {
    int32_t *other = c->tokens + MOST_TEXT;
    int64_t count = tokenize(c, before, text, length, other);
    uint32_t end = length, at = 0;
    while (end && (text[end - 1] <= ' ' || text[end - 1] >= 0x80))
        end--;
    for (int64_t k = 0; k < kept; k++) {
        uint32_t bytes;
        if (k >= count || other[k] != tokens[k])
            return k;
        tini_token_bytes(c->tokenizer, tokens[k], &bytes);
        at += bytes;
        if (at > end)
            return k;
    }
    return kept;
}

/* The tokens of the last piece of text of the run that stay, whatever follows. */
static int64_t keep_certain(forced_run *r, const context *before, const uint8_t *text, uint32_t length,
                            int64_t count) {
    tin_constraint *c = r->c;
    uint32_t longest = c->trie->header->longest;
    count = keep_common(c, before, text, length, c->tokens, count);
    for (uint32_t p = length > longest ? length - longest : 0; p < length && count; p++)
        if (is_crossed(c, &r->after, text + p, length - p))
            count = keep_common(c, before, text, p, c->tokens, count);
    return count;
}

/* ---- The run ------------------------------------------------------------------------------------------------ */

/* The control token at bytes[4]; -1 when there is none that may be chosen. */
static int32_t control_at(const tini_tokenizer *tokenizer, const uint8_t *bytes) {
    uint32_t token = (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return token < tokenizer->header->vocab && tokenizer->kinds[token] == TINI_TOKEN_CONTROL ? (int32_t)token
                                                                                             : -1;
}

/* Copies tokens that spell the run from `at` on, up to one that can't be accepted: a vocabulary may lack bytes. */
static uint32_t copy_tokens(const forced_run *r, uint32_t at, uint32_t end, int64_t count, int32_t *tokens,
                            uint32_t capacity) {
    const tini_tokenizer *tokenizer = r->c->tokenizer;
    uint32_t copied = 0;
    for (; copied < count && copied < capacity; copied++) {
        uint32_t length;
        int32_t token = r->c->tokens[copied];
        const uint8_t *text = tini_token_bytes(tokenizer, token, &length);
        if (tini_token_is_end(tokenizer, token) || length > end - at || memcmp(text, r->bytes + at, length))
            break;
        tokens[copied] = token;
        at += length;
    }
    return copied;
}

int64_t tin_constraint_forced(tin_constraint *c, const int32_t *before, uint32_t count, uint32_t left,
                              int32_t *tokens, uint32_t capacity) {
    forced_run r = {.c = c};
    uint32_t floor = c->matcher.frame_count, made = 0, at = 0;
    if (c->ended || (count && !before) || (capacity && !tokens))
        return 0;
    c->matcher.work = 0;
    find_run(&r);
    context context = find_context(c, before, count);
    while (at < r.length && made < capacity) {
        uint32_t end = at;
        while (end < r.length && r.bytes[end] != 0xFF)
            end++;
        int sure = end < r.length || r.closed;
        int64_t kept = tokenize_first(c, &context, r.bytes + at, end - at, c->tokens);
        if (!sure)
            kept = keep_certain(&r, &context, r.bytes + at, end - at, kept);
        uint32_t copied = copy_tokens(&r, at, end, kept, tokens + made, capacity - made);
        made += copied;
        if (copied < kept)
            break;
        int32_t control = r.length - end >= 4 ? control_at(c->tokenizer, r.bytes + end) : -1;
        if (control < 0 || made == capacity)
            break;
        tokens[made++] = control;
        context.count = context.length = 0;
        at = end + 4;
    }
    tini_frames_drop(&c->matcher, floor);
    /* The shortest way may go by fewer tokens than the tokenizer cuts. */
    if (made && left && tini_constraint_overruns(c, tokens, made, left))
        return 0;
    return made;
}

TINI_REGION_END
