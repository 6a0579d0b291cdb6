// SPDX-License-Identifier: Apache-2.0
// The Python module: one capsule a protocol, named as the protocol. Nothing else here knows of Python.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "aicore/protocol.h"

namespace aicore::protocols {
#define AICORE_PROTOCOL(name) const aicore_protocol *name();
#include "protocols.inc"
#undef AICORE_PROTOCOL
} // namespace aicore::protocols

namespace {

int add(PyObject *module, const aicore_protocol *protocol) {
    PyObject *capsule = PyCapsule_New(const_cast<aicore_protocol *>(protocol), AICORE_PROTOCOL_CAPSULE, nullptr);
    const int failed = PyModule_AddObjectRef(module, protocol->name, capsule); // with NULL it passes the error on
    Py_XDECREF(capsule);
    return failed;
}

int fill(PyObject *module) {
#define AICORE_PROTOCOL(name)                                                                                          \
    if (add(module, aicore::protocols::name()) < 0) return -1;
#include "protocols.inc"
#undef AICORE_PROTOCOL
    return 0;
}

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void *>(fill)}, {0, nullptr}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Layer-7 protocols as capsules", 0, nullptr, slots, nullptr, nullptr, nullptr};

} // namespace

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
