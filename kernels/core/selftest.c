/* A file's own test: selftest.bin, little-endian: "TINTEST1", uint32 prompts; for each: uint32 tokens, int32 ids, and the
 * SHA-256 of the float32 logits of every position, as compiler/selftest.py writes it. */
#include "selftest.h"
#include "error.h"

#include <string.h>

TINI_REGION_COLD

#define SELFTEST_MAGIC "TINTEST1"

/* Queues the prompt at test->at, which is moved to its digest. */
static tin_status begin_prompt(tini_selftest *test, tin_session *s, tin_error *error) {
    const uint8_t *data = test->data + test->at;
    size_t left = test->size - test->at;
    uint32_t count;
    if (left < sizeof count)
        return tini_fail(error, TIN_ERR_FORMAT, "selftest.bin is cut short");
    memcpy(&count, data, sizeof count);
    data += sizeof count;
    left -= sizeof count;
    if (left / sizeof(int32_t) < count || left - count * sizeof(int32_t) < 32)
        return tini_fail(error, TIN_ERR_FORMAT, "selftest.bin is cut short");
    tin_status status = tin_session_rewind(s, 0, error);
    for (uint32_t k = 0; !status && k < count; k++) {
        int32_t token;
        memcpy(&token, data + k * sizeof token, sizeof token);
        status = tin_session_append(s, &token, 1, error);
    }
    if (!status)
        status = tin_session_want_logits(s, 0, error);
    test->at += sizeof count + count * sizeof(int32_t);
    test->hash = tini_sha256_begin();
    return status;
}

/* Holds the logits of the prompt to its digest. */
static tin_status end_prompt(tini_selftest *test, tin_error *error) {
    uint8_t digest[32];
    tini_sha256_end(&test->hash, digest);
    if (memcmp(digest, test->data + test->at, sizeof digest))
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "prompt %u of the self-test gives other logits here than where the file was made",
                         test->prompt);
    test->at += sizeof digest;
    test->prompt++;
    return TIN_OK;
}

tin_status tini_selftest_begin(tini_selftest *test, tin_session *s, tin_error *error) {
    *test = (tini_selftest){.at = 12};
    test->data = tini_zip_find(&s->model->zip, "selftest.bin", &test->size);
    if (s->options.kv_type != TIN_KV_F16)
        return tini_fail(error, TIN_ERR_STATE,
                         "a self-test is of float16 caches; make a session of that kv_type");
    if (!test->data || test->size < test->at || memcmp(test->data, SELFTEST_MAGIC, 8))
        return tini_fail(error, TIN_ERR_FORMAT, "the tin has no selftest.bin, or it is damaged");
    memcpy(&test->prompts, test->data + 8, sizeof test->prompts);
    return tin_selfcheck(error);
}

int32_t tini_selftest_step(tini_selftest *test, tin_session *s, uint64_t budget_ns, tin_error *error) {
    if (test->prompt == test->prompts)
        return TIN_STEP_DONE;
    tin_status status = test->under_way ? TIN_OK : begin_prompt(test, s, error);
    if (status)
        return status;
    test->under_way = 1;
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
    status = end_prompt(test, error);
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
