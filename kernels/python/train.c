/* Training's functions: numpy's or torch's memory in and out. */
#include "module.h"

#include "train/attention.h"
#include "train/convolution.h"
#include "train/delta.h"
#include "train/logits.h"
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

enum { ROWS_AT_MOST = 6 };

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
    if (!PyArg_ParseTuple(args, format, rows_of, &m, &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]))
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

static void run_gated_norm(const tini_rows *m, const Py_buffer *b) {
    tini_gated_norm(m, b[0].buf, b[1].buf, b[2].buf, b[3].buf);
}

static PyObject *gated_norm(PyObject *module, PyObject *args) {
    (void)module;
    static const char kinds[] = {A_MATRIX, A_MATRIX, A_FLOAT_ROW, A_MATRIX};
    return by_rows(args, "O&y*y*y*w*", kinds, 4, run_gated_norm);
}

static void run_gated_norm_back(const tini_rows *m, const Py_buffer *b) {
    tini_gated_norm_back(m, b[0].buf, b[1].buf, b[2].buf, b[3].buf, b[4].buf, b[5].buf);
}

static PyObject *gated_norm_back(PyObject *module, PyObject *args) {
    (void)module;
    static const char kinds[] = {A_MATRIX, A_MATRIX, A_FLOAT_ROW, A_MATRIX, A_MATRIX, A_MATRIX};
    return by_rows(args, "O&y*y*y*y*w*w*", kinds, 6, run_gated_norm_back);
}

/* Whether sequences lie within the rows, and after the shared ones, which are the first. */
static int sequences_fit(const uint32_t *spans, uint32_t sequences, uint32_t shared, uint32_t rows) {
    for (uint32_t s = 0; s < sequences; s++) {
        uint32_t begin = spans[2 * s], end = spans[2 * s + 1];
        if (begin > end || end > rows || (shared && !s ? begin || end != shared : begin < shared))
            return 0;
    }
    return sequences > 0;
}

enum { A_ROW_AT_MOST = 8 };

/* A call on a packed row: spans, then `count` buffers. */
typedef struct row_call {
    uint32_t first, end, sequences;
    const uint32_t *spans;
    Py_buffer buffers[A_ROW_AT_MOST];
} row_call;

/* format: PyArg_ParseTuple's for what the row is, first, end and the buffers. */
static int begin_row(row_call *call, PyObject *args, const char *format, int (*read)(PyObject *, void *),
                     void *to) {
    Py_buffer *b = call->buffers;
    if (!PyArg_ParseTuple(args, format, read, to, core_uint32, &call->first, core_uint32, &call->end, &b[0],
                          &b[1], &b[2], &b[3], &b[4], &b[5], &b[6], &b[7]))
        return 0;
    call->spans = b[0].buf;
    call->sequences = (uint32_t)(b[0].len / 8);
    return 1;
}

/* Whether the buffers after the spans have so many bytes; raises ValueError if they have not, or `fit` is 0. */
static int row_fits(const row_call *call, int fit, const uint64_t *bytes, int count) {
    for (int k = 0; k < count; k++)
        fit = fit && (uint64_t)call->buffers[k + 1].len == bytes[k];
    if (!fit)
        PyErr_SetString(PyExc_ValueError, "the row's buffers, spans and sizes don't agree");
    return fit;
}

