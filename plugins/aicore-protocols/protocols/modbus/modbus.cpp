// SPDX-License-Identifier: Apache-2.0
// Modbus over TCP (MODBUS Messaging on TCP/IP V1.0b, MODBUS Application Protocol V1.1b3): functions, unit. Recognised
// on port 502 by the header and the length that goes with the function: nothing in it is a mark on other ports.
#include "aicore/dissector.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kUnit, kFunction, kFunctions, kException };
enum Anomaly : uint32_t { kBadMessage };

constexpr uint16_t kPorts[] = {502};
constexpr size_t kHeader = 7, kMaxLength = 254; // of unit and PDU, section 4.1 of the protocol

const char *function_name(uint8_t code) {
    switch (code) {
    case 1:
        return "read-coils";
    case 2:
        return "read-discrete-inputs";
    case 3:
        return "read-holding-registers";
    case 4:
        return "read-input-registers";
    case 5:
        return "write-single-coil";
    case 6:
        return "write-single-register";
    case 7:
        return "read-exception-status";
    case 8:
        return "diagnostics";
    case 11:
        return "get-comm-event-counter";
    case 12:
        return "get-comm-event-log";
    case 15:
        return "write-multiple-coils";
    case 16:
        return "write-multiple-registers";
    case 17:
        return "report-server-id";
    case 20:
        return "read-file-record";
    case 21:
        return "write-file-record";
    case 22:
        return "mask-write-register";
    case 23:
        return "read-write-multiple-registers";
    case 24:
        return "read-fifo-queue";
    case 43:
        return "encapsulated-interface";
    }
    return nullptr;
}

// Chapter 6: what follows the function. Requests and responses are not told apart: which side is the server need not
// be known in a connection's middle.
bool body_fits(uint8_t code, Bytes in) {
    const size_t length = in.left();
    const uint8_t first = in.u8();
    if (code & 0x80) return length == 1 && first >= 1 && first <= 11;
    switch (code) {
    case 1:
    case 2:
    case 3:
    case 4:
        return length == 4 || length == first + 1u;
    case 5:
    case 6:
        return length == 4;
    case 15:
    case 16: {
        in.skip(3);
        const uint8_t count = in.u8();
        return length == 4 || (in.ok() && length == count + 5u);
    }
    case 7:
        return length <= 1;
    case 11:
        return length == 0 || length == 4;
    case 22:
        return length == 6;
    }
    return true;
}

int inspect(Flow flow, aicore_payload &payload) {
    if (payload.flags & AICORE_GAP && flow.recognised()) return AICORE_YES; // messages begin with segments as a rule
    bool recognised = flow.recognised();
    Bytes in = bytes(payload);
    for (;;) {
        payload.consumed = payload.length - in.left();
        if (in.left() < kHeader + 1) break;
        Bytes ahead = in;
        ahead.skip(2); // transaction
        const uint16_t protocol = ahead.u16(), length = ahead.u16();
        const uint8_t unit = ahead.u8(), code = ahead.u8();
        const char *name = function_name(code & 0x7f);
        if (protocol != 0 || length < 2 || length > kMaxLength || (!name && !recognised) ||
            (ahead.left() >= length - 2u && !body_fits(code, Bytes(ahead).take(length - 2u)))) {
            if (!recognised) return AICORE_NO;
            flow.anomaly(kBadMessage);
            payload.consumed = payload.length;
            return AICORE_YES;
        }
        if (ahead.left() < length - 2u) break;
        recognised = true;
        if (!flow.has(kUnit)) flow.set(kUnit, unit);
        if (code & 0x80) flow.set(kException, ahead.data()[0]);
        if (name) {
            flow.first(kFunction, name);
            flow.add(kFunctions, name);
        }
        in.skip(kHeader - 1 + length);
    }
    return recognised ? AICORE_YES : AICORE_MORE;
}

constexpr aicore_field kFields[] = {
    {"modbusunit", AICORE_INTEGER, 0, 0, nullptr, nullptr, "unit of the first message"},
    {"modbusfunction", AICORE_STRING, 0, 32, nullptr, nullptr, "function of the first message"},
    {"modbusfunctions", AICORE_STRINGS, 0, 32, nullptr, nullptr, "functions of all messages"},
    {"modbusexception", AICORE_INTEGER, 0, 0, nullptr, nullptr, "code of the last exception"},
};
constexpr const char *kAnomalies[] = {"modbus_bad_message"};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "modbus",
    .help = "Modbus over TCP: functions, unit",
    .transports = AICORE_TCP,
    .rank = 40,
    .ports = kPorts,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *modbus() {
    return &kProtocol;
}

} // namespace aicore::protocols
