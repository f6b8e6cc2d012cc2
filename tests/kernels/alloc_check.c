/* Proves that nothing is allocated after creation:
 *
 *   alloc_check FILE.tin THREADS [PLANT]
 *
 * Sessions, a batch, constraints and (for THREADS > 1) a pool are created; then the allocator's functions, which this program has in
 * place of libc's, abort when they are called by anyone, and on Linux the kernel stops the process at any call that
 * changes its memory, opens a file or starts a thread. Then made scripts are played over the whole interface.
 * Compiled with _GNU_SOURCE. PLANT, one of malloc, mmap, job, does what is forbidden, to show that it is seen. Exits 0 and prints how many moves
 * were played and which of them did something; 70 and the name of what was called otherwise. */
#include "moves.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

static atomic_int armed;

static void forbidden(const char *name) {
    if (!atomic_load(&armed))
        return;
    char text[64];
    size_t length = strlen(name);
    memcpy(text, name, length);
    text[length] = '\n';
    if (write(2, text, length + 1) < 0)
        _exit(71);
    _exit(70);
}

/* ---- The allocator's functions, in place of libc's ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

void *malloc(size_t size) {
    forbidden("malloc");
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    forbidden("calloc");
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) {
    forbidden("realloc");
    return __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    forbidden("aligned_alloc");
    return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size) {
    forbidden("memalign");
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    forbidden("posix_memalign");
    *block = __libc_memalign(alignment, size);
    return *block ? 0 : ENOMEM;
}

void free(void *block) {
    if (block)
        forbidden("free");
    __libc_free(block);
}

/* ---- The kernel's part ---- */

#if defined(__linux__)
static const struct {
    uint32_t number;
    const char *name;
} calls[] = {
    {SYS_mmap, "mmap"},       {SYS_munmap, "munmap"},     {SYS_mremap, "mremap"}, {SYS_brk, "brk"},
    {SYS_madvise, "madvise"}, {SYS_mprotect, "mprotect"}, {SYS_openat, "openat"}, {SYS_clone, "clone"},
    {SYS_clone3, "clone3"},   {SYS_read, "read"},         {SYS_ioctl, "ioctl"},
};
enum { CALLS = sizeof calls / sizeof *calls };

static void trapped(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    for (uint32_t k = 0; k < CALLS; k++)
        if (calls[k].number == (uint32_t)info->si_syscall)
            forbidden(calls[k].name);
    forbidden("a system call");
}

/* Every thread, for good. 0 where the kernel has no such filters. */
static int close_kernel(void) {
    struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    struct sock_filter filter[2 * CALLS + 2];
    uint32_t n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (uint32_t k = 0; k < CALLS; k++) {
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[k].number, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = (unsigned short)n, .filter = filter};
    return !sigaction(SIGSYS, &action, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
           !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}
#else
static int close_kernel(void) {
    return 0;
}
#endif

/* ---- What is forbidden, done on purpose ---- */

static const char *plant;
static const tin_executor *inner;
static void *volatile sink;

static void planted_job(void *argument, uint32_t k) {
    (void)argument;
    (void)k;
    sink = malloc(1);
}

static void do_planted(void) {
    if (!strcmp(plant, "malloc"))
        sink = malloc(1);
    else if (!strcmp(plant, "mmap"))
        sink = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    else if (inner) /* on the pool's threads */
        inner->run(inner->context, 64, planted_job, NULL);
}

/* ---- The run ---- */

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        exit(2);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = moves_aligned(*size);
    if (fread(data, 1, *size, file) != *size)
        exit(2);
    fclose(file);
    return data;
}

static const tin_executor *start_pool(uint32_t threads, tin_pool **pool) {
    *pool = NULL;
    if (threads < 2)
        return NULL;
    size_t size = tin_pool_size(threads);
    if (tin_pool_create(threads, moves_aligned(size), size, pool, NULL))
        exit(2);
    return tin_pool_executor(*pool);
}

/* Events that were seen, by TIN_STEP_*: a script that does nothing proves nothing. */
static uint32_t seen[5];
static uint32_t ended; /* constrained answers, to their end */

/* A prompt, budgets, a generation that repeats itself (so that drafts are made), constrained ones, a fork, bytes and a
 * shift. */
