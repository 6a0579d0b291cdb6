// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "aicore/decode.h"
#include "bind.h"

using namespace aicore;

namespace {

template <typename T> T number(const char *name, const py::handle &value) {
    if (PyBool_Check(value.ptr()) || !PyLong_Check(value.ptr()))
        throw py::value_error(std::string(name) + " must be an integer");
    try {
        return py::cast<T>(value);
    } catch (const py::cast_error &) {
        throw py::value_error(std::string(name) + " is out of range: " + std::string(py::str(value)));
    }
}

EngineOptions options_of(const py::kwargs &kwargs) {
    EngineOptions o;
    for (const auto &[key, value] : kwargs) {
        const auto name = py::cast<std::string>(key);
        const char *n = name.c_str();
        if (name == "tcp")
            o.tcp = py::cast<bool>(value);
        else if (name == "udp")
            o.udp = py::cast<bool>(value);
        else if (name == "tcp_flows")
            o.tcp_flows = number<uint32_t>(n, value);
        else if (name == "udp_flows")
            o.udp_flows = number<uint32_t>(n, value);
        else if (name == "every_tcp")
            o.every_tcp = number<uint32_t>(n, value);
        else if (name == "every_udp")
            o.every_udp = number<uint32_t>(n, value);
        else if (name == "idle_tcp")
            o.idle_tcp = number<int64_t>(n, value);
        else if (name == "idle_udp")
            o.idle_udp = number<int64_t>(n, value);
        else if (name == "half_open")
            o.half_open = number<int64_t>(n, value);
        else if (name == "linger")
            o.linger = number<int64_t>(n, value);
        else if (name == "active")
            o.active = number<int64_t>(n, value);
        else if (name == "vlan_in_key")
            o.vlan_in_key = py::cast<bool>(value);
        else if (name == "max_fragments")
            o.max_fragments = number<uint32_t>(n, value);
        else if (name == "sensor")
            o.sensor = utf8(value);
        else if (name == "batch_rows")
            o.batch_rows = number<size_t>(n, value);
        else if (name == "flush")
            o.flush = number<int64_t>(n, value);
        else if (name == "queue_batches")
            o.queue_batches = number<size_t>(n, value);
        else if (name == "stream_bytes")
            o.stream_bytes = number<size_t>(n, value);
        else if (name == "streams_bytes")
            o.streams_bytes = number<size_t>(n, value);
        else if (name == "top")
            o.top = py::cast<bool>(value);
        else if (name == "version_base")
            o.version_base = number<uint64_t>(n, value);
        else if (name == "events") {
            o.events = 0;
            for (const auto &event : value) {
                const auto text = py::cast<std::string>(event);
                for (unsigned k = 0; k < 3; ++k)
                    if (text == kEventNames[k]) o.events |= 1u << k;
            }
        } else {
            throw py::value_error("unknown engine option '" + name + "'");
        }
    }
    return o;
}

[[noreturn]] void raise_os(const std::runtime_error &e) {
    const std::string what = e.what();
    const bool rights =
        what.find("no right to") != std::string::npos || what.find("ermission denied") != std::string::npos;
    PyErr_SetString(rights ? PyExc_PermissionError : PyExc_OSError, e.what());
    throw py::error_already_set();
}

py::list top_list(const std::vector<TopEntry> &entries) {
    py::list out;
    for (const auto &e : entries)
        out.append(py::make_tuple(e.name, e.flows, e.packets, e.bytes));
    return out;
}

Answer answer_of(uint64_t question, int answer, const std::optional<std::string> &layer7, const py::dict &fields) {
    Answer a{question, answer, layer7.value_or(""), {}, {}, {}};
    for (const auto &[key, value] : fields) {
        const auto name = py::cast<std::string>(key);
        if (value.is_none()) continue;
        if (PyLong_Check(value.ptr())) {
            int overflow = 0;
            const long long n = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
            a.integers.emplace_back(name, overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : n);
        } else if (py::isinstance<py::bytes>(value)) {
            a.strings.emplace_back(name, py::cast<std::string>(value));
        } else if (py::isinstance<py::str>(value)) {
            a.strings.emplace_back(name, utf8(value));
        } else if (py::isinstance<py::list>(value) || py::isinstance<py::tuple>(value)) {
            std::vector<std::string> items;
            for (const auto &item : value)
                items.push_back(py::isinstance<py::bytes>(item) ? py::cast<std::string>(item) : utf8(item));
            a.lists.emplace_back(name, std::move(items));
        } else {
            throw py::value_error("field '" + name + "' must be int, str, bytes or a list of them");
        }
    }
    return a;
}

// Interfaces that are open before there is an engine, as the right to open them may go away in between.
struct LiveSource {
    std::unique_ptr<Source> source; // empty once an engine has it
};

} // namespace

