// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "aicore/meter.h"
#include "bind.h"

using namespace aicore;

namespace {

const aicore_meter *pointer(const py::handle &object) {
    return in_capsule<aicore_meter>(object, AICORE_METER_CAPSULE);
}

py::object meter_abi_error(const py::object &capsule) {
    return capsule_error<aicore_meter>(capsule, AICORE_METER_CAPSULE);
}

std::optional<std::vector<FieldInfo>> fields_of(const std::optional<py::sequence> &given) {
    if (!given) return {};
    std::vector<FieldInfo> fields;
    for (const auto &f : *given)
        fields.push_back(field_info(f));
    return fields;
}

} // namespace

std::string add_meter(Registry &registry, const py::object &capsule, const py::bytes &config,
                      const std::optional<py::sequence> &given) {
    const auto fields = fields_of(given);
    registry.add_meter(pointer(capsule), config, fields ? &*fields : nullptr);
    return registry.meters().back().meter.name;
}

py::list meters(const Registry &registry) {
    py::list out;
    for (const RegisteredMeter &r : registry.meters()) {
        py::dict d;
        d["name"] = r.meter.name;
        d["help"] = r.meter.help ? r.meter.help : "";
        d["state_size"] = r.meter.state_size;
        d["stream_bytes"] = r.meter.stream_bytes;
        py::list fields;
        for (const uint16_t f : r.fields)
            fields.append(registry.schema()->fields[f].name);
        d["fields"] = fields;
        out.append(d);
    }
    return out;
}

// Nothing of a meter is called with the GIL held.
void reload_meter(Workers &engine, const py::object &capsule, const py::bytes &config,
                  const std::optional<py::sequence> &given) {
    const auto fields = fields_of(given);
    const aicore_meter *meter = pointer(capsule);
    const std::string text = config;
    const py::gil_scoped_release release;
    engine.reload_meter(meter, text, fields ? &*fields : nullptr);
}

void bind_meters(py::module_ &m) {
    m.attr("METER_ABI") = AICORE_METER_ABI;
    m.def("meter_abi_error", meter_abi_error, py::arg("capsule"));
    m.def(
        "is_meter",
        [](const py::object &capsule) { return PyCapsule_IsValid(capsule.ptr(), AICORE_METER_CAPSULE) != 0; },
        py::arg("capsule"));
}
