#include "module.h"

#include "writer/trie.h"
#include "writer/vocabulary.h"

#include <string.h>

static PyObject *constraint_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"model", "data", "depth", "masks", NULL};
    core_state *state = PyType_GetModuleState(type);
    PyObject *model, *data;
    unsigned depth = 0, masks = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O|O&O&:Constraint", names, state->model_type, &model,
                                     &data, core_uint32, &depth, core_uint32, &masks))
        return NULL;
    core_constraint *self = (core_constraint *)core_part_new(type, model, data);
    if (!self)
        return NULL;
    const tin_model *core = self->part.model->model;
    const void *bytes = self->part.data.buf;
    size_t length = (size_t)self->part.data.len;
    tin_error error;
    tin_constraint_options options = {.depth = depth, .masks = masks};
    self->part.size = tin_constraint_size(core, bytes, length, &options, &error);
    void *block = core_part_block(&self->part);
    int opened = block && !tin_constraint_create(core, bytes, length, &options, block, self->part.size,
                                                 &self->constraint, &error);
    return core_part_made(&self->part, opened, &error);
}

int core_constraint_refuse_busy(const core_constraint *self) {
    if (!self->busy)
        return 0;
    PyErr_SetString(PyExc_RuntimeError,
                    "the constraint is in use by another thread; give each session its own");
    return -1;
}

static PyObject *constraint_begin(core_constraint *self, PyObject *args) {
    const char *prefix = "";
    Py_ssize_t length = 0;
    if (!PyArg_ParseTuple(args, "|y#:begin", &prefix, &length) || core_constraint_refuse_busy(self))
        return NULL;
    tin_error error;
    if (tin_constraint_begin(self->constraint, prefix, (size_t)length, &error))
        return core_raise(self->part.model->fault, &error);
    Py_RETURN_NONE;
}

static size_t mask_size(const core_constraint *self) {
    tin_model_info info;
    tin_model_describe(self->part.model->model, &info);
    return (info.vocab + 31) / 32 * sizeof(uint32_t);
}

static PyObject *constraint_mask(core_constraint *self, PyObject *args) {
    unsigned left = 0;
    if (!PyArg_ParseTuple(args, "|O&:mask", core_uint32, &left) || core_constraint_refuse_busy(self))
        return NULL;
    const uint32_t *mask;
    tin_error error;
    if (tin_constraint_mask(self->constraint, left, &mask, &error))
        return core_raise(self->part.model->fault, &error);
    return PyBytes_FromStringAndSize((const char *)mask, (Py_ssize_t)mask_size(self));
}

static PyObject *constraint_mask_into(core_constraint *self, PyObject *args) {
    unsigned left = 0;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "w*|O&:mask_into", &out, core_uint32, &left))
        return NULL;
    size_t size = mask_size(self);
    int done = 0;
    if ((size_t)out.len < size) {
        PyErr_Format(PyExc_ValueError, "the buffer has %zd bytes; a mask has %zu", out.len, size);
    } else if (!core_constraint_refuse_busy(self)) {
        const uint32_t *mask;
        tin_error error;
        if (tin_constraint_mask(self->constraint, left, &mask, &error)) {
            core_raise(self->part.model->fault, &error);
        } else {
            memcpy(out.buf, mask, size);
            done = 1;
        }
    }
    PyBuffer_Release(&out);
    if (!done)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *constraint_accept(core_constraint *self, PyObject *args) {
    int token;
    if (!PyArg_ParseTuple(args, "i:accept", &token) || core_constraint_refuse_busy(self))
        return NULL;
    tin_error error;
    if (tin_constraint_accept(self->constraint, token, &error))
        return core_raise(self->part.model->fault, &error);
    Py_RETURN_NONE;
}

enum { FORCED = 600 };

static PyObject *constraint_forced(core_constraint *self, PyObject *args) {
    PyObject *list = NULL, *before = NULL;
    unsigned left = 0;
    if (!PyArg_ParseTuple(args, "|OO&:forced", &before, core_uint32, &left))
        return NULL;
    PyObject *none = before ? NULL : PyTuple_New(0);
    uint32_t count;
    int32_t *ids = before || none ? core_token_ids(before ? before : none, FORCED, &count) : NULL;
    Py_XDECREF(none);
    if (!ids || core_constraint_refuse_busy(self))
        goto done;
    int64_t made = tin_constraint_forced(self->constraint, ids, count, left, ids + count, FORCED);
    list = core_token_list(ids + count, made);
done:
    PyMem_Free(ids);
    return list;
}

static PyObject *constraint_state(core_constraint *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromLong(tin_constraint_state(self->constraint));
}

static PyObject *constraint_size(core_constraint *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromSize_t(self->part.size);
}

