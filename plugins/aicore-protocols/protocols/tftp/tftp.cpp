// SPDX-License-Identifier: Apache-2.0
// TFTP (RFC 1350), its options (RFC 2347): the file. Requests go to port 69, the transfer is a flow of its own between
// ports of both sides' choice, recognised by the acknowledgement of options or by the first block, which is 512 bytes
// unless the file is shorter or another size was agreed upon.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kFile, kMode, kOperation };
enum Operation : uint16_t { kRead = 1, kWrite = 2, kData = 3, kOptions = 6 };

constexpr size_t kBlock = 512;
constexpr size_t kMaxText = 255;

// Text up to a NUL. False: it is not there, or is no text.
bool string(Bytes &in, std::string_view &out) {
    const std::string_view rest = text(in);
    const size_t end = rest.find('\0');
    if (end == rest.npos || end == 0 || end > kMaxText || !printable(rest.substr(0, end))) return false;
    out = rest.substr(0, end);
    in.skip(end + 1);
    return true;
}

// RFC 2348, 2349, 7440, 2090 and those that are in use beside them.
bool known_option(std::string_view name) {
    static constexpr std::string_view kNames[] = {"blksize",  "timeout",  "tsize",    "windowsize", "multicast",
                                                  "utimeout", "rollover", "blksize2", "saddr"};
    return std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view n) { return equal_nocase(name, n); });
}

// RFC 2347: pairs of texts. `known`: each name must be one.
bool options(Bytes in, bool known) {
    std::string_view name, value;
    while (in.left()) {
        if (!string(in, name) || !string(in, value) || (known && !known_option(name))) return false;
    }
    return true;
}

int inspect(Flow flow, aicore_payload &payload) {
    Bytes in = bytes(payload);
    const uint16_t operation = in.u16();
    std::string_view file, mode;
    switch (operation) {
    case kRead:
    case kWrite: // section 5
        if (!string(in, file) || !string(in, mode) ||
            !(equal_nocase(mode, "octet") || equal_nocase(mode, "netascii") || equal_nocase(mode, "mail")) ||
            (!options(in, false) && !(payload.flags & AICORE_TRUNCATED)))
            return AICORE_NO;
        flow.set(kFile, file);
        flow.set(kMode, mode);
        flow.set(kOperation, operation == kRead ? "read" : "write");
        return AICORE_DONE;
    case kData:
        return in.u16() == 1 && in.left() == kBlock ? AICORE_DONE : AICORE_NO;
    case kOptions:
        return in.left() && options(in, true) ? AICORE_DONE : AICORE_NO;
    }
    return AICORE_NO;
}

constexpr aicore_field kFields[] = {
    {"tftpfile", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "file.name", "file that is asked for"},
    {"tftpmode", AICORE_STRING, 0, 16, nullptr, nullptr, "octet, netascii or mail"},
    {"tftpoperation", AICORE_STRING, 0, 8, nullptr, nullptr, "read or write"},
};
constexpr uint16_t kPorts[] = {69};
constexpr aicore_prefix kPrefixes[] = {{"\0\1", 2}, {"\0\2", 2}, {"\0\3\0\1", 4}, {"\0\6", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "tftp",
    .help = "TFTP: file",
    .transports = AICORE_UDP,
    .rank = 45,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *tftp() {
    return &kProtocol;
}

} // namespace aicore::protocols
