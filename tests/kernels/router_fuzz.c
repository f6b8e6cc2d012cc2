/* Opens damaged copies of a router and, where one is accepted, routes by it:
 *
 *   router_fuzz FILE.tin ROUTER.bin   each truncation, each bit, and each word in turn replaced by numbers at the borders of
 *                                     what it may be
 *
 * Prints how many damaged copies were refused and how many worked; a crash is the sanitizers' to report. */
#include "whole_file.h"

#include <string.h>

static uint32_t counts[2]; /* refused, worked */

/* A session that has computed a prompt. */
static tin_session *computed(const tin_model *model) {
    static const int32_t tokens[] = {1, 2, 3};
    tin_session_options options = {.context = 16};
    size_t size = tin_session_size(model, &options, NULL);
    uint8_t *memory = aligned(size);
    tin_session *session;
    if (tin_session_create(model, &options, memory, size, &session, NULL) ||
        tin_session_append(session, tokens, 3, NULL) || tin_step(session, 0) != TIN_STEP_LOGITS)
        abort();
    return session;
}

static void try(const tin_model *model, const tin_session *session, const uint8_t *whole, size_t size) {
    uint8_t *data = aligned(size); /* so that the byte behind it is nobody's */
    memcpy(data, whole, size);
    tin_error error = {0};
    size_t needed = tin_router_size(model, data, size, &error);
    counts[needed != 0]++;
    if (!needed && (error.status >= 0 || !*error.text))
        abort();
    if (needed) {
        uint8_t *memory = aligned(needed);
        tin_router *router;
        tin_router_info info;
        tin_route route;
        float *scores;
        if (tin_router_open(model, data, size, memory, needed, &router, &error))
            abort(); /* its size was told, so it is sound */
        tin_router_describe(router, &info);
        scores = malloc(info.rows * sizeof *scores);
        if (tin_session_route(session, router, scores, &route, &error) || route.task >= info.tasks ||
            !tin_router_task(router, info.tasks - 1, NULL) || tin_router_task(router, info.tasks, NULL))
            abort();
        free(scores);
        free(memory);
    }
    free(data);
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    size_t file_size, size;
    uint8_t *file = read_whole(argv[1], &file_size), *whole = read_whole(argv[2], &size);
    uint8_t *room = aligned(tin_model_size(file, file_size, NULL));
    tin_model *model;
    if (tin_model_create(file, file_size, NULL, room, tin_model_size(file, file_size, NULL), &model, NULL))
        return 2;
    tin_session *session = computed(model);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
        try(model, session, whole, size);
        whole[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    static const uint32_t words[] = {0, 1, 64, 65, 128, 129, 0x7f7fffff, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t at = 0; at + 4 <= size; at += 4)
        for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
            uint32_t before;
            memcpy(&before, whole + at, 4);
            memcpy(whole + at, &words[k], 4);
            try(model, session, whole, size);
            memcpy(whole + at, &before, 4);
        }
    for (size_t cut = 0; cut < size; cut++)
        try(model, session, whole, cut);
    printf("%u %u\n", counts[0], counts[1]);
    free(session);
    free(room);
    free(whole);
    free(file);
    return 0;
}
