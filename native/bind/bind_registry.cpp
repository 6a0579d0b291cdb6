// SPDX-License-Identifier: Apache-2.0
#include "bind.h"

using namespace aicore;

namespace {

const aicore_protocol *pointer(const py::handle &object) {
    return in_capsule<aicore_protocol>(object, AICORE_PROTOCOL_CAPSULE);
}

py::object abi_error(const py::object &capsule) {
    return capsule_error<aicore_protocol>(capsule, AICORE_PROTOCOL_CAPSULE);
}

} // namespace

py::dict field_dict(const FieldInfo &f) {
    py::dict d;
    d["name"] = f.name;
    d["type"] = type_name(f.type);
    d["notify"] = f.notify;
    d["width"] = f.width;
    d["unit"] = f.unit;
    d["ecs"] = f.ecs;
    d["help"] = f.help;
    d["protocol"] = f.protocol;
    return d;
}

FieldInfo field_info(const py::handle &item) {
    const auto d = py::cast<py::dict>(item);
    const auto read = [&](const char *key, auto &to) {
        if (!d.contains(key) || d[key].is_none()) return;
        try {
            to = py::cast<std::remove_reference_t<decltype(to)>>(d[key]);
        } catch (const py::cast_error &) {
            const py::str name = py::repr(d.contains("name") ? py::object(d["name"]) : py::none());
            throw py::value_error("field " + py::cast<std::string>(name) + " has a bad " + key + ": " +
                                  py::cast<std::string>(py::repr(d[key])));
        }
    };
    const auto text = [&](const char *key) {
        std::string out;
        read(key, out);
        return out;
    };
    const auto type = type_of_name(text("type"));
    if (!type) throw py::value_error("field '" + text("name") + "' has no type '" + text("type") + "'");
    FieldInfo f{text("name"), *type, false, 64, text("unit"), text("ecs"), text("help"), text("protocol")};
    read("notify", f.notify);
    read("width", f.width);
    return f;
}

namespace {

std::string add_external(Registry &registry, const std::string &name, uint32_t transports, uint32_t rank,
                         const std::vector<uint16_t> &ports, const std::vector<py::bytes> &prefixes,
                         const py::sequence &fields) {
    ExternalProtocol p{name, "", transports, rank, ports, {}, {}};
    for (const auto &prefix : prefixes)
        p.prefixes.push_back(prefix);
    for (const auto &f : fields)
        p.fields.push_back(field_info(f));
    registry.add_external(p);
    return name;
}

py::list protocols(const Registry &registry) {
    py::list out;
    for (const Registered &r : registry.protocols()) {
        const aicore_protocol &p = r.protocol;
        py::dict d;
        d["name"] = p.name;
        d["help"] = p.help ? p.help : "";
        d["transports"] = p.transports;
        d["rank"] = p.rank;
        d["ports"] = std::vector<uint16_t>(p.ports, p.ports + p.port_count);
        py::list fields;
        for (const uint16_t f : r.fields)
            fields.append(registry.schema()->fields[f].name);
        d["fields"] = fields;
        out.append(d);
    }
    return out;
}

} // namespace

void bind_registry(py::module_ &m) {
    m.def("abi_error", abi_error, py::arg("capsule"));
    py::class_<Registry, std::shared_ptr<Registry>>(m, "Registry")
        .def(py::init<>())
        .def(
            "add",
            [](Registry &r, const py::object &capsule) {
                const aicore_protocol *p = pointer(capsule);
                if (const std::string why = Registry::check(p); !why.empty()) throw py::value_error(why);
                r.add(p);
                return std::string(p->name);
            },
            py::arg("capsule"), py::keep_alive<1, 2>()) // it may own what its structure points to
        .def("add_external", add_external, py::arg("name"), py::arg("transports"), py::arg("rank"), py::arg("ports"),
             py::arg("prefixes"), py::arg("fields"))
        .def(
            "declare", [](Registry &r, const py::handle &field) { r.declare(field_info(field)); }, py::arg("field"))
        .def("add_meter", add_meter, py::arg("capsule"), py::arg("config") = py::bytes(),
             py::arg("fields") = py::none(), py::keep_alive<1, 2>())
        .def("protocols", protocols)
        .def("meters", meters)
        .def("fields", [](const Registry &r) {
            py::list out;
            for (const auto *fields : {&r.schema()->fields, &r.schema()->declared})
                for (const FieldInfo &f : *fields)
                    out.append(field_dict(f));
            return out;
        });
}