static void scene(table *t) {
    tin_session *s = t->players[0], *other = t->players[1];
    static const int32_t prompt[] = {5, 6, 7, 8, 9, 5, 6, 7, 8, 9, 5, 6, 7, 8, 9, 5, 6, 7};
    const tin_sampling sampling = {.temperature = 0.8f,
                                   .top_k = 40,
                                   .top_p = 0.95f,
                                   .min_p = 0.01f,
                                   .repetition_penalty = 1.1f,
                                   .seed = 3};
    tin_error error;
    t->tick = 100;
    tin_batch_cancel(t->batch);
    if (tin_session_rewind(s, 0, &error) || tin_session_want_logits(s, UINT32_MAX, &error) ||
        tin_session_append(s, prompt, 18, &error))
        exit(3);
    for (int32_t event = 0; event != TIN_STEP_LOGITS; seen[event]++)
        if ((event = tin_step(s, 150)) < 0)
            exit(3);
    for (uint32_t turn = 0; turn < 2; turn++) {
        if (tin_session_generate(s, turn ? &sampling : NULL, 24, 3, &error))
            exit(3);
        for (int32_t event = 0; event != TIN_STEP_DONE; seen[event]++)
            if ((event = tin_step(s, turn ? 0 : 150)) < 0)
                exit(3);
    }
    for (uint32_t k = 0; k < PLAYERS; k++)
        if (tin_session_constrain(t->players[k], NULL, &error))
            exit(3);
    for (uint32_t turn = 0; turn < 4; turn++) {
        if (tin_session_constrain(s, t->limits[turn % LIMITS], &error) ||
            tin_session_replace(s, prompt, 18, &error) || tin_session_heal(s, &error) ||
            tin_session_generate(s, turn ? &sampling : NULL, 60, turn, &error))
            exit(3);
        for (int32_t event = 0; event != TIN_STEP_DONE; seen[event]++)
            if ((event = tin_step(s, turn ? 0 : 150)) < 0)
                exit(3);
        ended += tin_session_finish(s) == TIN_FINISH_END;
    }
    size_t size = tin_session_save_size(s);
    if (tin_session_copy(other, s, 12, &error) || tin_session_save(s, t->saved, size, &error) ||
        tin_session_restore(t->players[2], t->saved, size, &error) || tin_session_shift(s, 2, 5, &error))
        exit(3);
    int32_t events[PLAYERS];
    for (uint32_t k = 0; k < 8; k++)
        if (tin_batch_step(t->batch, t->players, PLAYERS, k % 2 ? 250 : 0, events) < 0)
            exit(3);
    tin_batch_cancel(t->batch);
}

static uint32_t play_all(table *t) {
    static uint8_t bytes[4096];
    uint32_t state = 1, moves = 0;
    for (uint32_t round = 0; round < 60; round++) {
        for (size_t k = 0; k < sizeof bytes; k++) {
            state = state * 1664525u + 1013904223u;
            bytes[k] = (uint8_t)(state >> 24);
        }
        script s = {bytes, sizeof bytes};
        uint32_t played = 0;
        while (played < 40 && play_move(t, &s))
            played++;
        moves += played;
        scene(t);
    }
    return moves;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    plant = argc > 3 ? argv[3] : "";
    size_t size;
    const uint8_t *file = read_file(argv[1], &size);
    size_t needed = tin_model_size(file, size, NULL);
    tin_model *model;
    tin_pool *pool;
    table t;
    if (!needed || tin_model_create(file, size, NULL, moves_aligned(needed), needed, &model, NULL))
        return 2;
    inner = start_pool((uint32_t)atoi(argv[2]), &pool);
    if (!table_create(&t, model, inner, 0))
        return 2;
    int kernel_closed = close_kernel();
    atomic_store(&armed, 1);
    uint32_t moves = play_all(&t);
    if (*plant)
        do_planted();
    atomic_store(&armed, 0);
    char text[200];
    int length =
        snprintf(text, sizeof text, "moves %u pending %u logits %u tokens %u done %u ended %u kernel %d\n",
                 moves, seen[TIN_STEP_PENDING], seen[TIN_STEP_LOGITS], seen[TIN_STEP_TOKEN],
                 seen[TIN_STEP_DONE], ended, kernel_closed);
    /* Not exit: what it would release is closed. */
    _exit(write(1, text, (size_t)length) < 0);
}
