/* The optional pool.
 *
 * A job's units are dealt out in contiguous ranges, one to a thread: a matmul's threads then each stream their own
 * stretch of the weights, which reads memory up to twice as fast as taking turns at short pieces. A thread takes
 * its units from the front of its range, one at a time; when it has none left it takes a quarter of what is left
 * at the back of another's. A range is one word, begin and end, that both sides change by compare-and-exchange. Who
 * has taken units owns them and nothing else, so the caller waits only for units that others have begun: a
 * thread that the system does not run takes none and delays nobody.
 *
 * No thread yields, and none spins for long. On a busy machine that keeps the threads in step: who has nothing to
 * do, because another was put aside, soon sleeps; the system owes it that time and runs it as soon as it is woken,
 * which is when the other runs again. So all run together for a while and rest together for a while, instead of
 * waiting for each other with only one of them running. A worker that finds itself on the caller's processor steps
 * off to another.
 *
 * A thread put aside in the middle of a unit holds up all. Once the caller has had to sleep for that, it keeps
 * accounts for a while: a worker for whose last units it waited longer than it would have taken to do all of that
 * worker's units rests, and is tried again later, each time twice as late. So one crowded processor does not
 * make several threads slower than fewer.
 *
 * Within a budget no accounts are kept: being late once costs the host a frame. A worker for whose begun units the
 * caller had to sleep rests at once, and works again only after it has spun for a while without the system putting
 * it aside, which nobody waits for.
 *
 * A process that is forked off has a copy of the pool and none of its workers. It needs none: the caller takes over
 * the units of whoever takes none itself. But it must neither wake nor join them: a bed may have been copied with
 * its mutex held, and there is nobody to wait for. Who wakes asks the system for the process's number only where
 * somebody sleeps, which costs a system call in any case. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "../../include/tin.h"

#ifndef TIN_NO_POOL

#include "../base/error.h"
#include "../base/thread.h"

#include <string.h>

enum { MAX_THREADS = 64, RELAXES_PER_LOOK = 16 };
#define SPIN_NS UINT64_C(100000) /* covers the gaps between jobs, and between tokens where the host is quick */
#define ACCOUNTS_NS UINT64_C(50000000)
#define SHORTEST_REST_NS UINT64_C(200000000)
#define LONGEST_REST_NS UINT64_C(3200000000)
#define LONGEST_SLICE_REST_NS UINT64_C(25600000000)
#define TRIAL_NS UINT64_C(25000000) /* some turns of a system's scheduler */
#define ASIDE_NS UINT64_C(100000)   /* between two looks at the clock: a thread that was put aside */
#define NAP_NS UINT64_C(2000000)

enum { NO_TRIAL, TRIAL_ASKED, TRIAL_PASSED, TRIAL_FAILED };

/* A thread and its share of the present job. The caller's is the first. */
typedef struct share {
    _Alignas(64) tini_atomic64 range; /* begin << 32 | end; empty when begin == end */
    void (*job)(void *, uint32_t);    /* the present one, here too so that it comes with the range */
    void *argument;
    tin_pool *pool;
    tini_thread thread;
    _Alignas(64) tini_bed bed;
    tini_atomic32 trial;
    uint64_t units; /* done since the accounts were opened; written before they are subtracted from `left` */
    /* The caller's notes: */
    uint64_t waited_ns;               /* for the last units of a job, since the accounts were opened */
    uint64_t rests_until_ns, rest_ns; /* 0 when it works; how long it last rested */
    uint64_t since_ns;                /* when it came back from there */
} share;

struct tin_pool {
    _Alignas(64) tini_atomic64 left; /* who returned last << 32 | units of the job that have not returned */
    _Alignas(64) tini_atomic32 processor; /* that the caller is on */
    tini_atomic32 stop, sleeping;
    int64_t process;  /* that has the workers */
    uint32_t threads; /* that work, the caller's too: no more than there are processors */
    uint32_t resting;
    int accounts; /* whether they are open; of the time spent in jobs and the caller's waits: */
    uint64_t spent_ns, waited_ns;
    uint32_t percent; /* of the time to spend at work */
    int64_t owed_ns;  /* of sleep for it; below 0 where the system let the caller sleep for longer */
    tin_executor executor;
    share shares[];
};

