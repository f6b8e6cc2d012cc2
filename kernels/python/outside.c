/* Steps of a session whose passes are computed elsewhere, by another runtime: the choosing, the drafts and the
 * constraint are those of every session, only the logits come from a Python callable. */
#include "module.h"

#include "core/session/generate.h"

/* Asks for the logits of the session's pass and keeps the buffer that has them. 0, or -1 with an exception. */
static int compute_pass(core_session *self) {
    tin_session *s = self->session;
    uint32_t rows = s->logit_rows, vocab = s->model->program.header->vocab;
    PyObject *tokens = core_token_list(s->input.tokens, s->position + s->rows);
    PyObject *logits = tokens ? PyObject_CallFunction(self->compute, "NI", tokens, rows) : NULL;
    Py_buffer view;
    if (!logits || PyObject_GetBuffer(logits, &view, PyBUF_SIMPLE)) {
        Py_XDECREF(logits);
        return -1;
    }
    Py_DECREF(logits); /* the view holds it */
    size_t wanted = (size_t)rows * vocab * sizeof(float);
    if ((size_t)view.len != wanted || (uintptr_t)view.buf % sizeof(float)) {
        PyErr_Format(PyExc_ValueError, "%zd bytes of logits; %u rows of %u floats take %zu", view.len, rows,
                     vocab, wanted);
        PyBuffer_Release(&view);
        return -1;
    }
    core_session_release_logits(self);
    self->computed = view;
    return 0;
}

void core_session_release_logits(core_session *self) {
    if (self->computed.obj)
        PyBuffer_Release(&self->computed); /* which clears obj */
}

int32_t core_outside_step(core_session *self) {
    static const tini_budget endless = {0};
    tin_session *s = self->session;
    for (;;) {
        tini_generate_choose(s, NULL, &endless, 0);
        int32_t event = tini_session_event(s);
        if (event != TIN_STEP_PENDING)
            return event;
        tini_session_offer(s, s->options.chunk, s->options.logit_rows);
        s->pass.every_tile = 1;
        tini_session_begin(s, &s->pass);
        if (compute_pass(self)) {
            tini_session_drop(s);
            return TIN_ERR_STATE;
        }
        tini_session_end(s, self->computed.buf);
    }
}
