/* Weight blocks for the build side: whole tensors in, whole tensors out. */
#include "module.h"

#include "core/base/formats.h"
#include "core/base/quants.h"
#include "pack/layout.h"
#include "pack/pack.h"
#include "pack/values.h"

#include <string.h>

/* The format called `name`, or -1 with ValueError that lists those there are. */
static int format_id(const char *name) {
#define IS_NAMED(a, b, id, gguf, NAME, ...) \
    if (!strcmp(name, #NAME))               \
        return id;
    TIN_FORMATS(IS_NAMED, , )
#define A_NAME(a, b, id, gguf, NAME, ...) " " #NAME
    PyErr_Format(PyExc_ValueError, "unknown weight format '%s'; known:" TIN_FORMATS(A_NAME, , ), name);
    return -1;
}

typedef struct request {
    int format;
    Py_buffer data, extra; /* extra.obj is NULL when it was not given */
    unsigned rows, inputs;
} request;

static void release(request *r) {
    PyBuffer_Release(&r->data);
    if (r->extra.obj)
        PyBuffer_Release(&r->extra);
}

enum extra { A_ROW, AN_INPUT, A_PAIR }; /* of inputs */

/* Parses (format, data, rows, inputs, extra=None); extra must hold a 4-byte item for each of `kind`. */
static int parse(request *r, PyObject *args, PyObject *keywords, const char *extra_name, enum extra kind) {
    char *names[] = {"format", "data", "rows", "inputs", (char *)extra_name, NULL};
    const char *format;
    PyObject *extra = Py_None;
    r->extra.obj = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "sy*O&O&|O", names, &format, &r->data, core_uint32,
                                     &r->rows, core_uint32, &r->inputs, &extra))
        return -1;
    r->format = format_id(format);
    if (r->format < 0 || (extra != Py_None && PyObject_GetBuffer(extra, &r->extra, PyBUF_SIMPLE))) {
        release(r);
        return -1;
    }
    uint64_t items = kind == A_ROW ? r->rows : kind == AN_INPUT ? r->inputs : (uint64_t)r->inputs * r->inputs;
    if (r->extra.obj && (r->extra.len % 4 || (uint64_t)r->extra.len / 4 != items)) {
        PyErr_Format(PyExc_ValueError, "%s has %zd bytes; %llu items of 4 are needed", extra_name, r->extra.len,
                     (unsigned long long)items);
        release(r);
        return -1;
    }
    if (!tini_gguf_size(r->format, r->rows, r->inputs) || !tini_packed_size(r->format, r->rows, r->inputs) ||
        !tini_floats_size(r->rows, r->inputs)) {
        PyErr_Format(PyExc_ValueError, "%s has no blocks for %u x %u, or memory can't have as many", format,
                     r->rows, r->inputs);
        release(r);
        return -1;
    }
    return 0;
}

/* Checks the size of r->data; makes the result. On failure releases and returns NULL. */
static PyObject *result(request *r, size_t expected, size_t size) {
    if ((size_t)r->data.len != expected) {
        PyErr_Format(PyExc_ValueError, "data has %zd bytes; %u x %u take %zu", r->data.len, r->rows, r->inputs,
                     expected);
        release(r);
        return NULL;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!bytes)
        release(r);
    return bytes;
}

static int order_in_range(const request *r) {
    const uint32_t *order = r->extra.obj ? r->extra.buf : NULL;
    for (unsigned k = 0; order && k < r->rows; k++)
        if (order[k] >= r->rows) {
            PyErr_SetString(PyExc_ValueError, "row_order names a row that is not there");
            return 0;
        }
    return 1;
}

static PyObject *repack(PyObject *args, PyObject *keywords, int packing) {
    request r;
    if (parse(&r, args, keywords, "row_order", A_ROW))
        return NULL;
    if (!order_in_range(&r)) {
        release(&r);
        return NULL;
    }
    size_t gguf = tini_gguf_size(r.format, r.rows, r.inputs),
           packed = tini_packed_size(r.format, r.rows, r.inputs);
    PyObject *out = result(&r, packing ? gguf : packed, packing ? packed : gguf);
    if (!out)
        return NULL;
    uint8_t *to = (uint8_t *)PyBytes_AsString(out);
    const uint32_t *order = r.extra.obj ? r.extra.buf : NULL;
    Py_BEGIN_ALLOW_THREADS if (packing) tini_pack(r.format, to, r.data.buf, r.rows, r.inputs, order);
    else tini_unpack(r.format, to, r.data.buf, r.rows, r.inputs, order);
    Py_END_ALLOW_THREADS release(&r);
    return out;
}

static PyObject *pack(PyObject *module, PyObject *args, PyObject *keywords) {
    (void)module;
    return repack(args, keywords, 1);
}

