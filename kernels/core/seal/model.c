#include "model.h"
#include "../base/error.h"
#include "../base/memory.h"
#include "../constraint/automaton.h"
#include "../vm/input.h"
#include "../vm/recurrent.h"
#include "prompts.h"

#include <string.h>

TINI_REGION_COLD

const char *tin_version(void) {
    return TIN_VERSION;
}

const char *tin_isa_name(uint32_t k) {
    const tini_kernels *kernels = tini_kernels_available(k);
    return kernels ? kernels->isa : NULL;
}

/* The chat template, which a model may lack. */
static tin_status open_turns(tin_model *model, tin_error *error) {
    size_t size;
    const uint8_t *data = tini_zip_find(&model->zip, "turns.bin", &size);
    model->turns = (tini_turns){0};
    return data ? tini_turns_open(&model->turns, data, size, error) : TIN_OK;
}

/* The tree of the vocabulary, which files of older versions lack. */
static tin_status open_trie(tin_model *model, tin_error *error) {
    size_t size;
    const uint8_t *data = tini_zip_find(&model->zip, "trie.bin", &size);
    model->trie = (tini_trie){0};
    return data ? tini_trie_open(&model->trie, data, size, error) : TIN_OK;
}

/* The drafts learned from the task's answers, which most files lack. */
static tin_status open_draft_table(tin_model *model, tin_error *error) {
    size_t size;
    const uint8_t *data = tini_zip_find(&model->zip, "drafts/answer.bin", &size);
    model->draft = (tini_draft_table){0};
    return data ? tini_draft_table_open(&model->draft, data, size, &model->tokenizer, error) : TIN_OK;
}

/* The encoder and the projector, which a model without vision lacks. */
static tin_status open_encoder(tin_model *model, tin_error *error) {
    static const char *const names[] = {"vision/program.bin", "vision/weights.bin"};
    const uint8_t *data[2];
    size_t sizes[2];
    model->encoder = (tini_program){0};
    for (uint32_t k = 0; k < 2; k++) {
        data[k] = tini_zip_find(&model->zip, names[k], &sizes[k]);
        if (!k && !data[k])
            return TIN_OK;
        if (!data[k] || (uintptr_t)data[k] % TIN_ALIGNMENT)
            return tini_fail(error, TIN_ERR_FORMAT, "the tin has no %s, or it is not aligned", names[k]);
    }
    tin_error wrong;
    tin_status status = tini_program_open(&model->encoder, data[0], sizes[0], data[1], sizes[1], &wrong);
    return status ? tini_fail(error, status, "vision/%s", wrong.text) : TIN_OK;
}

/* The layer that predicts a token more, which most models lack. Its weights stand among the others. */
static tin_status open_mtp(tin_model *model, const uint8_t *weights, size_t weight_size, tin_error *error) {
    size_t size;
    const uint8_t *data = tini_zip_find(&model->zip, "mtp/program.bin", &size);
    model->mtp = (tini_program){0};
    if (!data)
        return TIN_OK;
    if ((uintptr_t)data % TIN_ALIGNMENT)
        return tini_fail(error, TIN_ERR_FORMAT, "mtp/program.bin is not aligned; was the tin zipped again?");
    tin_error wrong;
    tin_status status = tini_program_open(&model->mtp, data, size, weights, weight_size, &wrong);
    return status ? tini_fail(error, status, "mtp/%s", wrong.text) : TIN_OK;
}

static tin_status check_mtp(const tin_model *model, tin_error *error) {
    const tini_program *p = &model->program, *mtp = &model->mtp;
    if (!mtp->header)
        return TIN_OK;
    if (mtp->side || mtp->header->vocab != p->header->vocab)
        return tini_fail(error, TIN_ERR_FORMAT, "mtp/program.bin does not end in program.bin's %u logits",
                         p->header->vocab);
    if (tini_input_width(mtp) != tini_input_width(p))
        return tini_fail(error, TIN_ERR_FORMAT,
                         "mtp/program.bin takes rows of %u floats for embeddings; program.bin of %u",
                         tini_input_width(mtp), tini_input_width(p));
    if (mtp->header->caches != 1 || mtp->header->states != 1 || !p->header->caches || !p->header->states ||
        memcmp(mtp->caches, p->caches + p->header->caches - 1, sizeof *mtp->caches) ||
        memcmp(mtp->states, p->states + p->header->states - 1, sizeof *mtp->states))
        return tini_fail(
            error, TIN_ERR_FORMAT,
            "mtp/program.bin does not keep what the last cache and the last state of program.bin do");
    return TIN_OK;
}

