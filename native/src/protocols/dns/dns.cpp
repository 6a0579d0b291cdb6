// SPDX-License-Identifier: Apache-2.0
// DNS over UDP and TCP (RFC 1035), multicast DNS (RFC 6762) and LLMNR (RFC 4795): every name a flow asks for, the type
// of the first question, the first response code, the addresses in answers. Responses are not matched to their queries.
#include <algorithm>
#include <charconv>

#include "aicore/builtin_protocols.h"
#include "aicore/dissector.h"
#include "name.h"

namespace aicore::dns {

namespace {

enum Field : uint32_t { kDomain, kDomains, kQtype, kRcode, kIps };
enum Anomaly : uint32_t { kBadHeader, kBadName, kBadRecord };
enum class Kind : uint8_t { dns, mdns, llmnr }; // less one: the alias

constexpr size_t kHeader = 12;
constexpr size_t kMaxAddresses = 16;  // in the record
constexpr size_t kNamesAMessage = 64; // questions that are looked at in one message
constexpr size_t kMaxWait = 12288;    // a longer TCP message is read as far as its first part goes
constexpr size_t kFirstPart = 2048;

// The addresses that the record holds, as FNV-1a hashes: a clash costs a value, and the bound counts different ones
// only.
struct Listed {
    uint32_t hashes[kMaxAddresses];
    uint32_t count;

    bool full() const { return count == kMaxAddresses; }
    bool add(std::string_view text) {
        uint32_t h = 2166136261u;
        for (const char c : text)
            h = (h ^ static_cast<uint8_t>(c)) * 16777619u;
        if (full() || std::find(hashes, hashes + count, h) != hashes + count) return false;
        hashes[count++] = h;
        return true;
    }
};

struct State {
    Listed ips;
    bool lost[2];                // TCP, by direction: a message begins at one of the next payloads, if at all
    bool asked, answered, named; // a question, a response, a name without a question was seen
};

struct Header {
    uint16_t flags, questions, answers, authorities, additionals;
    bool response() const { return flags & 0x8000; }
    unsigned opcode() const { return flags >> 11 & 15; }
    bool truncated() const { return flags & 0x0200; }
    unsigned rcode() const { return flags & 15; }
};

Header read_header(const uint8_t *message) {
    Bytes in(message + 2, kHeader - 2); // behind the transaction id
    Header h;
    h.flags = in.u16();
    h.questions = in.u16();
    h.answers = in.u16();
    h.authorities = in.u16();
    h.additionals = in.u16();
    return h;
}

Kind kind_of(Flow flow) {
    static constexpr uint8_t kMdns4[] = {224, 0, 0, 251}, kLlmnr4[] = {224, 0, 0, 252};
    static constexpr uint8_t kMdns6[] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfb};
    static constexpr uint8_t kLlmnr6[] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 3};
    const Bytes dst = flow.dst();
    const auto to = [&](std::span<const uint8_t> group) {
        return std::equal(group.begin(), group.end(), dst.data(), dst.data() + dst.left());
    };
    if (!flow.tcp() && (flow.port(5353) || to(kMdns4) || to(kMdns6))) return Kind::mdns;
    if (flow.port(5355) || to(kLlmnr4) || to(kLlmnr6)) return Kind::llmnr;
    return Kind::dns;
}

class Message {
  public:
    // `strict`: no port says that this is DNS, so more of it must fit.
    Message(Flow flow, State &state, Kind kind, bool strict, bool recognised)
        : flow_(flow), state_(state), kind_(kind), strict_(strict), recognised_(recognised) {}

    bool plausible(const Header &h) const {
        const bool odd_opcode = h.opcode() == 4 || h.opcode() == 5; // NOTIFY, UPDATE
        if (h.opcode() != 0 && (!odd_opcode || strict_ || kind_ != Kind::dns)) return false;
        if (!h.response() && (h.rcode() != 0 || h.questions == 0)) return false;
        if (h.questions == 0 && !recognised_ && (kind_ != Kind::mdns || h.answers == 0)) return false;
        if (!strict_) return true;
        if (h.questions != 1 || h.flags & 0x0040) return false; // RFC 9619; Z must be zero (RFC 6895 section 2)
        return h.response() || (h.answers == 0 && h.authorities == 0 && h.additionals <= 2 && (h.flags & 0x0480) == 0);
    }

