/* Draft tables: what one is learned from, and a session's. */
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

static int add_seen(PyObject *list, const tini_drafter *d, tini_seen seen, int cue) {
    int32_t copied = seen.copied == TINI_DRAFT_NOWHERE ? -1 : tini_drafter_copied(d, seen.copied);
    PyObject *item = Py_BuildValue("(IiO)", seen.key, copied, cue ? Py_True : Py_False);
    int failed = !item || PyList_Append(list, item);
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

/* What is seen before tokens[at], with the prompt's tokens where the key is one of `cued`. */
static PyObject *see(const tini_drafter *d, tini_copying copying, const int32_t *tokens, uint32_t at,
                     PyObject *cued) {
    tini_seen seen[TINI_DRAFT_SEEN];
    uint32_t count = tini_drafter_keys(d, copying, tokens, at, seen);
    PyObject *list = PyList_New(0);
    int failed = !list;
    for (uint32_t k = 0; k < count && !failed; k++) {
        PyObject *key = PyLong_FromUnsignedLong(seen[k].key);
        int joined = key ? PySequence_Contains(cued, key) : -1;
        Py_XDECREF(key);
        failed = joined < 0 || add_seen(list, d, seen[k], 0);
        for (uint32_t cue = 0; joined == 1 && seen[k].cued && cue < d->count && !failed; cue++)
            failed = add_seen(list, d, tini_drafter_cue(d, seen[k], tokens, cue), 1);
    }
    if (failed)
        Py_CLEAR(list);
    return list;
}

static PyObject *see_answer(const core_model *model, const int32_t *tokens, uint32_t count, uint32_t all,
                            PyObject *cued) {
    tini_drafter d = {.tokenizer = &model->model->tokenizer};
    tini_drafter_begin(&d, tokens, count);
    PyObject *list = PyList_New(0);
    for (uint32_t at = count; list && at < all; at++) {
        PyObject *seen = see(&d, d.copying, tokens, at, cued);
        if (!seen || PyList_Append(list, seen))
            Py_CLEAR(list);
        Py_XDECREF(seen);
        d.copying = tini_drafter_follow(&d, d.copying, tokens, at);
    }
    return list;
}

static PyObject *draft_seen(PyObject *module, PyObject *args) {
    core_state *state = PyModule_GetState(module);
    PyObject *model, *prompt, *answer, *cued;
    if (!PyArg_ParseTuple(args, "O!OOO:draft_seen", state->model_type, &model, &prompt, &answer, &cued))
        return NULL;
    uint32_t count, more;
    int32_t *behind = core_token_ids(answer, 0, &more);
    int32_t *tokens = behind ? core_token_ids(prompt, more, &count) : NULL;
    for (uint32_t k = 0; tokens && k < more; k++)
        tokens[count + k] = behind[k];
    PyObject *list = tokens ? see_answer((core_model *)model, tokens, count, count + more, cued) : NULL;
    PyMem_Free(tokens);
    PyMem_Free(behind);
    return list;
}

PyMethodDef core_draft_functions[] = {
    {"draft_seen", draft_seen, METH_VARARGS,
     "draft_seen(model, prompt, answer, cued): for each token of the answer what a draft table has seen before "
     "it: (key, the token that copying would give or -1, whether a token of the prompt is joined to a key of "
     "`cued`)"},
    {NULL, NULL, 0, NULL},
};
