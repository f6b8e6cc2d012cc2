#include "module.h"

#include "core/session/sampler.h"
#include "core/session/selftest.h"

#include <stdio.h>
#include <string.h>

static PyObject *session_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {
        "model",   "context",      "chunk", "logit_rows", "threads",    "kv_type",    "batched",  "checkpoints",
        "compute", "adapter_rank", "tiles", "image_rows", "duty_cycle", "most_bytes", "searches", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *model, *compute = Py_None;
    unsigned context = 0, chunk = 0, logit_rows = 1, threads = 1, kv_type = TIN_KV_F16, checkpoints = 0,
             adapter_rank = 0, tiles = 0, image_rows = 0, duty_cycle = 100;
    int batched = 0, searches = 0;
    unsigned long long most_bytes = 0; /* 0: any */
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!|O&O&O&O&O&pO&OO&O&O&O&O&p:Session", names,
                                     state->model_type, &model, core_uint32, &context, core_uint32, &chunk,
                                     core_uint32, &logit_rows, core_uint32, &threads, core_uint32, &kv_type,
                                     &batched, core_uint32, &checkpoints, &compute, core_uint32, &adapter_rank,
                                     core_uint32, &tiles, core_uint32, &image_rows, core_uint32, &duty_cycle,
                                     core_uint64, &most_bytes, &searches))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_session *self = (core_session *)alloc(type, 0);
    if (!self)
        return NULL;
    self->model = (core_model *)Py_NewRef(model);
    if (compute != Py_None)
        self->compute = Py_NewRef(compute);
    tin_error error;
    self->adapters = PyList_New(0);
    if (!self->adapters)
        goto failed;
    if (core_pool_start(&self->pool, threads, duty_cycle, self->model->fault))
        goto failed;
    tin_session_options options = {
        .context = context,
        .chunk = chunk,
        .logit_rows = logit_rows,
        .kv_type = kv_type,
        .batched = batched || self->compute, /* either way it needs no memory for passes */
        .executor = core_pool_executor(&self->pool),
        .clock_ns = core_monotonic_ns,
        .checkpoints = checkpoints,
        .adapter_rank = adapter_rank,
        .tiles = tiles,
        .image_rows = image_rows,
        .searches = (uint32_t)searches,
    };
    self->size = tin_session_size(self->model->model, &options, &error);
    if (!self->size) {
        core_raise(self->model->fault, &error);
        goto failed;
    }
    if (most_bytes && self->size > most_bytes) {
        error.status = TIN_ERR_MEMORY;
        snprintf(error.text, sizeof error.text, "a session of %u tokens takes %zu bytes, and may take %llu",
                 context, self->size, most_bytes);
        core_raise(self->model->fault, &error);
        goto failed;
    }
    void *block = core_aligned(self->size, &self->memory);
    if (!block)
        goto failed;
    if (tin_session_create(self->model->model, &options, block, self->size, &self->session, &error)) {
        core_raise(self->model->fault, &error);
        goto failed;
    }
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void session_dealloc(core_session *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    core_pool_stop(&self->pool);
    if (self->session)
        tin_session_constrain(self->session, NULL, NULL);
    core_session_release_logits(self);
    PyMem_Free(self->memory);
    if (self->draft.obj)
        PyBuffer_Release(&self->draft);
    PyMem_Free(self->biases);
    PyMem_Free(self->record_memory);
    Py_XDECREF(self->compute);
    Py_XDECREF((PyObject *)self->constraint);
    Py_XDECREF(self->adapters);
    Py_XDECREF((PyObject *)self->model);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

int core_session_refuse_busy(const core_session *self) {
    if (!self->busy)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "the session is in use by another thread; give each thread its own");
    return -1;
}

void core_session_set_busy(core_session *self, int busy) {
    self->busy = busy;
    if (self->constraint)
        self->constraint->busy = busy;
}