/* Floats of a token's embedding; 0 where the program has no table of them. */
static uint32_t embedding_width(const tini_program *p) {
    for (uint32_t k = 0; k < p->header->ops; k++)
        if (p->ops[k].kind == TINI_OP_EMBED)
            return p->values[p->ops[k].out[0]].width;
    return 0;
}

static tin_status check_encoder(const tin_model *model, tin_error *error) {
    if (model->program.side)
        return tini_fail(error, TIN_ERR_FORMAT,
                         "program.bin ends in states, as an encoder does, and not in logits");
    if (!model->encoder.header)
        return TIN_OK;
    if (!model->encoder.side)
        return tini_fail(error, TIN_ERR_FORMAT, "vision/program.bin ends in logits, and not in states");
    uint32_t width = embedding_width(&model->program) * tini_program_parts(&model->program);
    if (model->encoder.header->vocab != width)
        return tini_fail(error, TIN_ERR_FORMAT,
                         "vision/program.bin makes states of %u floats; program.bin takes rows of %u",
                         model->encoder.header->vocab, width);
    return TIN_OK;
}

/* The text of the self-test, which a file made in memory lacks. */
static tin_status check_selftest(const tin_model *model, tin_error *error) {
    const tini_program_header *h = model->program.header;
    size_t size, at = TINI_SELFTEST_HEAD;
    const uint8_t *data = tini_zip_find(&model->zip, "selftest.bin", &size);
    if (!data)
        return TIN_OK;
    if (size < at || memcmp(data, TINI_SELFTEST_MAGIC, 8))
        return tini_fail(error, TIN_ERR_FORMAT, "selftest.bin does not begin as one");
    for (uint32_t k = 0, prompts = tini_selftest_prompts(data); k < prompts; k++) {
        tini_selftest_prompt prompt;
        if (!tini_selftest_next(data, size, &at, &prompt))
            return tini_fail(error, TIN_ERR_FORMAT, "selftest.bin is cut short: prompt %u of %u", k, prompts);
        if (prompt.count > h->context)
            return tini_fail(error, TIN_ERR_FORMAT,
                             "prompt %u of selftest.bin has %u tokens; program.bin's context is %u", k,
                             prompt.count, h->context);
        for (uint32_t i = 0; i < prompt.count; i++)
            if ((uint32_t)tini_selftest_token(&prompt, i) >= h->vocab)
                return tini_fail(error, TIN_ERR_FORMAT,
                                 "prompt %u of selftest.bin has the token %d; program.bin is of %u tokens", k,
                                 tini_selftest_token(&prompt, i), h->vocab);
    }
    return at == size ? TIN_OK : tini_fail(error, TIN_ERR_FORMAT, "selftest.bin has bytes behind its prompts");
}

tin_status tini_model_agrees(const tin_model *model, tin_error *error) {
    const tini_tokenizer *tokenizer = &model->tokenizer;
    uint32_t vocab = tokenizer->header->vocab;
    if (model->program.header->vocab != vocab)
        return tini_fail(error, TIN_ERR_FORMAT, "program.bin is of %u tokens and tokenizer.bin has %u",
                         model->program.header->vocab, vocab);
    if (model->trie.header && model->trie.header->vocab != vocab)
        return tini_fail(error, TIN_ERR_FORMAT, "trie.bin is of %u tokens and tokenizer.bin has %u",
                         model->trie.header->vocab, vocab);
    tin_status status = check_encoder(model, error);
    if (!status)
        status = check_mtp(model, error);
    if (!status)
        status = tini_turns_agree(&model->turns, tokenizer, error);
    return status ? status : check_selftest(model, error);
}

const tini_tokenizer *tini_model_tokenizer(const tin_model *model) {
    return &model->tokenizer;
}

const tini_turns *tini_model_turns(const tin_model *model) {
    return &model->turns;
}

const tini_trie *tini_model_trie(const tin_model *model) {
    return &model->trie;
}

