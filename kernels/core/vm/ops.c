#include "ops.h"
#include "op.h"
#include "op_low_rank.h"

/* Fewer multiply-adds than this are not worth handing to other threads. */
enum { TINI_WORTH_SHARING = 1 << 15, TINI_JOBS_A_THREAD = 8 };

#define TINI_OP_ROW(number, NAME, name) [number] = &tini_functions_##name,
static const tini_op_functions *const op_kinds[] = {TIN_OPS(TINI_OP_ROW)};

static tini_run op_at_hand(const tini_pass *pass) {
    const tini_op *op = &pass->program->ops[pass->op];
    int few = op->flags & TINI_FLAG_LOGIT_ROWS, encoder = pass->program->side != 0;
    return (tini_run){
        .pass = pass,
        .op = op,
        .begin = few && !encoder ? pass->rows - pass->logit_rows : 0,
        .end = few && encoder ? pass->logit_rows : pass->rows,
        .first_block = !few               ? 0
                       : pass->logit_rows ? pass->logit_block
                                          : pass->block_count,
        .threads = pass->executor ? pass->executor->threads : 1,
    };
}

/* Of the stage at hand; NULL where it has nothing to do. */
static const tini_op_functions *functions_of(const tini_run *r) {
    if (r->pass->stage)
        return op_kinds[r->op->kind];
    return r->op->kind == TINI_OP_MATMUL && r->pass->group_count ? &tini_low_rank : NULL;
}

uint32_t tini_op_items(const tini_pass *pass, uint64_t *work) {
    tini_run r = op_at_hand(pass);
    const tini_op_functions *functions = functions_of(&r);
    *work = 1;
    if (r.begin == r.end || !functions)
        return 0;
    *work = functions->work(&r);
    return functions->items(&r);
}

static uint32_t items_at_once(const tini_run *r) {
    return r->pass->stage && r->op->kind == TINI_OP_MATMUL && r->end - r->begin >= TINI_MANY_ROWS
               ? TINI_ITEMS_AT_ONCE
               : 1;
}

static void run_part(const tini_run *r, uint32_t job) {
    uint32_t step = items_at_once(r), steps = (r->count + step - 1) / step,
             from = (uint32_t)((uint64_t)steps * job / r->jobs) * step,
             to = (uint32_t)((uint64_t)steps * (job + 1) / r->jobs) * step;
    functions_of(r)->run(r, r->first + from, r->first + (to < r->count ? to : r->count));
}

static void run_job(void *argument, uint32_t job) {
    run_part(argument, job);
}

void tini_op_run(const tini_pass *pass, uint32_t first, uint32_t count, uint64_t work, int in_time) {
    tini_run r = op_at_hand(pass);
    r.first = first;
    r.count = count;
    uint32_t steps = (count + items_at_once(&r) - 1) / items_at_once(&r);
    uint32_t most = r.threads > 1 ? r.threads * TINI_JOBS_A_THREAD : 1;
    r.jobs = steps < most ? steps : most;
    const tin_executor *executor = pass->executor;
    if (executor && work * count > TINI_WORTH_SHARING)
        (in_time && executor->run_in_time ? executor->run_in_time : executor->run)(executor->context, r.jobs,
                                                                                   run_job, &r);
    else {
        r.jobs = 1;
        run_part(&r, 0);
    }
}
