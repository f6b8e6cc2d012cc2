/* What the pool needs of a system: threads, sleeping and waking, atomic words, a clock. POSIX or Win32. */
#ifndef TINI_THREAD_H
#define TINI_THREAD_H

#include <stdint.h>

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif
#endif

/* ---- Atomic words: every access is in one order that all threads agree on, but loads, which only acquire ---- */

#if defined(_MSC_VER) && !defined(__clang__) /* its <stdatomic.h> is still behind a switch */
typedef volatile LONG tini_atomic32;
typedef volatile LONG64 tini_atomic64;

static inline uint32_t tini_load32(tini_atomic32 *word) {
    return (uint32_t)InterlockedCompareExchangeAcquire(word, 0, 0);
}
static inline uint64_t tini_load64(tini_atomic64 *word) {
    return (uint64_t)InterlockedCompareExchangeAcquire64(word, 0, 0);
}
static inline void tini_store32(tini_atomic32 *word, uint32_t value) {
    InterlockedExchange(word, (LONG)value);
}
static inline void tini_store64(tini_atomic64 *word, uint64_t value) {
    InterlockedExchange64(word, (LONG64)value);
}
static inline uint32_t tini_swap32(tini_atomic32 *word, uint32_t value) {
    return (uint32_t)InterlockedExchange(word, (LONG)value);
}
/* Replaces *expected by `value`; on failure 0, and *expected is what was there. */
static inline int tini_replace64(tini_atomic64 *word, uint64_t *expected, uint64_t value) {
    uint64_t was = (uint64_t)InterlockedCompareExchange64(word, (LONG64)value, (LONG64)*expected);
    int done = was == *expected;
    *expected = was;
    return done;
}
#else
#include <stdatomic.h>
typedef _Atomic uint32_t tini_atomic32;
typedef _Atomic uint64_t tini_atomic64;

static inline uint32_t tini_load32(tini_atomic32 *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}
static inline uint64_t tini_load64(tini_atomic64 *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}
static inline void tini_store32(tini_atomic32 *word, uint32_t value) {
    atomic_store(word, value);
}
static inline void tini_store64(tini_atomic64 *word, uint64_t value) {
    atomic_store(word, value);
}
static inline uint32_t tini_swap32(tini_atomic32 *word, uint32_t value) {
    return atomic_exchange(word, value);
}
/* Replaces *expected by `value`; on failure 0, and *expected is what was there. */
static inline int tini_replace64(tini_atomic64 *word, uint64_t *expected, uint64_t value) {
    return atomic_compare_exchange_strong(word, expected, value);
}
#endif

/* Tells the processor that this thread only waits for another. */
static inline void tini_relax(void) {
#if defined(_MSC_VER) && !defined(__clang__)
    YieldProcessor();
#elif defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* `yield` is free on most of them: it spares nobody */
#endif
}

/* ---- A place to sleep: one thread sleeps there, any may wake it ---------------------------------------- */

#ifdef _WIN32
typedef SRWLOCK tini_mutex;
typedef CONDITION_VARIABLE tini_condition;
#define tini_lock(mutex) AcquireSRWLockExclusive(mutex)
#define tini_unlock(mutex) ReleaseSRWLockExclusive(mutex)
#define tini_await(condition, mutex) SleepConditionVariableSRW(condition, mutex, INFINITE, 0)
#define tini_signal(condition) WakeConditionVariable(condition)
#else
typedef pthread_mutex_t tini_mutex;
typedef pthread_cond_t tini_condition;
#define tini_lock(mutex) pthread_mutex_lock(mutex)
#define tini_unlock(mutex) pthread_mutex_unlock(mutex)
#define tini_await(condition, mutex) pthread_cond_wait(condition, mutex)
#define tini_signal(condition) pthread_cond_signal(condition)
#endif

typedef struct tini_bed {
    tini_atomic32 asleep;
    tini_mutex mutex;
    tini_condition condition;
} tini_bed;

