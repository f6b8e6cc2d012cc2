#include "module.h"

core_part *core_part_new(PyTypeObject *type, PyObject *model, PyObject *data) {
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_part *self = (core_part *)alloc(type, 0);
    if (!self)
        return NULL;
    self->model = (core_model *)Py_NewRef(model);
    if (!PyObject_GetBuffer(data, &self->data, PyBUF_SIMPLE))
        return self;
    Py_DECREF(self);
    return NULL;
}

void *core_part_block(core_part *self) {
    return self->size ? core_aligned(self->size, &self->memory) : NULL;
}

PyObject *core_part_made(core_part *self, int opened, const tin_error *error) {
    if (opened)
        return (PyObject *)self;
    if (!PyErr_Occurred())
        core_raise(self->model->fault, error);
    Py_DECREF(self);
    return NULL;
}

void core_part_dealloc(core_part *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyMem_Free(self->memory);
    if (self->data.obj)
        PyBuffer_Release(&self->data);
    Py_XDECREF((PyObject *)self->model);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}
