#include "module.h"

#include <string.h>

static PyObject *router_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"model", "data", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *model, *data;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O:Router", names, state->model_type, &model, &data))
        return NULL;
    core_router *self = (core_router *)core_part_new(type, model, data);
    if (!self)
        return NULL;
    const tin_model *core = self->part.model->model;
    const void *bytes = self->part.data.buf;
    size_t length = (size_t)self->part.data.len;
    tin_error error;
    self->part.size = tin_router_size(core, bytes, length, &error);
    void *block = core_part_block(&self->part);
    int opened = block && !tin_router_open(core, bytes, length, block, self->part.size, &self->router, &error);
    return core_part_made(&self->part, opened, &error);
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
    {Py_tp_dealloc, core_part_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_router_spec = {"tinsmith._core.Router", sizeof(core_router), 0, Py_TPFLAGS_DEFAULT, slots};

/* ---- What sessions do with one ---- */

PyObject *core_session_state(core_session *self, PyObject *unused) {
    (void)unused;
    if (core_session_refuse_busy(self))
        return NULL;
    int64_t width = tin_session_state(self->session, NULL, 0);
    if (width < 0) {
        tin_error error = {.status = (tin_status)width,
                           .text = "there are no logits: append tokens and step first"};
        if (width == TIN_ERR_UNSUPPORTED)
            strncpy(error.text, "another runtime computed the logits, and gives no states",
                    sizeof error.text - 1);
        return core_raise(self->model->fault, &error);
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(width * (int64_t)sizeof(float)));
    if (bytes)
        tin_session_state(self->session, (float *)(void *)PyBytes_AsString(bytes), (size_t)width);
    return bytes;
}

PyObject *core_session_route(core_session *self, PyObject *given) {
    core_state *state = PyType_GetModuleState(Py_TYPE((PyObject *)self));
    if (!PyObject_TypeCheck(given, state->router_type))
        return PyErr_Format(PyExc_TypeError, "a router must be a tinsmith._core.Router");
    if (core_session_refuse_busy(self))
        return NULL;
    const tin_router *router = ((core_router *)given)->router;
    tin_router_info info;
    tin_router_describe(router, &info);
    PyObject *scores = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(info.rows * sizeof(float)));
    if (!scores)
        return NULL;
    tin_route route;
    tin_error error;
    if (tin_session_route(self->session, router, (float *)(void *)PyBytes_AsString(scores), &route, &error)) {
        Py_DECREF(scores);
        return core_raise(self->model->fault, &error);
    }
    return Py_BuildValue("(INffN)", route.task, PyBool_FromLong((long)route.taken), route.probability,
                         route.least, scores);
}
