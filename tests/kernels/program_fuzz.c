/* program_fuzz SEED COUNT: the programs of programs.h with any bits for weights, played as moves.h plays a file's, or
 * encoders, by images.
 * TIN_BASE names the tin that lends tokenizer, tree, template and constraint. Prints how many programs were played, how
 * many asked for too much memory, and how often each kind of op was made. A refusal or a hang aborts; the rest is the
 * sanitizers' to report. VERBOSE=1 tells each seed on stderr before it is played. */
#include "../../kernels/core/seal/model.h"
#include "../../kernels/core/session/session.h"
#include "moves.h"
#include "programs.h"

#include <unistd.h>

enum { SCRIPT = 400, MOVES = 40, SECONDS = 60 };

/* ---- Its bytes ---- */

static uint8_t *put(uint8_t *to, const void *part, size_t bytes) {
    memcpy(to, part, bytes);
    return to + bytes;
}

static uint8_t *program_bytes(size_t *size) {
    *size = sizeof head + head.tensors * sizeof *tensors + head.values * sizeof *values +
            head.caches * sizeof *caches + head.states * sizeof *states + head.ops * sizeof *ops + 1;
    uint8_t *data = moves_aligned(*size), *at = put(data, &head, sizeof head);
    at = put(put(at, tensors, head.tensors * sizeof *tensors), values, head.values * sizeof *values);
    at = put(put(at, caches, head.caches * sizeof *caches), states, head.states * sizeof *states);
    *put(at, ops, head.ops * sizeof *ops) = 0;
    return data;
}

/* Any bits; or, of each word, some that make floats of middling size. */
static uint8_t *weight_bytes(void) {
    static const uint32_t masks[] = {0xffffffff, 0x3f3f3f3f, 0xbfffffff};
    uint32_t mask = masks[below(3)];
    uint8_t *data = moves_aligned(head.weight_bytes);
    for (size_t k = 0; k < head.weight_bytes; k++)
        data[k] = (uint8_t)((any_word() & mask) >> k % 4 * 8);
    return data;
}

/* ---- Playing it ---- */

static void backwards(void *context, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
    (void)context;
    while (count--)
        job(argument, count);
}

static const tin_executor shuffled = {.threads = 3, .run = backwards};

static const tini_kernels *any_kernels(void) {
    uint32_t sets = 0;
    while (tin_isa_name(sets))
        sets++;
    return tini_kernels_available(below(sets));
}

/* 1 when it was played, 0 when it asked for too much. */
static int play_program(const tin_model *donor) {
    size_t size;
    make_program(donor->tokenizer.header->vocab);
    uint8_t *data = program_bytes(&size), *weights = weight_bytes(), moves[SCRIPT];
    tin_model model = *donor;
    tin_error error;
    if (tini_program_open(&model.program, data, size, weights, head.weight_bytes, &error)) {
        fprintf(stderr, "refused: %s\n", error.text);
        abort(); /* it keeps the loader's rules, or should */
    }
    model.kernels = any_kernels();
    table t;
    int played = table_create(&t, &model, one_in(2) ? &shuffled : NULL, below(4));
    for (size_t k = 0; k < sizeof moves; k++)
        moves[k] = (uint8_t)any_word();
    if (played)
        play(&t, moves, sizeof moves, MOVES);
    table_free(&t);
    free(data);
    free(weights);
    return played;
}

/* Some images of every shape that fits, in memory that begins as any bits; 1 when it was played. */
static int play_encoder(const tin_model *donor) {
    size_t size;
    make_encoder();
    uint8_t *data = program_bytes(&size), *weights = weight_bytes();
    tin_model model = *donor;
    tin_error error;
    if (tini_program_open(&model.encoder, data, size, weights, head.weight_bytes, &error)) {
        fprintf(stderr, "refused: %s\n", error.text);
        abort();
    }
    model.kernels = any_kernels();
    const tin_encoder_options options = {.patches = one_in(2) ? from_to(1, head.context) : 0,
                                         .executor = one_in(2) ? &shuffled : NULL};
    size_t bytes = tin_encoder_size(&model, &options, NULL);
    void *memory = moves_aligned(bytes);
    float *patches = moves_aligned((size_t)head.context * patch * sizeof(float));
    tin_encoder *vision;
    if (tin_encoder_create(&model, &options, memory, bytes, &vision, NULL))
        abort();
    for (uint32_t k = 0; k < 6; k++) {
        uint32_t height = side * below(8), width = side * below(8), count;
        for (uint32_t i = 0; i < head.context * patch; i++)
            patches[i] = any_float();
        if (tin_encoder_begin(vision, patches, height, width, NULL))
            continue;
        if (tin_encoder_step(vision, 0) != TIN_STEP_DONE || !tin_encoder_states(vision, &count) ||
            count != height * width / (side * side))
            abort();
    }
    free(patches);
    free(memory);
    free(data);
    free(weights);
    return 1;
}

static const tin_model *open_donor(void) {
    const char *path = getenv("TIN_BASE");
    FILE *file = path ? fopen(path, "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END))
        exit(2);
    size_t size = (size_t)ftell(file);
    rewind(file);
    static uint8_t *data; /* both as long-lived as the program */
    static tin_model *model;
    data = moves_aligned(size);
    if (fread(data, 1, size, file) != size ||
        tin_model_create(data, size, NULL, moves_aligned(TINI_MODEL_ROOM), TINI_MODEL_ROOM, &model, NULL))
        exit(2);
    fclose(file);
    return model;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    const tin_model *donor = open_donor();
    uint64_t seed = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10), played = 0;
    for (uint64_t k = 0; k < count; k++) {
        random_state = (seed + k) * UINT64_C(0x9E3779B97F4A7C15) | 1;
        for (uint32_t i = 0; i < 8; i++)
            any_word();
        if (getenv("VERBOSE"))
            fprintf(stderr, "seed %llu\n", (unsigned long long)(seed + k));
        alarm(SECONDS);
        played += (uint64_t)(one_in(3) ? play_encoder(donor) : play_program(donor));
        alarm(0);
    }
    printf("%llu %llu", (unsigned long long)played, (unsigned long long)(count - played));
    for (uint32_t kind = 0; kind < TINI_OP_COUNT; kind++)
        printf(" %llu", (unsigned long long)made[kind]);
    putchar('\n');
    return 0;
}
