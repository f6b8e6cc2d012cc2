#include "module.h"

#include <string.h>

typedef struct core_encoder {
    PyObject_HEAD core_model *model;
    tin_encoder *encoder;
    core_pool pool;
    void *memory;
    size_t size;
    Py_buffer patches; /* of the image under way; obj NULL: none */
    int busy;          /* set, under the GIL, while a step runs without it */
} core_encoder;

static PyObject *encoder_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"model", "patches", "threads", "duty_cycle", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *model;
    unsigned patches = 0, threads = 1, duty_cycle = 100;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!|O&O&O&:Encoder", names, state->model_type, &model,
                                     core_uint32, &patches, core_uint32, &threads, core_uint32, &duty_cycle))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_encoder *self = (core_encoder *)alloc(type, 0);
    if (!self)
        return NULL;
    self->model = (core_model *)Py_NewRef(model);
    if (core_pool_start(&self->pool, threads, duty_cycle, self->model->fault))
        goto failed;
    tin_encoder_options options = {
        .patches = patches,
        .executor = core_pool_executor(&self->pool),
        .clock_ns = core_monotonic_ns,
    };
    tin_error error;
    self->size = tin_encoder_size(self->model->model, &options, &error);
    void *block = self->size ? core_aligned(self->size, &self->memory) : NULL;
    if (!self->size ||
        (block && tin_encoder_create(self->model->model, &options, block, self->size, &self->encoder, &error)))
        core_raise(self->model->fault, &error);
    if (!self->encoder)
        goto failed;
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void encoder_dealloc(core_encoder *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    core_pool_stop(&self->pool);
    PyMem_Free(self->memory);
    if (self->patches.obj)
        PyBuffer_Release(&self->patches);
    Py_XDECREF((PyObject *)self->model);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int refuse_busy_encoder(const core_encoder *self) {
    if (!self->busy)
        return 0;
    PyErr_SetString(PyExc_RuntimeError, "the encoder is in use by another thread; give each thread its own");
    return -1;
}

static PyObject *encoder_begin(core_encoder *self, PyObject *args) {
    PyObject *given;
    unsigned height, width;
    if (!PyArg_ParseTuple(args, "OO&O&:begin", &given, core_uint32, &height, core_uint32, &width) ||
        refuse_busy_encoder(self))
        return NULL;
    Py_buffer patches;
    if (PyObject_GetBuffer(given, &patches, PyBUF_SIMPLE))
        return NULL;
    tin_encoder_info info;
    tin_encoder_describe(self->model->model, &info);
    uint64_t count = (uint64_t)height * width, each = (uint64_t)info.patch * sizeof(float);
    tin_error error = {.status = TIN_ERR_ARGUMENT};
    tin_status status = TIN_ERR_ARGUMENT;
    if ((uintptr_t)patches.buf % sizeof(float) || (uint64_t)patches.len / each != count ||
        (uint64_t)patches.len % each)
        PyOS_snprintf(error.text, sizeof error.text,
                      "%llu bytes for %u by %u patches; they need %u floats each, aligned",
                      (unsigned long long)patches.len, height, width, info.patch);
    else
        status = tin_encoder_begin(self->encoder, patches.buf, height, width, &error);
    if (status) {
        PyBuffer_Release(&patches);
        return core_raise(self->model->fault, &error);
    }
    if (self->patches.obj)
        PyBuffer_Release(&self->patches);
    self->patches = patches;
    Py_RETURN_NONE;
}

static PyObject *encoder_step(core_encoder *self, PyObject *args) {
    unsigned long long budget = 0;
    if (!PyArg_ParseTuple(args, "|O&:step", core_uint64, &budget) || refuse_busy_encoder(self))
        return NULL;
    int32_t event;
    self->busy = 1;
    do {
        Py_BEGIN_ALLOW_THREADS event = tin_encoder_step(self->encoder, budget ? budget : CORE_VISION_SLICE_NS);
        Py_END_ALLOW_THREADS
    } while (event == TIN_STEP_PENDING && !budget && !PyErr_CheckSignals());
    self->busy = 0;
    return PyErr_Occurred() ? NULL : PyLong_FromLong(event);
}

static PyObject *encoder_states(core_encoder *self, PyObject *unused) {
    (void)unused;
    if (refuse_busy_encoder(self))
        return NULL;
    uint32_t count;
    tin_encoder_info info;
    tin_encoder_describe(self->model->model, &info);
    const float *states = tin_encoder_states(self->encoder, &count);
    if (!states)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)states, (Py_ssize_t)count * info.width * 4);
}

static PyObject *encoder_info(core_encoder *self, PyObject *unused) {
    (void)unused;
    tin_encoder_info info;
    tin_encoder_describe(self->model->model, &info);
    return Py_BuildValue("{s:I,s:I,s:I,s:I,s:K,s:n}", "patch", info.patch, "side", info.side, "patches",
                         info.patches, "width", info.width, "weight_bytes",
                         (unsigned long long)info.weight_bytes, "memory_bytes", (Py_ssize_t)self->size);
}

static PyMethodDef methods[] = {
    {"begin", (PyCFunction)encoder_begin, METH_VARARGS,
     "begin(patches, height, width): an image of float32 patches, which are held until the next"},
    {"step", (PyCFunction)encoder_step, METH_VARARGS,
     "step(budget_ns=0) -> event: STEP_DONE, STEP_PENDING or STEP_IDLE"},
    {"states", (PyCFunction)encoder_states, METH_NOARGS,
     "states() -> bytes: float32 [states][width] of the image, or None before they are made"},
    {"info", (PyCFunction)encoder_info, METH_NOARGS,
     "info() -> dict: of the encoder, and memory_bytes of what was created"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Encoder(model, patches=0, threads=1): a model's encoder and projector, an image at a time."},
    {Py_tp_new, encoder_new},
    {Py_tp_dealloc, encoder_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_encoder_spec = {"tinsmith._core.Encoder", sizeof(core_encoder), 0, Py_TPFLAGS_DEFAULT, slots};
