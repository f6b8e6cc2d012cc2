/* Training's functions: numpy's or torch's memory in and out. */
#include "module.h"

#include "train/attention.h"
#include "train/convolution.h"
#include "train/rows.h"

#include <string.h>

enum { AT_MOST = 8 }; /* buffers of a call */

typedef struct attend_call {
    tini_packed_row row;
    uint32_t first, end;
    Py_buffer buffers[AT_MOST], together; /* spans, then floats */
    void *memory;
} attend_call;

static void end_call(attend_call *c) {
    for (int k = 0; k < AT_MOST; k++)
        PyBuffer_Release(&c->buffers[k]);
    PyBuffer_Release(&c->together);
    PyMem_Free(c->memory);
}

static int spans_fit(const attend_call *c) {
    const tini_packed_row *row = &c->row;
    for (uint32_t s = 0; s < row->sequences; s++) {
        uint32_t begin = row->spans[2 * s], end = row->spans[2 * s + 1];
        if (begin > end || end > row->rows || (begin < row->shared && end > row->shared))
            return 0;
    }
    return 1;
}

static int together_fits(const attend_call *c) {
    const tini_packed_row *row = &c->row;
    if (row->together && (uint64_t)c->together.len != (uint64_t)row->rows * 8)
        return 0;
    for (uint32_t s = 0; row->together && s < row->sequences; s++)
        for (uint32_t r = row->spans[2 * s]; r < row->spans[2 * s + 1]; r++) {
            uint32_t begin = row->together[2 * (size_t)r], end = row->together[2 * (size_t)r + 1];
            if (begin > r || end <= r || begin < row->spans[2 * s] || end > row->spans[2 * s + 1])
                return 0;
        }
    return 1;
}

static int widths_fit(const tini_packed_row *row) {
    return row->groups && row->heads % row->groups == 0 && row->heads <= 1024 && row->width &&
           row->width <= 1024 && row->shared <= row->rows;
}

/* Checks sizes: buffer k + 1 holds floats[k] float32; finds the memory. 0, or -1 with an exception. */
static int prepare(attend_call *c, const uint64_t *floats, int count) {
    tini_packed_row *row = &c->row;
    row->spans = c->buffers[0].buf;
    row->sequences = (uint32_t)(c->buffers[0].len / 8);
    row->together = c->together.len ? c->together.buf : NULL;
    int fits =
        widths_fit(row) && spans_fit(c) && together_fits(c) && c->first <= c->end && c->end <= row->sequences;
    for (int k = 0; k < count; k++)
        fits = fits && (uint64_t)c->buffers[k + 1].len == floats[k] * sizeof(float);
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "attention's buffers, spans and sizes don't agree");
        return -1;
    }
    c->memory = PyMem_Malloc(tini_attend_memory(row));
    return c->memory ? 0 : (PyErr_NoMemory(), -1);
}

/* For "O&": the tuple that says what a packed row is. */
static int packed_row(PyObject *given, void *to) {
    tini_packed_row *row = to;
    return PyArg_ParseTuple(given, "O&O&O&O&O&O&O&ff", core_uint32, &row->rows, core_uint32, &row->heads,
                            core_uint32, &row->groups, core_uint32, &row->width, core_uint32, &row->shared,
                            core_uint32, &row->window, core_uint32, &row->passed_over, &row->scale, &row->cap);
}

