#include "automaton.h"
#include "../base/error.h"
#include "../base/region.h"
#include "trie.h"

#include <string.h>

TINI_REGION_COLD

/* The states' numbers above are taken: NO_STATE, and what the matcher has. */
enum { MOST_STATES = 0xFFFD, MOST_CALLS = 1 << 24, MOST_CALLS_OF_ONE = 0xFFFD };

static tin_status check_constraint_header(const tini_constraint_header *h, size_t size, tin_error *error) {
    if (size < sizeof *h || h->magic != TINI_CONSTRAINT_MAGIC)
        return tini_fail(error, TIN_ERR_FORMAT, "the constraint does not begin as one");
    if (h->version < TINI_CONSTRAINT_VERSION || h->version > TINI_CONSTRAINT_COVERS)
        return tini_other_version(error, "the constraint", h->version, TINI_CONSTRAINT_COVERS,
                                  TINI_BUILD_AGAIN);
    if (!h->states || h->states > MOST_STATES || !h->classes || h->classes > 256 || h->calls > MOST_CALLS ||
        h->start >= h->states)
        return tini_fail(error, TIN_ERR_FORMAT, "the constraint has a count out of range");
    if (h->version < TINI_CONSTRAINT_COVERS && (h->words || h->copies))
        return tini_fail(error, TIN_ERR_FORMAT, "the constraint has words, which its version has not");
    uint64_t want = sizeof *h + 256 + sizeof(tini_constraint_state) * (uint64_t)h->states +
                    sizeof(tini_constraint_call) * (uint64_t)h->calls + sizeof(uint32_t) * (uint64_t)h->words +
                    sizeof(tini_constraint_copy) * (uint64_t)h->copies +
                    sizeof(uint16_t) * (uint64_t)h->states * h->classes;
    if (want != size)
        return tini_fail(error, TIN_ERR_FORMAT, "the constraint has %llu bytes; its counts make %llu",
                         (unsigned long long)size, (unsigned long long)want);
    return TIN_OK;
}

static tin_status check_parts(const tini_automaton *view, tin_error *error) {
    const tini_constraint_header *h = view->header;
    for (uint32_t byte = 0; byte < 256; byte++)
        if (view->class_of[byte] >= h->classes)
            return tini_fail(error, TIN_ERR_FORMAT, "the constraint: byte %u has no class", byte);
    uint32_t calls =
        0; /* no two states share one, so that all states' together are in proportion to the file */
    for (uint32_t s = 0; s < h->states; s++) {
        const tini_constraint_state *state = &view->states[s];
        if (state->accepts > 1 || state->first_call != calls || state->call_count > MOST_CALLS_OF_ONE ||
            state->call_count > h->calls - calls)
            return tini_fail(error, TIN_ERR_FORMAT, "the constraint: state %u is damaged", s);
        calls += state->call_count;
    }
    if (calls != h->calls)
        return tini_fail(error, TIN_ERR_FORMAT, "the constraint has %u calls; its states have %u", h->calls,
                         calls);
    for (uint32_t c = 0; c < h->calls; c++) {
        const tini_constraint_call *call = &view->calls[c];
        if (call->enter >= h->states || call->leave >= h->states || view->states[call->enter].accepts ||
            !call->least || call->least > call->most)
            return tini_fail(error, TIN_ERR_FORMAT, "the constraint: call %u is damaged", c);
    }
    for (size_t k = 0; k < (size_t)h->states * h->classes; k++)
        if (view->next[k] != TINI_NO_STATE && view->next[k] >= h->states)
            return tini_fail(error, TIN_ERR_FORMAT, "the constraint: its table leads to state %u of %u",
                             view->next[k], h->states);
    return TIN_OK;
}

tin_status tini_automaton_open(tini_automaton *view, const uint8_t *data, size_t size, tin_error *error) {
    if (!data || (uintptr_t)data % sizeof(uint32_t))
        return tini_fail(error, TIN_ERR_ARGUMENT, "the constraint is missing or not aligned to %u bytes",
                         (uint32_t)sizeof(uint32_t));
    const tini_constraint_header *h = (const void *)data;
    tin_status status = check_constraint_header(h, size, error);
    if (status)
        return status;
    view->header = h;
    view->class_of = data + sizeof *h;
    view->states = (const void *)(view->class_of + 256);
    view->calls = (const void *)(view->states + h->states);
    view->words = (const void *)(view->calls + h->calls);
    view->copies = (const void *)(view->words + h->words);
    view->next = (const void *)(view->copies + h->copies);
    return check_parts(view, error);
}

