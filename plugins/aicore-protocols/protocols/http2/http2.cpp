// SPDX-License-Identifier: Apache-2.0
// HTTP/2 in clear (RFC 9113 section 3.3, "prior knowledge", or behind an upgrade of HTTP/1.1), with gRPC: the hosts of
// all requests, the first request and response. Recognised by the preface that a client begins with. Headers in HPACK
// (RFC 7541), without its dynamic table: what is in there has been sent as a literal before.
#include "aicore/dissector.h"
#include "hpack.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kHost, kHosts, kUri, kMethod, kStatus, kAgent };
enum Anomaly : uint32_t { kBadFrame, kBadHeader };
enum Alias : uint32_t { kGrpc };
enum Type : uint8_t { kHeaders = 1, kSettings = 4 };

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kHead = 8192;          // of a frame with headers: what is waited for
constexpr uint32_t kMaxFrame = 1 << 24; // section 4.2

struct State {
    uint32_t skip[2];
    uint8_t client; // 1: the side of the flow's first packet, 2: the other
    bool seen[2];   // headers of that direction
    bool over[2];   // nothing more of it is read
};

struct Entry {
    std::string_view name, value;
};

// Of the static table (appendix A) what is of use here.
Entry entry(uint32_t index) {
    static constexpr std::string_view kStatuses[] = {"200", "204", "206", "304", "400", "404", "500"};
    switch (index) {
    case 1:
        return {":authority", {}};
    case 2:
        return {":method", "GET"};
    case 3:
        return {":method", "POST"};
    case 4:
        return {":path", "/"};
    case 5:
        return {":path", "/index.html"};
    case 31:
        return {"content-type", {}};
    case 38:
        return {"host", {}};
    case 58:
        return {"user-agent", {}};
    default:
        return index >= 8 && index <= 14 ? Entry{":status", kStatuses[index - 8]} : Entry{};
    }
}

void host(Flow flow, std::string_view value, bool replaces) { // as the core's http: without the port
    const size_t colon = value.rfind(':');
    const bool port = colon != value.npos && colon && decimal(value.substr(colon + 1)) >= 0;
    if (port) value = value.substr(0, colon);
    if (replaces || !flow.has(kHost)) flow.set(kHost, value);
    flow.add(kHosts, value);
}

// `first`: of the first list of its direction.
void header(Flow flow, std::string_view name, std::string_view value, bool first) {
    if (!printable(value)) return flow.anomaly(kBadHeader);
    if (name == ":authority" || name == "host") host(flow, value, first && name == ":authority");
    if (!first) return;
    if (name == ":path") flow.first(kUri, value);
    if (name == ":method") flow.first(kMethod, value);
    if (name == "user-agent") flow.first(kAgent, value);
    if (name == "content-type" && value.starts_with("application/grpc")) flow.set_layer7(kGrpc);
    if (name == ":status" && decimal(value) >= 200) flow.set(kStatus, decimal(value));
}

// Section 6 of RFC 7541.
bool headers(Flow flow, Bytes in, bool first_list) {
    hpack::Text name, value;
    while (in.left()) {
        const uint8_t first = *in.data();
        if (first & 0x80) {
            const Entry e = entry(hpack::integer(in, 7));
            if (!e.value.empty()) header(flow, e.name, e.value, first_list);
            continue;
        }
        if ((first & 0xe0) == 0x20) { // size of the dynamic table
            hpack::integer(in, 5);
            continue;
        }
        const uint32_t index = hpack::integer(in, first & 0x40 ? 6 : 4);
        if (index == 0 && !name.read(in)) return false;
        if (!value.read(in)) return false;
        header(flow, index ? entry(index).name : name.view(), value.view(), first_list);
    }
    return in.ok();
}

int64_t size(const State &state, Bytes in) {
    if (state.client == 0) {
        const std::string_view start = text(in).substr(0, kPreface.size());
        if (kPreface.starts_with(start))
            return start.size() == kPreface.size() ? static_cast<int64_t>(start.size()) : 0;
    }
    const uint32_t length = in.u24();
    const uint8_t type = in.u8();
    in.skip(5);
    if (!in.ok()) return 0;
    return length < kMaxFrame && (type <= 0x10 || type >= 0xf0) ? int64_t{length} + 9 : -1;
}

Message read(Flow flow, State &state, Bytes in, uint8_t side) {
    if (text(in).starts_with(kPreface)) {
        state.client = static_cast<uint8_t>(1 + side);
        return Message::proof;
    }
    const uint32_t length = in.u24();
    const uint8_t type = in.u8(), flags = in.u8();
    const uint32_t stream = in.u32() & 0x7fffffff;
    if (!state.client) // a server may speak first, but says no more than its settings
        return type == kSettings && stream == 0 && length % 6 == 0 && flags <= 1 && length <= 128 ? Message::fits
                                                                                                  : Message::broken;
    if (type != kHeaders) return Message::proof;
    Bytes block = in.take_some(length);
    const bool whole = in.ok();
    const uint8_t padding = flags & 0x08 ? block.u8() : 0;
    if (flags & 0x20) block.skip(5); // priority
    if (whole && block.ok() && padding <= block.left()) block = block.take(block.left() - padding);
    const bool client = state.client == 1 + side;
    const bool good = headers(flow, block, !client || !state.seen[side]);
    if (!good && whole && flags & 0x04) flow.anomaly(kBadHeader); // END_HEADERS
    state.seen[side] = client || flow.has(kStatus);               // 100 Continue comes before the response
    state.over[side] = !client && state.seen[side];
    return Message::proof;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    const uint8_t side = payload.reverse & 1;
    if (flow.recognised() && (payload.flags & AICORE_GAP || state.over[side])) { // no telling where a frame begins
        state.over[side] = true;
        pass_over(payload, payload.length, UINT64_MAX);
        return state.over[!side] ? AICORE_DONE : AICORE_YES;
    }
    return each_message(
        flow, payload, state.skip, kBadFrame, kHead, [&](Bytes in) { return size(state, in); },
        [&](Bytes in, bool) { return read(flow, state, in, side); });
}

constexpr aicore_field kFields[] = {
    {"httphost", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "url.domain", "authority of the first request"},
    {"httphosts", AICORE_STRINGS, AICORE_NOTIFY, 255, nullptr, nullptr, "authorities of requests: the latest 16"},
    {"httpuri", AICORE_STRING, 0, 512, nullptr, "url.original",
     "path of the first request; of gRPC service and method"},
    {"httpmethod", AICORE_STRING, 0, 64, nullptr, "http.request.method", "method of the first request"},
    {"httpstatus", AICORE_INTEGER, 0, 0, nullptr, "http.response.status_code", "status of the first final response"},
    {"useragent", AICORE_STRING, 0, 255, nullptr, "user_agent.original", "user-agent of the first request"},
};
constexpr const char *kAnomalies[] = {"http2_bad_frame", "http2_bad_header"};
constexpr const char *kAliases[] = {"grpc"};
constexpr aicore_prefix kPrefixes[] = {{"PRI * HTTP/2.0\r\n", 16}, {"\0\0", 2}};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "http2",
    .help = "HTTP/2 in clear, gRPC: the hosts of all requests, the first request and response",
    .transports = AICORE_TCP,
    .rank = 5,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
    .aliases = kAliases,
});

} // namespace

const aicore_protocol *http2() {
    return &kProtocol;
}

} // namespace aicore::protocols