static PyObject *end_row(row_call *call) {
    for (int k = 0; k < A_ROW_AT_MOST; k++)
        PyBuffer_Release(&call->buffers[k]);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static int convolution(PyObject *given, void *to) {
    tini_convolution *c = to;
    return PyArg_ParseTuple(given, "O&O&O&O&O&pp", core_uint32, &c->rows, core_uint32, &c->channels,
                            core_uint32, &c->taps, core_uint32, &c->shared, core_uint32, &c->passed_over,
                            &c->narrow, &c->silu);
}

static int convolution_fits(row_call *call, tini_convolution *c) {
    c->spans = call->spans;
    c->sequences = call->sequences;
    return c->taps && c->taps <= TINI_TAPS_MAX && c->channels <= 1u << 20 && call->first <= call->end &&
           call->end <= c->channels && sequences_fit(c->spans, c->sequences, c->shared, c->rows);
}

static PyObject *convolve(PyObject *module, PyObject *args) {
    (void)module;
    row_call call = {0};
    tini_convolution c;
    if (!begin_row(&call, args, "O&O&O&y*y*y*w*", convolution, &c))
        return NULL;
    const Py_buffer *b = call.buffers;
    const uint64_t matrix = (uint64_t)c.rows * c.channels * (c.narrow ? 2 : 4),
                   bytes[] = {matrix, ((uint64_t)c.taps + 1) * c.channels * 4, matrix};
    if (row_fits(&call, convolution_fits(&call, &c), bytes, 3)) {
        Py_BEGIN_ALLOW_THREADS tini_convolve(&c, b[1].buf, b[2].buf, b[3].buf, call.first, call.end);
        Py_END_ALLOW_THREADS
    }
    return end_row(&call);
}

static PyObject *convolve_back(PyObject *module, PyObject *args) {
    (void)module;
    row_call call = {0};
    tini_convolution c;
    if (!begin_row(&call, args, "O&O&O&y*y*y*y*w*w*", convolution, &c))
        return NULL;
    const Py_buffer *b = call.buffers;
    const uint64_t matrix = (uint64_t)c.rows * c.channels * (c.narrow ? 2 : 4),
                   taps = ((uint64_t)c.taps + 1) * c.channels * 4,
                   bytes[] = {matrix, taps, matrix, matrix, b[5].len ? taps : 0};
    if (row_fits(&call, convolution_fits(&call, &c), bytes, 5)) {
        float *to_taps = b[5].len ? b[5].buf : NULL;
        Py_BEGIN_ALLOW_THREADS tini_convolve_back(&c, b[1].buf, b[2].buf, b[3].buf, b[4].buf, to_taps,
                                                  call.first, call.end);
        Py_END_ALLOW_THREADS
    }
    return end_row(&call);
}

static int delta(PyObject *given, void *to) {
    tini_packed_delta *d = to;
    return PyArg_ParseTuple(given, "O&O&O&O&O&O&O&pf", core_uint32, &d->rows, core_uint32, &d->heads,
                            core_uint32, &d->groups, core_uint32, &d->keys, core_uint32, &d->values,
                            core_uint32, &d->shared, core_uint32, &d->passed_over, &d->narrow, &d->epsilon);
}

/* The memory, or NULL with an exception; gradients: whether buffers of them follow the inputs. */
static void *prepare_delta(row_call *call, tini_packed_delta *d, int gradients) {
    d->spans = call->spans;
    d->sequences = call->sequences;
    const int fit = d->groups && d->heads && d->heads % d->groups == 0 && d->heads <= 1024 && d->keys &&
                    d->keys <= 1024 && d->values && d->values <= 1024 && call->first <= call->end &&
                    call->end <= d->groups && sequences_fit(d->spans, d->sequences, d->shared, d->rows);
    const uint64_t size = d->narrow ? 2 : 4, by_head = (uint64_t)d->rows * d->heads * 4,
                   out = (uint64_t)d->rows * d->heads * d->values,
                   mixed = 2 * (uint64_t)d->rows * d->groups * d->keys + out,
                   bytes[] = {
                       mixed * size, by_head, by_head, out * size, mixed * (d->groups == d->heads ? size : 4),
                       by_head,      by_head};
    if (!row_fits(call, fit, bytes, gradients ? 7 : 4))
        return NULL;
    void *memory = PyMem_Calloc(1, tini_packed_delta_memory(d));
    return memory ? memory : PyErr_NoMemory();
}

static PyObject *delta_rule(PyObject *module, PyObject *args) {
    (void)module;
    row_call call = {0};
    tini_packed_delta d;
    if (!begin_row(&call, args, "O&O&O&y*y*y*y*w*", delta, &d))
        return NULL;
    const Py_buffer *b = call.buffers;
    void *memory = prepare_delta(&call, &d, 0);
    if (memory) {
        const tini_packed_delta_inputs in = {b[1].buf, b[2].buf, b[3].buf};
        Py_BEGIN_ALLOW_THREADS tini_packed_delta_rule(&d, &in, b[4].buf, call.first, call.end, memory);
        Py_END_ALLOW_THREADS
    }
    PyMem_Free(memory);
    return end_row(&call);
}

static PyObject *delta_rule_back(PyObject *module, PyObject *args) {
    (void)module;
    row_call call = {0};
    tini_packed_delta d;
    if (!begin_row(&call, args, "O&O&O&y*y*y*y*y*w*w*w*", delta, &d))
        return NULL;
    const Py_buffer *b = call.buffers;
    void *memory = prepare_delta(&call, &d, 1);
    if (memory) {
        const tini_packed_delta_inputs in = {b[1].buf, b[2].buf, b[3].buf};
        const tini_packed_delta_gradients to = {b[5].buf, b[6].buf, b[7].buf};
        Py_BEGIN_ALLOW_THREADS tini_packed_delta_rule_back(&d, &in, b[4].buf, &to, call.first, call.end,
                                                           memory);
        Py_END_ALLOW_THREADS
    }
    PyMem_Free(memory);
    return end_row(&call);
}

static PyObject *weigh_logits(PyObject *module, PyObject *args) {
    (void)module;
    enum { LOGITS, TARGETS, TOP, OTHERS, RIGHT, SHRINK, BEST, COUNT };
    tini_logits l;
    Py_buffer b[COUNT];
    memset(b, 0, sizeof b);
    if (!PyArg_ParseTuple(args, "(O&O&O&O&pf)w*y*w*w*w*w*w*", core_uint32, &l.rows, core_uint32, &l.width,
                          core_uint32, &l.begin, core_uint32, &l.passed_over, &l.narrow, &l.scale, &b[LOGITS],
                          &b[TARGETS], &b[TOP], &b[OTHERS], &b[RIGHT], &b[SHRINK], &b[BEST]))
        return NULL;
    int fits = l.width && (uint64_t)b[LOGITS].len == (uint64_t)l.rows * l.width * (l.narrow ? 2 : 4);
    for (int k = TARGETS; k < COUNT; k++)
        fits = fits && (uint64_t)b[k].len == (uint64_t)l.rows * (k == TARGETS || k == BEST ? 8 : 4);
    if (fits) {
        const tini_logits_sums seen = {b[TOP].buf, b[OTHERS].buf, b[RIGHT].buf, b[SHRINK].buf, b[BEST].buf};
        Py_BEGIN_ALLOW_THREADS tini_weigh_logits(&l, b[LOGITS].buf, b[TARGETS].buf, &seen);
        Py_END_ALLOW_THREADS
    } else
        PyErr_SetString(PyExc_ValueError, "the logits' buffers and sizes don't agree");
    for (int k = 0; k < COUNT; k++)
        PyBuffer_Release(&b[k]);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
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
    {"gated_norm", gated_norm, METH_VARARGS,
     "gated_norm(rows, x, gate, weight, out): the norm times silu(gate)"},
    {"gated_norm_back", gated_norm_back, METH_VARARGS,
     "gated_norm_back(rows, x, gate, weight, gradient, to x, to gate): the same backward"},
    {"convolve", convolve, METH_VARARGS,
     "convolve((rows, channels, taps, shared, passed_over, narrow, silu), first, end, spans, row, taps, out): "
     "of "
     "the channels first … end; kernels/train/convolution.h"},
    {"convolve_back", convolve_back, METH_VARARGS,
     "convolve_back(convolution, first, end, spans, row, taps, gradient, to row, to taps or nothing): the same "
     "backward"},
    {"delta_rule", delta_rule, METH_VARARGS,
     "delta_rule((rows, heads, groups, keys, values, shared, passed_over, narrow, epsilon), first, end, spans, "
     "mixed, rates, steps, out): of the groups first … end; kernels/train/delta.h"},
    {"delta_rule_back", delta_rule_back, METH_VARARGS,
     "delta_rule_back(delta, first, end, spans, mixed, rates, steps, gradient, to mixed, to rates, to steps): "
     "the "
     "same backward"},
    {"weigh_logits", weigh_logits, METH_VARARGS,
     "weigh_logits((rows, width, begin, passed_over, narrow, scale), logits, targets, top, others, right, "
     "shrink, best): "
     "softmax of a tile; kernels/train/logits.h"},
    {NULL, NULL, 0, NULL},
};
