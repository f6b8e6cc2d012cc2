#include "walk.h"

static int begin_trail(tini_walk *w) {
    tini_sets_reset(w->m);
    tini_frames_drop(w->m, w->floor);
    tini_config_list start = *w->start;
    w->first = tini_set_make(w->m, &start, w->inner);
    return w->first != TINI_SET_NONE;
}

/* What follows on the byte of the node at `depth`. Where there is no room, all sets but those of the way there are
 * forgotten. */
static uint32_t step_trail(tini_walk *w, uint32_t base, uint32_t depth, uint32_t byte) {
    tini_matcher *m = w->m;
    uint32_t to = tini_set_step(m, w->sets[depth - 1], byte);
    if (!m->full)
        return to;
    m->full = 0;
    begin_trail(w);
    w->sets[base] = w->first;
    for (uint32_t d = base + 1; d < depth; d++)
        w->sets[d] = tini_set_step(m, w->sets[d - 1], w->bytes[d]);
    return m->full ? TINI_SET_NONE : tini_set_step(m, w->sets[depth - 1], byte);
}

/* Notes that below a node what is under the base must be asked. 0: there are too many such nodes. */
static int note_escapes(tini_mask *mask, const tini_set *set, uint32_t node, tini_trie_node of) {
    for (uint32_t remote = 0; remote < 2 && mask && tini_trie_size(of) > 1; remote++)
        if (remote ? set->remote : set->open) {
            if (mask->escape_count < TINI_ESCAPES)
                mask->escapes[mask->escape_count] = node << 1 | remote;
            mask->escape_count += mask->escape_count <= TINI_ESCAPES;
        }
    return !mask || mask->escape_count <= TINI_ESCAPES;
}

/* Tokens that may come, until their bits are set: so the walk itself need not tell those nodes that have one from those
 * that have none by a branch, which no processor could foresee. */
enum { BUFFERED = 256 };

typedef struct token_buffer {
    uint32_t count;
    uint32_t tokens[BUFFERED];
} token_buffer;

static void set_bits(uint32_t *bits, token_buffer *buffer) {
    for (uint32_t k = 0; k < buffer->count; k++)
        bits[buffer->tokens[k] >> 5] |= 1u << (buffer->tokens[k] & 31);
    buffer->count = 0;
}

static void add_tokens(uint32_t *bits, const tini_trie_node *nodes, uint32_t count, token_buffer *buffer) {
    for (uint32_t k = 0; k < count; k++) {
        uint32_t token = tini_trie_token(nodes[k]);
        buffer->tokens[buffer->count] = token;
        buffer->count += token != TINI_TRIE_NO_TOKEN;
        if (buffer->count == BUFFERED)
            set_bits(bits, buffer);
    }
}

enum { SEEN = 1, ALLOWED = 2, ENDS = 4 };

/* A set that is met for the first time, or a configuration other than the last one: keeps the records of the walk.
 * SEEN, ALLOWED where a token that leads there may come, ENDS where what is below the base must be asked. */
static uint32_t look_at(tini_walk *w, uint32_t to) {
    tini_matcher *m = w->m;
    tini_set plain, *set = &m->sets[to >> 16];
    if ((to & 0xFFFF) != TINI_SET_MARK) {
        plain = (tini_set){.distance = tini_config_distance(m, to), .frames = m->frames[to >> 16].depth};
        set = &plain;
    }
    set->seen = SEEN | (set->distance <= w->bound ? ALLOWED : 0);
    if (w->mask) {
        w->mask->peak = set->distance > w->mask->peak ? set->distance : w->mask->peak;
        w->mask->frames = set->frames > w->mask->frames ? set->frames : w->mask->frames;
        set->seen |= set->open | set->remote ? ENDS : 0;
    }
    return set->seen;
}

int tini_walk_begin(tini_walk *w, const tini_config_list *start, int inner) {
    w->start = start;
    w->inner = inner;
    w->floor = w->m->frame_count;
    return begin_trail(w);
}