static PyObject *session_rewind(core_session *self, PyObject *args) {
    unsigned position;
    if (!PyArg_ParseTuple(args, "O&:rewind", core_uint32, &position) || core_session_refuse_busy(self))
        return NULL;
    tin_error error;
    if (tin_session_rewind(self->session, position, &error))
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *session_adapter(core_session *self, PyObject *args) {
    core_state *state = PyType_GetModuleState(Py_TYPE((PyObject *)self));
    PyObject *given;
    float scale = 1.0f;
    int keep = 0;
    if (!PyArg_ParseTuple(args, "O|fp:adapter", &given, &scale, &keep) || core_session_refuse_busy(self))
        return NULL;
    core_adapter *adapter = given == Py_None ? NULL : (core_adapter *)given;
    if (adapter && !PyObject_TypeCheck(given, state->adapter_type))
        return PyErr_Format(PyExc_TypeError, "an adapter must be a tinsmith._core.Adapter or None");
    if (self->compute)
        return PyErr_Format(PyExc_TypeError, "a session that is computed elsewhere takes no adapter");
    /* Held as long as the session: it may come back any time. */
    int known = adapter ? PySequence_Contains(self->adapters, given) : 1;
    if (known < 0 || (!known && PyList_Append(self->adapters, given)))
        return NULL;
    tin_error error;
    if (tin_session_adapter(self->session, adapter ? adapter->adapter : NULL, scale,
                            keep ? TIN_ADAPTER_KEEP : 0, &error))
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *session_want_logits(core_session *self, PyObject *args) {
    unsigned position;
    if (!PyArg_ParseTuple(args, "O&:want_logits", core_uint32, &position) || core_session_refuse_busy(self))
        return NULL;
    tin_error error;
    if (tin_session_want_logits(self->session, position, &error))
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *raise_status(core_session *self, tin_status status, const char *text) {
    tin_error error = {.status = status};
    strncpy(error.text, text, sizeof error.text - 1);
    return core_raise(self->model->fault, &error);
}

static PyObject *session_step(core_session *self, PyObject *args) {
    unsigned long long budget = 0;
    if (!PyArg_ParseTuple(args, "|O&:step", core_uint64, &budget) || core_session_refuse_busy(self))
        return NULL;
    int32_t event;
    core_session_set_busy(self, 1);
    if (self->compute) {
        event = core_outside_step(self); /* which is Python code, but for the choosing */
    } else {
        const tin_session *s = self->session;
        uint64_t slice = s->count - s->position > CORE_FEW_TOKENS ? CORE_SLICE_NS : 0;
        do {
            Py_BEGIN_ALLOW_THREADS event = tin_step(self->session, budget ? budget : slice);
            Py_END_ALLOW_THREADS
        } while (event == TIN_STEP_PENDING && !budget && !PyErr_CheckSignals());
    }
    core_session_set_busy(self, 0);
    if (PyErr_Occurred())
        return NULL;
    if (event < 0)
        return raise_status(self, event, "the step failed");
    return PyLong_FromLong(event);
}

/* {token: value} as [count] biases, which the caller releases; NULL with *count 0 for None or none, or with an exception. */
static tin_bias *read_biases(PyObject *given, uint32_t *count) {
    *count = 0;
    if (given == Py_None)
        return NULL;
    PyObject *items = PyMapping_Items(given);
    Py_ssize_t length = items ? PyList_Size(items) : 0;
    tin_bias *biases = length > 0 ? PyMem_Malloc((size_t)length * sizeof *biases) : NULL;
    if (length > 0 && !biases)
        PyErr_NoMemory();
    for (Py_ssize_t k = 0; biases && k < length; k++)
        if (!PyArg_ParseTuple(PyList_GetItem(items, k), "if", &biases[k].token, &biases[k].value)) {
            PyMem_Free(biases);
            biases = NULL;
        }
    Py_XDECREF(items);
    *count = biases ? (uint32_t)length : 0;
    return biases;
}

static PyObject *session_generate(core_session *self, PyObject *args, PyObject *keywords) {
    static char *names[] = {"max_tokens",
                            "lookup",
                            "temperature",
                            "top_k",
                            "top_p",
                            "min_p",
                            "repetition_penalty",
                            "repeat_last",
                            "seed",
                            "measure",
                            "presence_penalty",
                            "frequency_penalty",
                            "answered",
                            "biases",
                            NULL};
    tin_sampling sampling = {.repetition_penalty = 1, .top_p = 1};
    unsigned long long seed = 0;
    unsigned max_tokens, lookup = 0, top_k = 0, repeat_last = 0;
    int measure = 0;
    PyObject *given = Py_None;
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "O&|O&fO&fffO&O&pffO&O:generate", names, core_uint32, &max_tokens, core_uint32,
            &lookup, &sampling.temperature, core_uint32, &top_k, &sampling.top_p, &sampling.min_p,
            &sampling.repetition_penalty, core_uint32, &repeat_last, core_uint64, &seed, &measure,
            &sampling.presence_penalty, &sampling.frequency_penalty, core_uint32, &sampling.answered, &given))
        return NULL;
    sampling.measure = (uint32_t)measure;
    sampling.top_k = top_k;
    sampling.repeat_last = repeat_last;
    sampling.seed = seed;
    tin_bias *biases = read_biases(given, &sampling.bias_count);
    sampling.biases = biases;
    tin_error error;
    tin_status status = TIN_OK;
    if (PyErr_Occurred() || core_session_refuse_busy(self)) {
        PyMem_Free(biases);
        return NULL;
    }
    status = tin_session_generate(self->session, &sampling, max_tokens, lookup, &error);
    if (status) { /* one that goes on has its biases still */
        PyMem_Free(biases);
        return core_raise(self->model->fault, &error);
    }
    PyMem_Free(self->biases);
    self->biases = biases;
    Py_RETURN_NONE;
}

static PyObject *session_record(core_session *self, PyObject *given) {
    tin_error error;
    uint32_t tops = 0;
    if ((given != Py_None && !core_uint32(given, &tops)) || core_session_refuse_busy(self))
        return NULL;
    size_t size = given == Py_None ? 0 : tin_session_record_size(self->session, tops, &error);
    if (given != Py_None && !size)
        return core_raise(self->model->fault, &error);
    if (size > self->record_size) {
        tin_session_record(self->session, 0, NULL, 0, NULL);
        PyMem_Free(self->record_memory);
        self->record_size = 0;
        self->record = core_aligned(size, &self->record_memory);
        if (!self->record)
            return NULL;
        self->record_size = size;
    }
    if (tin_session_record(self->session, tops, size ? self->record : NULL, self->record_size, &error))
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *session_choice(core_session *self, PyObject *unused) {
    (void)unused;
    tin_error error;
    tin_choice choice;
    if (core_session_refuse_busy(self))
        return NULL;
    if (tin_session_choice(self->session, &choice, &error))
        return core_raise(self->model->fault, &error);
    PyObject *tops = PyTuple_New((Py_ssize_t)choice.top_count);
    for (uint32_t k = 0; tops && k < choice.top_count; k++) {
        PyObject *top = Py_BuildValue("(id)", choice.tops[k].token, choice.tops[k].log_probability);
        if (!top || PyTuple_SetItem(tops, (Py_ssize_t)k, top))
            Py_CLEAR(tops);
    }
    return tops ? Py_BuildValue("(IfdN)", choice.allowed, choice.logit, choice.log_probability, tops) : NULL;
}

static PyObject *session_token(core_session *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(tin_session_token(self->session));
}

static PyObject *session_finish(core_session *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(tin_session_finish(self->session));
}

static PyObject *session_log_probability(core_session *self, PyObject *unused) {
    (void)unused;
    return PyFloat_FromDouble(tin_session_log_probability(self->session));
}

static PyObject *session_passes(core_session *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(tin_session_passes(self->session));
}

static PyObject *session_constrain(core_session *self, PyObject *given) {
    core_state *state = PyType_GetModuleState(Py_TYPE((PyObject *)self));
    core_constraint *constraint = given == Py_None ? NULL : (core_constraint *)given;
    if (constraint && !PyObject_TypeCheck(given, state->constraint_type))
        return PyErr_Format(PyExc_TypeError, "a constraint or None is wanted");
    if (core_session_refuse_busy(self) || (constraint && core_constraint_refuse_busy(constraint)))
        return NULL;
    tin_error error;
    if (tin_session_constrain(self->session, constraint ? constraint->constraint : NULL, &error))
        return core_raise(self->model->fault, &error);
    core_constraint *before = self->constraint;
    self->constraint = constraint ? (core_constraint *)Py_NewRef(given) : NULL;
    Py_XDECREF((PyObject *)before);
    Py_RETURN_NONE;
}

static PyObject *session_heal(core_session *self, PyObject *unused) {
    (void)unused;
    if (core_session_refuse_busy(self))
        return NULL;
    tin_error error;
    if (tin_session_heal(self->session, &error))
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *session_healed(core_session *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(tin_session_healed(self->session));
}

static PyObject *session_shift(core_session *self, PyObject *args) {
    unsigned keep, drop;
    if (!PyArg_ParseTuple(args, "O&O&:shift", core_uint32, &keep, core_uint32, &drop) ||
        core_session_refuse_busy(self))
        return NULL;
    tin_error error;
    if (tin_session_shift(self->session, keep, drop, &error))
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *session_copy_from(core_session *self, PyObject *args) {
    PyObject *source;
    unsigned count = UINT32_MAX;
    if (!PyArg_ParseTuple(args, "O!|O&:copy_from", Py_TYPE((PyObject *)self), &source, core_uint32, &count))
        return NULL;
    core_session *from = (core_session *)source;
    if (core_session_refuse_busy(self) || core_session_refuse_busy(from))
        return NULL;
    tin_error error;
    if (tin_session_copy(self->session, from->session, count, &error))
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *session_selftest(core_session *self, PyObject *unused) {
    (void)unused;
    if (core_session_refuse_busy(self))
        return NULL;
    tin_error error;
    tini_selftest test;
    int32_t event;
    if (tini_selftest_begin(&test, self->session, &error))
        return core_raise(self->model->fault, &error);
    core_session_set_busy(self, 1);
    do {
        Py_BEGIN_ALLOW_THREADS event = tini_selftest_step(&test, self->session, CORE_SLICE_NS, &error);
        Py_END_ALLOW_THREADS
    } while (event == TIN_STEP_PENDING && !PyErr_CheckSignals());
    core_session_set_busy(self, 0);
    tin_status cleared = tini_selftest_end(self->session, event < 0 ? NULL : &error);
    if (PyErr_Occurred())
        return NULL;
    if (event < 0 || cleared)
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *session_save(core_session *self, PyObject *unused) {
    (void)unused;
    if (core_session_refuse_busy(self))
        return NULL;
    size_t size = tin_session_save_size(self->session);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    tin_error error;
    if (bytes && tin_session_save(self->session, PyBytes_AsString(bytes), size, &error)) {
        Py_DECREF(bytes);
        return core_raise(self->model->fault, &error);
    }
    return bytes;
}

static PyObject *session_restore(core_session *self, PyObject *data) {
    Py_buffer view;
    if (core_session_refuse_busy(self) || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE))
        return NULL;
    tin_error error;
    tin_status status = tin_session_restore(self->session, view.buf, (size_t)view.len, &error);
    PyBuffer_Release(&view);
    if (status)
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

static PyObject *session_logits(core_session *self, PyObject *unused) {
    (void)unused;
    if (core_session_refuse_busy(self))
        return NULL;
    tin_model_info info;
    tin_model_describe(self->model->model, &info);
    uint32_t rows, first;
    const float *logits = tin_session_logits(self->session, &rows, &first);
    if (!logits)
        return raise_status(self, TIN_ERR_STATE, "there are no logits: append tokens and step first");
    return Py_BuildValue("(Iy#)", first, (const char *)logits,
                         (Py_ssize_t)((size_t)rows * info.vocab * sizeof *logits));
}

static PyObject *session_sample(core_session *self, PyObject *args) {
    tin_sampling sampling = {.repetition_penalty = 1, .top_p = 1};
    unsigned long long seed = 0;
    unsigned top_k = 0, repeat_last = 0;
    if (!PyArg_ParseTuple(args, "|fO&fffO&O&:sample", &sampling.temperature, core_uint32, &top_k,
                          &sampling.top_p, &sampling.min_p, &sampling.repetition_penalty, core_uint32,
                          &repeat_last, core_uint64, &seed) ||
        core_session_refuse_busy(self))
        return NULL;
    sampling.top_k = top_k;
    sampling.repeat_last = repeat_last;
    sampling.seed = seed;
    int32_t token = tin_session_sample(self->session, &sampling);
    if (token == TIN_ERR_ARGUMENT)
        return raise_status(self, token,
                            "sampling options out of range: temperature >= 0, 0 < top_p <= 1, "
                            "0 <= min_p <= 1, repetition_penalty > 0");
    if (token < 0)
        return raise_status(self, token, "there are no logits to sample from: append tokens and step first");
    return PyLong_FromLong(token);
}

/* The likeliest token of every ready row, so that a draft is checked without copying its logits. */
static PyObject *session_argmax(core_session *self, PyObject *unused) {
    (void)unused;
    if (core_session_refuse_busy(self))
        return NULL;
    tin_model_info info;
    tin_model_describe(self->model->model, &info);
    uint32_t rows, first;
    const float *logits = tin_session_logits(self->session, &rows, &first);
    PyObject *list = PyList_New(0);
    for (uint32_t r = 0; list && logits && r < rows; r++) {
        PyObject *id = PyLong_FromLong(tini_argmax(logits + (size_t)r * info.vocab, info.vocab, NULL));
        if (!id || PyList_Append(list, id))
            Py_CLEAR(list);
        Py_XDECREF(id);
    }
    return list;
}

static PyObject *session_logprobs(core_session *self, PyObject *tokens) {
    Py_ssize_t count = PySequence_Size(tokens);
    PyObject *list = count < 0 ? NULL : PyList_New(count);
    tin_model_info info;
    tin_model_describe(self->model->model, &info);
    for (Py_ssize_t k = 0; list && k < count; k++) {
        PyObject *item = PySequence_GetItem(tokens, k);
        long id = item ? PyLong_AsLong(item) : -1;
        Py_XDECREF(item);
        uint32_t rows = 0, first;
        const float *logits = NULL;
        /* Each time: the sequence may have run Python code, and so other threads. */
        if (!PyErr_Occurred() && !core_session_refuse_busy(self))
            logits = tin_session_logits(self->session, &rows, &first);
        if (!PyErr_Occurred() && k >= (Py_ssize_t)rows)
            raise_status(self, TIN_ERR_STATE, "there are fewer rows of logits than tokens");
        else if (!PyErr_Occurred() && (id < 0 || id >= (long)info.vocab))
            raise_status(self, TIN_ERR_ARGUMENT, "a token is not in the vocabulary");
        PyObject *share = NULL;
        if (!PyErr_Occurred())
            share = PyFloat_FromDouble(
                tini_log_share(logits + (size_t)k * info.vocab, info.vocab, NULL, (uint32_t)id));
        if (!share || PyList_SetItem(list, k, share))
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *session_tokens(core_session *self, PyObject *unused) {
    (void)unused;
    uint32_t count;
    const int32_t *tokens;
    uint32_t position = tin_session_position(self->session, &count, &tokens);
    PyObject *list = core_token_list(tokens, count);
    return list ? Py_BuildValue("(IN)", position, list) : NULL;
}

static PyObject *session_computed(core_session *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLong(self->session->position);
}

static PyObject *session_size(core_session *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(self->size + self->record_size);
}

static PyMethodDef methods[] = {
    {"append", (PyCFunction)core_session_append, METH_VARARGS,
     "append(ids, tiles=()): queues tokens. tiles: (at, count, columns, digest, rows) of each among them, "
     "whose ids are EMBEDDED; rows: float32 [count][dim], or None where the session has it"},
    {"replace", (PyCFunction)core_session_replace, METH_VARARGS,
     "replace(ids, tiles=()): makes these the session's tokens; what they share with those it has is kept"},
    {"shared", (PyCFunction)core_session_shared, METH_VARARGS,
     "shared(ids, tiles=()) -> how many of these tokens, from the first on, are the session's"},
    {"tiles", (PyCFunction)core_session_tiles, METH_NOARGS,
     "tiles() -> [(at, count, columns, digest)] of those among its tokens"},
    {"rewind", (PyCFunction)session_rewind, METH_VARARGS,
     "rewind(position): forgets every token from there on"},
    {"adapter", (PyCFunction)session_adapter, METH_VARARGS,
     "adapter(adapter or None, scale=1, keep=False): what it counts from now on, 0 to take it off; None "
     "takes off all. What was computed is computed again, but with keep"},
    {"draft", (PyCFunction)core_session_draft, METH_O,
     "draft(data or None): the draft table that generations draft by, aligned to 4 bytes; a new session has "
     "its "
     "file's"},
    {"want_logits", (PyCFunction)session_want_logits, METH_VARARGS,
     "want_logits(position): asks for the logits of every token from there on; 2**32 - 1 for none but the "
     "last"},
    {"step", (PyCFunction)session_step, METH_VARARGS,
     "step(budget_ns=0) -> STEP_PENDING, STEP_LOGITS, STEP_IDLE, STEP_TOKEN or STEP_DONE"},
    {"generate", (PyCFunction)(void (*)(void))session_generate, METH_VARARGS | METH_KEYWORDS,
     "generate(max_tokens, lookup=0, temperature=0, top_k=0, top_p=1, min_p=0, repetition_penalty=1, "
     "repeat_last=0, seed=0, measure=False, presence_penalty=0, frequency_penalty=0, biases=None): step "
     "chooses "
     "tokens. biases: {token: what is added to its logit}"},
    {"record", (PyCFunction)session_record, METH_O,
     "record(tops or None): choice() tells what tokens are chosen by, with so many alternatives, or no longer"},
    {"choice", (PyCFunction)session_choice, METH_NOARGS,
     "choice() -> (how many tokens were allowed, 1 where it had to come, logit, log-probability, ((token, "
     "log-probability) of the likeliest …)) of the last STEP_TOKEN, or of the end at STEP_DONE"},
    {"token", (PyCFunction)session_token, METH_NOARGS, "token() -> the id of the last STEP_TOKEN"},
    {"finish", (PyCFunction)session_finish, METH_NOARGS, "finish() -> FINISH_* of the last generation"},
    {"log_probability", (PyCFunction)session_log_probability, METH_NOARGS,
     "log_probability() -> of the last generation's choices, where it was to measure them"},
    {"passes", (PyCFunction)session_passes, METH_NOARGS,
     "passes() -> how often the model was evaluated for the last generation, its prompt once"},
    {"constrain", (PyCFunction)session_constrain, METH_O,
     "constrain(constraint or None): what generations may say, from the next one on"},
    {"heal", (PyCFunction)session_heal, METH_NOARGS,
     "heal(): takes back the prompt's last tokens that may be the beginning of longer ones; needs a "
     "constraint"},
    {"healed", (PyCFunction)session_healed, METH_NOARGS,
     "healed() -> bytes of the prompt's text that the last generation begins with"},
    {"shift", (PyCFunction)session_shift, METH_VARARGS,
     "shift(keep, drop): forgets drop tokens from position keep on and computes those behind them again"},
    {"copy_from", (PyCFunction)session_copy_from, METH_VARARGS,
     "copy_from(session, count=all): takes over the session's first tokens and what is computed of them"},
    {"selftest", (PyCFunction)session_selftest, METH_NOARGS,
     "selftest(): RuntimeFault when the file's own prompts give other logits here; the session is empty then"},
    {"save", (PyCFunction)session_save, METH_NOARGS, "save() -> bytes"},
    {"restore", (PyCFunction)session_restore, METH_O, "restore(bytes)"},
    {"logits", (PyCFunction)session_logits, METH_NOARGS,
     "logits() -> (position of the first row, float32 bytes)"},
    {"state", (PyCFunction)core_session_state, METH_NOARGS,
     "state() -> the hidden state of the newest row of logits' token, float32 bytes"},
    {"route", (PyCFunction)core_session_route, METH_O,
     "route(router) -> (likeliest task, whether it is taken, its probability, the least one, float32 scores of "
     "all "
     "tasks and none)"},
    {"argmax", (PyCFunction)session_argmax, METH_NOARGS, "argmax() -> the best token of each ready row"},
    {"logprobs", (PyCFunction)session_logprobs, METH_O,
     "logprobs(ids) -> the natural logarithm of the probability of ids[k] by the k-th ready row"},
    {"sample", (PyCFunction)session_sample, METH_VARARGS,
     "sample(temperature=0, top_k=0, top_p=1, min_p=0, repetition_penalty=1, repeat_last=0, seed=0) -> id"},
    {"tokens", (PyCFunction)session_tokens, METH_NOARGS, "tokens() -> (how many are computed, all ids)"},
    {"computed", (PyCFunction)session_computed, METH_NOARGS,
     "computed() -> how many tokens are computed, without those whose states must be made again"},
    {"size", (PyCFunction)session_size, METH_NOARGS,
     "size() -> bytes of the session's memory, and its record's"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Session(model, context=0, chunk=0, logit_rows=1, threads=1, kv_type=KV_F16, batched=False, "
                "checkpoints=0, compute=None, adapter_rank=0, tiles=0, image_rows=0); 0 takes the model's "
                "own. compute(ids, rows) -> "
                "the float32 logits of the last `rows` of all these tokens, where another runtime computes "
                "them; step then takes no budget."},
    {Py_tp_new, session_new},
    {Py_tp_dealloc, session_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_session_spec = {"tinsmith._core.Session", sizeof(core_session), 0, Py_TPFLAGS_DEFAULT, slots};