    // Whether all of it is a message of the usual form; nothing of it is reported.
    bool fits(const Bytes &message) const {
        const uint8_t *data = message.data();
        const size_t length = message.left();
        if (length < kHeader) return false;
        const Header h = read_header(data);
        size_t at = kHeader; // `plausible` has one question
        return plausible(h) && skip_name(data, length, at) && (at += 4) <= length && exact(data, length, at, h);
    }

    // Reads a message, or with `cut` the beginning of one. False: it is none.
    bool read(const uint8_t *message, size_t length, bool cut) {
        if (length < kHeader) return bad(kBadHeader);
        const Header h = read_header(message);
        if (!plausible(h)) return bad(kBadHeader);
        size_t at = kHeader;
        for (unsigned i = 0; i < h.questions; ++i) {
            if (question(message, length, at, i)) continue;
            if (i == 0) return bad(kBadName);
            if (!cut) flow_.anomaly(kBadName); // the count says more than there is
            return true;
        }
        if (!h.response()) return !strict_ || cut || exact(message, length, at, h);
        if (!state_.answered) response_code(h.rcode());
        state_.answered = true;
        if (!answers(message, length, at, h) && !cut && !h.truncated()) flow_.anomaly(kBadRecord);
        return true;
    }

  private:
    bool bad(Anomaly anomaly) {
        if (recognised_) flow_.anomaly(anomaly);
        return false;
    }

    bool question(const uint8_t *message, size_t length, size_t &at, unsigned index) {
        if (index >= kNamesAMessage) return skip_name(message, length, at) && (at += 4) <= length;
        Name name;
        if (!read_name(message, length, at, name) || length - at < 4) return false;
        Bytes in(message + at, 4);
        const uint16_t type = in.u16(), cls = in.u16();
        at += 4;
        const uint16_t plain =
            kind_ == Kind::mdns ? cls & 0x7fff : cls; // RFC 6762 section 5.4: top bit asks for unicast
        const bool known_class = plain == 1 || plain == 3 || plain == 4 || plain == 254 || plain == 255;
        const bool known_type = type_name(type);
        if (strict_ ? !known_class || !known_type : !known_class && !known_type) return false;
        if (name.encoded_netbios && (type == 0x20 || type == 0x21)) return false; // NetBIOS name service, RFC 1002
        if (!state_.asked) {
            state_.asked = true;
            flow_.set(kDomain, name.view());
            question_type(type);
        }
        flow_.add(kDomains, name.view());
        return true;
    }

    void question_type(uint16_t type) {
        if (const char *known = type_name(type)) return flow_.set(kQtype, known);
        char text[12] = "TYPE";
        const char *end = std::to_chars(text + 4, text + sizeof text, type).ptr;
        flow_.set(kQtype, std::string_view(text, static_cast<size_t>(end - text)));
    }

    void response_code(unsigned rcode) {
        if (const char *known = rcode_name(static_cast<uint8_t>(rcode))) return flow_.set(kRcode, known);
        char text[12] = "RCODE";
        const char *end = std::to_chars(text + 5, text + sizeof text, rcode).ptr;
        flow_.set(kRcode, std::string_view(text, static_cast<size_t>(end - text)));
    }

    struct Record {
        uint16_t type, cls, length;
        const uint8_t *data;
    };

    static bool record(const uint8_t *message, size_t length, size_t &at, Record &out) {
        if (!skip_name(message, length, at)) return false;
        Bytes in(message + at, length - at);
        out.type = in.u16();
        out.cls = in.u16();
        in.skip(4); // time to live
        out.length = in.u16();
        out.data = in.take(out.length).data();
        if (!in.ok()) return false;
        at = length - in.left();
        return true;
    }

    static bool exact(const uint8_t *message, size_t length, size_t at, const Header &h) {
        const size_t records = size_t{h.answers} + h.authorities + h.additionals;
        Record r;
        for (size_t i = 0; i < records; ++i)
            if (!record(message, length, at, r)) return false;
        return at == length;
    }

    bool answers(const uint8_t *message, size_t length, size_t at, const Header &h) {
        if (h.questions == 0 && h.answers && kind_ == Kind::mdns) { // an announcement: named by its first record
            Name name;
            size_t copy = at;
            if (!read_name(message, length, copy, name)) return false;
            if (!state_.asked && !state_.named) flow_.set(kDomain, name.view());
            state_.named = true;
            flow_.add(kDomains, name.view());
        }
        Record r;
        for (unsigned i = 0; i < h.answers && !state_.ips.full(); ++i) {
            if (!record(message, length, at, r)) return false;
            if ((r.cls & 0x7fff) != 1) continue; // RFC 6762 section 10.2: top bit flushes caches
            if ((r.type == 1 && r.length == 4) || (r.type == 28 && r.length == 16))
                add_address(AddressText({r.data, r.length}));
        }
        return true;
    }

