/* Signatures and sealed files, for formats/minisign.py. */
#include "module.h"

#include "core/minisign.h"
#include "pack/sign.h"

static PyObject *done(PyObject *module, tin_status status, const tin_error *error) {
    if (!status)
        Py_RETURN_NONE;
    return core_raise(((core_state *)PyModule_GetState(module))->fault, error);
}

static PyObject *minisign_verify(PyObject *module, PyObject *args) {
    Py_buffer message;
    const char *signature, *key;
    Py_ssize_t length, key_length;
    if (!PyArg_ParseTuple(args, "y*y#y#:minisign_verify", &message, &signature, &length, &key, &key_length))
        return NULL;
    tin_error error;
    tin_status status = tini_minisign_verify(message.buf, (size_t)message.len, signature, (size_t)length, key,
                                             (size_t)key_length, &error);
    PyBuffer_Release(&message);
    return done(module, status, &error);
}

static PyObject *file_verify(PyObject *module, PyObject *args) {
    Py_buffer image;
    const char *signature = NULL, *key = NULL;
    Py_ssize_t length = 0;
    if (!PyArg_ParseTuple(args, "y*|z#z:file_verify", &image, &signature, &length, &key))
        return NULL;
    tin_error error;
    tin_status status;
    Py_BEGIN_ALLOW_THREADS status =
        tin_file_verify(image.buf, (size_t)image.len, signature, (size_t)length, key, &error);
    Py_END_ALLOW_THREADS PyBuffer_Release(&image);
    return done(module, status, &error);
}

static PyObject *ed25519_public(PyObject *module, PyObject *args) {
    (void)module;
    const char *seed;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "y#:ed25519_public", &seed, &length))
        return NULL;
    if (length != 32)
        return PyErr_Format(PyExc_ValueError, "a seed has 32 bytes, not %zd", length);
    uint8_t key[32];
    tini_ed25519_public((const uint8_t *)seed, key);
    return PyBytes_FromStringAndSize((const char *)key, sizeof key);
}

static PyObject *ed25519_sign(PyObject *module, PyObject *args) {
    (void)module;
    const char *seed, *message;
    Py_ssize_t length, size;
    if (!PyArg_ParseTuple(args, "y#y#:ed25519_sign", &seed, &length, &message, &size))
        return NULL;
    if (length != 32)
        return PyErr_Format(PyExc_ValueError, "a seed has 32 bytes, not %zd", length);
    uint8_t signature[64];
    tini_ed25519_sign((const uint8_t *)seed, (const uint8_t *)message, (size_t)size, signature);
    return PyBytes_FromStringAndSize((const char *)signature, sizeof signature);
}

PyMethodDef core_seal_functions[] = {
    {"minisign_verify", minisign_verify, METH_VARARGS,
     "minisign_verify(message, signature: bytes, key: bytes): texts as in files. Raises RuntimeFault."},
    {"file_verify", file_verify, METH_VARARGS,
     "file_verify(image, signature: bytes | None = None, key: str | None = None): tin_file_verify of tin.h."},
    {"ed25519_public", ed25519_public, METH_VARARGS, "ed25519_public(seed) -> the public key, 32 bytes"},
    {"ed25519_sign", ed25519_sign, METH_VARARGS, "ed25519_sign(seed, message) -> 64 bytes"},
    {NULL, NULL, 0, NULL},
};