void bind_engine(py::module_ &m) {
    py::class_<LiveSource>(m, "LiveSource")
        .def(py::init([](const std::vector<std::string> &interfaces, const std::string &filter, int snaplen,
                         int buffer_bytes, bool promiscuous, bool immediate, int timeout_ms) {
                 LiveOptions o;
                 o.snaplen = snaplen;
                 o.buffer_bytes = buffer_bytes;
                 o.promiscuous = promiscuous;
                 o.immediate = immediate;
                 o.timeout_ms = timeout_ms;
                 try {
                     return LiveSource{open_live(interfaces, filter, o)};
                 } catch (const std::runtime_error &error) {
                     raise_os(error);
                 }
             }),
             py::arg("interfaces"), py::arg("filter") = "", py::kw_only(), py::arg("snaplen") = 65535,
             py::arg("buffer_bytes") = 64 << 20, py::arg("promiscuous") = true, py::arg("immediate") = false,
             py::arg("timeout_ms") = 100);
    py::class_<Engine>(m, "Engine")
        .def(py::init([](std::shared_ptr<Registry> registry, const py::kwargs &kwargs) {
                 return std::make_unique<Engine>(std::move(registry), options_of(kwargs));
             }),
             py::arg("registry"))
        .def(
            "open_files",
            [](Engine &e, const std::vector<std::string> &paths, const std::string &filter) {
                try {
                    e.open(open_files(paths, filter));
                } catch (const std::runtime_error &error) {
                    raise_os(error);
                }
            },
            py::arg("paths"), py::arg("filter") = "")
        .def(
            "follow_files",
            [](Engine &e, const std::string &filter) {
                try {
                    e.open(follow_files(filter, Decoder::supports));
                } catch (const std::runtime_error &error) {
                    raise_os(error);
                }
            },
            py::arg("filter") = "")
        .def("add_files", &Engine::add_files, py::arg("paths"))
        .def("finished_files",
             [](Engine &e) {
                 py::list out;
                 for (const FinishedFile &file : e.finished_files())
                     out.append(py::make_tuple(file.path, file.batches, file.clock));
                 return out;
             })
        .def(
            "open",
            [](Engine &e, LiveSource &live) {
                if (!live.source) throw py::value_error("the source has an engine already");
                try {
                    e.open(std::move(live.source));
                } catch (const std::runtime_error &error) {
                    raise_os(error);
                }
            },
            py::arg("live"))
        .def("start", &Engine::start)
        .def(
            "pull",
            [](Engine &e, int timeout_ms) -> py::object {
                std::unique_ptr<Batch> batch;
                {
                    const py::gil_scoped_release release;
                    batch = e.pull(timeout_ms);
                }
                if (!batch) return py::none();
                return py::cast(PyBatch(std::shared_ptr<Batch>(std::move(batch))));
            },
            py::arg("timeout_ms") = 100)
        .def(
            "answer",
            [](Engine &e, uint64_t question, int answer, const std::optional<std::string> &layer7,
               const py::dict &fields) { e.answer(answer_of(question, answer, layer7, fields)); },
            py::arg("question"), py::arg("answer"), py::arg("layer7"), py::arg("fields"))
        .def("stop", &Engine::stop)
        .def("admit", &Engine::admit, py::arg("allowed"))
        .def("close", &Engine::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("finished", &Engine::finished)
        .def_property_readonly("error",
                               [](const Engine &e) -> py::object {
                                   const std::string error = e.error();
                                   return error.empty() ? py::object(py::none()) : py::object(py::str(error));
                               })
        .def("warnings", &Engine::warnings)
        .def("counters",
             [](const Engine &e) {
                 py::dict out;
                 for (const auto &[name, value] : e.counters())
                     out[py::str(name)] = value;
                 return out;
             })
        .def("progress",
             [](const Engine &e) {
                 const Progress p = e.progress();
                 py::dict out;
                 out["packets"] = p.packets;
                 out["bytes_read"] = p.bytes_read;
                 out["bytes_total"] = p.bytes_total;
                 out["current"] = p.current;
                 out["flows_live_tcp"] = p.flows_live_tcp;
                 out["flows_live_udp"] = p.flows_live_udp;
                 out["clock"] = p.clock;
                 return out;
             })
        .def(
            "top",
            [](const Engine &e, size_t limit) {
                const Tops tops = e.tops(limit);
                py::dict out;
                out["protocols"] = top_list(tops.protocols);
                out["hosts"] = top_list(tops.hosts);
                out["talkers"] = top_list(tops.talkers);
                return out;
            },
            py::arg("limit") = 10);
}