static tin_status open_model(tin_model *model, const void *file, size_t size, tin_error *error) {
    if (!file || (uintptr_t)file % TIN_ALIGNMENT)
        return tini_fail(error, TIN_ERR_ARGUMENT, "the file image is missing or not aligned to %u bytes",
                         (uint32_t)TIN_ALIGNMENT);
    tin_status status = tini_zip_open(&model->zip, file, size, error);
    if (status)
        return status;
    static const char *const names[] = {"program.bin", "weights.bin", "tokenizer.bin"};
    const uint8_t *data[3];
    size_t sizes[3];
    for (uint32_t k = 0; k < 3; k++) {
        data[k] = tini_zip_find(&model->zip, names[k], &sizes[k]);
        if (!data[k])
            return tini_fail(error, TIN_ERR_FORMAT, "the tin has no %s", names[k]);
        if ((uintptr_t)data[k] % TIN_ALIGNMENT)
            return tini_fail(error, TIN_ERR_FORMAT, "%s is not aligned; was the tin zipped again?", names[k]);
    }
    status = tini_program_open(&model->program, data[0], sizes[0], data[1], sizes[1], error);
    if (!status)
        status = open_encoder(model, error);
    if (!status)
        status = open_mtp(model, data[1], sizes[1], error);
    if (!status)
        status = tini_tokenizer_open(&model->tokenizer, data[2], sizes[2], error);
    if (!status)
        status = open_turns(model, error);
    if (!status)
        status = open_trie(model, error);
    if (!status)
        status = open_draft_table(model, error);
    return status ? status : tini_model_agrees(model, error);
}

size_t tin_model_size(const void *file, size_t size, tin_error *error) {
    tin_model model;
    return open_model(&model, file, size, error) ? 0 : TINI_MODEL_ROOM;
}

tin_status tin_model_create(const void *file, size_t size, const char *isa, void *memory, size_t memory_size,
                            tin_model **out, tin_error *error) {
    if (!out)
        return tini_fail(error, TIN_ERR_ARGUMENT, "no place for the model's pointer");
    if (tini_lacks(memory, memory_size, TINI_MODEL_ROOM, "a model needs", error))
        return TIN_ERR_MEMORY;
    tin_model *model = memory;
    tin_status status = open_model(model, file, size, error);
    if (status)
        return status;
    model->kernels = tini_kernels_select(isa);
    if (!model->kernels)
        return tini_fail(error, TIN_ERR_UNSUPPORTED,
                         "this build or processor has no instruction set '%s'; "
                         "tin_isa_name lists those it has",
                         isa ? isa : "");
    *out = model;
    return TIN_OK;
}

void tin_model_describe(const tin_model *model, tin_model_info *info) {
    const tini_program_header *h = model->program.header;
    uint64_t kv = 0;
    for (uint32_t k = 0; k < h->caches; k++)
        kv += (uint64_t)model->program.caches[k].heads * model->program.caches[k].head_dim * 4;
    *info = (tin_model_info){
        .vocab = h->vocab,
        .context = h->context,
        .chunk = h->chunk,
        .layers = h->caches,
        .weight_bytes = h->weight_bytes,
        .arena_bytes = h->row_bytes * h->chunk,
        .kv_bytes = kv,
        .state_bytes = tini_states_bytes(&model->program),
        .bos = model->tokenizer.bos,
        .eos = model->tokenizer.eos,
        .fingerprint = tini_zip_fingerprint(&model->zip),
        .isa = model->kernels->isa,
        .dim = tini_input_width(&model->program),
    };
}

tin_status tin_model_entry(const tin_model *model, const char *name, const void **data, size_t *size) {
    if (!name || !data || !size)
        return TIN_ERR_ARGUMENT;
    *data = tini_zip_find(&model->zip, name, size);
    return *data ? TIN_OK : TIN_ERR_ARGUMENT;
}

int tini_model_searches(const tin_model *model) {
    static const char name[] = "grammar/answer.bin";
    tini_zip_entry entry;
    size_t offset = model->zip.directory;
    for (uint32_t k = 0; k < model->zip.entries && tini_zip_next(&model->zip, &offset, &entry); k++) {
        tini_constraint_header header;
        size_t folder = entry.name_length - (sizeof name - 1);
        if (entry.name_length < sizeof name - 1 || memcmp(entry.name + folder, name, sizeof name - 1) ||
            (folder && entry.name[folder - 1] != '/') || entry.size < sizeof header)
            continue;
        memcpy(&header, entry.data, sizeof header);
        if (tini_constraint_search(&header))
            return 1;
    }
    return 0;
}

TINI_REGION_END
