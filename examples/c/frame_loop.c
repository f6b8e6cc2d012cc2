/* A model inside a 60 Hz loop: frame_loop FILE.tin [PROMPT [BUDGET_MS [TOKENS]]]. Every frame gives the model its
 * budget, and no frame waits for it. Prints the text, and at the end how long frames took, and by how much tin_step
 * came back later than its budget. Linux, and other systems that have clock_nanosleep. */
#define _POSIX_C_SOURCE 200809L
#include "tin.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FRAME_NS 16666667u
enum { CONTEXT = 1024, MOST = 1 << 20 };

static tin_error error = {0, "give a .tin file that can be read; or there is no memory"};

static void check(int good) {
    if (!good)
        exit(fprintf(stderr, "error: %s\n", error.text) ? 1 : 2);
}

static void *block(size_t size) {
    void *memory = size ? aligned_alloc(TIN_ALIGNMENT, (size + 63) / TIN_ALIGNMENT * TIN_ALIGNMENT) : NULL;
    check(memory != NULL);
    return memset(memory, 0, size); /* as tin.h asks; and no page is missing in a frame */
}

static uint64_t now_ns(void *unused) {
    (void)unused;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns) {
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL)) {
    }
}

/* Durations in nanoseconds. */
typedef struct samples {
    uint32_t count;
    uint32_t ns[MOST];
} samples;

static void add(samples *s, uint64_t ns) {
    if (s->count < MOST)
        s->ns[s->count++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* edges: upper ends of the bars, in microseconds; what lies above the last has a bar of its own. */
static void print_histogram(const char *title, samples *s, const uint32_t *edges, uint32_t bars) {
    if (!s->count)
        return;
    qsort(s->ns, s->count, sizeof *s->ns, by_size);
    printf("\n%s (%u): median %.3f ms, p99 %.3f, p99.9 %.3f, longest %.3f\n", title, s->count,
           s->ns[s->count / 2] / 1e6, s->ns[(uint64_t)s->count * 99 / 100] / 1e6,
           s->ns[(uint64_t)s->count * 999 / 1000] / 1e6, s->ns[s->count - 1] / 1e6);
    for (uint32_t bar = 0, at = 0; bar <= bars; bar++) {
        uint32_t begin = at;
        while (at < s->count && (bar == bars || s->ns[at] <= edges[bar] * 1000u))
            at++;
        printf(bar < bars ? "  up to %7.3f ms %7u " : "  above %7.3f ms %7u ", edges[bar - (bar == bars)] / 1e3,
               at - begin);
        for (uint32_t k = 0; k < (uint32_t)((uint64_t)(at - begin) * 50 / s->count); k++)
            putchar('#');
        putchar('\n');
    }
}

static tin_session *open_session(const char *path, const tin_model **model) {
    int fd = open(path, O_RDONLY);
    size_t file_size = (size_t)lseek(fd, 0, SEEK_END);
    void *image = mmap(NULL, file_size, PROT_READ, MAP_PRIVATE, fd, 0);
    tin_model *made;
    size_t size = image == MAP_FAILED ? 0 : tin_model_size(image, file_size, &error);
    check(!tin_model_create(image, file_size, NULL, block(size), size, &made, &error));
    *model = made;
    tin_model_info info;
    tin_model_describe(made, &info);
    tin_session_options options = {.context = info.context < CONTEXT ? info.context : CONTEXT,
                                   .clock_ns = now_ns};
    tin_session *session;
    size = tin_session_size(made, &options, &error);
    check(!tin_session_create(made, &options, block(size), size, &session, &error));
    return session;
}

/* A prompt, by the model's template where it has one, else as it stands. */
static void queue_prompt(tin_session *session, const tin_model *model, const char *prompt) {
    static int32_t tokens[CONTEXT];
    const tin_message message = {TIN_ROLE_USER, prompt, strlen(prompt)};
    size_t size = tin_chat_scratch(model, &message, 1, NULL);
    int chats = size > 0;
    size = chats ? size : tin_tokenize_scratch(model, strlen(prompt));
    void *scratch = block(size);
    int64_t count =
        chats ? tin_chat(model, &message, 1, TIN_CHAT_ANSWER, tokens, CONTEXT, scratch, size, &error)
              : tin_tokenize(model, prompt, strlen(prompt), TIN_TEXT_BOS, tokens, CONTEXT, scratch, size);
    check(count > 0 && !tin_session_append(session, tokens, (uint32_t)count, &error));
    free(scratch);
}

/* What the model may do in one frame. Returns whether it has more to do. */
static int think(tin_session *session, const tin_model *model, uint64_t budget, samples *over) {
    uint64_t begin = now_ns(NULL), called = begin;
    while (called - begin < budget) {
        uint64_t slice = budget - (called - begin);
        int32_t state = tin_step(session, slice), control;
        uint64_t back = now_ns(NULL);
        add(over, back - called > slice ? back - called - slice : 0);
        called = back;
        if (state == TIN_STEP_PENDING || state == TIN_STEP_DONE)
            return state == TIN_STEP_PENDING;
        check(state == TIN_STEP_TOKEN);
        uint32_t length;
        const char *text = tin_token_text(model, tin_session_token(session), &length, &control);
        if (!control)
            fwrite(text, 1, length, stdout);
    }
    return 1;
}

int main(int argc, char **argv) {
    const tin_model *model;
    tin_session *session = open_session(argc > 1 ? argv[1] : "", &model);
    queue_prompt(session, model, argc > 2 ? argv[2] : "Tell me about the sea.");
    uint64_t budget = (uint64_t)((argc > 3 ? atof(argv[3]) : 4.0) * 1e6);
    uint32_t most = argc > 4 ? (uint32_t)atoi(argv[4]) : 200;
    check(!tin_session_generate(session, NULL, most, 0, &error));
    strcpy(error.text, "a step failed; the budget must be above 0");
    check(budget > 0 && budget < FRAME_NS);

    static samples frames, works, over;
    uint64_t due = now_ns(NULL), last = 0;
    for (int more = 1; more; due += FRAME_NS) {
        sleep_until(due);
        uint64_t begin = now_ns(NULL);
        if (last)
            add(&frames, begin - last);
        last = begin;
        more = think(session, model, budget, &over);
        /* A game simulates and draws here. */
        add(&works, now_ns(NULL) - begin);
    }
    static const uint32_t frame_edges[] = {16500, 16600, 16650, 16700, 16750, 16850, 17000, 18000, 20000};
    static const uint32_t work_edges[] = {1000, 2000, 3000, 4000, 4050, 4100, 4250, 4500, 5000, 8000};
    static const uint32_t over_edges[] = {0, 10, 25, 50, 100, 250, 500, 1000};
    putchar('\n');
    print_histogram("frame to frame", &frames, frame_edges, sizeof frame_edges / sizeof *frame_edges);
    print_histogram("the model's part of a frame", &works, work_edges, sizeof work_edges / sizeof *work_edges);
    print_histogram("tin_step past its budget", &over, over_edges, sizeof over_edges / sizeof *over_edges);
    return 0;
}
