/* The instructions of a prompt and of further tokens on ARM64, as the first program of a machine that qemu plays with -icount shift=0:
 * there an instruction takes a nanosecond, so the clock counts them. benchmarks/arm_tokens.py builds and runs it.
 *
 *   arm_tokens MODEL PROMPT GENERATE
 *
 * The engine is libtin, or with -DLLAMA llama.cpp. Prints "counted PROMPT_NS GENERATE_NS" and turns the machine off. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CONTEXT = 1024 };

static _Noreturn void end(const char *text) {
    puts(text);
    fflush(stdout);
    if (getpid() == 1)
        reboot(RB_POWER_OFF); /* the machine that qemu plays */
    _exit(0);
}

#if defined(LLAMA)
#include "llama.h"

static struct llama_context *session;

static void quiet(enum ggml_log_level level, const char *text, void *data) {
    (void)data;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stdout);
}

static void open_model(const char *path) {
    llama_log_set(quiet, NULL);
    llama_backend_init();
    struct llama_model_params params = llama_model_default_params();
    struct llama_model *model = llama_model_load_from_file(path, params);
    if (!model)
        end("llama.cpp refuses the model");
    struct llama_context_params options = llama_context_default_params();
    options.n_ctx = CONTEXT;
    options.n_threads = options.n_threads_batch = 1;
    session = llama_init_from_model(model, options);
    if (!session)
        end("llama.cpp makes no context");
}

static void evaluate(int32_t *tokens, uint32_t count) {
    if (llama_decode(session, llama_batch_get_one(tokens, (int32_t)count)) ||
        !llama_get_logits_ith(session, -1))
        end("llama_decode fails");
}
#else
#include "tin.h"

static tin_session *session;
static tin_error error;

static void *memory(size_t size) {
    void *made = size ? aligned_alloc(4096, (size + 4095) / 4096 * 4096) : NULL;
    if (!made)
        end(error.text);
    return memset(made, 0, size);
}

static void open_model(const char *path) {
    struct stat status;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &status))
        end("no model");
    size_t size = (size_t)status.st_size;
    void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    size_t need = tin_model_size(bytes, size, &error);
    tin_model *model;
    if (tin_model_create(bytes, size, NULL, memory(need), need, &model, &error))
        end(error.text);
    tin_model_info info;
    tin_model_describe(model, &info);
    printf("isa %s\n", info.isa);
    tin_session_options options = {.context = CONTEXT};
    need = tin_session_size(model, &options, &error);
    if (tin_session_create(model, &options, memory(need), need, &session, &error))
        end(error.text);
}

static void evaluate(int32_t *tokens, uint32_t count) {
    uint32_t rows;
    if (tin_session_append(session, tokens, count, &error) || tin_step(session, 0) != TIN_STEP_LOGITS ||
        !tin_session_logits(session, &rows, NULL))
        end("a step fails");
}
#endif

static unsigned long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long long)time.tv_sec * 1000000000u + (unsigned long long)time.tv_nsec;
}

int main(int count, char **words) {
    if (count != 4)
        end("arm_tokens MODEL PROMPT GENERATE");
    uint32_t prompt = (uint32_t)atoi(words[2]), generate = (uint32_t)atoi(words[3]);
    if (!prompt || 2 * prompt + 1 + generate > CONTEXT)
        end("too many tokens");
    int32_t tokens[CONTEXT];
    for (uint32_t k = 0; k < CONTEXT; k++)
        tokens[k] = (int32_t)(1000 + 7919 * k % 30000);
    open_model(words[1]);
    evaluate(tokens, prompt); /* what is done once is done: pages are there, graphs are made */
    evaluate(tokens + prompt, 1);
    unsigned long long begin = now();
    evaluate(tokens + prompt + 1, prompt);
    unsigned long long middle = now();
    for (uint32_t k = 0; k < generate; k++)
        evaluate(tokens + 2 * prompt + 1 + k, 1);
    printf("counted %llu %llu\n", middle - begin, now() - middle);
    end("");
}