int tini_walk_on(tini_walk *w, uint32_t first, uint32_t end, uint32_t depth) {
    tini_matcher *m = w->m;
    const tini_automaton *a = &m->automaton;
    const tini_trie_node *nodes = w->trie->nodes;
    const uint32_t classes = a->header->classes, shift = m->row_shift, *rows = m->rows;
    const tini_set *sets = m->sets;
    const uint8_t *class_of = a->class_of, *kinds = a->kinds, *loops = a->loops, *tree_kinds = w->trie->kinds;
    const uint16_t *next = a->next;
    uint32_t visited = 0, last = TINI_SET_NONE, seen = 0;
    token_buffer buffer;
    buffer.count = 0;
    uint32_t *trail = w->sets;
    uint8_t *bytes = w->bytes;
    trail[depth] = w->first;
    if (w->mask && w->mask->escape_count > TINI_ESCAPES)
        return 1;
    for (uint32_t i = first; i < end; visited++) {
        tini_trie_node node = nodes[i];
        uint32_t byte = tini_trie_byte(node), at = tini_trie_depth(node), from = trail[at - 1], to;
        if ((from & 0xFFFF) != TINI_SET_MARK) {
            uint32_t state = next[(size_t)(from & 0xFFFF) * classes + class_of[byte]];
            if (state == (from & 0xFFFF))
                to = from;
            else if (state == TINI_NO_STATE)
                to = TINI_SET_NONE;
            else if (kinds[state] & TINI_STATE_PLAIN)
                to = (from & 0xFFFF0000u) | state;
            else
                to = TINI_SET_UNKNOWN;
        } else {
            to = rows[((size_t)(from >> 16) << shift) + class_of[byte]];
        }
        if (to == TINI_SET_UNKNOWN) {
            to = step_trail(w, depth, at, byte);
            if (m->full || m->ambiguous)
                break;
        }
        if (to == TINI_SET_NONE) {
            i += tini_trie_size(node);
            continue;
        }
        trail[at] = to;
        bytes[at] = (uint8_t)byte;
        if ((to & 0xFFFF) == TINI_SET_MARK)
            seen = sets[to >> 16].seen;
        else if (to != last)
            seen = 0;
        if (!seen)
            seen = look_at(w, to);
        last = to;
        if ((seen & ENDS) && !note_escapes(w->mask, &sets[to >> 16], i, node))
            break;
        if (to == from && (to & 0xFFFF) != TINI_SET_MARK && !(tree_kinds[i] & ~loops[to & 0xFFFF]) &&
            !w->stop) {
            uint32_t size = tini_trie_size(node);
            if (seen & ALLOWED)
                add_tokens(w->bits, nodes + i, size, &buffer);
            visited += size / 4;
            i += size;
            continue;
        }
        uint32_t token = tini_trie_token(node);
        buffer.tokens[buffer.count] = token;
        buffer.count += (token != TINI_TRIE_NO_TOKEN) & (seen >> 1 & 1);
        if (buffer.count == BUFFERED)
            set_bits(w->bits, &buffer);
        i++;
        if (w->stop && buffer.count)
            break;
    }
    w->any |= buffer.count;
    set_bits(w->bits, &buffer);
    w->visited += visited;
    if (w->mask)
        w->mask->visited += visited;
    return !m->full && !m->ambiguous;
}

void tini_walk_end(tini_walk *w) {
    tini_frames_drop(w->m, w->floor);
}

/* Whether tokens may begin with a byte. */
static int begins(tini_walk *w, uint32_t byte) {
    tini_matcher *m = w->m;
    const tini_automaton *a = &m->automaton;
    uint32_t class = a->class_of[byte];
    if ((w->first & 0xFFFF) != TINI_SET_MARK)
        return a->next[(size_t)(w->first & 0xFFFF) * a->header->classes + class] != TINI_NO_STATE;
    uint32_t to = m->rows[((size_t)(w->first >> 16) << m->row_shift) + class];
    if (to == TINI_SET_UNKNOWN)
        to = tini_set_step(m, w->first, byte);
    if (m->full) {
        m->full = 0;
        return begin_trail(w);
    }
    return to != TINI_SET_NONE;
}

/* The children of the root are found without reading them: they lie far from each other. */
int tini_walk_all(tini_walk *w, const tini_config_list *start, int inner) {
    const uint32_t *first = w->trie->first;
    int good = tini_walk_begin(w, start, inner);
    for (uint32_t byte = 0; byte < 256 && good; byte++)
        if (first[byte] != first[byte + 1] && begins(w, byte))
            good = tini_walk_on(w, first[byte], first[byte + 1], 0);
    tini_walk_end(w);
    return good && !w->m->full && !w->m->ambiguous;
}
