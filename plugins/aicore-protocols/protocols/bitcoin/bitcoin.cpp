// SPDX-License-Identifier: Apache-2.0
// Bitcoin's peer-to-peer messages (developer.bitcoin.org/reference/p2p_networking.html): a network's magic, the name of
// the command, the length, a checksum. What blocks and transactions hold is not read.
#include "aicore/dissector.h"
#include "messages.h"

namespace aicore::protocols {

namespace {

enum Field : uint32_t { kAgent, kVersion, kHeight, kNetwork, kCommands, kTransactions, kBlocks, kRejects };
enum Anomaly : uint32_t { kBadMessage };

constexpr size_t kHeader = 24, kOldHeader = 20; // before 2012 `version` and `verack` had no checksum
constexpr uint32_t kMaxLength = 32 << 20;       // MAX_SIZE of the reference implementation
constexpr size_t kHead = 512;                   // holds all of `version`: its agent has at most 256 bytes
constexpr uint8_t kListBound = 16;

struct State {
    uint32_t skip[2];
    uint32_t transactions, blocks, rejects;
    uint8_t commands;
};

std::string_view network(uint32_t magic) {
    switch (magic) {
    case 0xf9beb4d9:
        return "main";
    case 0x0b110907:
        return "testnet3";
    case 0x1c163f28:
        return "testnet4";
    case 0x0a03cf40:
        return "signet";
    case 0xfabfb5da:
        return "regtest";
    default:
        return {};
    }
}

// Lower-case letters and digits, then zeros to the end. Empty: none.
std::string_view command(Bytes in) {
    const std::string_view padded = text(in.take(12));
    const std::string_view name = padded.substr(0, padded.find('\0'));
    for (const char c : name)
        if (!is_digit(c) && !(c >= 'a' && c <= 'z')) return {};
    return padded.find_first_not_of('\0', name.size()) == padded.npos ? name : std::string_view();
}

// Length of the header; 0: cannot tell yet.
size_t header(Bytes in, std::string_view name) {
    if (name != "version" && name != "verack") return kHeader;
    in.skip(kOldHeader);
    if (in.left() < 4) return 0;
    if (name == "verack") return in.u32() == 0x5df6e0e2 ? kHeader : kOldHeader; // the checksum of nothing
    const uint32_t version = in.u32le();                                        // or a checksum
    return version >= 100 && version < 100000 ? kOldHeader : kHeader;
}

int64_t size(Bytes in) {
    const Bytes start = in;
    const uint32_t magic = in.u32();
    if (!in.ok()) return 0;
    if (network(magic).empty()) return -1;
    const std::string_view name = command(in);
    in.skip(12);
    const uint32_t length = in.u32le();
    if (!in.ok()) return 0;
    if (name.empty() || length > kMaxLength) return -1;
    const size_t head = header(start, name);
    return head ? static_cast<int64_t>(head + length) : 0;
}

void version(Flow flow, Bytes in) {
    const uint32_t number = in.u32le();
    if (!in.ok()) return;
    flow.set(kVersion, number);
    in.skip(8 + 8 + 26 + 26 + 8); // services, time, two addresses, nonce
    const uint8_t length = in.u8();
    if (length > 0xfc) return;
    flow.first(kAgent, text(in.take(length)));
    const uint32_t height = in.u32le();
    if (in.ok()) flow.set(kHeight, height);
}

Message read(Flow flow, State &state, Bytes in) {
    const Bytes start = in;
    flow.first(kNetwork, network(in.u32()));
    const std::string_view name = command(in);
    if (state.commands < kListBound) {
        ++state.commands;
        flow.add(kCommands, name);
    }
    if (name == "version") {
        in = start;
        in.skip(header(start, name));
        version(flow, in);
    }
    if (name == "tx") flow.set(kTransactions, ++state.transactions);
    if (name == "block") flow.set(kBlocks, ++state.blocks);
    if (name == "reject") flow.set(kRejects, ++state.rejects);
    return Message::proof;
}

int inspect(Flow flow, aicore_payload &payload, State &state) {
    return each_message(flow, payload, state.skip, kBadMessage, kHead, size,
                        [&](Bytes in, bool) { return read(flow, state, in); });
}

constexpr aicore_field kFields[] = {
    {"bitcoinagent", AICORE_STRING, AICORE_NOTIFY, 255, nullptr, nullptr, "software of the side that spoke first"},
    {"bitcoinversion", AICORE_INTEGER, 0, 0, nullptr, nullptr, "protocol version of the side that spoke last"},
    {"bitcoinheight", AICORE_INTEGER, 0, 0, "blocks", nullptr, "height of the chain of the side that spoke last"},
    {"bitcoinnetwork", AICORE_STRING, 0, 16, nullptr, nullptr, "main, testnet3, testnet4, signet or regtest"},
    {"bitcoincommands", AICORE_STRINGS, 0, 16, nullptr, nullptr, "names of the first 16 messages"},
    {"bitcointx", AICORE_INTEGER, 0, 0, "messages", nullptr, "transactions that were sent"},
    {"bitcoinblocks", AICORE_INTEGER, 0, 0, "messages", nullptr, "blocks that were sent"},
    {"bitcoinrejects", AICORE_INTEGER, 0, 0, "messages", nullptr, "messages that say that one was not accepted"},
};
constexpr const char *kAnomalies[] = {"bitcoin_bad_message"};
constexpr uint16_t kPorts[] = {8333, 18333, 38333, 18444, 48333};
constexpr aicore_prefix kPrefixes[] = {
    {"\xf9\xbe\xb4\xd9", 4}, {"\x0b\x11\x09\x07", 4}, {"\x1c\x16\x3f\x28", 4},
    {"\x0a\x03\xcf\x40", 4}, {"\xfa\xbf\xb5\xda", 4},
};

constexpr aicore_protocol kProtocol = define_protocol<inspect, State>({
    .name = "bitcoin",
    .help = "Bitcoin: software, version, counts of transactions and blocks",
    .transports = AICORE_TCP,
    .rank = 0,
    .ports = kPorts,
    .prefixes = kPrefixes,
    .fields = kFields,
    .anomalies = kAnomalies,
});

} // namespace

const aicore_protocol *bitcoin() {
    return &kProtocol;
}

} // namespace aicore::protocols
