// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <exception>
#include <optional>
#include <tuple>

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

EngineOptions options_of(const py::kwargs &kwargs, size_t &workers) {
    EngineOptions o;
    for (const auto &[key, value] : kwargs) {
        const auto name = py::cast<std::string>(key);
        const char *n = name.c_str();
        if (name == "workers")
            workers = number<size_t>(n, value);
        else if (name == "tcp")
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
        else if (name == "thinned")
            o.thinned = py::cast<bool>(value);
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
        else if (name == "tunnel_in_key")
            o.tunnel_in_key = py::cast<bool>(value);
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
        else if (name == "inspected_flows")
            o.inspected_flows = number<uint32_t>(n, value);
        else if (name == "streams_bytes")
            o.streams_bytes = number<size_t>(n, value);
        else if (name == "top")
            o.top = py::cast<bool>(value);
        else if (name == "version_base")
            o.version_base = number<int64_t>(n, value);
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

py::dict counter_dict(const CounterValues &counters) {
    py::dict out;
    for (const auto &[name, value] : counters)
        out[py::str(name)] = value;
    return out;
}

py::list top_list(const std::vector<TopEntry> &entries) {
    py::list out;
    for (const auto &e : entries)
        out.append(py::make_tuple(e.name, e.flows, e.packets, e.bytes));
    return out;
}

// Has Python asked. What it raises ends the asking, and goes on to the caller of inspect().
class Asking final : public ExternalProtocols {
  public:
    Asking(const py::object &ask, uint16_t engine) : ask_(ask), base_(static_cast<uint64_t>(engine) << 48) {}

    int inspect(const Question &q) noexcept override {
        if (error_) return AICORE_NO;
        try {
            const aicore_payload &p = q.payload;
            const py::object other = p.other ? py::object(bytes(p.other, p.other_length)) : py::object(py::none());
            const Registered &protocol = q.registry.protocols()[q.protocol];
            const unsigned flags = p.flags | (p.reverse ? kReverse : 0) | (q.flow.recognised ? kRecognised : 0);
            const auto [code, consumed, layer7, fields] =
                py::cast<std::tuple<int, std::optional<size_t>, std::optional<std::string>, py::dict>>(
                    ask_(protocol.protocol.name, bytes(p.data, p.length), other, flags, base_ + q.inspection, q.row));
            for (const auto &[name, value] : fields)
                set(q, protocol, py::cast<std::string>(name), value);
            if (layer7) q.set_layer7(*layer7);
            if (consumed) q.payload.consumed = *consumed;
            return code;
        } catch (...) {
            error_ = std::current_exception();
            return AICORE_NO;
        }
    }
    void ended(uint64_t inspection) noexcept override { ended_.push_back(base_ + inspection); }

    std::vector<uint64_t> result() {
        if (error_) std::rethrow_exception(error_);
        return std::move(ended_);
    }

  private:
    static constexpr unsigned kReverse = 256, kRecognised = 512; // beside aicore_payload_flags

    static py::bytes bytes(const uint8_t *data, size_t n) { return {reinterpret_cast<const char *>(data), n}; }
    static std::string text(const py::handle &value) {
        return py::isinstance<py::bytes>(value) ? py::cast<std::string>(value) : utf8(value);
    }
    static void set(const Question &q, const Registered &protocol, const std::string &name, const py::handle &value) {
        uint32_t i = 0;
        while (i < protocol.fields.size() && q.registry.schema()->fields[protocol.fields[i]].name != name)
            ++i;
        if (i == protocol.fields.size()) throw py::value_error("it does not declare the field '" + name + "'");
        const aicore_host &host = *q.flow.host;
        const FieldType type = q.registry.schema()->fields[protocol.fields[i]].type;
        const bool list = is_list(type);
        const auto one = [&](const py::handle &item) {
            if (is_text(type)) {
                const std::string s = text(item);
                (list ? host.add_string : host.set_string)(&q.flow, i, s.data(), s.size());
            } else if (is_real(type)) {
                (list ? host.add_real : host.set_real)(&q.flow, i, py::cast<double>(item));
            } else {
                (list ? host.add_integer : host.set_integer)(&q.flow, i, py::cast<int64_t>(item));
            }
        };
        if (!list) return one(value);
        for (const auto &item : value)
            one(item);
    }

    const py::object ask_;
    const uint64_t base_; // tells the inspections of several engines apart
    std::exception_ptr error_;
    std::vector<uint64_t> ended_;
};

std::vector<uint64_t> inspect(Workers &engine, const PyBatch &batch, const py::object &ask) {
    Asking asking(ask, batch.batch->engine);
    engine.inspect(*batch.batch, asking);
    return asking.result();
}

// Meters are made and destroyed with their engine, and must not hold the GIL meanwhile. Without meters there is nothing
// to wait for, and the GIL is kept: a daemon thread that asks for it again while the interpreter ends is unwound here,
// in a destructor, and the program aborts (seen).
struct WithoutGil {
    void operator()(Workers *engine) const {
        if (engine->registry().meters().empty()) {
            delete engine;
            return;
        }
        const py::gil_scoped_release release;
        delete engine;
    }
};
using EngineHolder = std::unique_ptr<Workers, WithoutGil>;

// Interfaces that are open before there is an engine, as the right to open them may go away in between.
struct LiveSource {
    std::vector<std::unique_ptr<Source>> sources; // one for each worker, or one for all; empty once an engine has them
    std::shared_ptr<Fanout> fanout;               // of several
};

} // namespace

void bind_engine(py::module_ &m) {
    py::class_<LiveSource>(m, "LiveSource")
        .def(py::init([](const std::vector<std::string> &interfaces, const std::string &filter, int snaplen,
                         int buffer_bytes, bool promiscuous, bool immediate, int timeout_ms, size_t workers) {
                 LiveOptions o;
                 o.snaplen = snaplen;
                 o.buffer_bytes = buffer_bytes;
                 o.promiscuous = promiscuous;
                 o.immediate = immediate;
                 o.timeout_ms = timeout_ms;
                 try {
                     LiveSource live;
                     if (workers > 1 && Fanout::supported()) {
                         o.buffer_bytes = std::max(o.buffer_bytes / static_cast<int>(workers), 1 << 20);
                         live.fanout = std::make_shared<Fanout>(workers);
                         live.sources = open_live(interfaces, filter, o, live.fanout);
                     } else {
                         live.sources.push_back(open_live(interfaces, filter, o));
                     }
                     return live;
                 } catch (const std::runtime_error &error) {
                     raise_os(error);
                 }
             }),
             py::arg("interfaces"), py::arg("filter") = "", py::kw_only(), py::arg("snaplen") = 65535,
             py::arg("buffer_bytes") = 64 << 20, py::arg("promiscuous") = true, py::arg("immediate") = false,
             py::arg("timeout_ms") = 100, py::arg("workers") = 1);
    py::class_<Workers, EngineHolder>(m, "Engine")
        .def(py::init([](std::shared_ptr<Registry> registry, const py::kwargs &kwargs) {
                 size_t workers = 1;
                 const EngineOptions options = options_of(kwargs, workers);
                 const py::gil_scoped_release release;
                 return EngineHolder(new Workers(std::move(registry), options, workers));
             }),
             py::arg("registry"), py::keep_alive<1, 2>()) // the registry keeps the plugins' capsules
        .def(
            "open_files",
            [](Workers &e, const std::vector<std::string> &paths, const std::string &filter,
               const std::vector<std::string> &found, bool merge) {
                try {
                    e.open(merge ? merge_files(paths, filter, found) : open_files(paths, filter, found));
                } catch (const std::runtime_error &error) {
                    raise_os(error);
                }
            },
            py::arg("paths"), py::arg("filter") = "", py::arg("found") = std::vector<std::string>(),
            py::arg("merge") = false)
        .def(
            "follow_files",
            [](Workers &e, const std::string &filter) {
                try {
                    e.open(follow_files(filter, Decoder::supports));
                } catch (const std::runtime_error &error) {
                    raise_os(error);
                }
            },
            py::arg("filter") = "")
        .def("add_files", &Workers::add_files, py::arg("paths"))
        .def("finished_files",
             [](Workers &e) {
                 py::list out;
                 for (const FinishedFile &file : e.finished_files())
                     out.append(py::make_tuple(file.path, file.batches, file.clock));
                 return out;
             })
        .def("broken_files",
             [](Workers &e) {
                 py::list out;
                 for (const BrokenFile &file : e.broken_files())
                     out.append(py::make_tuple(file.path, file.error));
                 return out;
             })
        .def(
            "open",
            [](Workers &e, LiveSource &live) {
                if (live.sources.empty()) throw py::value_error("the source has an engine already");
                try {
                    auto sources = std::exchange(live.sources, {});
                    if (live.fanout)
                        e.open(std::move(sources), live.fanout);
                    else
                        e.open(std::move(sources[0]));
                } catch (const std::runtime_error &error) {
                    raise_os(error);
                }
            },
            py::arg("live"))
        .def("start", &Workers::start)
        .def(
            "pull",
            [](Workers &e, int timeout_ms) -> py::object {
                std::unique_ptr<Batch> batch;
                {
                    const py::gil_scoped_release release;
                    batch = e.pull(timeout_ms);
                }
                if (!batch) return py::none();
                batch->add_declared();
                return py::cast(PyBatch(std::shared_ptr<Batch>(std::move(batch))));
            },
            py::arg("timeout_ms") = 100)
        .def("inspect", inspect, py::arg("batch"), py::arg("ask"))
        .def("reload_meter", reload_meter, py::arg("capsule"), py::arg("config") = py::bytes(),
             py::arg("fields") = py::none())
        .def("stop", &Workers::stop)
        .def("close", &Workers::close, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("finished", &Workers::finished)
        .def_property_readonly("error",
                               [](const Workers &e) -> py::object {
                                   const std::string error = e.error();
                                   return error.empty() ? py::object(py::none()) : py::object(py::str(error));
                               })
        .def("warnings", &Workers::warnings)
        .def("counters", [](const Workers &e) { return counter_dict(e.counters()); })
        .def("worker_counters",
             [](const Workers &e) {
                 py::list out;
                 for (const CounterValues &one : e.worker_counters())
                     out.append(counter_dict(one));
                 return out;
             })
        .def("progress",
             [](const Workers &e) {
                 const Progress p = e.progress();
                 py::dict out;
                 out["packets"] = p.packets;
                 out["bytes_read"] = p.bytes_read;
                 out["bytes_total"] = p.bytes_total;
                 out["current"] = p.current;
                 out["flows_live_tcp"] = p.flows_live_tcp;
                 out["flows_live_udp"] = p.flows_live_udp;
                 out["clock"] = p.clock;
                 out["ended"] = p.ended;
                 return out;
             })
        .def(
            "top",
            [](const Workers &e, size_t limit) {
                const Tops tops = e.tops(limit);
                py::dict out;
                out["protocols"] = top_list(tops.protocols);
                out["hosts"] = top_list(tops.hosts);
                out["talkers"] = top_list(tops.talkers);
                return out;
            },
            py::arg("limit") = 10);
}
