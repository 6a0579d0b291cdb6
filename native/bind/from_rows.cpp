// SPDX-License-Identifier: Apache-2.0
// Records as Python dicts back to rows: replay, tests, whoever makes flows of their own.
#include <arpa/inet.h>

#include <charconv>
#include <cstring>
#include <unordered_map>

#include "aicore/siphash.h"
#include "bind.h"

using namespace aicore;

namespace {

[[noreturn]] void bad(const std::string &field, const std::string &why) {
    throw py::value_error(field + " " + why);
}

uint64_t unsigned_of(const std::string &field, const py::handle &value, uint64_t limit = INT64_MAX) {
    if (!PyLong_Check(value.ptr()) || PyBool_Check(value.ptr())) bad(field, "must be an integer");
    int overflow = 0;
    const long long n = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (overflow < 0 || (overflow == 0 && n < 0)) bad(field, "must not be negative");
    const uint64_t value64 =
        overflow > 0 ? static_cast<uint64_t>(INT64_MAX) : static_cast<uint64_t>(n); // clipped to 63 bits
    if (value64 > limit) bad(field, "must be at most " + std::to_string(limit));
    return value64;
}

std::string_view view(const std::string &s, size_t from, size_t length) {
    return std::string_view(s).substr(from, length);
}

int64_t digits(const std::string &field, std::string_view s) {
    int64_t n = 0;
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
    if (s.empty() || error != std::errc() || end != s.data() + s.size()) bad(field, "is no RFC 3339 time");
    return n;
}

// RFC 3339 with 0 to 9 decimals, UTC ("Z" or "+00:00"), as append_time() writes it; or integer nanoseconds.
int64_t time_of(const std::string &field, const py::handle &value) {
    if (PyLong_Check(value.ptr())) return py::cast<int64_t>(value);
    const std::string s = utf8(value);
    if (s.size() < 20 || s[4] != '-' || s[7] != '-' || (s[10] != 'T' && s[10] != 't' && s[10] != ' ') || s[13] != ':' ||
        s[16] != ':')
        bad(field, "is no RFC 3339 time");
    const int64_t year = digits(field, view(s, 0, 4)), month = digits(field, view(s, 5, 2)),
                  day = digits(field, view(s, 8, 2));
    const int64_t seconds =
        digits(field, view(s, 11, 2)) * 3600 + digits(field, view(s, 14, 2)) * 60 + digits(field, view(s, 17, 2));
    size_t i = 19;
    int64_t nanoseconds = 0;
    if (s[i] == '.') {
        const size_t begin = ++i;
        while (i < s.size() && s[i] >= '0' && s[i] <= '9')
            ++i;
        if (i - begin > 9) bad(field, "has more than 9 decimals");
        nanoseconds = digits(field, view(s, begin, i - begin));
        for (size_t k = i - begin; k < 9; ++k)
            nanoseconds *= 10;
    }
    const std::string zone = s.substr(i);
    if (zone != "Z" && zone != "z" && zone != "+00:00") bad(field, "must be in UTC");
    if (month < 1 || month > 12 || day < 1 || day > 31 || year < 1678 || year > 2261)
        bad(field, "is no time that fits in 64 bits of nanoseconds");
    const int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    const int64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1,
                  doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return ((era * 146097 + doe - 719468) * 86400 + seconds) * 1000000000 + nanoseconds;
}

void address(const std::string &field, const std::string &s, uint8_t *out, uint8_t &version) {
    std::memset(out, 0, 16);
    const bool v6 = s.find(':') != std::string::npos;
    if (inet_pton(v6 ? AF_INET6 : AF_INET, s.c_str(), out) != 1) bad(field, "is no IP address");
    version = v6 ? 6 : 4;
}

template <size_t n> uint8_t one_of(const std::string &field, const std::string &s, const char *const (&names)[n]) {
    for (size_t i = 0; i < n; ++i)
        if (s == names[i]) return static_cast<uint8_t>(i);
    bad(field, "has an unknown value");
}

void flow_id(const std::string &s, Row &row) {
    if (s.size() != 32) bad("flow_id", "is not 32 hex digits");
    for (int half = 0; half < 2; ++half) {
        const char *begin = s.data() + 16 * half;
        const auto [end, error] = std::from_chars(begin, begin + 16, row.flow_id[half], 16);
        if (error != std::errc() || end != begin + 16) bad("flow_id", "is not 32 hex digits");
    }
}

void tunnel(const std::string &s, Row &row) { // as append_tunnel() writes it
    const size_t colon = s.find(':');
    row.tunnel = static_cast<Tunnel>(one_of("tunnel", s.substr(0, colon), kTunnelNames));
    if (colon != std::string::npos) row.tunnel_id = static_cast<uint32_t>(digits("tunnel", view(s, colon + 1, 10)));
}

using Set = void (*)(Schema &, Row &, const std::string &field, const py::handle &value);
#define UNSIGNED(member)                                                                                                                                                                                                 \
    {                                                                                                                                                                                                                    \
#member, [](Schema &, Row &r, const std::string &f, const py::handle &v) { r.member = static_cast<decltype(r.member)>(unsigned_of(f, v, sizeof r.member == 8 ? INT64_MAX : (1ull << (8 * sizeof r.member % 64)) - 1)); } \
    }
#define NAMED(member)                                                                                                  \
    {                                                                                                                  \
#member,                                                                                                       \
            [](Schema & s, Row & r, const std::string &, const py::handle &v) { r.member = s.name_index(utf8(v)); }    \
    }
#define TIME(member)                                                                                                   \
    {                                                                                                                  \
#member, [](Schema &, Row & r, const std::string &f, const py::handle &v) { r.member = time_of(f, v); }        \
    }
#define ONE_OF(member, type, names)                                                                                    \
    {                                                                                                                  \
#member, [](Schema &, Row & r, const std::string &f,                                                           \
                    const py::handle &v) { r.member = static_cast<type>(one_of(f, utf8(v), names)); }                  \
    }

