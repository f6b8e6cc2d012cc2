/* libFuzzer: a damaged constraint, or a damaged tree of tokens, or sound ones, and tokens that are tried. What a mask has
 * must be taken, and what it lacks must be refused, as long as both files are sound. */
#include "../../kernels/core/constraint/constraint.h"
#include "../../kernels/core/seal/model.h"
#include "fuzz.h"

enum { MOST_STEPS = 24, MOST_FORCED = 40 };

static int has(const uint32_t *mask, uint32_t token) {
    return (int)(mask[token >> 5] >> (token & 31) & 1);
}

/* The next token: mostly one that the mask has. */
static uint32_t pick(script *s, const uint32_t *mask, uint32_t vocab) {
    uint32_t token = next_word(s) % vocab, tries = next_byte(s) & 1 ? 0 : vocab;
    while (tries-- && !has(mask, token))
        token = (token + 1) % vocab;
    return token;
}

/* One step; 0 at the end. */
static int step(script *s, tin_constraint *c, uint32_t vocab, int sound) {
    const uint32_t *mask;
    tin_error error = {0};
    int32_t forced[MOST_FORCED], before[2] = {(int32_t)next_byte(s) - 8, (int32_t)next_byte(s)};
    uint32_t left_then = next_byte(s) % 20;
    int64_t count = before[0] ? tin_constraint_forced(c, before, 2, left_then, forced, MOST_FORCED)
                              : tin_constraint_forced(c, NULL, 0, left_then, forced, MOST_FORCED);
    if (count < 0 || count > MOST_FORCED)
        abort();
    for (int64_t k = 0; k < count; k++)
        if (tin_constraint_accept(c, forced[k], &error) && sound && error.status == TIN_ERR_ARGUMENT)
            abort();
    uint32_t left = next_byte(s) % 20;
    if (tin_constraint_mask(c, left, &mask, &error))
        return 0;
    uint32_t token = pick(s, mask, vocab);
    int allowed = has(mask, token);
    tin_status status = tin_constraint_accept(c, (int32_t)token, &error);
    if (sound && status != TIN_ERR_UNSUPPORTED && (allowed || !left) && allowed != (status == TIN_OK))
        abort();
    return tin_constraint_state(c) != TIN_CONSTRAINT_MUST_END;
}

static void walk(script *s, const tin_model *model, const uint8_t *data, size_t size, int sound) {
    tin_constraint_options options = {.depth = next_byte(s) % 20, .masks = 1 + next_byte(s) % 3};
    tin_error error = {0};
    size_t needed = tin_constraint_size(model, data, size, &options, &error);
    if (!needed || needed > MOVES_LIMIT) {
        if (!needed && (error.status >= 0 || !*error.text))
            abort();
        return;
    }
    void *memory = moves_aligned(needed);
    tin_constraint *c;
    if (tin_constraint_create(model, data, size, &options, memory, needed, &c, &error) == TIN_OK) {
        char prefix[4] = {'"', 'i', 'n', ' '};
        tin_constraint_begin(c, prefix, next_byte(s) % 5, NULL);
        for (uint32_t k = 0; k < MOST_STEPS && step(s, c, model->tokenizer.header->vocab, sound); k++)
            ;
    } else if (error.status >= 0 || !*error.text) {
        abort();
    }
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script s = {data, size};
    size_t whole, tree_size;
    const uint8_t *sound = base_entry("grammar/answer.bin", &whole), *tree = base_entry("trie.bin", &tree_size);
    uint32_t bits = next_byte(&s);
    uint8_t *copy = exact_copy(sound, whole), *tree_copy = exact_copy(tree, tree_size);
    if (bits & 1)
        patch_all(&s, copy, bits & 4 ? sizeof(tini_constraint_header) : whole);
    if (bits & 2)
        patch_all(&s, tree_copy, tree_size);
    tin_model model = *base_model;
    tin_error error = {0};
    if (tini_trie_open(&model.trie, tree_copy, tree_size, &error) == TIN_OK &&
        tini_model_agrees(&model, &error) == TIN_OK)
        walk(&s, &model, copy, whole, !(bits & 3));
    else if (error.status >= 0 || !*error.text)
        abort();
    free(copy);
    free(tree_copy);
    return 0;
}
