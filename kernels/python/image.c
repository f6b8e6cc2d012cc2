/* Images: files to RGB, RGB to what a vision encoder reads. */
#include "module.h"

#include <string.h>

static PyObject *fault_of(PyObject *module) {
    core_state *state = PyModule_GetState(module);
    return state->fault;
}

/* A buffer that Python code may write to becomes a copy: it is read twice, without the interpreter's lock. 0, or -1 with an
 * exception and nothing left to release. */
static int keep_still(Py_buffer *file) {
    if (file->readonly)
        return 0;
    PyObject *copy = PyBytes_FromStringAndSize(file->buf, file->len);
    PyBuffer_Release(file);
    int status = copy ? PyObject_GetBuffer(copy, file, PyBUF_SIMPLE) : -1;
    Py_XDECREF(copy);
    return status;
}

/* (file, most) -> (width, height, RGB or None). */
static PyObject *image(PyObject *module, PyObject *args, int pixels) {
    Py_buffer file;
    unsigned long long most;
    tin_image_info info;
    tin_error error;
    if (!PyArg_ParseTuple(args, "y*O&:image", &file, core_uint64, &most) || keep_still(&file))
        return NULL;
    PyObject *rgb = NULL, *result = NULL;
    void *base = NULL, *memory = NULL;
    if (tin_image_look(file.buf, (size_t)file.len, most, &info, &error)) {
        core_raise(fault_of(module), &error);
    } else if (!pixels) {
        result = Py_BuildValue("(II)", info.width, info.height);
    } else if ((rgb = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)info.rgb)) &&
               (memory = core_aligned(info.memory, &base))) {
        uint8_t *to = (uint8_t *)PyBytes_AsString(rgb);
        tin_status status;
        Py_BEGIN_ALLOW_THREADS status =
            tin_image_read(file.buf, (size_t)file.len, memory, info.memory, to, info.rgb, &error);
        Py_END_ALLOW_THREADS result = status ? core_raise(fault_of(module), &error)
                                             : Py_BuildValue("(IIO)", info.width, info.height, rgb);
    }
    Py_XDECREF(rgb);
    PyMem_Free(base);
    PyBuffer_Release(&file);
    return result;
}

static PyObject *image_look(PyObject *module, PyObject *args) {
    return image(module, args, 0);
}

static PyObject *image_read(PyObject *module, PyObject *args) {
    return image(module, args, 1);
}

/* The rules in a buffer of just their size. 0, or -1 with ValueError. */
static int rules_of(const Py_buffer *given, tin_pixels_rules *rules) {
    if ((size_t)given->len != sizeof *rules) {
        PyErr_Format(PyExc_ValueError, "rules of %zd bytes; tin_pixels_rules has %zu", given->len,
                     sizeof *rules);
        return -1;
    }
    memcpy(rules, given->buf, sizeof *rules);
    return 0;
}

static PyObject *pixels_plan(PyObject *module, PyObject *args) {
    Py_buffer given;
    unsigned width, height;
    tin_pixels_rules rules;
    tin_pixels_plan plan;
    tin_error error;
    if (!PyArg_ParseTuple(args, "y*O&O&:pixels_plan", &given, core_uint32, &width, core_uint32, &height))
        return NULL;
    int wrong = rules_of(&given, &rules);
    PyBuffer_Release(&given);
    if (wrong)
        return NULL;
    if (tin_pixels_size(&rules, width, height, &plan, &error))
        return core_raise(fault_of(module), &error);
    PyObject *views = PyList_New(0);
    for (uint32_t k = 0; views && k < plan.count; k++) {
        const tin_pixels_view *view = plan.views + k;
        PyObject *item =
            view->across ? Py_BuildValue("(IIII)", view->width, view->height, view->across, view->down) : NULL;
        if (view->across && (!item || PyList_Append(views, item)))
            Py_CLEAR(views);
        Py_XDECREF(item);
    }
    return views ? Py_BuildValue("(IInN)", plan.rows, plan.columns, (Py_ssize_t)plan.memory, views) : NULL;
}

static PyObject *pixels(PyObject *module, PyObject *args) {
    Py_buffer given, rgb;
    unsigned width, height;
    Py_ssize_t stride;
    tin_pixels_rules rules;
    tin_pixels_plan plan;
    tin_error error;
    if (!PyArg_ParseTuple(args, "y*y*nO&O&:pixels", &given, &rgb, &stride, core_uint32, &width, core_uint32,
                          &height))
        return NULL;
    PyObject *made = NULL;
    void *base = NULL, *memory = NULL;
    int wrong = rules_of(&given, &rules);
    if (!wrong && tin_pixels_size(&rules, width, height, &plan, &error)) {
        core_raise(fault_of(module), &error);
    } else if (!wrong &&
               (stride < 0 || (uint64_t)rgb.len < (uint64_t)stride * (height - 1) + (uint64_t)width * 3)) {
        PyErr_Format(PyExc_ValueError, "%zd bytes of pixels; %u x %u of RGB in rows of %zd take more", rgb.len,
                     width, height, stride);
    } else if (!wrong && (memory = core_aligned(plan.memory, &base)) &&
               (made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)plan.rows * plan.columns * 4))) {
        float *rows = (float *)(void *)PyBytes_AsString(made);
        tin_status status;
        Py_BEGIN_ALLOW_THREADS status =
            tin_pixels_make(&rules, rgb.buf, (size_t)stride, width, height, memory, plan.memory, rows,
                            (size_t)plan.rows * plan.columns, &error);
        Py_END_ALLOW_THREADS if (status) {
            Py_CLEAR(made);
            core_raise(fault_of(module), &error);
        }
    }
    PyMem_Free(base);
    PyBuffer_Release(&rgb);
    PyBuffer_Release(&given);
    return made;
}

PyMethodDef core_image_functions[] = {
    {"image_look", image_look, METH_VARARGS,
     "image_look(file, most) -> (width, height), from the header of a PNG or JPEG file's bytes"},
    {"image_read", image_read, METH_VARARGS,
     "image_read(file, most) -> (width, height, RGB): the pixels, where they take at most that many bytes to "
     "read"},
    {"pixels_plan", pixels_plan, METH_VARARGS,
     "pixels_plan(rules, width, height) -> (rows, columns, memory, [(width, height, tiles across, down)])"},
    {"pixels", pixels, METH_VARARGS,
     "pixels(rules, rgb, stride, width, height) -> float32[rows][columns], the patches"},
    {NULL, NULL, 0, NULL},
};