static uint32_t begin_of(uint64_t range) {
    return (uint32_t)(range >> 32);
}

static uint64_t make_range(uint32_t begin, uint32_t end) {
    return (uint64_t)begin << 32 | end;
}

/* Units in a range. */
static uint32_t size_of(uint64_t range) {
    return (uint32_t)range - begin_of(range);
}

/* Takes units of a share and runs them until it has none: its owner one at a time from the front, another a
 * quarter at a time from the back. Returns how many. */
static uint32_t work_on(share *s, int own) {
    uint32_t done = 0, n;
    uint64_t range = tini_load64(&s->range);
    while ((n = size_of(range))) {
        uint32_t begin = begin_of(range), end = begin + n, count = own ? 1 : (n + 3) / 4;
        uint32_t first = own ? begin : end - count;
        if (!tini_replace64(&s->range, &range, own ? make_range(begin + 1, end) : make_range(begin, first)))
            continue;
        /* The job is read only now: it can't change before these units return. */
        for (uint32_t k = 0; k < count; k++)
            s->job(s->argument, first + k);
        done += count;
        range = tini_load64(&s->range);
    }
    return done;
}

/* Does what thread k can of the present job. Nonzero when that was the rest of it. */
static int work(tin_pool *pool, uint32_t k) {
    uint32_t done = work_on(&pool->shares[k], 1);
    for (uint32_t other = 1; other < pool->threads; other++)
        done += work_on(&pool->shares[(k + other) % pool->threads], 0);
    if (!done)
        return 0;
    pool->shares[k].units += done;
    uint64_t left = tini_load64(&pool->left), rest;
    do
        rest = (uint32_t)left - done;
    while (!tini_replace64(&pool->left, &left, (uint64_t)k << 32 | rest));
    return !rest;
}

/* Whether the workers were left behind in the process that this one was forked off from. */
static int is_orphaned(const tin_pool *pool) {
    return pool->process != tini_process();
}

static int has_work(void *argument) {
    share *s = argument;
    return size_of(tini_load64(&s->range)) || tini_load32(&s->trial) == TRIAL_ASKED ||
           tini_load32(&s->pool->stop);
}

static int all_returned(void *argument) {
    tin_pool *pool = argument;
    return !(uint32_t)tini_load64(&pool->left);
}

/* Waits until ready(argument), spinning at first unless the caller naps. The time it took if it came to sleeping,
 * else 0. */
static uint64_t wait_for(tin_pool *pool, tini_bed *bed, int (*ready)(void *), void *argument) {
    for (uint64_t first = 0;;) {
        uint64_t start = tini_now_ns();
        do
            for (uint32_t k = 0; k < RELAXES_PER_LOOK; k++) {
                if (ready(argument))
                    return first ? tini_now_ns() - first : 0;
                tini_relax();
            }
        while (tini_now_ns() - start < SPIN_NS && !tini_load32(&pool->sleeping));
        first = first ? first : start;
        tini_sleep(bed, ready, argument);
    }
}

/* Whether the system lets this thread run for a while on end. */
static int runs_on(tin_pool *pool) {
    uint64_t first = tini_now_ns(), now = first;
    while (now - first < TRIAL_NS && !tini_load32(&pool->stop)) {
        uint64_t last = now;
        for (uint32_t k = 0; k < RELAXES_PER_LOOK; k++)
            tini_relax();
        now = tini_now_ns();
        if (now - last > ASIDE_NS)
            return 0;
    }
    return 1;
}

static tini_thread_result TINI_THREAD_CALL worker(void *argument) {
    share *s = argument;
    tin_pool *pool = s->pool;
    for (;;) {
        wait_for(pool, &s->bed, has_work, s);
        if (tini_load32(&pool->stop))
            return 0;
        uint32_t here = tini_processor();
        if (here != UINT32_MAX && here == tini_load32(&pool->processor))
            tini_leave_processor(here);
        if (tini_load32(&s->trial) == TRIAL_ASKED)
            tini_store32(&s->trial, runs_on(pool) ? TRIAL_PASSED : TRIAL_FAILED);
        if (work(pool, (uint32_t)(s - pool->shares)))
            tini_wake(&pool->shares[0].bed);
    }
}

