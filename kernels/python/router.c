#include "module.h"

static PyObject *router_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"model", "data", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *model, *data;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O:Router", names, state->model_type, &model, &data))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_router *self = (core_router *)alloc(type, 0);
    if (!self)
        return NULL;
    self->model = (core_model *)Py_NewRef(model);
    if (PyObject_GetBuffer(data, &self->data, PyBUF_SIMPLE))
        goto failed;
    tin_error error;
    size_t size = tin_router_size(self->model->model, self->data.buf, (size_t)self->data.len, &error);
    void *block = size ? core_aligned(size, &self->memory) : NULL;
    if (!size || (block && tin_router_open(self->model->model, self->data.buf, (size_t)self->data.len, block,
                                           size, &self->router, &error)))
        core_raise(self->model->fault, &error);
    if (!self->router)
        goto failed;
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void router_dealloc(core_router *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyMem_Free(self->memory);
    if (self->data.obj)
        PyBuffer_Release(&self->data);
    Py_XDECREF((PyObject *)self->model);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *router_info(core_router *self, PyObject *unused) {
    (void)unused;
    tin_router_info info;
    tin_router_describe(self->router, &info);
    PyObject *tasks = PyDict_New();
    for (uint32_t k = 0; tasks && k < info.tasks; k++) {
        float least;
        const char *name = tin_router_task(self->router, k, &least);
        PyObject *number = PyFloat_FromDouble(least);
        if (!number || PyDict_SetItemString(tasks, name, number))
            Py_CLEAR(tasks);
        Py_XDECREF(number);
    }
    return tasks ? Py_BuildValue("{s:N,s:I,s:I}", "tasks", tasks, "rows", info.rows, "dim", info.dim) : NULL;
}

static PyMethodDef methods[] = {
    {"info", (PyCFunction)router_info, METH_NOARGS,
     "info() -> dict of facts; tasks: by name, the probability from which on each is taken"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Router(model, data): of that model's prompts; data is aligned to ALIGNMENT"},
    {Py_tp_new, router_new},
    {Py_tp_dealloc, router_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_router_spec = {"tinsmith._core.Router", sizeof(core_router), 0, Py_TPFLAGS_DEFAULT, slots};
