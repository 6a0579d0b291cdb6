// SPDX-License-Identifier: Apache-2.0
// The Python module: the protocol as a capsule. Nothing else here knows of Python.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ndpi.h"

namespace {

int fill(PyObject *module) {
    const aicore_protocol *protocol = aicore::ndpi::protocol();
    if (!protocol) {
        PyErr_SetString(PyExc_ImportError, "libndpi is not the one that this module was built for: build it anew");
        return -1;
    }
    PyObject *capsule = PyCapsule_New(const_cast<aicore_protocol *>(protocol), AICORE_PROTOCOL_CAPSULE, nullptr);
    const int failed = PyModule_AddObjectRef(module, "ndpi", capsule); // with NULL it passes the error on
    Py_XDECREF(capsule);
    return failed;
}

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void *>(fill)}, {0, nullptr}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "nDPI as a capsule", 0, nullptr, slots, nullptr, nullptr, nullptr};

} // namespace

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
