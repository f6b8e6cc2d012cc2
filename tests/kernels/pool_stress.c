/* pool_stress jobs: what the pool promises of jobs of any size, with more threads than there are processors.
 * pool_stress sessions TIN: the same logits with pools of 1, 2, 3 and 8 threads, in slices and at a duty cycle, from
 * executors that run jobs backwards or late, and from two sessions at once.
 * pool_stress forks COUNT: children that are forked off between jobs go on alone and destroy the pool.
 * Exits with 1 and a line on stderr at the first failure. What the threads write is not atomic: under
 * ThreadSanitizer, a unit run twice or a result seen too early is a race. */
#define _GNU_SOURCE
#include "tin.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_THREADS = 8, MOST_UNITS = 3000000, TOKENS = 24 };

/* In place of the system's: the pool starts no more threads than it is told there are processors. */
int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set) {
    (void)process;
    memset(set, 0, size);
    for (int k = 0; k < MOST_THREADS; k++)
        CPU_SET(k, set);
    return 0;
}

/* Likewise: where `ticking`, each thread has a time of its own, that passes only as it is looked at. What the pool makes
 * of time then does not depend on what else this machine does. */
static atomic_int ticking;
static atomic_uint clock_reads; /* of the caller */
static _Thread_local int calling;

int clock_gettime(clockid_t clock, struct timespec *t) {
    static _Thread_local uint64_t ticks;
    if (!ticking)
        return (int)syscall(SYS_clock_gettime, clock, t);
    uint64_t ns = ++ticks * 50000;
    clock_reads += (unsigned)calling;
    *t = (struct timespec){(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    return 0;
}

#define CHECK(condition, ...)                                               \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fputc('\n', stderr);                                            \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

static uint64_t state = 20260;

static uint32_t below(uint32_t bound) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11) % bound;
}

static void pause_us(uint32_t us) {
    struct timespec t = {0, (long)us * 1000};
    nanosleep(&t, NULL);
}

