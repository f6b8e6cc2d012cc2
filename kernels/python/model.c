#include "module.h"

#include "core/text/tokenizer.h"
#include "core/vision/vision_test.h"

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"image", "isa", NULL};
    PyObject *image;
    const char *isa = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O|z:Model", names, &image, &isa))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    core_model *self = (core_model *)alloc(type, 0);
    if (!self)
        return NULL;
    core_state *state = PyType_GetModuleState(type);
    self->fault = Py_NewRef(state->fault);
    if (PyObject_GetBuffer(image, &self->image, PyBUF_SIMPLE))
        goto failed;
    tin_error error;
    size_t size = tin_model_size(self->image.buf, (size_t)self->image.len, &error);
    if (!size) {
        core_raise(self->fault, &error);
        goto failed;
    }
    void *block = core_aligned(size, &self->memory);
    if (!block)
        goto failed;
    if (tin_model_create(self->image.buf, (size_t)self->image.len, isa, block, size, &self->model, &error)) {
        core_raise(self->fault, &error);
        goto failed;
    }
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void model_dealloc(core_model *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyMem_Free(self->memory);
    if (self->image.obj)
        PyBuffer_Release(&self->image);
    Py_CLEAR(self->fault);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *model_info(core_model *self, PyObject *unused) {
    (void)unused;
    tin_model_info info;
    tin_model_describe(self->model, &info);
    return Py_BuildValue("{s:I,s:I,s:I,s:I,s:K,s:K,s:K,s:K,s:i,s:i,s:K,s:s,s:I}", "vocab", info.vocab,
                         "context", info.context, "chunk", info.chunk, "layers", info.layers, "weight_bytes",
                         (unsigned long long)info.weight_bytes, "arena_bytes",
                         (unsigned long long)info.arena_bytes, "kv_bytes", (unsigned long long)info.kv_bytes,
                         "state_bytes", (unsigned long long)info.state_bytes, "bos", info.bos, "eos", info.eos,
                         "fingerprint", (unsigned long long)info.fingerprint, "isa", info.isa, "dim", info.dim);
}

static PyObject *model_entry(core_model *self, PyObject *name) {
    PyObject *utf8 = PyUnicode_AsUTF8String(name);
    if (!utf8)
        return NULL;
    const void *data;
    size_t size;
    tin_status status = tin_model_entry(self->model, PyBytes_AsString(utf8), &data, &size);
    Py_DECREF(utf8);
    if (status) {
        PyErr_SetObject(PyExc_KeyError, name);
        return NULL;
    }
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
}

static PyObject *model_tokenize(core_model *self, PyObject *args) {
    Py_buffer text;
    unsigned flags = 0;
    if (!PyArg_ParseTuple(args, "s*|O&:tokenize", &text, core_uint32, &flags))
        return NULL;
    PyObject *list = NULL;
    size_t length = (size_t)text.len;
    if (length > TINI_TEXT_MAX) { /* before memory is asked for */
        PyBuffer_Release(&text);
        tin_error error = {.status = TIN_ERR_ARGUMENT,
                           .text = "a text of more than 64 MiB; cut it into several"};
        return core_raise(self->fault, &error);
    }
    /* Normalized text may be longer; room for bos, and a space before each text. */
    size_t capacity = 3 * length + 2;
    size_t scratch_size = tin_tokenize_scratch(self->model, length);
    void *scratch_base, *scratch = core_aligned(scratch_size, &scratch_base);
    int32_t *tokens = scratch ? PyMem_Malloc(capacity * sizeof *tokens) : NULL;
    if (tokens) {
        int64_t count;
        Py_BEGIN_ALLOW_THREADS count =
            tin_tokenize(self->model, text.buf, length, flags, tokens, capacity, scratch, scratch_size);
        Py_END_ALLOW_THREADS if (count < 0) {
            tin_error error = {.status = (tin_status)count, .text = "the text can't be tokenized"};
            core_raise(self->fault, &error);
        }
        else {
            list = core_token_list(tokens, count);
        }
        PyMem_Free(tokens);
    } else if (scratch) {
        PyErr_NoMemory();
    }
    PyMem_Free(scratch_base);
    PyBuffer_Release(&text);
    return list;
}

/* A list of (role, content) as messages, whose contents are those of the list's bytes; NULL: an exception is set. */
static tin_message *message_array(PyObject *list, Py_ssize_t count) {
    tin_message *messages = PyMem_Calloc((size_t)count + 1, sizeof *messages);
    if (!messages)
        PyErr_NoMemory();
    for (Py_ssize_t k = 0; messages && k < count; k++) {
        unsigned role;
        Py_ssize_t length;
        PyObject *pair = PyList_GetItem(list, k);
        if (!PyTuple_Check(pair)) {
            PyErr_SetString(PyExc_TypeError, "a message is a tuple (role, content)");
        } else if (PyArg_ParseTuple(pair, "O&y#:message", core_uint32, &role, &messages[k].content, &length)) {
            messages[k].role = role;
            messages[k].length = (size_t)length;
            continue;
        }
        PyMem_Free(messages);
        messages = NULL;
    }
    return messages;
}

/* turns: of another chat template than the model's, or nothing. */
static PyObject *chat_tokens(core_model *self, const tin_message *messages, uint32_t count, uint32_t flags,
                             const Py_buffer *turns) {
    tin_error error;
    const void *data = turns->buf;
    size_t size = (size_t)turns->len, capacity = 0, scratch_size;
    Py_BEGIN_ALLOW_THREADS scratch_size =
        tin_template_scratch(self->model, data, size, messages, count, &error);
    Py_END_ALLOW_THREADS if (!scratch_size) return core_raise(self->fault, &error);
    void *scratch_base, *scratch = core_aligned(scratch_size, &scratch_base);
    if (!scratch)
        return NULL;
    int32_t *tokens = NULL;
    PyObject *list = NULL;
    int64_t made;
    Py_BEGIN_ALLOW_THREADS made = tin_template_chat(self->model, data, size, messages, count, flags, NULL, 0,
                                                    scratch, scratch_size, &error);
    Py_END_ALLOW_THREADS if (made >= 0) {
        capacity = (size_t)made;
        tokens = PyMem_Malloc(capacity * sizeof *tokens + 1);
        if (tokens) {
            Py_BEGIN_ALLOW_THREADS made = tin_template_chat(self->model, data, size, messages, count, flags,
                                                            tokens, capacity, scratch, scratch_size, &error);
            Py_END_ALLOW_THREADS
        } else {
            PyErr_NoMemory();
        }
    }
    if (made < 0)
        core_raise(self->fault, &error);
    else if (tokens)
        list = core_token_list(tokens, made);
    PyMem_Free(tokens);
    PyMem_Free(scratch_base);
    return list;
}

static PyObject *model_chat(core_model *self, PyObject *args) {
    PyObject *list;
    unsigned flags = 0;
    Py_buffer turns = {0};
    if (!PyArg_ParseTuple(args, "O!|O&z*:chat", &PyList_Type, &list, core_uint32, &flags, &turns))
        return NULL;
    list = PySequence_List(list); /* one that no other thread changes meanwhile */
    Py_ssize_t count = list ? PyList_Size(list) : 0;
    tin_message *messages = list ? message_array(list, count) : NULL;
    PyObject *tokens = messages ? chat_tokens(self, messages, (uint32_t)count, flags, &turns) : NULL;
    if (turns.obj)
        PyBuffer_Release(&turns);
    PyMem_Free(messages);
    Py_XDECREF(list);
    return tokens;
}

static PyObject *model_token(core_model *self, PyObject *args) {
    int id;
    if (!PyArg_ParseTuple(args, "i:token", &id))
        return NULL;
    uint32_t length;
    int control;
    const char *text = tin_token_text(self->model, id, &length, &control);
    if (!text)
        return PyErr_Format(PyExc_IndexError, "token %d is not in the vocabulary", id);
    return Py_BuildValue("(y#NN)", text, (Py_ssize_t)length, PyBool_FromLong(control),
                         PyBool_FromLong(tin_token_is_end(self->model, id)));
}

static PyObject *model_vision_test(core_model *self, PyObject *given) {
    Py_buffer test;
    if (PyObject_GetBuffer(given, &test, PyBUF_SIMPLE))
        return NULL;
    uint8_t digest[TINI_VISION_TEST_DIGEST];
    tin_error error;
    PyObject *made = NULL;
    void *base = NULL;
    size_t size = tini_vision_test_size(self->model, test.buf, (size_t)test.len, &error);
    void *memory = size ? core_aligned(size, &base) : NULL;
    if (memory) {
        tin_status status;
        Py_BEGIN_ALLOW_THREADS status =
            tini_vision_test_digest(self->model, test.buf, (size_t)test.len, memory, size, digest, &error);
        Py_END_ALLOW_THREADS made =
            status ? core_raise(self->fault, &error)
                   : Py_BuildValue("(ny#)", (Py_ssize_t)size, digest, (Py_ssize_t)sizeof digest);
    } else if (!size) {
        core_raise(self->fault, &error);
    }
    PyMem_Free(base);
    PyBuffer_Release(&test);
    return made;
}

static PyMethodDef methods[] = {
    {"info", (PyCFunction)model_info, METH_NOARGS, "The fields of tin_model_info as a dict."},
    {"entry", (PyCFunction)model_entry, METH_O, "A named entry's bytes; KeyError when the tin has none."},
    {"tokenize", (PyCFunction)model_tokenize, METH_VARARGS,
     "tokenize(text: str | bytes, flags=0) -> list of ids"},
    {"chat", (PyCFunction)model_chat, METH_VARARGS,
     "chat(messages: list of (role, bytes), flags=0, turns=None) -> list of ids"},
    {"vision_test", (PyCFunction)model_vision_test, METH_O,
     "vision_test(test: buffer) -> (memory, SHA-256): vision/selftest.bin, which need not be the tin's: the "
     "bytes "
     "that it "
     "works in, and the digest of its logits here"},
    {"token", (PyCFunction)model_token, METH_VARARGS, "token(id) -> (bytes, is control, ends a generation)"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Model(image, isa=None): a checked tin image (a buffer aligned to ALIGNMENT, kept alive)."},
    {Py_tp_new, model_new},
    {Py_tp_dealloc, model_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec core_model_spec = {"tinsmith._core.Model", sizeof(core_model), 0, Py_TPFLAGS_DEFAULT, slots};
