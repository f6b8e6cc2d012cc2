/* tinsmith._core: the C core and the build side's block functions, on CPython's stable ABI. */
#ifndef TINI_PYTHON_MODULE_H
#define TINI_PYTHON_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "include/tin.h"

typedef struct core_state {
    PyObject *fault; /* tinsmith.errors.RuntimeFault */
    PyTypeObject *model_type, *session_type;
} core_state;

extern struct PyModuleDef core_module;
extern PyType_Spec core_model_spec, core_session_spec;
extern PyMethodDef core_block_functions[], core_measure_functions[];

/* Raises RuntimeFault(name of the status, text). Returns NULL. */
PyObject *core_raise(PyObject *fault, const tin_error *error);

/* A zeroed-on-demand block aligned to TIN_ALIGNMENT; *base is what PyMem_Free takes. NULL: MemoryError is set. */
void *core_aligned(size_t size, void **base);

typedef struct core_model {
    PyObject_HEAD Py_buffer image;
    tin_model *model;
    void *memory;
    PyObject *fault;
} core_model;

#endif