static void *block(size_t size) {
    void *memory = aligned_alloc(TIN_ALIGNMENT, (size + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT);
    CHECK(memory, "%zu bytes", size);
    return memory;
}

static tin_pool *create(uint32_t threads, void **memory) {
    size_t size = tin_pool_size(threads);
    *memory = block(size);
    memset(*memory, 0xa5, size);
    tin_pool *pool;
    tin_error error;
    CHECK(tin_pool_create(threads, *memory, size, &pool, &error) == TIN_OK, "%s", error.text);
    CHECK(tin_pool_executor(pool)->threads == threads, "%u", threads);
    return pool;
}

/* ---- Jobs ---------------------------------------------------------------------------------------------- */

typedef struct turn {
    const uint32_t *before; /* [MOST_UNITS], of the last job */
    uint32_t *after;        /* [MOST_UNITS] */
    uint32_t count;
    uint32_t slow; /* one unit in so many takes long; 0 for none */
} turn;

/* Reads what most likely another thread wrote in the last job. */
static void unit(void *argument, uint32_t k) {
    const turn *t = argument;
    t->after[k] += t->before[MOST_UNITS - 1 - k] + 1;
    if (t->slow && k % t->slow == 0)
        pause_us(200);
}

static uint32_t random_count(uint32_t job) {
    if (job % 499 == 17)
        return MOST_UNITS - below(1000);
    return job % 50 == 3 ? below(20000) : below(60);
}

static void run_jobs(const tin_executor *executor, uint32_t jobs) {
    uint32_t *buffers[2] = {calloc(MOST_UNITS, sizeof(uint32_t)), calloc(MOST_UNITS, sizeof(uint32_t))};
    CHECK(buffers[0] && buffers[1], "no memory");
    for (uint32_t job = 0; job < jobs; job++) {
        turn t = {.before = buffers[job % 2], .after = buffers[(job + 1) % 2], .count = random_count(job)};
        if (t.count < 60 && below(40) == 0)
            t.slow = 1 + below(8);
        for (uint32_t k = 0; k < t.count; k++)
            t.after[k] = 0;
        if (t.count < MOST_UNITS)
            t.after[t.count] = 7;
        executor->run(executor->context, t.count, unit, &t);
        for (uint32_t k = 0; k < t.count; k++)
            CHECK(t.after[k] == t.before[MOST_UNITS - 1 - k] + 1, "job %u, unit %u of %u", job, k, t.count);
        CHECK(t.count == MOST_UNITS || t.after[t.count] == 7, "job %u ran past its %u units", job, t.count);
        if (below(60) == 0)
            pause_us(below(400)); /* the workers fall asleep, or are about to */
    }
    free(buffers[0]);
    free(buffers[1]);
}

static void count_one(void *argument, uint32_t k) {
    ((uint32_t *)argument)[k]++;
}

/* Destroyed before, while and after its threads go to sleep, with and without a job. */
static void short_lifetimes(uint32_t lifetimes) {
    for (uint32_t lifetime = 0; lifetime < lifetimes; lifetime++) {
        void *memory;
        uint32_t counts[40] = {0}, units = below(41);
        tin_pool *pool = create(1 + lifetime % MOST_THREADS, &memory);
        const tin_executor *executor = tin_pool_executor(pool);
        if (lifetime % 3)
            executor->run(executor->context, units, count_one, counts);
        if (lifetime % 4 == 1)
            pause_us(below(300));
        tin_pool_destroy(pool);
        memset(memory, 0, tin_pool_size(1 + lifetime % MOST_THREADS));
        for (uint32_t k = 0; k < 40; k++)
            CHECK(counts[k] == (lifetime % 3 && k < units), "unit %u of %u ran %u times", k, units, counts[k]);
        free(memory);
    }
}

static void refusals(void) {
    static _Alignas(TIN_ALIGNMENT) char memory[65536];
    tin_pool *pool;
    tin_error error;
    CHECK(!tin_pool_size(0) && !tin_pool_size(65) && tin_pool_size(64), "sizes");
    CHECK(tin_pool_size(64) <= sizeof memory, "%zu bytes", tin_pool_size(64));
    CHECK(tin_pool_create(0, memory, sizeof memory, &pool, &error) == TIN_ERR_ARGUMENT, "no threads");
    CHECK(tin_pool_create(65, memory, sizeof memory, &pool, &error) == TIN_ERR_ARGUMENT, "65 threads");
    CHECK(tin_pool_create(2, memory, sizeof memory, NULL, &error) == TIN_ERR_ARGUMENT, "no place");
    CHECK(tin_pool_create(2, NULL, sizeof memory, &pool, &error) == TIN_ERR_MEMORY, "no memory");
    CHECK(tin_pool_create(2, memory + 8, sizeof memory - 8, &pool, &error) == TIN_ERR_MEMORY, "misaligned");
    CHECK(tin_pool_create(2, memory, tin_pool_size(2) - 1, &pool, &error) == TIN_ERR_MEMORY, "too small");
    CHECK(strstr(error.text, "2 threads"), "%s", error.text);
    tin_pool_destroy(NULL);
}

typedef struct contention {
    pthread_t caller;
    int slow;             /* whether all but the caller are */
    unsigned clock_reads; /* as the job began */
    uint8_t by_other[64]; /* whether another ran the unit */
} contention;

static void contended_unit(void *argument, uint32_t k) {
    contention *c = argument;
    c->by_other[k] = !pthread_equal(pthread_self(), c->caller);
    for (uint64_t spin = 0, kept = k; spin < 20000; spin++)
        *(volatile uint64_t *)&kept = kept + spin;
    if (c->slow && c->by_other[k])
        pause_us(5000);
}

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Runs jobs until for `ms` on end each had units of others, or none had; fails after half a minute. */
static void until(const tin_executor *executor, contention *c, int others, uint64_t ms) {
    uint64_t start = now_ms(), since = start, now = start;
    do {
        executor->run(executor->context, 64, contended_unit, c);
        int any = 0;
        for (uint32_t k = 0; k < 64; k++)
            any |= c->by_other[k];
        now = now_ms();
        if (any != others)
            since = now;
        CHECK(now - start < 30000, "%s", others ? "the worker rests for good" : "the worker never rests");
    } while (now - since <= ms);
}

/* A worker that holds up the caller is left out, and comes back once it does not. */
static void a_slow_worker_rests(void) {
    void *memory;
    tin_pool *pool = create(2, &memory);
    contention c = {.caller = pthread_self(), .slow = 1};
    until(tin_pool_executor(pool), &c, 0, 400);
    c.slow = 0;
    until(tin_pool_executor(pool), &c, 1, 0);
    tin_pool_destroy(pool);
    free(memory);
}

/* The worker's units take until the caller has looked at the clock for long enough to go to sleep; the caller's give the
 * worker time to come. */
static void late_unit(void *argument, uint32_t k) {
    contention *c = argument;
    c->by_other[k] = !pthread_equal(pthread_self(), c->caller);
    if (!c->slow)
        return;
    while (c->by_other[k] && clock_reads - c->clock_reads < 3)
        pause_us(100);
    pause_us(c->by_other[k] ? 1000 : 20);
}

/* One job within a budget: whether the worker had a part of it. */
static int others_had(const tin_executor *executor, contention *c) {
    c->clock_reads = clock_reads;
    executor->run_in_time(executor->context, 8, late_unit, c);
    int any = 0;
    for (uint32_t k = 0; k < 8; k++)
        any |= c->by_other[k];
    return any;
}

/* Within budgets a worker that was late once rests for 0.2 s, then passes its trial, since it is its units that sleep. */
static void a_late_worker_rests_at_once(void) {
    void *memory;
    ticking = calling = 1;
    tin_pool *pool = create(2, &memory);
    const tin_executor *executor = tin_pool_executor(pool);
    contention c = {.caller = pthread_self(), .slow = 1};
    while (!others_had(executor, &c)) {
    }
    for (uint64_t start = now_ms(); now_ms() - start < 190;)
        CHECK(!others_had(executor, &c), "the worker does not rest");
    c.slow = 0;
    for (uint64_t start = now_ms(); !others_had(executor, &c);)
        CHECK(now_ms() - start < 60000, "the worker rests for good");
    tin_pool_destroy(pool);
    ticking = 0;
    free(memory);
}

static uint64_t used_us(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* A quarter of the time is worked, by every thread; the rest is slept, and not spun. */
static void a_duty_cycle_is_kept(void) {
    void *memory;
    tin_pool *pool = create(2, &memory);
    const tin_executor *executor = tin_pool_executor(pool);
    tin_pool_duty_cycle(pool, 25);
    contention c = {.caller = pthread_self()};
    uint64_t own = used_us(CLOCK_THREAD_CPUTIME_ID), all = used_us(CLOCK_PROCESS_CPUTIME_ID), start = now_ms(),
             ms;
    do
        executor->run(executor->context, 64, contended_unit, &c);
    while ((ms = now_ms() - start) < 400);
    own = used_us(CLOCK_THREAD_CPUTIME_ID) - own;
    all = used_us(CLOCK_PROCESS_CPUTIME_ID) - all;
    CHECK(own <= ms * 1000 * 28 / 100, "the caller worked %llu of %llu us", (unsigned long long)own,
          (unsigned long long)ms * 1000);
    CHECK(all - own <= ms * 1000 * 35 / 100, "the worker ran %llu of %llu us", (unsigned long long)(all - own),
          (unsigned long long)ms * 1000);
    tin_pool_destroy(pool);
    free(memory);
}

static int jobs(uint32_t each) {
    refusals();
    a_slow_worker_rests();
    a_late_worker_rests_at_once();
    a_duty_cycle_is_kept();
    for (uint32_t threads = 1; threads <= MOST_THREADS; threads++) {
        void *memory;
        tin_pool *pool = create(threads, &memory);
        run_jobs(tin_pool_executor(pool), each);
        tin_pool_destroy(pool);
        free(memory);
    }
    short_lifetimes(each / 5);
    return 0;
}

/* ---- Sessions ------------------------------------------------------------------------------------------ */

typedef struct talk {
    const tin_model *model;
    uint32_t threads, vocab;
    float *logits;                /* [TOKENS][vocab] */
    const tin_executor *executor; /* in place of a pool, or NULL */
    uint64_t budget_ns;
    uint32_t percent; /* of the pool's duty cycle; 0: none */
} talk;

static uint64_t clock_ns(void *unused) {
    (void)unused;
    return used_us(CLOCK_MONOTONIC) * 1000;
}

/* Two executors that a host could have: one job after the other, the last first; or a helper that comes late and has
 * the odd ones, the last first, while the caller is through with its own. */
typedef struct part {
    uint32_t count;
    void (*job)(void *, uint32_t);
    void *argument;
} part;

static void run_backwards(void *runs, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
    ++*(uint32_t *)runs;
    while (count--)
        job(argument, count);
}

static void *arrive_late(void *argument) {
    const part *p = argument;
    pause_us(100);
    for (uint32_t k = p->count; k--;)
        if (k % 2)
            p->job(p->argument, k);
    return NULL;
}

static void run_late(void *runs, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
    ++*(uint32_t *)runs;
    part p = {count, job, argument};
    pthread_t helper;
    CHECK(!pthread_create(&helper, NULL, arrive_late, &p), "no thread");
    for (uint32_t k = 0; k < count; k += 2)
        job(argument, k);
    pthread_join(helper, NULL);
}

/* A prompt, then greedy tokens; the newest logits of every step. */
static void *decode(void *argument) {
    const talk *t = argument;
    void *pool_memory;
    tin_pool *pool = create(t->threads, &pool_memory);
    tin_pool_duty_cycle(pool, t->percent ? t->percent : 100);
    tin_session_options options = {
        .executor = t->executor ? t->executor : tin_pool_executor(pool), .chunk = 8, .clock_ns = clock_ns};
    tin_error error;
    size_t size = tin_session_size(t->model, &options, &error);
    CHECK(size, "%s", error.text);
    void *memory = block(size);
    tin_session *session;
    CHECK(!tin_session_create(t->model, &options, memory, size, &session, &error), "%s", error.text);
    int32_t prompt[16];
    for (int32_t k = 0; k < 16; k++)
        prompt[k] = 5 + 7 * k;
    CHECK(!tin_session_append(session, prompt, 16, &error), "%s", error.text);
    for (uint32_t k = 0; k < TOKENS; k++) {
        int32_t event;
        do
            event = tin_step(session, t->budget_ns);
        while (event == TIN_STEP_PENDING && t->budget_ns);
        CHECK(event == TIN_STEP_LOGITS, "step %u", k);
        uint32_t rows;
        const float *row = tin_session_logits(session, &rows, NULL);
        memcpy(t->logits + (size_t)k * t->vocab, row + (size_t)(rows - 1) * t->vocab, t->vocab * sizeof *row);
        int32_t token = tin_session_sample(session, NULL);
        CHECK(!tin_session_append(session, &token, 1, &error), "%s", error.text);
    }
    tin_pool_destroy(pool);
    free(memory);
    free(pool_memory);
    return NULL;
}

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    CHECK(file && !fseek(file, 0, SEEK_END), "%s", path);
    *size = (size_t)ftell(file);
    rewind(file);
    void *data = block(*size);
    CHECK(fread(data, 1, *size, file) == *size, "%s", path);
    fclose(file);
    return data;
}

static int sessions(const char *path) {
    size_t file_size, size;
    void *file = read_file(path, &file_size);
    tin_error error;
    CHECK((size = tin_model_size(file, file_size, &error)), "%s", error.text);
    void *memory = block(size);
    tin_model *model;
    CHECK(!tin_model_create(file, file_size, NULL, memory, size, &model, &error), "%s", error.text);
    tin_model_info info;
    tin_model_describe(model, &info);
    size_t bytes = (size_t)TOKENS * info.vocab * sizeof(float);
    talk one = {.model = model, .threads = 1, .vocab = info.vocab, .logits = block(bytes)};
    decode(&one);
    static const uint32_t counts[] = {2, 3, MOST_THREADS};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        uint32_t threads = counts[k];
        talk many = one;
        many.threads = threads;
        many.logits = block(bytes);
        decode(&many);
        CHECK(!memcmp(one.logits, many.logits, bytes), "%u threads give other bits", threads);
        free(many.logits);
    }
    uint32_t runs[2] = {0};
    const tin_executor hosts[] = {{.context = &runs[0], .threads = 4, .run = run_backwards},
                                  {.context = &runs[1], .threads = 2, .run = run_late}};
    const talk ways[] = {
        {.threads = 1, .executor = &hosts[0]}, {.threads = 1, .executor = &hosts[0], .budget_ns = 30000},
        {.threads = 1, .executor = &hosts[1]}, {.threads = 3, .budget_ns = 30000},
        {.threads = 1, .percent = 50},         {.threads = 2, .percent = 50}};
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        talk way = ways[k];
        way.model = model;
        way.vocab = info.vocab;
        way.logits = block(bytes);
        decode(&way);
        CHECK(!memcmp(one.logits, way.logits, bytes), "way %zu gives other bits", k);
        free(way.logits);
    }
    CHECK(runs[0] && runs[1], "no work was shared");
    talk pair[2] = {one, one};
    pthread_t threads[2];
    for (uint32_t k = 0; k < 2; k++) {
        pair[k].threads = 2 + k;
        pair[k].logits = block(bytes);
    }
    for (int k = 0; k < 2; k++)
        CHECK(!pthread_create(&threads[k], NULL, decode, &pair[k]), "no thread");
    for (int k = 0; k < 2; k++) {
        pthread_join(threads[k], NULL);
        CHECK(!memcmp(one.logits, pair[k].logits, bytes), "session %d of two at once gives other bits", k);
        free(pair[k].logits);
    }
    free(one.logits);
    free(memory);
    free(file);
    return 0;
}

