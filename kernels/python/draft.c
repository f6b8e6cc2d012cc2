/* Draft tables: the keys that one is learned from, and a session's table. */
#include "module.h"

#include "core/seal/model.h"

PyObject *core_session_draft(core_session *self, PyObject *data) {
    Py_buffer table = {0};
    if (data != Py_None && PyObject_GetBuffer(data, &table, PyBUF_SIMPLE))
        return NULL;
    tin_error error;
    tin_status status = TIN_OK;
    int busy = core_session_refuse_busy(self);
    if (!busy)
        status = tin_session_draft(self->session, table.buf, (size_t)table.len, &error);
    if (busy || status) {
        if (table.obj)
            PyBuffer_Release(&table);
        return busy ? NULL : core_raise(self->model->fault, &error);
    }
    if (self->draft.obj)
        PyBuffer_Release(&self->draft);
    self->draft = table;
    Py_RETURN_NONE;
}

static int add_key(PyObject *list, const tini_drafter *d, tini_draft_key key, int joined) {
    int32_t copied = key.copied == TINI_DRAFT_NOWHERE ? -1 : tini_drafter_copied(d, key.copied);
    PyObject *item = Py_BuildValue("(IiO)", key.key, copied, joined ? Py_True : Py_False);
    int failed = !item || PyList_Append(list, item);
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

/* The draft table's keys before tokens[at]; a key in `joined` also joined with each token of the prompt. */
static PyObject *keys_before(const tini_drafter *d, tini_copying copying, const int32_t *tokens, uint32_t at,
                             PyObject *joined) {
    tini_draft_key keys[TINI_DRAFT_KEYS];
    uint32_t count = tini_drafter_keys(d, copying, tokens, at, keys);
    PyObject *list = PyList_New(0);
    int failed = !list;
    for (uint32_t k = 0; k < count && !failed; k++) {
        PyObject *key = PyLong_FromUnsignedLong(keys[k].key);
        int is_joined = key ? PySequence_Contains(joined, key) : -1;
        Py_XDECREF(key);
        failed = is_joined < 0 || add_key(list, d, keys[k], 0);
        for (uint32_t word = 0; is_joined == 1 && keys[k].joined && word < d->count && !failed; word++)
            failed = add_key(list, d, tini_drafter_join(d, keys[k], tokens, word), 1);
    }
    if (failed)
        Py_CLEAR(list);
    return list;
}

static PyObject *keys_of_answer(const core_model *model, const int32_t *tokens, uint32_t count, uint32_t all,
                                PyObject *joined) {
    tini_drafter d = {.tokenizer = &model->model->tokenizer};
    tini_drafter_begin(&d, tokens, count);
    PyObject *list = PyList_New(0);
    for (uint32_t at = count; list && at < all; at++) {
        PyObject *keys = keys_before(&d, d.copying, tokens, at, joined);
        if (!keys || PyList_Append(list, keys))
            Py_CLEAR(list);
        Py_XDECREF(keys);
        d.copying = tini_drafter_follow(&d, d.copying, tokens, at);
    }
    return list;
}

static PyObject *draft_keys(PyObject *module, PyObject *args) {
    core_state *state = PyModule_GetState(module);
    PyObject *model, *prompt, *answer, *joined;
    if (!PyArg_ParseTuple(args, "O!OOO:draft_keys", state->model_type, &model, &prompt, &answer, &joined))
        return NULL;
    uint32_t count, more;
    int32_t *behind = core_token_ids(answer, 0, &more);
    int32_t *tokens = behind ? core_token_ids(prompt, more, &count) : NULL;
    for (uint32_t k = 0; tokens && k < more; k++)
        tokens[count + k] = behind[k];
    PyObject *list = tokens ? keys_of_answer((core_model *)model, tokens, count, count + more, joined) : NULL;
    PyMem_Free(tokens);
    PyMem_Free(behind);
    return list;
}

PyMethodDef core_draft_functions[] = {
    {"draft_keys", draft_keys, METH_VARARGS,
     "draft_keys(model, prompt, answer, joined): for each token of the answer, a draft table's keys before it: "
     "(key, the token that copying would give or -1, whether the key, one of `joined`, has a token of the "
     "prompt)"},
    {NULL, NULL, 0, NULL},
};