/* 0 when the system refuses. */
static inline int tini_bed_create(tini_bed *bed) {
    tini_store32(&bed->asleep, 0);
#ifdef _WIN32
    InitializeSRWLock(&bed->mutex);
    InitializeConditionVariable(&bed->condition);
#else
    if (pthread_mutex_init(&bed->mutex, NULL))
        return 0;
    if (pthread_cond_init(&bed->condition, NULL)) {
        pthread_mutex_destroy(&bed->mutex);
        return 0;
    }
#endif
    return 1;
}

static inline void tini_bed_destroy(tini_bed *bed) {
#ifdef _WIN32
    (void)bed;
#else
    pthread_cond_destroy(&bed->condition);
    pthread_mutex_destroy(&bed->mutex);
#endif
}

/* Sleeps until it is woken, unless ready(argument) says that there is no need to: it is asked once `asleep` is
 * set, so that whoever makes it true and then calls tini_wake can't be missed. May return early. */
static inline void tini_sleep(tini_bed *bed, int (*ready)(void *argument), void *argument) {
    tini_lock(&bed->mutex);
    tini_swap32(&bed->asleep, 1);
    while (!ready(argument) && tini_load32(&bed->asleep))
        tini_await(&bed->condition, &bed->mutex);
    tini_store32(&bed->asleep, 0);
    tini_unlock(&bed->mutex);
}

/* A system call if a thread sleeps there and nobody has woken it yet, else next to nothing. */
static inline void tini_wake(tini_bed *bed) {
    if (!tini_load32(&bed->asleep) || !tini_swap32(&bed->asleep, 0))
        return;
    tini_lock(&bed->mutex); /* once this is ours, the sleeper is inside its wait */
    tini_unlock(&bed->mutex);
    tini_signal(&bed->condition);
}

/* ---- Threads, the clock, the number of processors ------------------------------------------------------ */

#ifdef _WIN32
typedef HANDLE tini_thread;
typedef DWORD tini_thread_result;
#define TINI_THREAD_CALL WINAPI
#else
typedef pthread_t tini_thread;
typedef void *tini_thread_result;
#define TINI_THREAD_CALL
#endif

/* 0 when the system refuses. */
static inline int tini_thread_start(tini_thread *thread, tini_thread_result(TINI_THREAD_CALL *body)(void *),
                                    void *argument) {
#ifdef _WIN32
    *thread = CreateThread(NULL, 0, body, argument, 0, NULL);
    return *thread != NULL;
#else
    return !pthread_create(thread, NULL, body, argument);
#endif
}

static inline void tini_thread_join(tini_thread thread) {
#ifdef _WIN32
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
#else
    pthread_join(thread, NULL);
#endif
}

/* The process's number, to tell that it was forked off; a system without fork needs none. */
static inline int64_t tini_process(void) {
#ifdef _WIN32
    return 0;
#else
    return (int64_t)getpid();
#endif
}

static inline uint64_t tini_now_ns(void) {
#ifdef _WIN32
    LARGE_INTEGER count, second;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&second);
    return (uint64_t)((double)count.QuadPart / (double)second.QuadPart * 1e9);
#else
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* can't fail */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
#endif
}

/* Sleeps for about so long; less where a signal comes. */
static inline void tini_sleep_ns(uint64_t ns) {
#ifdef _WIN32
    Sleep((DWORD)((ns + 999999) / 1000000));
#else
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&t, NULL);
#endif
}

/* The processor that this thread runs on, or UINT32_MAX where the system does not tell. */
static inline uint32_t tini_processor(void) {
#ifdef __linux__
    return (uint32_t)sched_getcpu();
#else
    return UINT32_MAX;
#endif
}

/* Moves this thread to another of its processors, if it has one; it is not kept from coming back. Where
 * tini_processor does not tell, this is never called. */
static inline void tini_leave_processor(uint32_t processor) {
#ifdef __linux__
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    others = allowed;
    CPU_CLR((int)processor, &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)processor;
#endif
}

/* Logical processors that this process may use, at least 1. */
static inline uint32_t tini_processors(void) {
#ifdef _WIN32
    DWORD_PTR mask, all;
    uint32_t count = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &mask, &all))
        for (; mask; mask &= mask - 1)
            count++;
    return count ? count : 1;
#else
#ifdef __linux__
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set))
        return (uint32_t)CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (uint32_t)online : 1;
#endif
}

#endif