    void add_address(const AddressText &text) {
        if (state_.ips.add(text.view())) flow_.add(kIps, text.view());
    }

    Flow flow_;
    State &state_;
    Kind kind_;
    bool strict_, recognised_;
};

int accept(Flow flow, Kind kind) {
    if (!flow.recognised() && kind != Kind::dns) flow.set_layer7(static_cast<uint32_t>(kind) - 1);
    return AICORE_YES;
}

// RFC 1035 section 4.2.2: each message behind its length.
int inspect_stream(Flow flow, aicore_payload &payload, State &state, Kind kind, bool strict) {
    bool recognised = flow.recognised();
    if (payload.flags & AICORE_GAP && !recognised) return AICORE_NO; // where a message begins is lost
    bool &lost = state.lost[payload.reverse & 1];
    lost |= (payload.flags & AICORE_GAP) != 0;
    Bytes in = bytes(payload);
    size_t consumed = 0, beyond = 0;
    while (in.left() >= 2) {
        const size_t size = in.u16();
        const Bytes message = in.take_some(size);
        const bool whole = in.ok();
        if (lost) { // bytes from the middle of one could pass for a message
            if (!whole || !Message(flow, state, kind, true, true).fits(message)) return AICORE_YES;
            lost = false;
        }
        Message reader(flow, state, kind, strict && !recognised, recognised);
        const bool wait =
            !whole && !(payload.flags & AICORE_TRUNCATED) && (size <= kMaxWait || message.left() < kFirstPart);
        const bool never =
            wait && size >= kHeader && message.left() >= kHeader && !reader.plausible(read_header(message.data()));
        if (wait && !never && size >= kHeader) break;
        if (never || !reader.read(message.data(), message.left(), !whole)) {
            lost = true;
            return recognised ? AICORE_YES : AICORE_NO;
        }
        recognised = true;
        beyond = size - message.left();
        consumed += 2 + message.left();
        if (!whole) break;
    }
    if (!recognised) return AICORE_MORE;
    pass_over(payload, consumed, beyond);
    return accept(flow, kind);
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    if (flow.port(137)) return AICORE_NO; // NetBIOS name service: the same header, other names
    const Kind kind = kind_of(flow);
    const bool strict = !flow.recognised() && kind == Kind::dns && !flow.port(53);
    if (flow.tcp()) return inspect_stream(flow, payload, state, kind, strict);
    Message reader(flow, state, kind, strict, flow.recognised());
    const bool cut = payload.flags & AICORE_TRUNCATED;
    if (!reader.read(payload.data, payload.length, cut)) return flow.recognised() ? AICORE_YES : AICORE_NO;
    return accept(flow, kind);
}

constexpr aicore_field kFields[] = {
    {"dnsdomain", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, "dns.question.name",
     "name of the first question; of an mDNS announcement its first record's"},
    {"dnsdomains", AICORE_STRINGS, AICORE_NOTIFY, 255, nullptr, nullptr, "names asked for in the flow: the latest 16"},
    {"dnsqtype", AICORE_STRING, 0, 16, nullptr, "dns.question.type", "type of the first question"},
    {"dnsrcode", AICORE_STRING, 0, 16, nullptr, "dns.response_code", "code of the first response"},
    {"dnsips", AICORE_STRINGS, 0, 64, nullptr, "dns.resolved_ip", "IPv4 and IPv6 addresses in answers, the first 16"},
};

constexpr const char *kAnomalies[] = {"dns_bad_header", "dns_bad_name", "dns_bad_record"};
constexpr const char *kAliases[] = {"mdns", "llmnr"};
constexpr aicore_prefix kPrefixes[] = {prefix("")}; // on any port: the header decides
constexpr uint16_t kPorts[] = {53};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "dns",
    .help = "DNS over UDP and TCP, mDNS and LLMNR: names asked for, answers",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 50,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
    .aliases = kAliases,
});

} // namespace

} // namespace aicore::dns

const aicore_protocol *aicore_dns(void) {
    return &aicore::dns::kProtocol;
}
