/* What answers cost that make values up (core/session/cover.h):
 *
 *   cover_check FILE.tin         by chance: each cost as a plain search of every value says. Prints how many
 *   cover_check FILE.tin WORDS   of a question of so many words, and an answer with a value for every twentieth: the least
 *                                CPU time of nine, in nanoseconds */
#include "core/seal/model.h"
#include "core/session/cover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEYS = 3, COPIED = 2, MOST = 1 << 21 };

static const uint32_t costs[COPIED] = {256, 700};
static tin_model *model;
static tini_constraint_copy copies[COPIED];
static uint32_t chance = 1;
static char question[MOST], answer[MOST];

static uint32_t below(uint32_t n) {
    chance = chance * 1664525u + 1013904223u;
    return (chance >> 8) % n;
}

static void check(int good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "cover_check: %s\n", what);
    exit(1);
}

static void *aligned(size_t size) {
    void *memory = NULL;
    check(!posix_memalign(&memory, TIN_ALIGNMENT, size ? size : 1), "no memory");
    memset(memory, 0, size);
    return memory;
}

static int32_t *tokens_of(const char *text, uint32_t *count, uint32_t room) {
    size_t length = strlen(text), size = tin_tokenize_scratch(model, length);
    void *scratch = aligned(size);
    int32_t *tokens = aligned((3 * length + 2 + room) * sizeof *tokens);
    int64_t made = tin_tokenize(model, text, length, 0, tokens, 3 * length + 2, scratch, size);
    check(made >= 0, "no tokens");
    free(scratch);
    *count = (uint32_t)made;
    return tokens;
}

/* Of both texts. ns: the least time of `rounds`. */
static double cost(int rounds, double *ns) {
    uint32_t prompt, given;
    int32_t *more = tokens_of(answer, &given, 0), *tokens = tokens_of(question, &prompt, given);
    memcpy(tokens + prompt, more, given * sizeof *tokens);
    tini_constraint_header header = {.version = 3, .copies = COPIED};
    tini_automaton answers = {.header = &header, .copies = copies};
    tini_cover cover = {0};
    tini_cover_begin(&cover, &answers, model, tokens, prompt);
    double result = 0;
    *ns = 1e18;
    while (rounds--) {
        clock_t begin = clock();
        result = tini_cover_cost(&cover, &answers, model, tokens, prompt, given);
        double took = (double)(clock() - begin) / CLOCKS_PER_SEC * 1e9;
        *ns = took < *ns ? took : *ns;
    }
    free(more);
    free(tokens);
    return result;
}

static void round_of_chance(void) {
    uint32_t words = below(30), values = below(30) ? below(8) : 250 + below(40), variety = 2 + below(4),
             made = 0;
    char *at = question;
    uint8_t asked[32], value[64];
    *at = 0;
    for (uint32_t k = 0; k < words; k++) {
        asked[k] = (uint8_t)('a' + below(variety));
        at += sprintf(at, k ? " %c" : "%c", asked[k]);
    }
    at = answer + sprintf(answer, "{");
    uint64_t wanted = 0;
    for (uint32_t v = 0; v < values; v++) {
        uint32_t key = below(KEYS), count = below(12) ? below(5) : 30 + below(5), found = !count || count > 32;
        at += sprintf(at, "%s\"k%u\": \"", v ? ", " : "", key);
        for (uint32_t k = 0; k < count; k++) {
            value[k] = (uint8_t)('a' + below(variety));
            at += sprintf(at, k ? ", %c" : "%c", value[k]);
        }
        at += sprintf(at, "\"");
        for (uint32_t from = 0; from + count <= words && !found; from++)
            found = !memcmp(asked + from, value, count);
        wanted += key < COPIED && !found ? costs[key] : 0;
        made += !found;
    }
    sprintf(at, "}");
    double ns, given = cost(1, &ns);
    check(given == (double)wanted / 256, answer);
}

int main(int count, char **words) {
    FILE *file = count > 1 ? fopen(words[1], "rb") : NULL;
    check(file && !fseek(file, 0, SEEK_END), "cover_check FILE.tin [WORDS]");
    size_t size = (size_t)ftell(file);
    rewind(file);
    void *data = aligned(size);
    check(fread(data, 1, size, file) == size, "the file is not read");
    fclose(file);
    size_t needed = tin_model_size(data, size, NULL);
    check(!tin_model_create(data, size, NULL, aligned(needed), needed, &model, NULL), "no model");
    for (uint32_t key = 0; key < COPIED; key++) {
        const char name[] = {'k', (char)('0' + key), 1}; /* and how deep it stands */
        uint32_t hash = TINI_FNV_BASIS;
        for (uint32_t k = 0; k < sizeof name; k++)
            hash = (hash ^ (uint8_t)name[k]) * TINI_FNV_PRIME;
        copies[key] = (tini_constraint_copy){hash, costs[key]};
    }
    if (count == 2) {
        for (int k = 0; k < 3000; k++)
            round_of_chance();
        puts("3000");
        return 0;
    }
    int asked = atoi(words[2]);
    char *at = question;
    for (int k = 0; k < asked; k++)
        at += sprintf(at, " w%d", k % 97);
    at = answer + sprintf(answer, "{\"k0\": [");
    for (int k = 0; k < asked / 20; k++)
        at += sprintf(at, "%s\"w%d x%d\"", k ? ", " : "", k % 97, k);
    sprintf(at, "]}");
    double ns;
    check(cost(9, &ns) == (asked / 20 < TINI_COVER_VALUES ? asked / 20 : TINI_COVER_VALUES), "the cost");
    printf("%.0f\n", ns);
    return 0;
}
