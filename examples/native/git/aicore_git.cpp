// SPDX-License-Identifier: Apache-2.0
// The git protocol (gitprotocol-pack(5), "Git Transport") in C++ with aicore/dissector.h, and what the client says of
// itself in its first request (gitprotocol-capabilities(5), "agent").
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string_view>

#include "aicore/dissector.h"

namespace {

using namespace std::string_view_literals;

enum Field : uint32_t { path, host, agent };
constexpr aicore_field kFields[] = {
    {"gitpath", AICORE_STRING, 0, 256, nullptr, "url.path", "Repository that is asked for"},
    {"githost", AICORE_STRING, AICORE_NOTIFY, 253, nullptr, "url.domain", "Host that it is asked of"},
    {"gitagent", AICORE_STRING, 0, 96, nullptr, "user_agent.original", "Software of the client"},
};

constexpr aicore_prefix kPrefixes[] = {aicore::prefix("00")}; // of a length below 256, as nearly all are
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

// `0033git-upload-pack /project.git\0host=myserver.com\0\0version=2\0`
int request(aicore::Flow flow, std::string_view data) {
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
    flow.set(path, line.substr(0, end));
    if (const size_t found = line.find("\0host="sv); found != line.npos) {
        const std::string_view rest = line.substr(found + 6);
        flow.set(host, rest.substr(0, rest.find('\0')));
    }
    return AICORE_YES;
}

// What follows is read for `agent=` only, in the client's first packet behind the request.
int inspect(aicore::Flow flow, aicore_payload &payload) {
    const std::string_view data = aicore::text(payload);
    if (!flow.recognised()) return payload.reverse ? AICORE_NO : request(flow, data);
    if (payload.reverse) return AICORE_YES;
    if (const size_t found = data.find("agent="); found != data.npos) {
        const std::string_view rest = data.substr(found + 6);
        flow.set(agent, rest.substr(0, rest.find_first_of(" \n\0"sv)));
    }
    return AICORE_DONE;
}

constexpr aicore_protocol kGit = aicore::define_protocol<inspect>({
    .name = "git",
    .help = "git's own protocol",
    .transports = AICORE_TCP,
    .rank = 20,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

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