static PyObject *unpack(PyObject *module, PyObject *args, PyObject *keywords) {
    (void)module;
    return repack(args, keywords, 0);
}

static PyObject *restate(PyObject *module, PyObject *args) {
    (void)module;
    request r = {.extra.obj = NULL};
    const char *to, *from;
    if (!PyArg_ParseTuple(args, "ssy*O&O&", &to, &from, &r.data, core_uint32, &r.rows, core_uint32, &r.inputs))
        return NULL;
    int wanted = format_id(to);
    r.format = wanted < 0 ? wanted : format_id(from);
    if (r.format < 0) {
        release(&r);
        return NULL;
    }
    PyObject *out =
        result(&r, tini_gguf_size(r.format, r.rows, r.inputs), tini_gguf_size(wanted, r.rows, r.inputs));
    if (!out)
        return NULL;
    uint8_t *at = (uint8_t *)PyBytes_AsString(out);
    int status;
    Py_BEGIN_ALLOW_THREADS status = tini_restate(wanted, at, r.format, r.data.buf, r.rows, r.inputs);
    Py_END_ALLOW_THREADS release(&r);
    if (status) {
        Py_DECREF(out);
        PyErr_Format(PyExc_ValueError, "%s does not hold these weights of %s", to, from);
        return NULL;
    }
    return out;
}

static PyObject *dequantize(PyObject *module, PyObject *args, PyObject *keywords) {
    (void)module;
    request r;
    if (parse(&r, args, keywords, "unused", AN_INPUT))
        return NULL;
    PyObject *out = result(&r, tini_gguf_size(r.format, r.rows, r.inputs), tini_floats_size(r.rows, r.inputs));
    if (!out)
        return NULL;
    float *to = (float *)(void *)PyBytes_AsString(out);
    Py_BEGIN_ALLOW_THREADS tini_dequantize(r.format, to, r.data.buf, r.rows, r.inputs);
    Py_END_ALLOW_THREADS release(&r);
    return out;
}

/* Whether the part lies in the matrix and `out` holds it; ValueError where not. */
static int part_fits(const request *r, const tini_part *part, Py_ssize_t out, int narrow) {
    const uint32_t block = tini_layout_of(r->format).inputs, left = r->inputs - part->column;
    uint64_t size = (uint64_t)part->rows * part->columns * (narrow ? 2 : 4);
    int inside = part->first <= r->rows && part->rows <= r->rows - part->first && part->column <= r->inputs &&
                 part->columns <= left && part->column % block == 0 && part->columns % block == 0;
    if (!inside || (uint64_t)out != size)
        PyErr_Format(PyExc_ValueError, "no such part of %u x %u, or out has other than its %llu bytes", r->rows,
                     r->inputs, (unsigned long long)size);
    return inside && (uint64_t)out == size;
}

