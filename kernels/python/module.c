#include "module.h"

#include "core/vm/experts.h"
#include "core/base/kernel.h"
#include "core/vm/program.h"
#include "core/session/predictor.h"
#include "core/session/search.h"
#include "core/vision/encoder.h"
#include "core/vision/written.h"

PyObject *core_raise(PyObject *fault, const tin_error *error) {
    PyObject *arguments = Py_BuildValue("(ss)", tin_status_name(error->status), error->text);
    if (arguments) {
        PyErr_SetObject(fault, arguments);
        Py_DECREF(arguments);
    }
    return NULL;
}

int core_uint64(PyObject *given, void *to) {
    PyObject *whole = PyNumber_Index(given);
    *(unsigned long long *)to = whole ? PyLong_AsUnsignedLongLong(whole) : 0;
    Py_XDECREF(whole);
    return !PyErr_Occurred();
}

int core_uint32(PyObject *given, void *to) {
    unsigned long long value;
    if (!core_uint64(given, &value))
        return 0;
    if (value > UINT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "%llu is more than 32 bits hold", value);
        return 0;
    }
    *(uint32_t *)to = (uint32_t)value;
    return 1;
}

int32_t *core_token_ids(PyObject *sequence, size_t room, uint32_t *count) {
    Py_ssize_t length = PySequence_Size(sequence);
    if (length < 0)
        return NULL;
    if (length > INT32_MAX || room > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "%zd tokens; no session holds as many", length);
        return NULL;
    }
    int32_t *ids = PyMem_Malloc(((size_t)length + room) * sizeof *ids + 1);
    if (!ids)
        PyErr_NoMemory();
    for (Py_ssize_t k = 0; ids && k < length; k++) {
        PyObject *item = PySequence_GetItem(sequence, k);
        long id = item ? PyLong_AsLong(item) : -1;
        Py_XDECREF(item);
        if (PyErr_Occurred()) {
            PyMem_Free(ids);
            return NULL;
        }
        ids[k] = id < INT32_MIN || id > INT32_MAX ? -1 : (int32_t)id;
    }
    *count = (uint32_t)length;
    return ids;
}

PyObject *core_token_list(const int32_t *tokens, int64_t count) {
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (int64_t k = 0; list && k < count; k++) {
        PyObject *id = PyLong_FromLong(tokens[k]);
        if (!id)
            Py_CLEAR(list);
        else
            PyList_SetItem(list, (Py_ssize_t)k, id);
    }
    return list;
}

void *core_aligned(size_t size, void **base) {
    *base = size <= PY_SSIZE_T_MAX - TIN_ALIGNMENT ? PyMem_Calloc(size + TIN_ALIGNMENT, 1) : NULL;
    if (!*base) {
        PyErr_NoMemory();
        return NULL;
    }
    return (void *)(((uintptr_t)*base + TIN_ALIGNMENT - 1) / TIN_ALIGNMENT * TIN_ALIGNMENT);
}

