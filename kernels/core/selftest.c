/* A file's own test: selftest.bin, little-endian: "TINTEST1", uint32 prompts; for each: uint32 tokens, int32 ids, and the
 * SHA-256 of the float32 logits of every position, as compiler/selftest.py writes it. */
#include "error.h"
#include "session.h"
#include "sha256.h"

#include <string.h>

TINI_REGION_COLD

#define SELFTEST_MAGIC "TINTEST1"

/* The digest of the logits of all the session's queued tokens. */
static tin_status digest_logits(tin_session *s, uint8_t digest[32]) {
    tini_sha256 hash = tini_sha256_begin();
    int32_t event;
    while ((event = tin_step(s, 0)) == TIN_STEP_LOGITS) {
        uint32_t rows;
        const float *logits = tin_session_logits(s, &rows, NULL);
        tini_sha256_add(&hash, logits, (size_t)rows * s->model->program.header->vocab * sizeof *logits);
    }
    tini_sha256_end(&hash, digest);
    return event < 0 ? event : TIN_OK;
}

/* One prompt at data[*at], which is moved behind it. */
static tin_status test_prompt(tin_session *s, const uint8_t *data, size_t size, size_t *at, uint32_t number,
                              tin_error *error) {
    uint32_t count, first = 0;
    if (size - *at < sizeof count)
        return tini_fail(error, TIN_ERR_FORMAT, "selftest.bin is cut short");
    memcpy(&count, data + *at, sizeof count);
    *at += sizeof count;
    if ((size - *at) / sizeof(int32_t) < count || size - *at - count * sizeof(int32_t) < 32)
        return tini_fail(error, TIN_ERR_FORMAT, "selftest.bin is cut short");
    tin_status status = tin_session_rewind(s, 0, error);
    for (; !status && first < count; first++) {
        int32_t token;
        memcpy(&token, data + *at + first * sizeof token, sizeof token);
        status = tin_session_append(s, &token, 1, error);
    }
    if (!status)
        status = tin_session_want_logits(s, 0, error);
    uint8_t digest[32];
    if (!status && (status = digest_logits(s, digest)) != TIN_OK)
        tini_fail(error, status, "a step of the self-test failed");
    if (status)
        return status;
    *at += count * sizeof(int32_t);
    if (memcmp(digest, data + *at, 32))
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "prompt %u of the self-test gives other logits here than where the file was made",
                         number);
    *at += 32;
    return TIN_OK;
}

tin_status tin_session_selftest(tin_session *s, tin_error *error) {
    size_t size, at = 12;
    const uint8_t *data = tini_zip_find(&s->model->zip, "selftest.bin", &size);
    uint32_t prompts;
    if (s->options.kv_type != TIN_KV_F16)
        return tini_fail(error, TIN_ERR_STATE,
                         "a self-test is of float16 caches; make a session of that kv_type");
    if (!data || size < at || memcmp(data, SELFTEST_MAGIC, 8))
        return tini_fail(error, TIN_ERR_FORMAT, "the tin has no selftest.bin, or it is damaged");
    memcpy(&prompts, data + 8, sizeof prompts);
    tin_status status = tin_selfcheck(error);
    for (uint32_t k = 0; !status && k < prompts; k++)
        status = test_prompt(s, data, size, &at, k, error);
    tin_status cleared = tin_session_rewind(s, 0, status ? NULL : error);
    tin_session_want_logits(s, UINT32_MAX, NULL);
    return status ? status : cleared;
}

TINI_REGION_END