static PyObject *values(PyObject *module, PyObject *args) {
    (void)module;
    request r = {.extra.obj = NULL};
    const char *format;
    PyObject *order;
    Py_buffer out;
    tini_part part;
    int narrow;
    if (!PyArg_ParseTuple(args, "sy*O&O&Ow*pO&O&O&O&", &format, &r.data, core_uint32, &r.rows, core_uint32,
                          &r.inputs, &order, &out, &narrow, core_uint32, &part.first, core_uint32, &part.rows,
                          core_uint32, &part.column, core_uint32, &part.columns))
        return NULL;
    r.format = format_id(format);
    int fits = r.format >= 0 && (order == Py_None || !PyObject_GetBuffer(order, &r.extra, PyBUF_SIMPLE));
    if (fits && (!tini_gguf_size(r.format, r.rows, r.inputs) ||
                 (size_t)r.data.len != tini_gguf_size(r.format, r.rows, r.inputs) ||
                 (r.extra.obj && (uint64_t)r.extra.len != (uint64_t)r.rows * 4))) {
        PyErr_Format(PyExc_ValueError, "data or order have another size than %u x %u in %s", r.rows, r.inputs,
                     format);
        fits = 0;
    }
    if (fits && part_fits(&r, &part, out.len, narrow) && order_in_range(&r)) {
        part.order = r.extra.obj ? r.extra.buf : NULL;
        Py_BEGIN_ALLOW_THREADS tini_values(r.format, out.buf, narrow, r.data.buf, r.inputs, &part);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&out);
    release(&r);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *block_layout(PyObject *module, PyObject *name) {
    (void)module;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    int format = text ? format_id(text) : -1;
    if (format < 0)
        return NULL;
    const tini_layout at = tini_layout_of(format);
    const tini_kind kind = tini_kind_of(format);
    return Py_BuildValue("{sIsIsIsIs(III)s(III)sisBsIsy#}", "halves", at.halves, "half_bytes", kind.halves,
                         "scales", at.scales, "scale_bytes", kind.scales, "low", at.low.at, kind.low,
                         at.low.stride, "high", at.high.at, kind.high, at.high.stride, "offset", kind.offset,
                         "flip", at.flip, "words", kind.words, "codes", kind.codes,
                         (Py_ssize_t)(kind.codes ? 16 : 0));
}

static PyObject *quantize(PyObject *module, PyObject *args, PyObject *keywords) {
    (void)module;
    request r;
    if (parse(&r, args, keywords, "importance", AN_INPUT))
        return NULL;
    PyObject *out = result(&r, tini_floats_size(r.rows, r.inputs), tini_gguf_size(r.format, r.rows, r.inputs));
    if (!out)
        return NULL;
    uint8_t *to = (uint8_t *)PyBytes_AsString(out);
    const float *importance = r.extra.obj ? r.extra.buf : NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS status = tini_quantize(r.format, to, r.data.buf, r.rows, r.inputs, importance);
    Py_END_ALLOW_THREADS release(&r);
    if (status) {
        Py_DECREF(out);
        PyErr_SetString(PyExc_ValueError, "a weight is not finite, or too large for it");
        return NULL;
    }
    return out;
}

static PyObject *quantize_feedback(PyObject *module, PyObject *args, PyObject *keywords) {
    (void)module;
    request r;
    if (parse(&r, args, keywords, "factor", A_PAIR))
        return NULL;
    size_t size = tini_floats_size(r.rows, r.inputs), cost = tini_floats_size(1, r.inputs);
    PyObject *out = result(&r, size, tini_gguf_size(r.format, r.rows, r.inputs));
    if (!out)
        return NULL;
    float *x = r.extra.obj ? PyMem_Malloc(size + cost) : NULL;
    if (!x) {
        if (r.extra.obj)
            PyErr_NoMemory();
        else
            PyErr_SetString(PyExc_ValueError, "factor is missing");
        Py_DECREF(out);
        release(&r);
        return NULL;
    }
    uint8_t *to = (uint8_t *)PyBytes_AsString(out);
    int status;
    Py_BEGIN_ALLOW_THREADS memcpy(x, r.data.buf, size);
    status =
        tini_quantize_feedback(r.format, to, x, r.rows, r.inputs, r.extra.buf, x + (size_t)r.rows * r.inputs);
    Py_END_ALLOW_THREADS PyMem_Free(x);
    release(&r);
    if (status) {
        Py_DECREF(out);
        PyErr_SetString(PyExc_ValueError, status == -3 ? "the factor's diagonal is not above 0"
                                                       : "a weight is not finite, or too large for it");
        return NULL;
    }
    return out;
}

PyMethodDef core_block_functions[] = {
    {"pack", (PyCFunction)(void (*)(void))pack, METH_VARARGS | METH_KEYWORDS,
     "pack(format, data, rows, inputs, row_order=None) -> tiles; packed row k is source row row_order[k] "
     "(uint32)"},
    {"unpack", (PyCFunction)(void (*)(void))unpack, METH_VARARGS | METH_KEYWORDS,
     "unpack(format, tiles, rows, inputs, row_order=None) -> GGUF rows: the inverse of pack"},
    {"dequantize", (PyCFunction)(void (*)(void))dequantize, METH_VARARGS | METH_KEYWORDS,
     "dequantize(format, data, rows, inputs) -> float32 bytes [rows][inputs]"},
    {"restate", restate, METH_VARARGS,
     "restate(to, format, data, rows, inputs) -> the rows in another format whose blocks can hold the same "
     "weights"},
    {"block_layout", block_layout, METH_O,
     "block_layout(format) -> where a GGUF block's parts are, in bytes: halves, scales; planes as (byte, bits, "
     "stride); what is taken off the numbers, and before that XORed onto them; the values they name, if any"},
    {"values", values, METH_VARARGS,
     "values(format, data, rows, inputs, order, out, narrow, first, rows, column, columns): writes the values "
     "of a part of "
     "GGUF rows to a buffer, float32 or where narrow bfloat16; order: uint32 [rows] or None, row k is data's "
     "row "
     "order[k]"},
    {"quantize", (PyCFunction)(void (*)(void))quantize, METH_VARARGS | METH_KEYWORDS,
     "quantize(format, float32 data, rows, inputs, importance=None) -> GGUF rows; importance: float32 "
     "[inputs]"},
    {"quantize_feedback", (PyCFunction)(void (*)(void))quantize_feedback, METH_VARARGS | METH_KEYWORDS,
     "quantize_feedback(format, float32 data, rows, inputs, factor) -> GGUF rows with error feedback; factor: "
     "float32 [inputs][inputs], the upper U of U^T U = H^-1"},
    {NULL, NULL, 0, NULL},
};
