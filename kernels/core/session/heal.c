/* Token healing: a prompt may end in the middle of what the model knows as one token, and what follows is then unlikely
 * in these pieces. The last tokens are taken back, and the next generation begins with their text. */
#include "../base/error.h"
#include "generate.h"

#include <string.h>

TINI_REGION_COLD

enum { HEALED_TOKENS = 3 };

/* Whether a token of the vocabulary has these bytes and then more. */
static int begins_token(const tini_trie *trie, const char *text, uint32_t length) {
    uint32_t i = 0, end = trie->header->nodes, depth = 0;
    while (i < end && depth < length) {
        tini_trie_node node = trie->nodes[i];
        if (tini_trie_byte(node) != (uint8_t)text[depth]) {
            i += tini_trie_size(node);
            continue;
        }
        depth++;
        end = i + tini_trie_size(node);
        i++;
    }
    return depth == length && i < end;
}

tin_status tin_session_heal(tin_session *s, tin_error *error) {
    if (!s->constraint)
        return tini_fail(error, TIN_ERR_STATE,
                         "healing needs a constraint; give the session one, such as one that allows any text");
    if (s->healing)
        return TIN_OK;
    char text[TINI_PREFIX_MAX];
    const uint32_t known = tini_session_known(s);
    uint32_t length = 0, taken = 0, healed = 0;
    for (uint32_t k = 1; k <= HEALED_TOKENS && k < known; k++) {
        uint32_t more;
        int control;
        int32_t token = s->input.tokens[known - k];
        const char *piece = tin_token_text(s->model, token, &more, &control);
        if (!piece || !more || control || tin_token_is_end(s->model, token) || more > sizeof text - length)
            break;
        memmove(text + more, text, length);
        memcpy(text, piece, more);
        length += more;
        if (begins_token(&s->model->trie, text, length)) {
            taken = k;
            healed = length;
        }
    }
    uint32_t count = known - taken, computed = tini_session_computed(s);
    if (taken && computed >= count)
        computed = count - 1;
    tin_status status = tini_session_check_free(s, error);
    if (!status && taken)
        status = tini_session_check_window(s, computed, error);
    if (!status)
        status = tini_generate_end(s, error);
    if (status || !taken)
        return status;
    tini_session_reset(s, computed, count);
    /* What was looked at ends with the text of the taken tokens. */
    memcpy(s->prefix, text + length - healed, healed);
    s->healing = healed;
    return TIN_OK;
}

uint32_t tin_session_healed(const tin_session *s) {
    return s->healed;
}

TINI_REGION_END