static PyObject *attend(PyObject *module, PyObject *args) {
    (void)module;
    attend_call c = {0};
    tini_packed_row *row = &c.row;
    if (!PyArg_ParseTuple(args, "O&O&O&y*y*y*y*y*w*", packed_row, row, core_uint32, &c.first, core_uint32,
                          &c.end, &c.buffers[0], &c.together, &c.buffers[1], &c.buffers[2], &c.buffers[3],
                          &c.buffers[4]))
        return NULL;
    const uint64_t heads = (uint64_t)row->rows * row->heads * row->width,
                   groups = (uint64_t)row->rows * row->groups * row->width,
                   floats[] = {heads, groups, groups, heads};
    if (!prepare(&c, floats, 4)) {
        const tini_packed_inputs in = {c.buffers[1].buf, c.buffers[2].buf, c.buffers[3].buf};
        Py_BEGIN_ALLOW_THREADS tini_attend(row, &in, c.buffers[4].buf, c.first, c.end, c.memory);
        Py_END_ALLOW_THREADS
    }
    end_call(&c);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *attend_back(PyObject *module, PyObject *args) {
    (void)module;
    attend_call c = {0};
    tini_packed_row *row = &c.row;
    Py_buffer early;
    if (!PyArg_ParseTuple(args, "O&O&O&y*y*y*y*y*y*w*w*w*w*", packed_row, row, core_uint32, &c.first,
                          core_uint32, &c.end, &c.buffers[0], &c.together, &c.buffers[1], &c.buffers[2],
                          &c.buffers[3], &c.buffers[4], &c.buffers[5], &c.buffers[6], &c.buffers[7], &early))
        return NULL;
    const uint64_t heads = (uint64_t)row->rows * row->heads * row->width,
                   groups = (uint64_t)row->rows * row->groups * row->width,
                   floats[] = {heads, groups, groups, heads, heads, groups, groups},
                   shared = (uint64_t)row->shared * row->groups * row->width;
    if ((uint64_t)early.len != (uint64_t)c.buffers[0].len / 8 * 2 * shared * sizeof(float))
        PyErr_SetString(PyExc_ValueError, "the shared rows' gradients have another size");
    else if (!prepare(&c, floats, 7)) {
        const tini_packed_inputs in = {c.buffers[1].buf, c.buffers[2].buf, c.buffers[3].buf};
        const tini_packed_gradients to = {c.buffers[5].buf, c.buffers[6].buf, c.buffers[7].buf, early.buf};
        Py_BEGIN_ALLOW_THREADS tini_attend_back(row, &in, c.buffers[4].buf, &to, c.first, c.end, c.memory);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&early);
    end_call(&c);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

enum { ROWS_AT_MOST = 5 };

/* Which buffers of a call are matrices of the rows' width in float32 whatever `narrow` says, and which is a row. */
enum { A_MATRIX, A_WIDE_MATRIX, A_FLOAT_ROW };

/* For "O&": the tuple that says what the rows are. */
static int rows_of(PyObject *given, void *to) {
    tini_rows *m = to;
    return PyArg_ParseTuple(given, "O&O&O&pf", core_uint32, &m->rows, core_uint32, &m->width, core_uint32,
                            &m->passed_over, &m->narrow, &m->epsilon);
}

/* Calls work(rows, buffers); format: PyArg_ParseTuple's for the rows and the buffers, whose kinds follow. */
static PyObject *by_rows(PyObject *args, const char *format, const char *kinds, int count,
                         void (*work)(const tini_rows *, const Py_buffer *)) {
    tini_rows m;
    Py_buffer b[ROWS_AT_MOST];
    memset(b, 0, sizeof b);
    if (!PyArg_ParseTuple(args, format, rows_of, &m, &b[0], &b[1], &b[2], &b[3], &b[4]))
        return NULL;
    int fits = 1;
    for (int k = 0; k < count; k++) {
        uint64_t items = kinds[k] == A_FLOAT_ROW ? m.width : (uint64_t)m.rows * m.width;
        fits = fits && (uint64_t)b[k].len == items * (kinds[k] == A_MATRIX && m.narrow ? 2 : 4);
    }
    if (fits) {
        Py_BEGIN_ALLOW_THREADS work(&m, b);
        Py_END_ALLOW_THREADS
    } else
        PyErr_SetString(PyExc_ValueError, "buffers and sizes don't agree");
    for (int k = 0; k < count; k++)
        PyBuffer_Release(&b[k]);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static void run_norm(const tini_rows *m, const Py_buffer *b) {
    tini_rms_norm(m, b[0].buf, b[1].buf, b[2].buf);
}

static PyObject *rms_norm(PyObject *module, PyObject *args) {
    (void)module;
    static const char kinds[] = {A_WIDE_MATRIX, A_FLOAT_ROW, A_MATRIX};
    return by_rows(args, "O&y*y*w*", kinds, 3, run_norm);
}

static void run_norm_back(const tini_rows *m, const Py_buffer *b) {
    tini_rms_norm_back(m, b[0].buf, b[1].buf, b[2].buf, b[3].buf);
}

static PyObject *rms_norm_back(PyObject *module, PyObject *args) {
    (void)module;
    static const char kinds[] = {A_WIDE_MATRIX, A_FLOAT_ROW, A_MATRIX, A_WIDE_MATRIX};
    return by_rows(args, "O&y*y*y*w*", kinds, 4, run_norm_back);
}

static void run_gated(const tini_rows *m, const Py_buffer *b) {
    tini_gated(m, b[0].buf, b[1].buf, b[2].buf);
}

static PyObject *gated(PyObject *module, PyObject *args) {
    (void)module;
    static const char kinds[] = {A_MATRIX, A_MATRIX, A_MATRIX};
    return by_rows(args, "O&y*y*w*", kinds, 3, run_gated);
}

static void run_gated_back(const tini_rows *m, const Py_buffer *b) {
    tini_gated_back(m, b[0].buf, b[1].buf, b[2].buf, b[3].buf, b[4].buf);
}

static PyObject *gated_back(PyObject *module, PyObject *args) {
    (void)module;
    static const char kinds[] = {A_MATRIX, A_MATRIX, A_MATRIX, A_MATRIX, A_MATRIX};
    return by_rows(args, "O&y*y*y*w*w*", kinds, 5, run_gated_back);
}

/* The buffers of a convolution: spans, row, taps, prefix and own, and backward the gradients of row and taps. */
typedef struct convolve_call {
    tini_convolution c;
    uint32_t first, end;
    Py_buffer spans, row, taps, prefix, own, to_row, to_taps;
} convolve_call;

static int convolution(PyObject *given, void *to) {
    tini_convolution *c = to;
    return PyArg_ParseTuple(given, "O&O&O&O&O&O&O&pp", core_uint32, &c->rows, core_uint32, &c->heads,
                            core_uint32, &c->width, core_uint32, &c->taps, core_uint32, &c->shared, core_uint32,
                            &c->longest, core_uint32, &c->passed_over, &c->narrow, &c->silu);
}

static int convolution_spans_fit(const tini_convolution *c) {
    for (uint32_t s = 0; s < c->sequences; s++) {
        uint32_t begin = c->spans[2 * s], end = c->spans[2 * s + 1];
        int is_prefix = c->shared && !s;
        if (begin > end || end > c->rows || (is_prefix ? begin || end != c->shared : begin < c->shared) ||
            (!is_prefix && end - begin > c->longest))
            return 0;
    }
    return 1;
}

/* 0, or -1 with an exception. */
static int prepare_convolution(convolve_call *call, int backward) {
    tini_convolution *c = &call->c;
    c->spans = call->spans.buf;
    c->sequences = (uint32_t)(call->spans.len / 8);
    const uint64_t channels = (uint64_t)c->heads * c->width, size = c->narrow ? 2 : 4,
                   others = c->sequences - (c->shared && c->sequences);
    if (c->taps && c->taps <= TINI_TAPS_MAX && call->first <= call->end && call->end <= c->heads &&
        channels <= 1u << 20 && c->longest <= c->rows && (!c->shared || c->sequences) &&
        convolution_spans_fit(c) && (uint64_t)call->row.len == c->rows * channels * size &&
        (uint64_t)call->taps.len == (c->taps + 1) * channels * 4 &&
        (uint64_t)call->prefix.len == c->shared * channels * size &&
        (uint64_t)call->own.len == others * c->longest * channels * size &&
        (!backward || ((uint64_t)call->to_row.len == c->rows * channels * 4 &&
                       (!call->to_taps.len || call->to_taps.len == call->taps.len))))
        return 0;
    PyErr_SetString(PyExc_ValueError, "the convolution's buffers, spans and sizes don't agree");
    return -1;
}

static PyObject *end_convolution(convolve_call *call) {
    Py_buffer *held[] = {&call->spans, &call->row,    &call->taps,   &call->prefix,
                         &call->own,   &call->to_row, &call->to_taps};
    for (size_t k = 0; k < sizeof held / sizeof *held; k++)
        PyBuffer_Release(held[k]);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *convolve(PyObject *module, PyObject *args) {
    (void)module;
    convolve_call call = {0};
    if (!PyArg_ParseTuple(args, "O&O&O&y*y*y*w*w*", convolution, &call.c, core_uint32, &call.first, core_uint32,
                          &call.end, &call.spans, &call.row, &call.taps, &call.prefix, &call.own))
        return NULL;
    if (!prepare_convolution(&call, 0)) {
        const tini_convolved to = {call.prefix.buf, call.own.buf};
        Py_BEGIN_ALLOW_THREADS tini_convolve(&call.c, call.row.buf, call.taps.buf, &to, call.first, call.end);
        Py_END_ALLOW_THREADS
    }
    return end_convolution(&call);
}

static PyObject *convolve_back(PyObject *module, PyObject *args) {
    (void)module;
    convolve_call call = {0};
    if (!PyArg_ParseTuple(args, "O&O&O&y*y*y*y*y*w*w*", convolution, &call.c, core_uint32, &call.first,
                          core_uint32, &call.end, &call.spans, &call.row, &call.taps, &call.prefix, &call.own,
                          &call.to_row, &call.to_taps))
        return NULL;
    if (!prepare_convolution(&call, 1)) {
        const tini_convolved gradient = {call.prefix.buf, call.own.buf};
        float *to_taps = call.to_taps.len ? call.to_taps.buf : NULL;
        Py_BEGIN_ALLOW_THREADS tini_convolve_back(&call.c, call.row.buf, call.taps.buf, &gradient,
                                                  call.to_row.buf, to_taps, call.first, call.end);
        Py_END_ALLOW_THREADS
    }
    return end_convolution(&call);
}

PyMethodDef core_train_functions[] = {
    {"attend", attend, METH_VARARGS,
     "attend((rows, heads, groups, width, shared, window, passed_over, scale, cap), first, end, spans, query, "
     "key, value, out): "
     "attention of the sequences first … end of a packed row; kernels/train/attention.h"},
    {"attend_back", attend_back, METH_VARARGS,
     "attend_back(row, first, end, spans, query, key, value, gradient, to query, to key, to value, early): the "
     "same "
     "backward"},
    {"rms_norm", rms_norm, METH_VARARGS,
     "rms_norm((rows, width, passed_over, narrow, epsilon), x, weight, out); kernels/train/rows.h"},
    {"rms_norm_back", rms_norm_back, METH_VARARGS,
     "rms_norm_back(rows, x, weight, gradient, to x): the same backward"},
    {"gated", gated, METH_VARARGS, "gated(rows, gate, up, out): silu(gate) * up"},
    {"gated_back", gated_back, METH_VARARGS, "gated_back(rows, gate, up, gradient, to gate, to up)"},
    {"convolve", convolve, METH_VARARGS,
     "convolve((rows, heads, width, taps, shared, longest, passed_over, narrow, silu), first, end, spans, row, "
     "taps, "
     "to prefix, to own): of the heads first … end; kernels/train/convolution.h"},
    {"convolve_back", convolve_back, METH_VARARGS,
     "convolve_back(convolution, first, end, spans, row, taps, prefix, own, to row, to taps or nothing): the "
     "same "
     "backward, from the gradients of prefix and own"},
    {NULL, NULL, 0, NULL},
};