/* ---- Forks --------------------------------------------------------------------------------------------- */

enum { HUNG_SECONDS = 60 };

static void run_counted(const tin_executor *executor) {
    uint32_t counts[500] = {0};
    executor->run(executor->context, 500, count_one, counts);
    for (uint32_t k = 0; k < 500; k++)
        CHECK(counts[k] == 1, "unit %u ran %u times", k, counts[k]);
}

static int forks(uint32_t children) {
    void *memory;
    tin_pool *pool = create(MOST_THREADS, &memory);
    const tin_executor *executor = tin_pool_executor(pool);
    for (uint32_t k = 0; k < children; k++) {
        run_counted(executor);
        pause_us(below(300)); /* the workers spin, fall asleep, or sleep */
        pid_t child = fork();
        CHECK(child >= 0, "no child %u", k);
        if (!child) {
            alarm(HUNG_SECONDS);
            run_counted(executor);
            run_counted(executor);
            tin_pool_destroy(pool);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && !status, "child %u ended with status %d", k, status);
    }
    tin_pool_destroy(pool);
    free(memory);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 3 && !strcmp(arguments[1], "jobs"))
        return jobs((uint32_t)atoi(arguments[2]));
    if (count == 3 && !strcmp(arguments[1], "sessions"))
        return sessions(arguments[2]);
    if (count == 3 && !strcmp(arguments[1], "forks"))
        return forks((uint32_t)atoi(arguments[2]));
    fputs("pool_stress jobs COUNT | sessions TIN | forks COUNT\n", stderr);
    return 2;
}