static PyObject *isa_names(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    PyObject *names = PyList_New(0);
    for (uint32_t k = 0; names && tin_isa_name(k); k++) {
        PyObject *name = PyUnicode_FromString(tin_isa_name(k));
        if (!name || PyList_Append(names, name))
            Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyObject *selfcheck(PyObject *module, PyObject *unused) {
    (void)unused;
    core_state *state = PyModule_GetState(module);
    tin_error error;
    if (tin_selfcheck(&error))
        return core_raise(state->fault, &error);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"isa_names", isa_names, METH_NOARGS,
     "Instruction sets that this build has and this processor runs, best last."},
    {"selfcheck", selfcheck, METH_NOARGS,
     "Raises RuntimeFault when this build does not keep the bit contract."},
    {NULL, NULL, 0, NULL},
};

static const struct {
    const char *name;
    long value;
} numbers[] = {
    {"ALIGNMENT", TIN_ALIGNMENT},
    {"TILE", TINI_TILE},
    {"ROUTE_WIDTH", TINI_ROUTE_WIDTH},
    {"MAX_EXPERTS", TINI_MAX_EXPERTS},
    {"PROGRAM_VERSION", TINI_PROGRAM_VERSION},
    {"MODEL_ROOM", TINI_MODEL_ROOM},
    {"SESSION_ROOM", TINI_SESSION_ROOM},
    {"SPAN_ROOM", sizeof(tini_span)},
    {"SEARCH_ROOM", sizeof(tini_search)},
    {"ENCODER_ROOM", TINI_ENCODER_ROOM},
    {"VISION_ROOM", TINI_VISION_ROOM},
    {"TILE_ROOM", TINI_TILE_ROOM},
    {"EMBEDDED", TIN_EMBEDDED},
    {"DRAFTER_ROOM", TINI_DRAFTER_ROOM},
    {"PREDICTOR_ROOM", TINI_PREDICTOR_ROOM},
    {"FORESEEN_ROOM", TINI_PREDICTOR_ROW_ROOM},
    {"BLOCK_ROOM", TINI_BLOCK_ROOM},
    {"POINTER_ROOM", TINI_POINTER_ROOM},
    {"KV_TILE", TINI_KV_TILE},
    {"MAX_CHUNK", TINI_MAX_CHUNK},
    {"FLAG_LOGIT_ROWS", TINI_FLAG_LOGIT_ROWS},
    {"KV_F16", TIN_KV_F16},
    {"KV_Q8", TIN_KV_Q8},
    {"STEP_PENDING", TIN_STEP_PENDING},
    {"STEP_LOGITS", TIN_STEP_LOGITS},
    {"STEP_IDLE", TIN_STEP_IDLE},
    {"STEP_TOKEN", TIN_STEP_TOKEN},
    {"STEP_DONE", TIN_STEP_DONE},
    {"FINISH_END", TIN_FINISH_END},
    {"FINISH_LENGTH", TIN_FINISH_LENGTH},
    {"FINISH_CONTEXT", TIN_FINISH_CONTEXT},
    {"FINISH_CONSTRAINT", TIN_FINISH_CONSTRAINT},
    {"TEXT_SPECIAL", TIN_TEXT_SPECIAL},
    {"TEXT_BOS", TIN_TEXT_BOS},
    {"CHAT_ANSWER", TIN_CHAT_ANSWER},
    {"CHAT_THINK", TIN_CHAT_THINK},
    {"CHAT_DIRECT", TIN_CHAT_DIRECT},
    {"CONSTRAINT_OPEN", TIN_CONSTRAINT_OPEN},
    {"CONSTRAINT_MAY_END", TIN_CONSTRAINT_MAY_END},
    {"CONSTRAINT_MUST_END", TIN_CONSTRAINT_MUST_END},
};

/* The lists of the .def files, for the compiler, and the numbers of tin.h. */
static int add_lists(PyObject *module) {
#define FORMAT_TYPES(...) "s(iiiis)"
#define FORMAT_VALUES(a, b, id, gguf, NAME, name, block, bytes, activations, ...) \
    , #NAME, id, gguf, block, bytes, #activations
    PyObject *formats = Py_BuildValue("{" TIN_FORMATS(FORMAT_TYPES, , ) "}" TIN_FORMATS(FORMAT_VALUES, , ));
#define OP_TYPE(number, NAME, name) "si"
#define OP_VALUE(number, NAME, name) , #NAME, number
    PyObject *ops = Py_BuildValue("{" TIN_OPS(OP_TYPE) "}" TIN_OPS(OP_VALUE));
#define LINE_TYPE(name) "s"
#define LINE_VALUE(name) , #name
#define SET_TYPES(name, have) "s(" TIN_LINE_##name(LINE_TYPE) ")"
#define SET_VALUES(name, have) , #name TIN_LINE_##name(LINE_VALUE)
    PyObject *sets = Py_BuildValue("{" TIN_ISAS(SET_TYPES) "}" TIN_ISAS(SET_VALUES));
#define RATE_TYPES(name, have) "s(ddd)"
#define RATE_VALUES(name, have) , #name, TIN_RATE_##name
    PyObject *rates = Py_BuildValue("{" TIN_ISAS(RATE_TYPES) "}" TIN_ISAS(RATE_VALUES));
    int failed = PyModule_AddObjectRef(module, "FORMATS", formats) ||
                 PyModule_AddObjectRef(module, "RATES", rates) || PyModule_AddObjectRef(module, "ISAS", sets) ||
                 PyModule_AddObjectRef(module, "OPS", ops) ||
                 PyModule_AddStringConstant(module, "VERSION", tin_version());
    Py_XDECREF(formats);
    Py_XDECREF(sets);
    Py_XDECREF(rates);
    Py_XDECREF(ops);
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        failed = failed || PyModule_AddIntConstant(module, numbers[k].name, numbers[k].value);
    return failed ? -1 : 0;
}

static int execute(PyObject *module) {
    core_state *state = PyModule_GetState(module);
    PyObject *errors = PyImport_ImportModule("tinsmith.errors");
    if (!errors)
        return -1;
    state->fault = PyObject_GetAttrString(errors, "RuntimeFault");
    Py_DECREF(errors);
    if (!state->fault)
        return -1;
    state->model_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_model_spec, NULL);
    state->session_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_session_spec, NULL);
    state->batch_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_batch_spec, NULL);
    state->constraint_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_constraint_spec, NULL);
    state->adapter_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_adapter_spec, NULL);
    state->router_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_router_spec, NULL);
    state->encoder_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &core_encoder_spec, NULL);
    if (!state->model_type || !state->session_type || !state->batch_type || !state->constraint_type ||
        !state->adapter_type || !state->router_type || !state->encoder_type)
        return -1;
    if (PyModule_AddObjectRef(module, "Model", (PyObject *)state->model_type) ||
        PyModule_AddObjectRef(module, "Session", (PyObject *)state->session_type) ||
        PyModule_AddObjectRef(module, "Batch", (PyObject *)state->batch_type) ||
        PyModule_AddObjectRef(module, "Constraint", (PyObject *)state->constraint_type) ||
        PyModule_AddObjectRef(module, "Adapter", (PyObject *)state->adapter_type) ||
        PyModule_AddObjectRef(module, "Router", (PyObject *)state->router_type) ||
        PyModule_AddObjectRef(module, "Encoder", (PyObject *)state->encoder_type))
        return -1;
    if (PyModule_AddFunctions(module, functions) || PyModule_AddFunctions(module, core_block_functions) ||
        PyModule_AddFunctions(module, core_constraint_functions) ||
        PyModule_AddFunctions(module, core_measure_functions) ||
        PyModule_AddFunctions(module, core_draft_functions) ||
        PyModule_AddFunctions(module, core_image_functions) ||
        PyModule_AddFunctions(module, core_seal_functions) ||
        PyModule_AddFunctions(module, core_train_functions))
        return -1;
    return add_lists(module);
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    core_state *state = PyModule_GetState(module);
    Py_VISIT(state->fault);
    Py_VISIT(state->model_type);
    Py_VISIT(state->session_type);
    Py_VISIT(state->batch_type);
    Py_VISIT(state->constraint_type);
    Py_VISIT(state->adapter_type);
    Py_VISIT(state->router_type);
    Py_VISIT(state->encoder_type);
    return 0;
}

static int clear(PyObject *module) {
    core_state *state = PyModule_GetState(module);
    Py_CLEAR(state->fault);
    Py_CLEAR(state->model_type);
    Py_CLEAR(state->session_type);
    Py_CLEAR(state->batch_type);
    Py_CLEAR(state->constraint_type);
    Py_CLEAR(state->adapter_type);
    Py_CLEAR(state->router_type);
    Py_CLEAR(state->encoder_type);
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT, .m_name = "tinsmith._core", .m_size = sizeof(core_state),
    .m_slots = slots,      .m_traverse = traverse,     .m_clear = clear,
};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&core_module);
}
