#include "module.h"

static PyObject *adapter_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"model", "data", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *model, *data;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O:Adapter", names, state->model_type, &model, &data))
        return NULL;
    core_adapter *self = (core_adapter *)core_part_new(type, model, data);
    if (!self)
        return NULL;
    const tin_model *core = self->part.model->model;
    const void *bytes = self->part.data.buf;
    size_t length = (size_t)self->part.data.len;
    tin_error error;
    self->part.size = tin_adapter_size(core, bytes, length, &error);
    void *block = core_part_block(&self->part);
    int opened =
        block && !tin_adapter_open(core, bytes, length, block, self->part.size, &self->adapter, &error);
    return core_part_made(&self->part, opened, &error);
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
    {Py_tp_dealloc, core_part_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_adapter_spec = {"tinsmith._core.Adapter", sizeof(core_adapter), 0, Py_TPFLAGS_DEFAULT, slots};