static void open_accounts(tin_pool *pool) {
    pool->accounts = 1;
    pool->spent_ns = pool->waited_ns = 0;
    for (uint32_t k = 0; k < pool->threads; k++)
        pool->shares[k].units = pool->shares[k].waited_ns = 0;
}

static void note_processor(tin_pool *pool) {
    uint32_t here = tini_processor();
    if (here != tini_load32(&pool->processor))
        tini_store32(&pool->processor, here);
}

/* To units of its own, or to a trial. */
static void call(tin_pool *pool, share *s) {
    if (tini_load32(&s->bed.asleep) && !is_orphaned(pool))
        tini_wake(&s->bed);
}

static void rest(share *s, uint64_t now, uint64_t longest) {
    s->rest_ns = s->rest_ns ? s->rest_ns * 2 : SHORTEST_REST_NS;
    if (s->rest_ns > longest)
        s->rest_ns = longest;
    s->pool->resting += !s->rests_until_ns;
    s->rests_until_ns = now + s->rest_ns;
}

static void end_rest(share *s, uint64_t now) {
    s->rests_until_ns = 0;
    s->since_ns = now;
    s->pool->resting--;
}

/* Sends to rest those who cost more time than they saved, by the time that the caller's own units took, and a
 * quarter more, since the system pays back some of what the caller slept. */
static void close_accounts(tin_pool *pool, uint64_t now) {
    pool->accounts = 0;
    for (uint32_t k = 1; k < pool->threads; k++) {
        share *s = &pool->shares[k];
        if (s->rests_until_ns)
            continue;
        if (s->waited_ns * pool->shares[0].units * 4 <= s->units * (pool->spent_ns - pool->waited_ns) * 5)
            s->rest_ns = 0;
        else
            rest(s, now, LONGEST_REST_NS);
    }
}

static void end_rests(tin_pool *pool, uint64_t now) {
    for (uint32_t k = 1; k < pool->threads; k++) {
        share *s = &pool->shares[k];
        if (s->rests_until_ns && s->rests_until_ns <= now) {
            end_rest(s, now);
            open_accounts(pool);
        }
    }
}

/* Has those try who have rested, and lets those work who passed. */
static void end_slice_rests(tin_pool *pool, uint64_t now) {
    for (uint32_t k = 1; k < pool->threads; k++) {
        share *s = &pool->shares[k];
        uint32_t trial = tini_load32(&s->trial);
        if (!s->rests_until_ns || s->rests_until_ns > now || trial == TRIAL_ASKED)
            continue;
        tini_store32(&s->trial, trial == NO_TRIAL ? TRIAL_ASKED : NO_TRIAL);
        if (trial == TRIAL_PASSED) {
            end_rest(s, now);
        } else if (trial == TRIAL_FAILED) {
            rest(s, now, LONGEST_SLICE_REST_NS);
        } else {
            note_processor(pool);
            call(pool, s);
        }
    }
}

/* Deals a job out to those who work, and wakes them. */
static void deal(tin_pool *pool, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
    uint32_t working = pool->threads - pool->resting, parts = count < working ? count : working;
    tini_store64(&pool->left, count);
    note_processor(pool);
    for (uint32_t k = 0, part = 0; part < parts; k++) {
        share *s = &pool->shares[k];
        if (s->rests_until_ns)
            continue;
        uint32_t begin = (uint32_t)((uint64_t)count * part / parts);
        uint32_t end = (uint32_t)((uint64_t)count * ++part / parts);
        s->job = job;
        s->argument = argument;
        tini_store64(&s->range, make_range(begin, end));
        if (k)
            call(pool, s);
    }
}

/* Runs a job with those who work. How long the caller slept for the last units, and in *last who had them; NULL
 * where it worked alone. */
static uint64_t run_shared(tin_pool *pool, uint32_t count, void (*job)(void *, uint32_t), void *argument,
                           share **last) {
    *last = NULL;
    if (count < 2 || pool->resting + 1 == pool->threads) {
        for (uint32_t k = 0; k < count; k++)
            job(argument, k);
        return 0;
    }
    deal(pool, count, job, argument);
    uint64_t waited = work(pool, 0) ? 0 : wait_for(pool, &pool->shares[0].bed, all_returned, pool);
    *last = &pool->shares[tini_load64(&pool->left) >> 32];
    return waited;
}

