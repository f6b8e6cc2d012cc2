#include "module.h"

#include "core/session/batch.h"

typedef struct core_batch {
    PyObject_HEAD core_model *model;
    tin_batch *batch;
    core_pool pool;
    void *memory;
    size_t size;
    PyObject *sessions; /* a list: those that are stepped */
    int busy;
} core_batch;

static PyObject *batch_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"model", "rows", "logit_rows", "threads", "adapter_rank", "duty_cycle", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *model;
    unsigned rows = 0, logit_rows = 0, threads = 1, adapter_rank = 0, duty_cycle = 100;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!|O&O&O&O&O&:Batch", names, state->model_type, &model,
                                     core_uint32, &rows, core_uint32, &logit_rows, core_uint32, &threads,
                                     core_uint32, &adapter_rank, core_uint32, &duty_cycle))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_batch *self = (core_batch *)alloc(type, 0);
    if (!self)
        return NULL;
    self->model = (core_model *)Py_NewRef(model);
    self->sessions = PyList_New(0);
    if (!self->sessions || core_pool_start(&self->pool, threads, duty_cycle, self->model->fault))
        goto failed;
    tin_batch_options options = {
        .rows = rows,
        .logit_rows = logit_rows,
        .executor = core_pool_executor(&self->pool),
        .clock_ns = core_monotonic_ns,
        .adapter_rank = adapter_rank,
    };
    tin_error error;
    self->size = tin_batch_size(self->model->model, &options, &error);
    void *block = self->size ? core_aligned(self->size, &self->memory) : NULL;
    if (!self->size ||
        (block && tin_batch_create(self->model->model, &options, block, self->size, &self->batch, &error)))
        core_raise(self->model->fault, &error);
    if (!self->batch)
        goto failed;
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

/* The session may outlive the batch, whose memory its logits are in. */
static void forget_logits(const core_batch *self, core_session *session) {
    if (self->batch)
        tini_batch_leave(self->batch, session->session);
}

static void batch_dealloc(core_batch *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->batch)
        tin_batch_cancel(self->batch);
    for (Py_ssize_t k = 0; self->sessions && k < PyList_Size(self->sessions); k++)
        forget_logits(self, (core_session *)PyList_GetItem(self->sessions, k));
    core_pool_stop(&self->pool);
    PyMem_Free(self->memory);
    Py_XDECREF(self->sessions);
    Py_XDECREF((PyObject *)self->model);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int refuse_busy_batch(const core_batch *self) {
    if (!self->busy)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "the batch is in use by another thread");
    return -1;
}

