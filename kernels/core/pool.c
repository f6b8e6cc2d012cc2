/* The optional pool. One ticket word holds all that a worker must know to take a unit, so that a worker that
 * was put to sleep between reading and taking can't take a unit of another job:
 *
 *   bits 40..63  job number    bits 20..39  units of the job    bits 0..19  next unit
 *
 * The caller works too, and waits only for units that others have begun: a thread that the system does not
 * run takes none and delays nobody. */
#include "../include/tin.h"

#ifndef TIN_NO_POOL

#include "error.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { MAX_THREADS = 64, UNIT_BITS = 20, SPINS_BEFORE_YIELD = 200, SPINS_BEFORE_SLEEP = 4000 };
#define UNIT_MASK ((1u << UNIT_BITS) - 1)

struct tin_pool {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic uint32_t done; /* units of the present job that have returned */
    _Alignas(64) _Atomic uint32_t sleepers;
    void (*job)(void *, uint32_t);
    void *argument;
    uint32_t first; /* number of the job's unit 0: a large job comes in parts */
    uint32_t threads, job_number;
    int stop; /* guarded by mutex */
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    tin_executor executor;
    pthread_t workers[];
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint32_t units_left(uint64_t ticket) {
    uint32_t next = (uint32_t)ticket & UNIT_MASK, units = (uint32_t)(ticket >> UNIT_BITS) & UNIT_MASK;
    return next < units ? units - next : 0;
}

/* Takes and runs units until there are none. */
static void work(tin_pool *pool) {
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while (units_left(ticket)) {
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel,
                                                   memory_order_acquire))
            continue;
        pool->job(pool->argument, pool->first + ((uint32_t)ticket & UNIT_MASK));
        atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
}

/* Waits for a job with units left; 0 when the pool stops. */
static int wait_for_work(tin_pool *pool) {
    for (uint32_t spin = 0; spin < SPINS_BEFORE_SLEEP; spin++) {
        if (units_left(atomic_load_explicit(&pool->ticket, memory_order_acquire)))
            return 1;
        if (spin < SPINS_BEFORE_YIELD)
            relax();
        else
            sched_yield();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!pool->stop && !units_left(atomic_load(&pool->ticket)))
        pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    int stop = pool->stop;
    pthread_mutex_unlock(&pool->mutex);
    return !stop;
}

static void *worker(void *argument) {
    tin_pool *pool = argument;
    while (wait_for_work(pool))
        work(pool);
    return NULL;
}

static void run(void *context, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
    tin_pool *pool = context;
    for (uint32_t first = 0; first < count; first += UNIT_MASK) {
        uint32_t units = count - first < UNIT_MASK ? count - first : UNIT_MASK;
        pool->job = job;
        pool->argument = argument;
        pool->first = first;
        atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
        uint64_t ticket = (uint64_t)++pool->job_number << 2 * UNIT_BITS | (uint64_t)units << UNIT_BITS;
        atomic_store(&pool->ticket, ticket); /* in one order with the sleepers' count: none is missed */
        if (atomic_load(&pool->sleepers)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_broadcast(&pool->wake);
            pthread_mutex_unlock(&pool->mutex);
        }
        work(pool);
        for (uint32_t spin = 0; atomic_load_explicit(&pool->done, memory_order_acquire) != units; spin++) {
            if (spin < SPINS_BEFORE_YIELD)
                relax();
            else
                sched_yield();
        }
    }
}

size_t tin_pool_size(uint32_t threads) {
    if (!threads || threads > MAX_THREADS)
        return 0;
    return sizeof(tin_pool) + threads * sizeof(pthread_t);
}

/* Joins the workers started so far and releases the pool's system objects. */
static void stop_workers(tin_pool *pool, uint32_t started) {
    pthread_mutex_lock(&pool->mutex);
    pool->stop = 1;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t k = 0; k < started; k++)
        pthread_join(pool->workers[k], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
}

tin_status tin_pool_create(uint32_t threads, void *memory, size_t memory_size, tin_pool **out,
                           tin_error *error) {
    size_t size = tin_pool_size(threads);
    if (!size || !out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "%u threads; a pool has 1 to %u", threads,
                         (uint32_t)MAX_THREADS);
    if (!memory || (uintptr_t)memory % TIN_ALIGNMENT || memory_size < size)
        return tini_fail(error, TIN_ERR_MEMORY, "a pool of %u threads needs %llu bytes aligned to %u", threads,
                         (unsigned long long)size, (uint32_t)TIN_ALIGNMENT);
    tin_pool *pool = memory;
    memset(pool, 0, size);
    pool->threads = threads;
    pool->executor = (tin_executor){.context = pool, .threads = threads, .run = run};
    if (pthread_mutex_init(&pool->mutex, NULL))
        return tini_fail(error, TIN_ERR_UNSUPPORTED, "the system gave no mutex");
    if (pthread_cond_init(&pool->wake, NULL)) {
        pthread_mutex_destroy(&pool->mutex);
        return tini_fail(error, TIN_ERR_UNSUPPORTED, "the system gave no condition variable");
    }
    for (uint32_t k = 0; k + 1 < threads; k++) {
        if (pthread_create(&pool->workers[k], NULL, worker, pool)) {
            stop_workers(pool, k);
            return tini_fail(error, TIN_ERR_UNSUPPORTED, "the system started only %u of %u threads", k + 1,
                             threads);
        }
    }
    *out = pool;
    return TIN_OK;
}

void tin_pool_destroy(tin_pool *pool) {
    if (pool)
        stop_workers(pool, pool->threads - 1);
}

const tin_executor *tin_pool_executor(tin_pool *pool) {
    return &pool->executor;
}

#endif
