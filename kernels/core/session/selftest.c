#include "selftest.h"
#include "../base/error.h"

TINI_REGION_COLD

/* Queues the prompt. */
static tin_status begin_prompt(tini_selftest *test, tin_session *s, tin_error *error) {
    tin_status status = tin_session_rewind(s, 0, error);
    for (uint32_t k = 0; !status && k < test->prompt.count; k++) {
        int32_t token = tini_selftest_token(&test->prompt, k);
        status = tin_session_append(s, &token, 1, error);
    }
    if (!status)
        status = tin_session_want_logits(s, 0, error);
    test->hash = tini_sha256_begin();
    return status;
}

/* Holds the logits of the prompt to its digest. */
static tin_status end_prompt(tini_selftest *test, tin_error *error) {
    uint8_t digest[TINI_SELFTEST_DIGEST];
    tini_sha256_end(&test->hash, digest);
    if (memcmp(digest, test->prompt.digest, sizeof digest))
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "prompt %u of the self-test gives other logits here than where the file was made",
                         test->number);
    test->number++;
    return TIN_OK;
}

tin_status tini_selftest_begin(tini_selftest *test, tin_session *s, tin_error *error) {
    *test = (tini_selftest){.at = TINI_SELFTEST_HEAD};
    test->data = tini_zip_find(&s->model->zip, "selftest.bin", &test->size);
    if (s->options.kv_type != TIN_KV_F16)
        return tini_fail(error, TIN_ERR_STATE,
                         "a self-test is of float16 caches; make a session of that kv_type");
    if (s->adapters.count)
        return tini_fail(error, TIN_ERR_STATE, "a self-test is of the model alone; take the adapters off");
    if (!test->data)
        return tini_fail(error, TIN_ERR_FORMAT, "the tin has no selftest.bin");
    return tin_selfcheck(error);
}

int32_t tini_selftest_step(tini_selftest *test, tin_session *s, uint64_t budget_ns, tin_error *error) {
    if (!test->under_way) {
        if (!tini_selftest_next(test->data, test->size, &test->at, &test->prompt))
            return TIN_STEP_DONE;
        tin_status status = begin_prompt(test, s, error);
        if (status)
            return status;
        test->under_way = 1;
    }
    int32_t event = tin_step(s, budget_ns);
    if (event < 0)
        return tini_fail(error, event, "a step of the self-test failed");
    if (event == TIN_STEP_LOGITS) {
        uint32_t rows;
        const float *logits = tin_session_logits(s, &rows, NULL);
        tini_sha256_add(&test->hash, logits, (size_t)rows * s->model->program.header->vocab * sizeof *logits);
    }
    if (event != TIN_STEP_IDLE)
        return TIN_STEP_PENDING;
    test->under_way = 0;
    tin_status status = end_prompt(test, error);
    return status ? status : TIN_STEP_PENDING;
}

tin_status tini_selftest_end(tin_session *s, tin_error *error) {
    tin_status status = tin_session_rewind(s, 0, error);
    tin_session_want_logits(s, UINT32_MAX, NULL);
    return status;
}

tin_status tin_session_selftest(tin_session *s, tin_error *error) {
    tini_selftest test;
    int32_t event = tini_selftest_begin(&test, s, error);
    if (event)
        return event;
    do
        event = tini_selftest_step(&test, s, 0, error);
    while (event == TIN_STEP_PENDING);
    tin_status cleared = tini_selftest_end(s, event < 0 ? NULL : error);
    return event < 0 ? event : cleared;
}

TINI_REGION_END
