// SPDX-License-Identifier: Apache-2.0
// DNP3 over TCP and UDP (IEEE 1815): stations, the application's functions. Recognised by the start bytes and the
// checksum of the link header (clause 9.2).
#include <iterator>

#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kSource, kDestination, kFunction, kFunctions };
enum Anomaly : uint32_t { kBadFrame };

constexpr size_t kHeader = 10, kBlock = 16; // with checksum; a block of data without it
constexpr uint16_t kStart = 0x0564;

constexpr const char *kNames[] = { // clause 4.2.2.5
    "confirm",
    "read",
    "write",
    "select",
    "operate",
    "direct-operate",
    "direct-operate-no-response",
    "freeze",
    "freeze-no-response",
    "freeze-clear",
    "freeze-clear-no-response",
    "freeze-at-time",
    "freeze-at-time-no-response",
    "cold-restart",
    "warm-restart",
    "initialize-data",
    "initialize-application",
    "start-application",
    "stop-application",
    "save-configuration",
    "enable-unsolicited",
    "disable-unsolicited",
    "assign-class",
    "delay-measurement",
    "record-current-time",
    "open-file",
    "close-file",
    "delete-file",
    "get-file-information",
    "authenticate-file",
    "abort-file-transfer",
    "activate-configuration",
    "authentication-request"};

// Clause 9.2.4.1.4: x^16 + x^13 + x^12 + x^11 + x^10 + x^8 + x^6 + x^5 + x^2 + 1, lowest bit first, inverted.
uint16_t checksum(const uint8_t *data, size_t length) {
    uint16_t crc = 0;
    for (size_t i = 0; i < length; ++i) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; ++bit)
            crc = static_cast<uint16_t>(crc & 1 ? (crc >> 1) ^ 0xa6bc : crc >> 1);
    }
    return static_cast<uint16_t>(~crc);
}

void function(Flow flow, uint8_t code) {
    const char *name = code < std::size(kNames) ? kNames[code]
                       : code == 129            ? "response"
                       : code == 130            ? "unsolicited-response"
                       : code == 131            ? "authentication-response"
                                                : "";
    flow.first(kFunction, name);
    flow.add(kFunctions, name);
}

// All of a frame: header, then user data in blocks with a checksum each.
size_t frame_size(uint8_t length) {
    const size_t data = length - size_t{5};
    return kHeader + data + (data + kBlock - 1) / kBlock * 2;
}

int inspect(Flow flow, aicore_payload &payload) {
    bool recognised = flow.recognised();
    Bytes in = bytes(payload);
    for (;;) {
        payload.consumed = payload.length - in.left();
        if (in.left() < (flow.tcp() ? kHeader : 1)) break;
        Bytes head = in;
        const uint16_t start = head.u16();
        const uint8_t length = head.u8();
        head.skip(1); // control
        const uint16_t destination = head.u16le(), source = head.u16le(), sum = head.u16le();
        if (!head.ok() || start != kStart || length < 5 || sum != checksum(in.data(), kHeader - 2)) {
            if (!recognised) return AICORE_NO;
            if (!(payload.flags & AICORE_GAP)) flow.anomaly(kBadFrame);
            payload.consumed = payload.length;
            return AICORE_YES;
        }
        const size_t size = frame_size(length);
        const bool whole = in.left() >= size;
        if (!whole && flow.tcp() && !(payload.flags & AICORE_TRUNCATED)) {
            if (recognised) return AICORE_YES;
            break;
        }
        recognised = true;
        if (!flow.has(kSource)) {
            flow.set(kSource, source);
            flow.set(kDestination, destination);
        }
        // Transport (clause 8.2): the first segment of a fragment begins it; application: control, function.
        if (length >= 5 + 3 && head.left() >= 3 && head.data()[0] & 0x40) function(flow, head.data()[2]);
        in.skip(whole ? size : in.left());
    }
    return recognised ? AICORE_YES : AICORE_MORE;
}

constexpr aicore_field kFields[] = {
    {"dnp3source", AICORE_INTEGER, 0, 0, nullptr, nullptr, "address of the station that sent the first frame"},
    {"dnp3destination", AICORE_INTEGER, 0, 0, nullptr, nullptr, "address of the station that it is for"},
    {"dnp3function", AICORE_STRING, 0, 32, nullptr, nullptr, "function of the first fragment"},
    {"dnp3functions", AICORE_STRINGS, 0, 32, nullptr, nullptr, "functions of all fragments"},
};
constexpr const char *kAnomalies[] = {"dnp3_bad_frame"};
constexpr uint16_t kPorts[] = {20000};
constexpr aicore_prefix kPrefixes[] = {{"\x05\x64", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "dnp3",
    .help = "DNP3: stations, functions",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 0,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *dnp3() {
    return &kProtocol;
}

} // namespace aicore::protocols
