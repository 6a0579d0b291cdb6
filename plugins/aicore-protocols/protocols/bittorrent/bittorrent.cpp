// SPDX-License-Identifier: Apache-2.0
// BitTorrent: the handshake of peers (BEP 3) over TCP and uTP (BEP 29), the distributed hash table (BEP 5), trackers
// over UDP (BEP 15), peers on the local network (BEP 14). What is exchanged behind the handshake is not read.
#include "aicore/dissector.h"
#include "headers.h"
#include "hex.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kHash, kPeer, kQuery, kSoftware, kKind };

constexpr std::string_view kGreeting = "\x13"
                                       "BitTorrent protocol";
constexpr std::string_view kLocal = "BT-SEARCH * HTTP/1.1\r\n";
constexpr size_t kHashSize = 20;
constexpr int kMaxDepth = 8, kMaxItems = 512; // of a dictionary in a datagram

std::string_view peer_name(std::string_view id) { // BEP 20: a readable part, then random bytes
    const std::string_view name = id.substr(0, 8);
    const bool ascii = std::all_of(name.begin(), name.end(), [](char c) { return c > 0x1f && c < 0x7f; });
    return ascii ? name : std::string_view();
}

// BEP 3: hash and peer id, as far as they are there.
void greeting(Flow flow, Bytes in) {
    in.skip(kGreeting.size() + 8); // with the bits of extensions
    flow.first(kHash, hex_text(in.take(kHashSize)).view());
    flow.first(kPeer, peer_name(text(in.take(kHashSize))));
}

// The next string of a bencoded value: "4:spam".
bool string(Bytes &in, std::string_view &out) {
    const std::string_view rest = text(in);
    const size_t colon = rest.substr(0, 6).find(':');
    if (colon == rest.npos) return false;
    const int64_t length = decimal(rest.substr(0, colon));
    if (length < 0) return false;
    in.skip(colon + 1);
    out = text(in.take(static_cast<size_t>(length)));
    return in.ok();
}

// Passes over one value.
bool pass(Bytes &in, int depth, int &items) {
    if (in.left() == 0 || depth > kMaxDepth || ++items > kMaxItems) return false;
    const std::string_view rest = text(in);
    std::string_view skipped;
    switch (rest[0]) {
    case 'i': {
        const size_t end = rest.substr(0, 22).find('e');
        if (end == rest.npos || end == 1) return false;
        in.skip(end + 1);
        return true;
    }
    case 'l':
    case 'd':
        in.skip(1);
        for (bool name = rest[0] == 'd'; in.left() && *in.data() != 'e';) {
            if (name && !string(in, skipped)) return false;
            if (!pass(in, depth + 1, items)) return false;
        }
        return in.u8() == 'e' && in.ok();
    default:
        return string(in, skipped);
    }
}

struct Table { // BEP 5: what a message has
    std::string_view type, query, transaction, version, hash;
    bool body = false; // arguments, response or error
};

// The names of a dictionary are in order, so that a, q, r stand before t and y.
bool dictionary(Bytes in, Table &out) {
    int items = 0;
    if (in.u8() != 'd') return false;
    while (in.left() && *in.data() != 'e') {
        std::string_view name;
        if (!string(in, name)) return false;
        const Bytes value = in;
        if (!pass(in, 0, items)) return false;
        Bytes again = value;
        if (name == "y") string(again, out.type);
        if (name == "q") string(again, out.query);
        if (name == "t") string(again, out.transaction);
        if (name == "v") string(again, out.version);
        if (name == "a" || name == "r" || name == "e") out.body = true;
        if (name == "a") {
            static constexpr std::string_view kKey = "9:info_hash20:";
            const std::string_view all(text(value).substr(0, value.left() - in.left()));
            const size_t at = all.find(kKey);
            if (at != all.npos) out.hash = all.substr(at + kKey.size(), kHashSize);
        }
    }
    return in.u8() == 'e' && in.left() == 0 && in.ok();
}

int table(Flow flow, Bytes in) {
    Table t;
    if (!dictionary(in, t)) return AICORE_NO;
    const bool known = t.type == "q" ? t.body && !t.query.empty() : (t.type == "r" || t.type == "e") && t.body;
    if (!known || t.transaction.empty() || !printable(t.query)) return AICORE_NO;
    flow.first(kKind, "dht");
    flow.set(kQuery, t.query);
    if (t.hash.size() == kHashSize)
        flow.first(kHash, hex_text(Bytes(reinterpret_cast<const uint8_t *>(t.hash.data()), t.hash.size())).view());
    flow.first(kSoftware, t.version.substr(0, 2));
    return AICORE_YES;
}