static PyObject *batch_add(core_batch *self, PyObject *session) {
    core_state *state = PyType_GetModuleState(Py_TYPE((PyObject *)self));
    if (refuse_busy_batch(self))
        return NULL;
    if (!PyObject_TypeCheck(session, state->session_type) ||
        ((core_session *)session)->model->model != self->model->model)
        return PyErr_Format(PyExc_TypeError, "a batch takes sessions of its own model");
    if (((core_session *)session)->compute)
        return PyErr_Format(PyExc_TypeError, "a session that is computed elsewhere is in no batch");
    int known = PySequence_Contains(self->sessions, session);
    if (known < 0 || (!known && PyList_Append(self->sessions, session)))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *batch_remove(core_batch *self, PyObject *session) {
    if (refuse_busy_batch(self))
        return NULL;
    Py_ssize_t at = PySequence_Index(self->sessions, session);
    if (at < 0)
        return NULL;
    tin_batch_cancel(self->batch); /* its tokens may be under way; all are queued again */
    forget_logits(self, (core_session *)PyList_GetItem(self->sessions, at));
    if (PySequence_DelItem(self->sessions, at))
        return NULL;
    Py_RETURN_NONE;
}

static void set_busy(core_batch *self, int busy) {
    self->busy = busy;
    for (Py_ssize_t k = 0; k < PyList_Size(self->sessions); k++)
        core_session_set_busy((core_session *)PyList_GetItem(self->sessions, k), busy);
}

static int has_pending(const int32_t *events, Py_ssize_t count) {
    for (Py_ssize_t k = 0; k < count; k++)
        if (events[k] == TIN_STEP_PENDING)
            return 1;
    return 0;
}

static PyObject *batch_cancel(core_batch *self, PyObject *unused) {
    (void)unused;
    if (refuse_busy_batch(self))
        return NULL;
    tin_batch_cancel(self->batch);
    Py_RETURN_NONE;
}

static PyObject *batch_step(core_batch *self, PyObject *args) {
    unsigned long long budget = 0;
    if (!PyArg_ParseTuple(args, "|O&:step", core_uint64, &budget) || refuse_busy_batch(self))
        return NULL;
    Py_ssize_t count = PyList_Size(self->sessions);
    tin_session **sessions = PyMem_Malloc((size_t)count * (sizeof *sessions + sizeof(int32_t)) + 1);
    int32_t *events = (int32_t *)(void *)(sessions + count);
    if (!sessions)
        return PyErr_NoMemory();
    uint64_t queued = 0;
    for (Py_ssize_t k = 0; k < count; k++) {
        core_session *session = (core_session *)PyList_GetItem(self->sessions, k);
        if (core_session_refuse_busy(session)) {
            PyMem_Free(sessions);
            return NULL;
        }
        sessions[k] = session->session;
        queued += sessions[k]->count - sessions[k]->position;
    }
    uint64_t slice = queued > CORE_FEW_TOKENS ? CORE_SLICE_NS : 0;
    int32_t result = 0;
    set_busy(self, 1);
    do {
        Py_BEGIN_ALLOW_THREADS if (count) result =
            tin_batch_step(self->batch, sessions, (uint32_t)count, budget ? budget : slice, events);
        Py_END_ALLOW_THREADS
    } while (!result && !budget && has_pending(events, count) && !PyErr_CheckSignals());
    set_busy(self, 0);
    PyObject *list = result < 0 || PyErr_Occurred() ? NULL : PyList_New(count);
    if (result < 0) {
        tin_error error = {.status = result,
                           .text = "a session of the batch is under way elsewhere, or has adapters "
                                   "that the batch has no room for"};
        core_raise(self->model->fault, &error);
    }
    for (Py_ssize_t k = 0; list && k < count; k++) {
        PyObject *event = PyLong_FromLong(events[k]);
        if (!event)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, k, event);
    }
    PyMem_Free(sessions);
    return list;
}

static PyObject *batch_slice(core_batch *self, PyObject *given) {
    uint32_t rows;
    if (!core_uint32(given, &rows) || refuse_busy_batch(self))
        return NULL;
    tin_batch_slice(self->batch, rows);
    Py_RETURN_NONE;
}

static PyObject *batch_size(core_batch *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(self->size);
}

static PyMethodDef methods[] = {
    {"add", (PyCFunction)batch_add, METH_O, "add(session): has it stepped with the others"},
    {"remove", (PyCFunction)batch_remove, METH_O,
     "remove(session): work under way is dropped and queued again; ValueError when it is not there"},
    {"cancel", (PyCFunction)batch_cancel, METH_NOARGS,
     "cancel(): work under way is dropped and queued again, and the sessions are free"},
    {"step", (PyCFunction)batch_step, METH_VARARGS,
     "step(budget_ns=0) -> STEP_* of each session, in the order they were added"},
    {"slice", (PyCFunction)batch_slice, METH_O,
     "slice(rows): most tokens of prompts computed at once beside sessions that generate; 0: no bound"},
    {"size", (PyCFunction)batch_size, METH_NOARGS, "size() -> bytes of the batch's memory block"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Batch(model, rows=0, logit_rows=0, threads=1); 0 takes the model's chunk, and as many as rows."},
    {Py_tp_new, batch_new},
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_batch_spec = {"tinsmith._core.Batch", sizeof(core_batch), 0, Py_TPFLAGS_DEFAULT, slots};