/* ---- Chains of calls ------------------------------------------------------------------------------------- */

enum { UNSEEN = 0xFFFF, CLOSED = 0xFFFE };

/* Depth-first from state to the states that its calls enter, which takes no byte. A state's cursor is the call that
 * is followed, so it is on the way; then CLOSED. */
static tin_status check_chains(const tini_automaton *view, uint16_t *cursors, uint32_t *todo,
                               tin_error *error) {
    memset(cursors, 0xFF, view->header->states * sizeof *cursors);
    for (uint32_t root = 0; root < view->header->states; root++) {
        uint32_t depth = 0;
        if (cursors[root] != UNSEEN)
            continue;
        todo[depth++] = root;
        cursors[root] = 0;
        while (depth) {
            uint32_t s = todo[depth - 1];
            const tini_constraint_state *state = &view->states[s];
            if (cursors[s] == state->call_count) {
                cursors[s] = CLOSED;
                depth--;
                continue;
            }
            uint32_t enter = view->calls[state->first_call + cursors[s]++].enter;
            if (cursors[enter] == UNSEEN) {
                cursors[enter] = 0;
                todo[depth++] = enter;
            } else if (cursors[enter] != CLOSED) {
                return tini_fail(error, TIN_ERR_FORMAT, "the constraint: state %u calls itself without a byte",
                                 enter);
            }
        }
    }
    return TIN_OK;
}

/* ---- Distances ------------------------------------------------------------------------------------------- */

/* What a shortest way does first. */
typedef struct witness {
    uint32_t next;  /* a state one byte on, or UINT32_MAX */
    uint32_t class; /* the byte's */
    const tini_constraint_call *call;
} witness;

/* What is found on the way. */
typedef struct way_finder {
    const tini_automaton *view;
    const tini_trie *trie;
    uint16_t *ways;       /* [states] the state one byte on, or NO_STATE; of those that are settled */
    uint8_t *bytes;       /* [states] that byte; they lie where the loops will */
    uint8_t byte_of[256]; /* by class, the first of its bytes */
} way_finder;

/* 0 when the state's distance is not that of any way. */
static int find_witness(const tini_automaton *view, uint32_t s, witness *way) {
    const tini_constraint_state *state = &view->states[s];
    uint32_t classes = view->header->classes;
    *way = (witness){.next = UINT32_MAX};
    if (state->accepts || !state->distance)
        return state->accepts && !state->distance;
    for (uint32_t k = 0; k < classes; k++) {
        uint32_t t = view->next[(size_t)s * classes + k];
        if (t != TINI_NO_STATE && view->states[t].distance == state->distance - 1) {
            way->next = t;
            way->class = k;
            return 1;
        }
    }
    for (uint32_t k = 0; k < state->call_count; k++) {
        const tini_constraint_call *call = &view->calls[state->first_call + k];
        uint32_t inner = view->states[call->enter].distance;
        if (inner &&
            tini_add(tini_times(inner, call->least), view->states[call->leave].distance) == state->distance) {
            way->call = call;
            return 1;
        }
    }
    return 0;
}

/* Tokens that are tried along a way: hardly one is longer. */
enum { LONGEST_STEP = 64 };

/* Tokens from a state on whose way begins with a byte: the fewest, where a token spells the bytes up to a state that is
 * known, and a byte counts as a token where none does. */
static uint32_t need_by_bytes(const way_finder *f, uint32_t s) {
    const tini_trie_node *nodes = f->trie->nodes;
    const uint32_t *needs = f->view->needs, *first = f->trie->first;
    uint32_t least = needs[f->ways[s]], i = first[f->bytes[s]], end = first[f->bytes[s] + 1];
    for (uint32_t step = 0; step < LONGEST_STEP && f->ways[s] != TINI_NO_STATE; step++) {
        while (i < end && tini_trie_byte(nodes[i]) != f->bytes[s])
            i += tini_trie_size(nodes[i]);
        if (i >= end)
            break;
        s = f->ways[s];
        if (tini_trie_token(nodes[i]) != TINI_TRIE_NO_TOKEN && needs[s] < least)
            least = needs[s];
        end = i + tini_trie_size(nodes[i]);
        i++;
    }
    return tini_add(least, 1);
}