// BEP 15: a connection is asked for with a constant, in 16 bytes; announcements have hash and peer.
int tracker(Flow flow, Bytes in) {
    static constexpr size_t kAnnounce = 98;
    const size_t size = in.left();
    const uint32_t high = in.u32(), low = in.u32(), action = in.u32();
    in.skip(4);
    if (high == 0x417 && low == 0x27101980 && action == 0 && size == 16) {
        flow.first(kKind, "tracker");
        return AICORE_YES;
    }
    if (!flow.recognised() || action != 1 || size < kAnnounce) return AICORE_NO;
    flow.first(kHash, hex_text(in.take(kHashSize)).view());
    flow.first(kPeer, peer_name(text(in.take(kHashSize))));
    return AICORE_YES;
}

// BEP 29. Proof is the handshake in a packet, or the packet that opens a connection: it alone has nothing to
// acknowledge, no delay to tell of and no payload.
int micro(Flow flow, Bytes in) {
    enum Type : uint8_t { kData = 0, kOpen = 4 };
    const uint8_t first = in.u8();
    uint8_t extension = in.u8();
    in.skip(6); // connection, time
    const uint32_t delay = in.u32();
    in.skip(4); // window
    const uint16_t number = in.u16(), acknowledged = in.u16();
    for (int i = 0; extension && i < 4; ++i) {
        if (extension > 3) return AICORE_NO;
        extension = in.u8();
        in.skip(in.u8());
    }
    if (!in.ok() || (first & 15) != 1 || extension) return AICORE_NO;
    if (first >> 4 == kData && text(in).starts_with(kGreeting))
        greeting(flow, in);
    else if (first >> 4 != kOpen || delay || acknowledged || number == 0 || in.left())
        return AICORE_NO;
    flow.first(kKind, "utp");
    return AICORE_YES;
}

int local(Flow flow, std::string_view in) {
    const size_t length = head_length(in);
    if (!in.starts_with(kLocal) || length == 0) return AICORE_NO;
    Headers headers(in.substr(0, length));
    for (std::string_view name, value; headers.next(name, value);)
        if (equal_nocase(name, "infohash") && value.size() == 2 * kHashSize && printable(value))
            flow.first(kHash, value);
    if (!flow.has(kHash)) return AICORE_NO;
    flow.first(kKind, "local");
    return AICORE_DONE;
}

int datagram(Flow flow, const aicore_payload &payload) {
    const Bytes in = bytes(payload);
    if (in.left() == 0) return AICORE_NO;
    switch (*in.data()) {
    case 'd':
        return table(flow, in);
    case 'B':
        return local(flow, text(payload));
    case 0:
        return tracker(flow, in);
    default:
        return micro(flow, in);
    }
}

int inspect(Flow flow, aicore_payload &payload) {
    if (!flow.tcp()) {
        const int answer = datagram(flow, payload);
        return flow.recognised() && answer != AICORE_DONE ? AICORE_YES : answer;
    }
    const std::string_view in = text(payload);
    if (!in.starts_with(kGreeting.substr(0, in.size()))) return flow.recognised() ? AICORE_DONE : AICORE_NO;
    if (in.size() < kGreeting.size() + 8 + 2 * kHashSize && !(payload.flags & AICORE_TRUNCATED)) return AICORE_MORE;
    if (in.size() < kGreeting.size()) return flow.recognised() ? AICORE_DONE : AICORE_NO;
    greeting(flow, bytes(payload));
    flow.first(kKind, "peer");
    return AICORE_DONE;
}

constexpr aicore_field kFields[] = {
    {"bittorrenthash", AICORE_STRING, AICORE_NOTIFY, 40, nullptr, nullptr,
     "first torrent that is named: its info hash in hexadecimal"},
    {"bittorrentpeer", AICORE_STRING, 0, 16, nullptr, nullptr,
     "readable start of the first peer id: software and version"},
    {"bittorrentquery", AICORE_STRING, 0, 32, nullptr, nullptr, "last question of the distributed hash table"},
    {"bittorrentsoftware", AICORE_STRING, 0, 8, nullptr, nullptr,
     "two letters of the software in the distributed hash table"},
    {"bittorrentkind", AICORE_STRING, 0, 16, nullptr, nullptr, "peer, utp, dht, tracker or local"},
};
constexpr uint16_t kPorts[] = {6881};
constexpr aicore_prefix kPrefixes[] = {
    {kGreeting.data(), 16},
    {"d1:", 3},
    {"d2:ip", 5},
    {"BT-SEARCH * HTTP", 16},
    {"\0\0\x04\x17\x27\x10\x19\x80", 8},
    {"\x41\0", 2},
    {"\x41\1", 2},
    {"\x41\2", 2},
    {"\1\0", 2},
    {"\1\1", 2},
    {"\1\2", 2},
};

constexpr aicore_protocol kProtocol = define_protocol<inspect>({
    .name = "bittorrent",
    .help = "BitTorrent: torrent and software, over TCP, uTP, in the hash table, at trackers",
    .transports = AICORE_TCP | AICORE_UDP,
    .rank = 10,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
});

} // namespace

const aicore_protocol *bittorrent() {
    return &kProtocol;
}

} // namespace aicore::protocols