static void keep_accounts(tin_pool *pool, share *last, uint64_t waited, uint64_t spent, uint64_t now) {
    pool->spent_ns += spent;
    pool->waited_ns += waited;
    last->waited_ns += waited;
    if (pool->spent_ns >= ACCOUNTS_NS)
        close_accounts(pool, now);
}

/* Sleeps for the time that was spent at work, once that is worth a sleep; the workers do it with the caller. */
static void keep_duty_cycle(tin_pool *pool, uint64_t spent, uint64_t now) {
    pool->owed_ns += (int64_t)(spent * (100 - pool->percent) / pool->percent);
    if (pool->owed_ns < (int64_t)NAP_NS)
        return;
    tini_store32(&pool->sleeping, 1);
    tini_sleep_ns((uint64_t)pool->owed_ns);
    tini_store32(&pool->sleeping, 0);
    pool->owed_ns -= (int64_t)(tini_now_ns() - now);
    if (pool->owed_ns < -(int64_t)ACCOUNTS_NS)
        pool->owed_ns = -(int64_t)ACCOUNTS_NS;
}

static void run(void *context, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
    tin_pool *pool = context;
    int timed = pool->resting || pool->accounts || pool->percent < 100;
    uint64_t start = timed ? tini_now_ns() : 0;
    if (pool->resting)
        end_rests(pool, start);
    share *last;
    uint64_t waited = run_shared(pool, count, job, argument, &last);
    uint64_t now = timed ? tini_now_ns() : 0;
    if (waited && !pool->accounts)
        open_accounts(pool);
    else if (pool->accounts && last)
        keep_accounts(pool, last, waited, now - start, now);
    if (pool->percent < 100)
        keep_duty_cycle(pool, now - start, now);
}

/* A worker that was in time for long begins again with short rests. */
static void run_in_time(void *context, uint32_t count, void (*job)(void *, uint32_t), void *argument) {
    tin_pool *pool = context;
    if (pool->resting)
        end_slice_rests(pool, tini_now_ns());
    share *last;
    if (!run_shared(pool, count, job, argument, &last))
        return;
    uint64_t now = tini_now_ns();
    if (now - last->since_ns > LONGEST_SLICE_REST_NS)
        last->rest_ns = 0;
    rest(last, now, LONGEST_SLICE_REST_NS);
}

size_t tin_pool_size(uint32_t threads) {
    if (!threads || threads > MAX_THREADS)
        return 0;
    return sizeof(tin_pool) + threads * sizeof(share);
}

/* Joins the workers 1 .. started and releases the system objects of that many shares and the caller's. */
static void stop_workers(tin_pool *pool, uint32_t started) {
    tini_store32(&pool->stop, 1);
    for (uint32_t k = 1; k <= started; k++) {
        tini_wake(&pool->shares[k].bed);
        tini_thread_join(pool->shares[k].thread);
    }
    for (uint32_t k = 0; k <= started; k++)
        tini_bed_destroy(&pool->shares[k].bed);
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
    uint32_t processors = tini_processors();
    pool->process = tini_process();
    pool->threads = threads < processors ? threads : processors;
    pool->percent = 100;
    pool->executor =
        (tin_executor){.context = pool, .threads = pool->threads, .run = run, .run_in_time = run_in_time};
    for (uint32_t k = 0; k < pool->threads; k++) {
        share *s = &pool->shares[k];
        s->pool = pool;
        int made = tini_bed_create(&s->bed);
        if (made && k && !tini_thread_start(&s->thread, worker, s)) {
            tini_bed_destroy(&s->bed);
            made = 0;
        }
        if (!made) {
            if (k)
                stop_workers(pool, k - 1);
            return tini_fail(error, TIN_ERR_UNSUPPORTED, "the system gave only %u of %u threads", k,
                             pool->threads);
        }
    }
    *out = pool;
    return TIN_OK;
}

void tin_pool_destroy(tin_pool *pool) {
    if (pool && !is_orphaned(pool))
        stop_workers(pool, pool->threads - 1);
}

void tin_pool_duty_cycle(tin_pool *pool, uint32_t percent) {
    pool->percent = percent < 1 ? 1 : percent < 100 ? percent : 100;
    pool->owed_ns = 0;
}

const tin_executor *tin_pool_executor(tin_pool *pool) {
    return &pool->executor;
}

#endif
