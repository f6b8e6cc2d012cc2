/* Signatures and sealed files, for formats/minisign.py. */
#include "module.h"

#include "core/seal/minisign.h"
#include "writer/sign.h"

static PyObject *done(PyObject *module, tin_status status, const tin_error *error) {
    if (!status)
        Py_RETURN_NONE;
    return core_raise(((core_state *)PyModule_GetState(module))->fault, error);
}

/* A number that wrapped would ask for less than was meant. */
static int read_freshness(long long min_version, long long now, tin_freshness *asked) {
    *asked = (tin_freshness){(uint32_t)min_version, now};
    if (min_version == asked->min_version)
        return 0;
    PyErr_Format(PyExc_ValueError, "version %lld is not of 32 bits", min_version);
    return -1;
}

static PyObject *minisign_verify(PyObject *module, PyObject *args) {
    Py_buffer message;
    const char *signature, *key;
    Py_ssize_t length, key_length;
    long long min_version = 0, now = 0;
    if (!PyArg_ParseTuple(args, "y*y#y#|LL:minisign_verify", &message, &signature, &length, &key, &key_length,
                          &min_version, &now))
        return NULL;
    tin_freshness asked;
    if (read_freshness(min_version, now, &asked)) {
        PyBuffer_Release(&message);
        return NULL;
    }
    tin_error error;
    tin_status status = tini_minisign_verify(message.buf, (size_t)message.len, signature, (size_t)length, key,
                                             (size_t)key_length, &asked, &error);
    PyBuffer_Release(&message);
    return done(module, status, &error);
}

static PyObject *file_verify(PyObject *module, PyObject *args) {
    Py_buffer image;
    const char *signature = NULL, *key = NULL;
    Py_ssize_t length = 0;
    long long min_version = 0, now = 0;
    if (!PyArg_ParseTuple(args, "y*|z#zLL:file_verify", &image, &signature, &length, &key, &min_version, &now))
        return NULL;
    tin_freshness asked;
    if (read_freshness(min_version, now, &asked)) {
        PyBuffer_Release(&image);
        return NULL;
    }
    tin_error error;
    tin_status status;
    Py_BEGIN_ALLOW_THREADS status =
        tin_file_verify_fresh(image.buf, (size_t)image.len, signature, (size_t)length, key, &asked, &error);
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
     "minisign_verify(message, signature: bytes, key: bytes, min_version=0, now=0): texts as in files; what is "
     "asked "
     "as in tin_freshness of tin.h. Raises RuntimeFault."},
    {"file_verify", file_verify, METH_VARARGS,
     "file_verify(image, signature: bytes | None = None, key: str | None = None, min_version=0, now=0): "
     "tin_file_verify_fresh of tin.h."},
    {"ed25519_public", ed25519_public, METH_VARARGS, "ed25519_public(seed) -> the public key, 32 bytes"},
    {"ed25519_sign", ed25519_sign, METH_VARARGS, "ed25519_sign(seed, message) -> 64 bytes"},
    {NULL, NULL, 0, NULL},
};
