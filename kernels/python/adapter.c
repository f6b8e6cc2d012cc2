#include "module.h"

static PyObject *adapter_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"model", "data", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *model, *data;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O:Adapter", names, state->model_type, &model, &data))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_adapter *self = (core_adapter *)alloc(type, 0);
    if (!self)
        return NULL;
    self->model = (core_model *)Py_NewRef(model);
    if (PyObject_GetBuffer(data, &self->data, PyBUF_SIMPLE))
        goto failed;
    tin_error error;
    size_t size = tin_adapter_size(self->model->model, self->data.buf, (size_t)self->data.len, &error);
    void *block = size ? core_aligned(size, &self->memory) : NULL;
    if (!size || (block && tin_adapter_open(self->model->model, self->data.buf, (size_t)self->data.len, block,
                                            size, &self->adapter, &error)))
        core_raise(self->model->fault, &error);
    if (!self->adapter)
        goto failed;
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void adapter_dealloc(core_adapter *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyMem_Free(self->memory);
    if (self->data.obj)
        PyBuffer_Release(&self->data);
    Py_XDECREF((PyObject *)self->model);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *adapter_info(core_adapter *self, PyObject *unused) {
    (void)unused;
    tin_adapter_info info;
    tin_adapter_describe(self->adapter, &info);
    return Py_BuildValue("{s:I,s:I,s:K,s:K,s:I}", "matrices", info.matrices, "rank", info.rank, "factor_bytes",
                         (unsigned long long)info.factor_bytes, "fingerprint",
                         (unsigned long long)info.fingerprint, "prefix", info.prefix);
}

static PyMethodDef methods[] = {
    {"info", (PyCFunction)adapter_info, METH_NOARGS, "info() -> dict of facts"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Adapter(model, data): a compiled adapter for sessions of that model; data is aligned to ALIGNMENT"},
    {Py_tp_new, adapter_new},
    {Py_tp_dealloc, adapter_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_adapter_spec = {"tinsmith._core.Adapter", sizeof(core_adapter), 0, Py_TPFLAGS_DEFAULT, slots};
