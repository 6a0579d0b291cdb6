// SPDX-License-Identifier: Apache-2.0
// The git protocol (gitprotocol-pack(5), "Git Transport") in C++ against aicore/protocol.h, and what the client says of
// itself in its first request (gitprotocol-capabilities(5), "agent").
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <iterator>
#include <string_view>

#include "aicore/protocol.h"

namespace {

using namespace std::string_view_literals;

enum Field : uint32_t { path, host, agent };
const aicore_field kFields[] = {
    {"gitpath", AICORE_STRING, 0, 256, nullptr, "url.path", "Repository that is asked for"},
    {"githost", AICORE_STRING, AICORE_NOTIFY, 253, nullptr, "url.domain", "Host that it is asked of"},
    {"gitagent", AICORE_STRING, 0, 96, nullptr, "user_agent.original", "Software of the client"},
};

constexpr aicore_prefix kPrefix = {"00", 2}; // of a length below 256, as nearly all are
constexpr uint16_t kPorts[] = {9418};
constexpr size_t kRequest = 1024;

// A pkt-line begins with its length, these four digits included; 0 if they are none.
size_t line_length(std::string_view digits) {
    size_t n = 0;
    for (const char c : digits) {
        const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0) return 0;
        n = n * 16 + static_cast<size_t>(value);
    }
    return n;
}

void set(aicore_flow *flow, Field field, std::string_view text) {
    if (!text.empty()) flow->host->set_string(flow, field, text.data(), text.size());
}

// `0033git-upload-pack /project.git\0host=myserver.com\0\0version=2\0`
int request(aicore_flow *flow, std::string_view data) {
    if (data.size() < 4) return AICORE_MORE;
    const size_t length = line_length(data.substr(0, 4));
    if (length < 4 || length > kRequest) return AICORE_NO;
    std::string_view line = data.substr(4, length - 4);
    const size_t space = line.find(' ');
    const std::string_view service = line.substr(0, space);
    if (service != "git-upload-pack" && service != "git-receive-pack" && service != "git-upload-archive")
        return space == line.npos && data.size() < length && service.size() < 18 ? AICORE_MORE : AICORE_NO;
    if (data.size() < length) return AICORE_MORE;
    line.remove_prefix(space + 1);
    const size_t end = line.find('\0');
    set(flow, path, line.substr(0, end));
    if (const size_t found = line.find("\0host="sv); found != line.npos) {
        const std::string_view rest = line.substr(found + 6);
        set(flow, host, rest.substr(0, rest.find('\0')));
    }
    return AICORE_YES;
}

// What follows is read for `agent=` only, in the client's first packet behind the request.
int inspect(aicore_flow *flow, aicore_payload *payload, void *) {
    const std::string_view data(reinterpret_cast<const char *>(payload->data), payload->length);
    if (!flow->recognised) return payload->reverse ? AICORE_NO : request(flow, data);
    if (payload->reverse) return AICORE_YES;
    if (const size_t found = data.find("agent="); found != data.npos) {
        const std::string_view rest = data.substr(found + 6);
        set(flow, agent, rest.substr(0, rest.find_first_of(" \n\0"sv)));
    }
    return AICORE_DONE;
}

const aicore_protocol kGit = {
    .abi = AICORE_PROTOCOL_ABI,
    .size = sizeof(aicore_protocol),
    .name = "git",
    .help = "git's own protocol",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .port_count = std::size(kPorts),
    .prefix_count = 1,
    .prefixes = &kPrefix,
    .fields = kFields,
    .field_count = std::size(kFields),
    .anomaly_count = 0,
    .anomalies = nullptr,
    .aliases = nullptr,
    .alias_count = 0,
    .state_size = 0,
    .inspect = inspect,
};

PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "aicore_git", "git's protocol for aicore.", -1, nullptr, nullptr, nullptr, nullptr, nullptr};

} // namespace

PyMODINIT_FUNC PyInit_aicore_git() {
    PyObject *self = PyModule_Create(&module);
    PyObject *capsule = PyCapsule_New(const_cast<aicore_protocol *>(&kGit), AICORE_PROTOCOL_CAPSULE, nullptr);
    if (!self || !capsule || PyModule_AddObject(self, "git", capsule) < 0) {
        Py_XDECREF(capsule);
        Py_XDECREF(self);
        return nullptr;
    }
    return self;
}
