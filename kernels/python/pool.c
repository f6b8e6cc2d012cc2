#include "module.h"

#include <time.h>

int core_pool_start(core_pool *pool, unsigned threads, unsigned duty_cycle, PyObject *fault) {
    if (threads == 1 && duty_cycle >= 100)
        return 0;
    size_t size = tin_pool_size(threads);
    void *block = core_aligned(size, &pool->memory);
    tin_error error;
    if (!block)
        return -1;
    if (tin_pool_create(threads, block, size, &pool->pool, &error)) {
        core_raise(fault, &error);
        return -1;
    }
    tin_pool_duty_cycle(pool->pool, duty_cycle);
    return 0;
}

void core_pool_stop(core_pool *pool) {
    tin_pool_destroy(pool->pool);
    PyMem_Free(pool->memory);
}

const tin_executor *core_pool_executor(const core_pool *pool) {
    return pool->pool ? tin_pool_executor(pool->pool) : NULL;
}

uint64_t core_monotonic_ns(void *unused) {
    (void)unused;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
