/* tinsmith._core: the C core and the build side's block functions, on CPython's stable ABI. */
#ifndef TINI_PYTHON_MODULE_H
#define TINI_PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "include/tin.h"

typedef struct core_state {
    PyObject *fault; /* tinsmith.errors.RuntimeFault */
    PyTypeObject *model_type, *session_type, *batch_type, *constraint_type, *adapter_type, *router_type,
        *encoder_type;
} core_state;

extern struct PyModuleDef core_module;
extern PyType_Spec core_model_spec, core_session_spec, core_batch_spec, core_constraint_spec, core_adapter_spec,
    core_router_spec, core_encoder_spec;
extern PyMethodDef core_block_functions[], core_constraint_functions[], core_measure_functions[],
    core_draft_functions[], core_image_functions[], core_seal_functions[], core_train_functions[];

/* Raises RuntimeFault(name of the status, text). Returns NULL. */
PyObject *core_raise(PyObject *fault, const tin_error *error);

/* For "O&": an int into *(uint32_t *)to. Unlike "I", which takes any number modulo 2^32, OverflowError for one of more bits
 * or below 0. */
int core_uint32(PyObject *given, void *to);

/* As core_uint32 of 64 bits, into *(unsigned long long *)to: "K" takes any number modulo 2^64. */
int core_uint64(PyObject *given, void *to);

/* The ids of a sequence, in memory for `room` more; *count is how many. The caller frees them by PyMem_Free. NULL: an
 * exception is set. Runs Python code, and so other threads. */
int32_t *core_token_ids(PyObject *sequence, size_t room, uint32_t *count);

/* Ids as a list; NULL with an exception. */
PyObject *core_token_list(const int32_t *tokens, int64_t count);

/* A block of zeros, so that no program finds old memory, aligned to TIN_ALIGNMENT; *base is what PyMem_Free takes.
 * NULL: MemoryError is set. */
void *core_aligned(size_t size, void **base);

typedef struct core_model {
    PyObject_HEAD Py_buffer image;
    tin_model *model;
    void *memory;
    PyObject *fault;
} core_model;

/* A pool of threads in memory of its own; all NULL for one thread that never sleeps. */
typedef struct core_pool {
    tin_pool *pool;
    void *memory;
} core_pool;

/* 0, or -1 with an exception. duty_cycle: as tin_pool_duty_cycle takes it. */
int core_pool_start(core_pool *pool, unsigned threads, unsigned duty_cycle, PyObject *fault);
void core_pool_stop(core_pool *pool);
const tin_executor *core_pool_executor(const core_pool *pool);

uint64_t core_monotonic_ns(void *unused);

/* What has no bound is computed in slices of that length; signals are looked after between them. So few tokens are
 * done at once: a slice takes looking at the clock, which a model of a few microseconds a token would feel. */
#define CORE_SLICE_NS UINT64_C(50000000)
/* An encoder's: its matmuls are of many rows, and lose where a slice ends between their tiles. */
#define CORE_VISION_SLICE_NS (4 * CORE_SLICE_NS)
enum { CORE_FEW_TOKENS = 16 };

/* What a file brings for a model: the bytes of it, and memory that they are opened in. */
typedef struct core_part {
    PyObject_HEAD core_model *model;
    Py_buffer data;
    void *memory;
    size_t size; /* of that */
} core_part;

/* A new one that holds both; or NULL with an exception. */
core_part *core_part_new(PyTypeObject *type, PyObject *model, PyObject *data);
/* What it is opened in, of part->size bytes; NULL where that is 0, or with an exception. */
void *core_part_block(core_part *part);
/* The part as it is opened, or what it failed at: an exception that is set, else the error. */
PyObject *core_part_made(core_part *part, int opened, const tin_error *error);
void core_part_dealloc(core_part *part);

typedef struct core_constraint {
    core_part part;
    tin_constraint *constraint;
    int busy; /* set, under the GIL, while a step uses it without */
} core_constraint;

typedef struct core_adapter {
    core_part part;
    tin_adapter *adapter;
} core_adapter;

typedef struct core_router {
    core_part part;
    tin_router *router;
} core_router;

typedef struct core_session {
    PyObject_HEAD core_model *model;
    tin_session *session;
    core_constraint *constraint; /* or NULL */
    PyObject *adapters;          /* a list: those that it may hold */
    Py_buffer draft;             /* its draft table, unless the file's own; obj NULL: none */
    PyObject *compute;           /* what computes its passes, or NULL: the core */
    Py_buffer computed;          /* the newest logits of that; obj NULL: none */
    core_pool pool;
    void *memory;
    size_t size;
    tin_bias *biases; /* of its generation, or NULL */
    void *record, *record_memory;
    size_t record_size;
    int busy; /* set, under the GIL, while a step runs without it, and so is the constraint's */
} core_session;

/* 0, or -1 with RuntimeError. */
int core_constraint_refuse_busy(const core_constraint *constraint);
int core_session_refuse_busy(const core_session *session);

void core_session_set_busy(core_session *session, int busy);

/* Methods of a session, in router.c. */
PyObject *core_session_state(core_session *session, PyObject *unused);
PyObject *core_session_route(core_session *session, PyObject *router);

/* A method of a session, in draft.c. */
PyObject *core_session_draft(core_session *session, PyObject *data);
/* In images.c. */
PyObject *core_session_append(core_session *session, PyObject *args);
PyObject *core_session_replace(core_session *session, PyObject *args);
PyObject *core_session_shared(core_session *session, PyObject *args);
PyObject *core_session_tiles(core_session *session, PyObject *unused);

/* Of a session with `compute`: TIN_STEP_*, or negative with an exception. The caller has set it busy. */
int32_t core_outside_step(core_session *session);
void core_session_release_logits(core_session *session);

#endif
