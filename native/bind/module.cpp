// SPDX-License-Identifier: Apache-2.0
#include "aicore/builtin_protocols.h"
#include "aicore/counters.h"
#include "aicore/protocol.h"
#include "aicore/source.h"
#include "bind.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {

py::capsule capsule(const aicore_protocol *protocol) {
    return py::capsule(static_cast<const void *>(protocol), AICORE_PROTOCOL_CAPSULE);
}

py::dict counters_info() {
    py::dict out;
    for (size_t i = 1; i < aicore::kCounterCount; ++i)
        out[aicore::kCounterInfo[i].name] = aicore::kCounterInfo[i].meaning;
    out["received"] = "live: packets that passed the filter in the kernel";
    out["kernel_drop"] = "live: packets lost because the capture buffer was full";
    out["interface_drop"] = "live: packets dropped by the interface or its driver";
    return out;
}

py::list interfaces() {
    std::vector<aicore::InterfaceInfo> found;
    try {
        found = aicore::list_interfaces();
    } catch (const std::runtime_error &e) {
        PyErr_SetString(PyExc_OSError, e.what());
        throw py::error_already_set();
    }
    py::list out;
    for (const auto &i : found) {
        py::dict d;
        d["name"] = i.name;
        d["description"] = i.description;
        d["addresses"] = i.addresses;
        d["up"] = i.up;
        d["running"] = i.running;
        d["loopback"] = i.loopback;
        out.append(d);
    }
    return out;
}

void trim_memory() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

} // namespace

PYBIND11_MODULE(_core, m) {
    m.attr("PROTOCOL_ABI") = AICORE_PROTOCOL_ABI;
    m.attr("http") = capsule(aicore_http());
    m.attr("tls") = capsule(aicore_tls());
    m.attr("dns") = capsule(aicore_dns());
    m.def("counters_info", counters_info);
    m.def("interfaces", interfaces);
    m.def("trim_memory", trim_memory, py::call_guard<py::gil_scoped_release>());
    bind_columns(m);
    bind_arrow(m);
    bind_batch(m);
    bind_binary(m);
    bind_lookup(m);
    bind_meters(m);
    bind_registry(m);
    bind_engine(m);
}