const std::unordered_map<std::string, Set> kSetters = {
    {"key", [](Schema &, Row &, const std::string &, const py::handle &) {}}, // made of the addresses and ports
    {"community_id", [](Schema &, Row &, const std::string &, const py::handle &) {}},
    {"flow_id", [](Schema &, Row &r, const std::string &, const py::handle &v) { flow_id(utf8(v), r); }},
    {"ipsrc",
     [](Schema &, Row &r, const std::string &f, const py::handle &v) { address(f, utf8(v), r.ipsrc, r.ip_version); }},
    {"ipdst",
     [](Schema &, Row &r, const std::string &f, const py::handle &v) { address(f, utf8(v), r.ipdst, r.ip_version); }},
    {"tunnel", [](Schema &, Row &r, const std::string &, const py::handle &v) { tunnel(utf8(v), r); }},
    {"event", [](Schema &, Row &r, const std::string &f,
                 const py::handle &v) { r.kind = static_cast<EventKind>(one_of(f, utf8(v), kEventNames)); }},
    {"new",
     [](Schema &, Row &r, const std::string &f, const py::handle &v) {
         r.is_new = PyBool_Check(v.ptr()) ? v.ptr() == Py_True : unsigned_of(f, v, 1) != 0;
     }},
    UNSIGNED(seq),
    UNSIGNED(version),
    UNSIGNED(portsrc),
    UNSIGNED(portdst),
    UNSIGNED(proto),
    UNSIGNED(vlan),
    UNSIGNED(vlan_inner),
    UNSIGNED(duration),
    UNSIGNED(packets),
    UNSIGNED(bytes),
    UNSIGNED(payload_bytes),
    UNSIGNED(src_packets),
    UNSIGNED(dst_packets),
    UNSIGNED(src_bytes),
    UNSIGNED(dst_bytes),
    UNSIGNED(src_payload_bytes),
    UNSIGNED(dst_payload_bytes),
    UNSIGNED(src_tcpflags),
    UNSIGNED(dst_tcpflags),
    UNSIGNED(retransmissions),
    TIME(first_seen),
    TIME(last_seen),
    NAMED(sensor),
    NAMED(layer7),
    NAMED(anomaly),
    ONE_OF(layer7_by, Layer7By, kLayer7ByNames),
    ONE_OF(tcp_state, TcpState, kTcpStateNames),
    ONE_OF(end_reason, EndReason, kEndReasonNames),
};

} // namespace

std::string utf8(const py::handle &value) {
    if (!PyUnicode_Check(value.ptr()))
        throw py::value_error(std::string("must be text, not ") + Py_TYPE(value.ptr())->tp_name);
    Py_ssize_t size = 0;
    if (const char *bytes = PyUnicode_AsUTF8AndSize(value.ptr(), &size))
        return std::string(bytes, static_cast<size_t>(size));
    PyErr_Clear();
    const auto encoded =
        py::reinterpret_steal<py::bytes>(PyUnicode_AsEncodedString(value.ptr(), "utf-8", "backslashreplace"));
    if (!encoded) throw py::error_already_set();
    return encoded;
}