static PyMethodDef methods[] = {
    {"begin", (PyCFunction)constraint_begin, METH_VARARGS,
     "begin(prefix=b''): back to the beginning; prefix is text before what the constraint says"},
    {"mask", (PyCFunction)constraint_mask, METH_VARARGS,
     "mask(left=0) -> bytes, one bit a token: those that may come, with `left` tokens to end in"},
    {"mask_into", (PyCFunction)constraint_mask_into, METH_VARARGS,
     "mask_into(buffer, left=0): as mask, without making bytes"},
    {"accept", (PyCFunction)constraint_accept, METH_VARARGS, "accept(token): goes on by a token"},
    {"forced", (PyCFunction)constraint_forced, METH_VARARGS,
     "forced(before=(), left=0) -> ids that must come next, as the tokenizer would cut them after `before`; "
     "left as of mask"},
    {"state", (PyCFunction)constraint_state, METH_NOARGS, "state() -> CONSTRAINT_OPEN, MAY_END or MUST_END"},
    {"size", (PyCFunction)constraint_size, METH_NOARGS, "size() -> bytes of the constraint's memory block"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
     "Constraint(model, data, depth=0, masks=0): where an answer stands in a constraint.bin; 0 takes "
     "what the constraint needs."},
    {Py_tp_new, constraint_new},
    {Py_tp_dealloc, core_part_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_constraint_spec = {"tinsmith._core.Constraint", sizeof(core_constraint), 0, Py_TPFLAGS_DEFAULT,
                                    slots};

/* ---- trie.bin --------------------------------------------------------------------------------------------- */

static PyObject *trie_bytes(const tini_tokenizer *tokenizer, tini_trie_entry *entries) {
    uint32_t count = tini_trie_sort(tokenizer, entries, entries + tokenizer->header->vocab);
    size_t size = tini_trie_write(tokenizer, entries, count, NULL);
    if (!size) {
        PyErr_SetString(PyExc_ValueError, "the vocabulary is too large for a trie.bin");
        return NULL;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (bytes)
        tini_trie_write(tokenizer, entries, count, (uint8_t *)PyBytes_AsString(bytes));
    return bytes;
}

static PyObject *make_trie(PyObject *module, PyObject *data) {
    core_state *state = PyModule_GetState(module);
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE))
        return NULL;
    tin_error error;
    tini_tokenizer tokenizer;
    PyObject *bytes = NULL;
    if (tini_tokenizer_open(&tokenizer, view.buf, (size_t)view.len, &error)) {
        core_raise(state->fault, &error);
    } else {
        tini_trie_entry *entries = PyMem_Malloc(2 * sizeof *entries * (size_t)tokenizer.header->vocab);
        bytes = entries ? trie_bytes(&tokenizer, entries) : PyErr_NoMemory();
        PyMem_Free(entries);
    }
    PyBuffer_Release(&view);
    return bytes;
}

/* ---- tokenizer.bin ---------------------------------------------------------------------------------------- */

static PyObject *index_tokenizer(PyObject *module, PyObject *args) {
    core_state *state = PyModule_GetState(module);
    Py_buffer data, is_text;
    int all;
    if (!PyArg_ParseTuple(args, "y*py*:index_tokenizer", &data, &all, &is_text))
        return NULL;
    size_t size = (size_t)data.len, words = tini_vocabulary_words(data.buf, size) * sizeof(uint32_t);
    PyObject *bytes = PyBytes_FromStringAndSize(data.buf, data.len);
    void *memory = PyMem_Malloc(words + 1);
    const tini_tokenizer_header *h = data.buf;
    tin_error error;
    if (!bytes || !memory) {
        PyErr_NoMemory();
        Py_CLEAR(bytes);
    } else if (size >= sizeof *h && (size_t)is_text.len != h->vocab) {
        PyErr_SetString(PyExc_ValueError, "index_tokenizer: one byte a token is wanted");
        Py_CLEAR(bytes);
    } else if (tini_vocabulary_index((uint8_t *)PyBytes_AsString(bytes), size, all, is_text.buf, memory,
                                     &error)) {
        core_raise(state->fault, &error);
        Py_CLEAR(bytes);
    }
    PyMem_Free(memory);
    PyBuffer_Release(&data);
    PyBuffer_Release(&is_text);
    return bytes;
}

PyMethodDef core_constraint_functions[] = {
    {"index_tokenizer", index_tokenizer, METH_VARARGS,
     "index_tokenizer(tokenizer.bin, all, is_text) -> tokenizer.bin with its hashes and marks"},
    {"make_trie", make_trie, METH_O, "make_trie(tokenizer.bin) -> trie.bin"},
    {NULL, NULL, 0, NULL},
};
