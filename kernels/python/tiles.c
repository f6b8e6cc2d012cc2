/* Tokens of a session with images among them: given as (at, count, columns, digest, rows or None), tin_embedded's fields. */
#include "module.h"

#include <string.h>

/* What was given: ids, and images whose rows are held by views. */
typedef struct prompt {
    int32_t *ids;
    tin_embedded *tiles;
    Py_buffer *views; /* [image_count]; obj NULL where there are no rows */
    PyObject *tuple;  /* a tuple of the images */
    uint32_t count, tile_count;
} prompt;

static void drop_prompt(prompt *p) {
    for (uint32_t k = 0; p->views && k < p->tile_count; k++)
        if (p->views[k].obj)
            PyBuffer_Release(&p->views[k]);
    PyMem_Free(p->views);
    PyMem_Free(p->tiles);
    PyMem_Free(p->ids);
    Py_XDECREF(p->tuple);
}

/* 0, or -1 with an exception. */
static int read_tile(const core_session *self, prompt *p, uint32_t k) {
    tin_embedded *tile = &p->tiles[k];
    PyObject *given = PyTuple_GetItem(p->tuple, k), *rows;
    const char *digest;
    Py_ssize_t length;
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "an image is a tuple (at, count, columns, digest, rows or None)");
        return -1;
    }
    unsigned at, count, columns;
    if (!PyArg_ParseTuple(given, "O&O&O&y#O:image", core_uint32, &at, core_uint32, &count, core_uint32,
                          &columns, &digest, &length, &rows))
        return -1;
    *tile = (tin_embedded){.at = at, .count = count, .columns = columns};
    if (length != sizeof tile->digest) {
        PyErr_Format(PyExc_ValueError, "a digest of %zd bytes; an image's has %zu", length,
                     sizeof tile->digest);
        return -1;
    }
    memcpy(tile->digest, digest, sizeof tile->digest);
    if (rows == Py_None)
        return 0;
    if (PyObject_GetBuffer(rows, &p->views[k], PyBUF_SIMPLE))
        return -1;
    tin_model_info info;
    tin_model_describe(self->model->model, &info);
    size_t due = (size_t)tile->count * info.dim * sizeof(float);
    if ((size_t)p->views[k].len != due || (uintptr_t)p->views[k].buf % sizeof(float)) {
        PyErr_Format(PyExc_ValueError, "%zd bytes of rows; %u rows of %u floats take %zu", p->views[k].len,
                     tile->count, info.dim, due);
        return -1;
    }
    tile->rows = p->views[k].buf;
    return 0;
}

/* 0, or -1 with an exception and nothing to drop. Runs Python code, and so other threads. */
static int read_prompt(const core_session *self, PyObject *args, const char *format, prompt *p) {
    PyObject *tokens, *tiles = NULL;
    *p = (prompt){0};
    if (!PyArg_ParseTuple(args, format, &tokens, &tiles))
        return -1;
    p->ids = core_token_ids(tokens, 0, &p->count);
    p->tuple = p->ids && tiles ? PySequence_Tuple(tiles) : NULL;
    Py_ssize_t length = p->tuple ? PyTuple_Size(p->tuple) : 0;
    if (!p->ids || (tiles && !p->tuple) || (length && self->compute)) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a session that is computed elsewhere takes no images");
        drop_prompt(p);
        return -1;
    }
    p->tiles = PyMem_Calloc((size_t)length + 1, sizeof *p->tiles);
    p->views = PyMem_Calloc((size_t)length + 1, sizeof *p->views);
    p->tile_count = (uint32_t)length;
    int failed = !p->tiles || !p->views;
    if (failed)
        PyErr_NoMemory();
    for (uint32_t k = 0; !failed && k < p->tile_count; k++)
        failed = read_tile(self, p, k);
    if (failed)
        drop_prompt(p);
    return failed ? -1 : 0;
}

typedef tin_status take_prompt(tin_session *, const int32_t *, uint32_t, const tin_embedded *, uint32_t,
                               tin_error *);

static PyObject *give_prompt(core_session *self, PyObject *args, const char *format, take_prompt *take) {
    prompt p;
    if (read_prompt(self, args, format, &p))
        return NULL;
    tin_error error;
    tin_status status = TIN_OK;
    int busy = core_session_refuse_busy(self);
    if (!busy)
        status = take(self->session, p.ids, p.count, p.tiles, p.tile_count, &error);
    drop_prompt(&p);
    if (busy)
        return NULL;
    if (status)
        return core_raise(self->model->fault, &error);
    Py_RETURN_NONE;
}

PyObject *core_session_append(core_session *self, PyObject *args) {
    return give_prompt(self, args, "O|O:append", tin_session_append_embedded);
}

PyObject *core_session_replace(core_session *self, PyObject *args) {
    return give_prompt(self, args, "O|O:replace", tin_session_replace_embedded);
}

PyObject *core_session_shared(core_session *self, PyObject *args) {
    prompt p;
    if (read_prompt(self, args, "O|O:shared", &p))
        return NULL;
    uint32_t same = tin_session_shared(self->session, p.ids, p.count, p.tiles, p.tile_count);
    drop_prompt(&p);
    return PyLong_FromUnsignedLong(same);
}

PyObject *core_session_tiles(core_session *self, PyObject *unused) {
    (void)unused;
    PyObject *list = PyList_New(0);
    tin_embedded tile;
    for (uint32_t k = 0; list && tin_session_embedded(self->session, k, &tile); k++) {
        PyObject *one = Py_BuildValue("(IIIy#)", tile.at, tile.count, tile.columns, (const char *)tile.digest,
                                      (Py_ssize_t)sizeof tile.digest);
        if (!one || PyList_Append(list, one))
            Py_CLEAR(list);
        Py_XDECREF(one);
    }
    return list;
}