/* Of a state whose way is known, and all that it leads to. */
static uint32_t need_of(const way_finder *f, uint32_t s, const witness *way) {
    const uint32_t *needs = f->view->needs;
    if (way->next != UINT32_MAX)
        return need_by_bytes(f, s);
    if (way->call)
        return tini_add(tini_times(needs[way->call->enter], way->call->least), needs[way->call->leave]);
    return f->view->states[s].distance; /* none, or too many to tell */
}

/* The state that must be known before s is; UINT32_MAX, and what is known of s is filled, when all are. */
static uint32_t settle(const way_finder *f, uint32_t s, const witness *way) {
    const tini_automaton *view = f->view;
    uint32_t most = 0;
    if (way->next != UINT32_MAX) {
        most = view->frames[way->next];
        if (most == UNSEEN)
            return way->next;
    } else if (way->call) {
        uint32_t inner = view->frames[way->call->enter], after = view->frames[way->call->leave];
        if (inner == UNSEEN || after == UNSEEN)
            return inner == UNSEEN ? way->call->enter : way->call->leave;
        inner += !tini_is_tail(view, way->call);
        most = inner > after ? inner : after;
    }
    view->frames[s] = (uint16_t)(most < CLOSED ? most : CLOSED);
    f->ways[s] = way->next == UINT32_MAX ? TINI_NO_STATE : (uint16_t)way->next;
    f->bytes[s] = f->byte_of[way->class];
    view->needs[s] = need_of(f, s, way);
    return UINT32_MAX;
}

/* Along a shortest way distances fall, or a call's rule is entered, which check_chains has seen to end: so no way comes
 * back to a state, and `todo` holds each at most once. */
static tin_status check_distances(const tini_automaton *view, const tini_trie *trie, uint16_t *ways,
                                  uint32_t *todo, tin_error *error) {
    uint32_t states = view->header->states;
    way_finder f = {.view = view, .trie = trie, .ways = ways, .bytes = view->loops};
    for (uint32_t byte = 256; byte-- > 0;)
        f.byte_of[view->class_of[byte]] = (uint8_t)byte;
    memset(view->frames, 0xFF, states * sizeof *view->frames);
    for (uint32_t root = 0; root < states; root++) {
        uint32_t depth = 0;
        if (view->frames[root] == UNSEEN)
            todo[depth++] = root;
        while (depth) {
            uint32_t s = todo[depth - 1];
            witness way = {.next = UINT32_MAX};
            /* What is too far to tell is never reached by its shortest way. */
            if (view->states[s].distance != TINI_NO_END && !find_witness(view, s, &way))
                return tini_fail(error, TIN_ERR_FORMAT, "the constraint: state %u is not %u bytes from its end",
                                 s, view->states[s].distance);
            uint32_t first = settle(&f, s, &way);
            if (first == UINT32_MAX)
                depth--;
            else
                todo[depth++] = first;
        }
    }
    return TIN_OK;
}

/* The kinds of bytes all of which lead a state to itself. */
static void find_loops(const tini_automaton *view) {
    uint32_t classes = view->header->classes;
    uint8_t kinds[256] = {0}; /* by class */
    for (uint32_t byte = 0; byte < 256; byte++)
        kinds[view->class_of[byte]] |= tini_byte_kind(byte);
    for (uint32_t s = 0; s < view->header->states; s++) {
        uint8_t leads = 0;
        for (uint32_t k = 0; k < classes; k++)
            if (view->next[(size_t)s * classes + k] != s)
                leads |= kinds[k];
        view->loops[s] = (uint8_t)~leads;
    }
}

static void find_ends(const tini_automaton *view) {
    uint32_t classes = view->header->classes;
    for (uint32_t s = 0; s < view->header->states; s++) {
        const uint16_t *row = view->next + (size_t)s * classes;
        uint32_t leads = view->states[s].call_count;
        for (uint32_t k = 0; k < classes && !leads; k++)
            leads = row[k] != TINI_NO_STATE;
        view->kinds[s] = view->states[s].accepts && !leads ? TINI_STATE_END : 0;
    }
}

tin_status tini_automaton_check(const tini_automaton *view, const tini_trie *trie, uint16_t *cursors,
                                uint32_t *todo, tin_error *error) {
    tin_status status = check_chains(view, cursors, todo, error);
    if (status)
        return status;
    find_ends(view);
    status = check_distances(view, trie, cursors, todo, error);
    find_loops(view);
    for (uint32_t s = 0; s < view->header->states && !status; s++)
        if (!view->states[s].accepts && !view->states[s].call_count && !view->frames[s])
            view->kinds[s] |= TINI_STATE_PLAIN;
    return status;
}

TINI_REGION_END
