#include "host.h"
#include "../core/constraint/automaton.h"

enum { MOST_OPTIONS = 1024, MOST_OPTION_BYTES = 16384 };

/* Splits the options into texts, a NUL behind each; 0 for none, for an empty one or too many. */
static int split(tinhost_session *s, const char *options) {
    size_t length = strlen(options);
    if (length && options[length - 1] == '\n')
        length--;
    if (!length || options[length - 1] == '\n' || length > MOST_OPTION_BYTES ||
        !(s->options = malloc(length + 1)))
        return 0;
    memcpy(s->options, options, length);
    s->options[length] = 0;
    s->option_count = 1;
    for (size_t k = 0; k < length; k++)
        if (s->options[k] == '\n') {
            if (!k || !s->options[k - 1] || s->options[k + 1] == '\n')
                return 0;
            s->options[k] = 0;
            s->option_count++;
        }
    return *s->options && s->option_count <= MOST_OPTIONS;
}

void tini_host_drop_options(tinhost_session *s) {
    if (s->choice.made)
        tin_session_constrain(s->core, NULL, NULL);
    tini_host_drop_constraint(&s->choice);
    tini_block_drop(&s->automaton);
    free(s->options);
    s->options = NULL;
    s->option_count = 0;
}

/* Whether they are those of the last time: games ask among the same again and again. */
static int are_known(const tinhost_session *s, const char *options) {
    const char *option = s->options;
    for (int32_t k = 0; k < s->option_count && s->choice.made; k++, option += strlen(option) + 1, options++) {
        size_t length = strlen(option);
        if (strncmp(options, option, length))
            return 0;
        options += length;
        if (k + 1 == s->option_count)
            return !*options || (*options == '\n' && !options[1]);
        if (*options != '\n')
            return 0;
    }
    return 0;
}

/* The classes of bytes: 0 for all that no option has. */
static uint32_t classify(const tinhost_session *s, size_t length, uint8_t *class_of) {
    uint32_t classes = 1;
    for (size_t k = 0; k < length; k++) {
        uint8_t byte = (uint8_t)s->options[k];
        if (byte && !class_of[byte])
            class_of[byte] = (uint8_t)classes++;
    }
    return classes;
}

/* Writes the options' trie; 0 for two that are the same. */
static int grow(const tinhost_session *s, tini_constraint_header *header, const uint8_t *class_of,
                tini_constraint_state *states, uint16_t *next) {
    const char *option = s->options;
    header->states = 1;
    for (int32_t k = 0; k < s->option_count; k++, option += strlen(option) + 1) {
        uint32_t at = 0, left = (uint32_t)strlen(option);
        for (const char *c = option;; c++, left--) {
            states[at].distance = left < states[at].distance ? left : states[at].distance;
            if (!*c)
                break;
            uint16_t *to = &next[at * header->classes + class_of[(uint8_t)*c]];
            if (*to == TINI_NO_STATE)
                *to = (uint16_t)header->states++;
            at = *to;
        }
        if (states[at].accepts)
            return 0;
        states[at].accepts = 1;
    }
    header->shortest = states[0].distance;
    return 1;
}

int32_t tini_host_options(tinhost_session *s, const char *options) {
    if (options && are_known(s, options))
        return TIN_OK;
    tini_host_drop_options(s);
    if (!options || !split(s, options)) {
        tini_host_drop_options(s);
        return tini_host_fail(s, TIN_ERR_ARGUMENT,
                              "options are 1 to 1024 texts, a line each, none empty, of 16384 bytes together");
    }
    size_t length = 0;
    for (int32_t k = 0; k < s->option_count; k++)
        length += strlen(s->options + length) + 1;
    uint8_t class_of[256] = {0};
    uint32_t most = (uint32_t)length + 1, classes = classify(s, length, class_of);
    tini_constraint_header head = {
        .magic = TINI_CONSTRAINT_MAGIC, .version = TINI_CONSTRAINT_VERSION, .classes = classes};
    /* Too much room at first: texts share their beginnings. */
    tini_constraint_state *states = malloc(most * sizeof *states);
    uint16_t *next = malloc((size_t)most * classes * sizeof *next);
    int32_t status = TIN_ERR_MEMORY;
    if (states && next) {
        for (uint32_t k = 0; k < most; k++)
            states[k] = (tini_constraint_state){.distance = UINT32_MAX};
        memset(next, 0xFF, (size_t)most * classes * sizeof *next);
        status = grow(s, &head, class_of, states, next) ? TIN_OK : TIN_ERR_ARGUMENT;
    }
    if (!status) {
        size_t state_bytes = head.states * sizeof *states,
               next_bytes = (size_t)head.states * classes * sizeof *next;
        s->automaton = tini_block_take(sizeof head + sizeof class_of + state_bytes + next_bytes);
        uint8_t *out = s->automaton.data;
        status = out ? TIN_OK : TIN_ERR_MEMORY;
        if (out) {
            memcpy(out, &head, sizeof head);
            memcpy(out + sizeof head, class_of, sizeof class_of);
            memcpy(out + sizeof head + sizeof class_of, states, state_bytes);
            memcpy(out + sizeof head + sizeof class_of + state_bytes, next, next_bytes);
        }
    }
    free(states);
    free(next);
    if (status) {
        tini_host_drop_options(s);
        return tini_host_fail(s, status,
                              status == TIN_ERR_MEMORY ? "there is no memory for the options"
                                                       : "two of the options are the same");
    }
    return TIN_OK;
}