AddedColumn added_column(const std::string &name, const py::sequence &values) {
    if (!valid_column_name(name))
        throw py::value_error("'" + name + "' is no column name of the form ^[a-z][a-z0-9_]{0,47}$");
    AddedColumn c{name, FieldType::string, {}, {}, {}, {}, {}};
    const size_t n = values.size();
    bool typed = false;
    for (size_t i = 0; i < n && !typed; ++i) {
        const py::object v = values[i];
        if (v.is_none()) continue;
        typed = true;
        if (PyLong_Check(v.ptr()))
            c.type = FieldType::integer; // bool too, as 0 and 1
        else if (PyFloat_Check(v.ptr()))
            c.type = FieldType::real;
        else if (py::isinstance<py::list>(v) || py::isinstance<py::tuple>(v))
            c.type = FieldType::strings;
        else if (!PyUnicode_Check(v.ptr()))
            throw py::value_error("column '" + name + "', row " + std::to_string(i) + ": " + Py_TYPE(v.ptr())->tp_name +
                                  " is not int, float, bool, str or a list of str");
    }
    if (c.type == FieldType::integer) // integers with a float among them are floats
        for (size_t i = 0; i < n; ++i)
            if (PyFloat_Check(py::object(values[i]).ptr())) c.type = FieldType::real;
    c.valid.resize(n);
    switch (c.type) {
    case FieldType::integer:
        c.integers.resize(n);
        break;
    case FieldType::real:
        c.reals.resize(n);
        break;
    case FieldType::string:
        c.strings.resize(n);
        break;
    case FieldType::strings:
        c.lists.resize(n);
        break;
    }
    for (size_t i = 0; i < n; ++i) {
        const py::object v = values[i];
        if (v.is_none()) continue;
        c.valid[i] = 1;
        try {
            switch (c.type) {
            case FieldType::integer: {
                if (!PyLong_Check(v.ptr())) throw py::value_error("must be an integer");
                int overflow = 0;
                const long long number = PyLong_AsLongLongAndOverflow(v.ptr(), &overflow);
                c.integers[i] = overflow > 0 ? INT64_MAX : overflow < 0 ? INT64_MIN : number; // clipped to 64 bits
                break;
            }
            case FieldType::real:
                c.reals[i] = PyFloat_AsDouble(v.ptr());
                if (PyErr_Occurred()) throw py::error_already_set();
                break;
            case FieldType::string:
                c.strings[i] = utf8(v);
                break;
            case FieldType::strings:
                if (!py::isinstance<py::list>(v) && !py::isinstance<py::tuple>(v))
                    throw py::value_error("must be a list");
                for (const auto &item : v)
                    c.lists[i].push_back(utf8(item));
                break;
            }
        } catch (const py::value_error &e) {
            throw py::value_error("column '" + name + "', row " + std::to_string(i) + ": " + e.what());
        }
    }
    return c;
}

PyBatch batch_from_rows(const py::sequence &records) {
    auto schema = std::make_shared<Schema>();
    auto batch = std::make_shared<Batch>(schema);
    const size_t n = records.size();
    batch->rows.reserve(n);
    std::vector<std::string> extra; // in order of appearance
    std::unordered_map<std::string, py::list> extra_values;
    for (size_t i = 0; i < n; ++i) {
        Row row{};
        row.kind = EventKind::update;
        row.ip_version = 4;
        try {
            const py::dict record = py::dict(py::reinterpret_borrow<py::object>(py::object(records[i])));
            for (const auto &[key, value] : record) {
                if (value.is_none()) continue;
                const std::string name = utf8(key);
                if (const auto it = kSetters.find(name); it != kSetters.end()) {
                    try {
                        it->second(*schema, row, name, value);
                    } catch (const py::value_error &e) { // utf8() does not know the field
                        if (std::string_view(e.what()).starts_with(name)) throw;
                        throw py::value_error(name + " " + e.what());
                    }
                    continue;
                }
                auto [it, fresh] = extra_values.try_emplace(name);
                if (fresh) {
                    extra.push_back(name);
                    for (size_t k = 0; k < i; ++k)
                        it->second.append(py::none());
                }
                it->second.append(py::reinterpret_borrow<py::object>(value));
            }
            if (!record.contains(
                    "flow_id")) { // who makes records by hand needs no identity: key and first_seen give one
                std::string key;
                append_key(key, row);
                SipHash<2, 4, 128> h({0, 0});
                for (const char c : key)
                    h.add(static_cast<uint8_t>(c));
                h.add(static_cast<uint64_t>(row.first_seen));
                const auto id = h.finish128();
                row.flow_id[0] = id[0];
                row.flow_id[1] = id[1];
            }
        } catch (const py::value_error &e) {
            throw py::value_error("row " + std::to_string(i) + ": " + e.what());
        }
        for (const auto &name : extra)
            if (extra_values[name].size() == i) extra_values[name].append(py::none());
        batch->rows.push_back(row);
    }
    for (const auto &name : extra)
        batch->added.push_back(added_column(name, extra_values[name]));
    return PyBatch(std::move(batch));
}
