/* libFuzzer: damaged bytes of a saved session, with the check value made right again so that what lies behind it is
 * reached. Where the library takes them, the session goes on. */
#include "../../kernels/core/base/hash.h"
#include "fuzz.h"

enum { HEADER = 40, CHECK = 24, SEED = 32 }; /* of saved_header in session/saved.c */

static void fix_check(uint8_t *saved, size_t size) {
    uint32_t position, count;
    memcpy(&position, saved + SEED, 4);
    memcpy(&count, saved + SEED + 4, 4);
    uint64_t check = tini_hash(saved + HEADER, size - HEADER, (uint64_t)position << 32 | count);
    memcpy(saved + CHECK, &check, sizeof check);
}

/* A session of `count` tokens, behind images or not, as bytes, in t->saved; its size. */
static size_t save_some(table *t, uint32_t count, int seen) {
    tin_session *s = t->players[0];
    if (seen && t->rows)
        for (uint32_t k = 0; k < 2; k++) {
            const int32_t tokens[] = {1, TIN_EMBEDDED, TIN_EMBEDDED, TIN_EMBEDDED, TIN_EMBEDDED};
            const tin_embedded image = {.at = 1, .count = 4, .columns = 2, .rows = t->rows};
            if (tin_session_append_embedded(s, tokens, 5, &image, 1, NULL))
                abort();
        }
    for (uint32_t k = 0; k < count; k++) {
        int32_t token = (int32_t)(k * 7 % t->info.vocab);
        if (tin_session_append(s, &token, 1, NULL))
            abort();
    }
    if (count && tin_step(s, 0) != TIN_STEP_LOGITS)
        abort();
    size_t size = tin_session_save_size(s);
    if (tin_session_save(s, t->saved, size, NULL))
        abort();
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    script s = {data, size};
    uint32_t bits = next_byte(&s);
    table t;
    if (!table_create(&t, base_model, &fuzz_executor, bits & 3)) {
        table_free(&t); /* a model whose heads are no whole blocks has no 8-bit caches */
        if (!table_create(&t, base_model, &fuzz_executor, bits & 2))
            abort();
    }
    size_t whole = save_some(&t, next_byte(&s) % 40, bits >> 6 & 1);
    uint8_t *copy = exact_copy(t.saved, whole);
    patch_all(&s, copy, bits & 4 ? whole : HEADER);
    patch_all(&s, copy + HEADER, whole - HEADER);
    size_t cut = bits & 8 ? next_word(&s) % (whole + 1) : 0;
    if (bits & 16 && whole - cut >= HEADER)
        fix_check(copy, whole - cut);
    uint8_t *exact = exact_copy(copy, whole - cut); /* so that reading past the end is seen */
    tin_session *target = t.players[1 + (bits >> 5 & 1)];
    tin_error error = {0};
    if (tin_session_restore(target, exact, whole - cut, &error) && (error.status >= 0 || !*error.text))
        abort();
    look_at(&t, target);
    play(&t, s.data, s.size, 12);
    free(exact);
    free(copy);
    table_free(&t);
    return 0;
}
