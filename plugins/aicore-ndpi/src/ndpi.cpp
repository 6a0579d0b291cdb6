// SPDX-License-Identifier: Apache-2.0
// libndpi as one protocol of aicore. It is asked last and about every flow that is still nobody's; what it says from
// payload (confidence DPI) names the flow, what it guesses from ports or addresses does not.
#include "ndpi.h"

#include <cctype>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "aicore/dissector.h"
#include "flows.h"
#include "packet.h"

namespace aicore::ndpi {

namespace {

enum Field : uint32_t { kProtocol, kCategory };

// Payloads after which a flow is given up. libndpi's own programs allow 24 packets of UDP and 80 of TCP; on 79 captures
// 8 and 12 found nothing that 5 and 6 do not, and cost more CPU.
constexpr uint8_t kMaxUdp = 5, kMaxTcp = 6;

// aicore's own names where they differ from libndpi's.
struct Other {
    std::string_view ndpi, name;
};
constexpr Other kOtherNames[] = {{"FTP_CONTROL", "ftp"}, {"SMBv1", "smb"}, {"SMBv23", "smb"}, {"DCE_RPC", "dcerpc"}};

// As layer7 is spelled: lower case, letters, digits, dashes.
std::string layer7_name(std::string_view ndpi) {
    for (const Other &other : kOtherNames)
        if (other.ndpi == ndpi) return std::string(other.name);
    std::string out;
    for (const char c : ndpi) {
        if (std::isalnum(static_cast<unsigned char>(c)))
            out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        else if (!out.empty() && out.back() != '-')
            out += '-';
    }
    while (!out.empty() && out.back() == '-')
        out.pop_back();
    return out.substr(0, 32);
}

// Shows libndpi a packet with this payload.
void feed(Flows &flows, Entry &entry, const aicore_flow &flow, bool reverse, int64_t time, const Segment &segment,
          const uint8_t *data, size_t length) {
    static thread_local uint8_t packet[kMaxHeaders + kMaxPayload];
    const size_t size = make_packet(flow, reverse, segment, data, length, packet);
    const ndpi_protocol found =
        ndpi_detection_process_packet(flows.module(), &entry.flow, packet, static_cast<unsigned short>(size),
                                      static_cast<uint64_t>(time / 1'000'000));
    if (entry.flow.confidence != NDPI_CONFIDENCE_DPI) return;
    entry.master = found.master_protocol;
    entry.app = found.app_protocol;
    entry.category = static_cast<uint16_t>(found.category);
    entry.name = entry.master ? entry.master : entry.app;
}

// A direction's stream from its start: what of it is new.
void feed_stream(Flows &flows, Entry &entry, const aicore_flow &flow, bool d, int64_t time, const uint8_t *data,
                 size_t length) {
    if (length <= entry.fed[d]) return;
    const uint32_t seq = 1000 + entry.base[d] + entry.fed[d], ack = 1000 + entry.base[!d] + entry.fed[!d];
    feed(flows, entry, flow, d, time, {seq, ack, kPush | kAck}, data + entry.fed[d], length - entry.fed[d]);
    entry.fed[d] = static_cast<uint32_t>(length);
}

void feed_streams(Flows &flows, Entry &entry, const aicore_flow &flow, const aicore_payload &payload) {
    const bool d = payload.reverse;
    if (payload.flags & AICORE_GAP || payload.length < entry.fed[d]) { // the stream begins anew behind a hole
        entry.base[d] += entry.fed[d] + 1;
        entry.fed[d] = 0;
    }
    // An entry that had to give way has forgotten the other side, too.
    if (entry.payloads == 1) feed_stream(flows, entry, flow, !d, payload.time, payload.other, payload.other_length);
    if (entry.name == 0) feed_stream(flows, entry, flow, d, payload.time, payload.data, payload.length);
}

// Nothing more to learn: the entry stays to say so, should the flow be shown again.
void close(Entry &entry) {
    ndpi_free_flow_data(&entry.flow);
    std::memset(static_cast<void *>(&entry.flow), 0, sizeof entry.flow);
    entry.closed = true;
}

int inspect(Flow flow, aicore_payload &payload) {
    Flows &flows = Flows::of_this_thread();
    Entry *entry = flows.find(*flow.get());
    if (!entry || entry->closed) return AICORE_NO;
    ++entry->payloads;
    if (flow.tcp())
        feed_streams(flows, *entry, *flow.get(), payload);
    else
        feed(flows, *entry, *flow.get(), payload.reverse, payload.time, {}, payload.data, payload.length);
    if (entry->name == 0) {
        if (entry->payloads < (flow.tcp() ? kMaxTcp : kMaxUdp)) return AICORE_MORE;
        close(*entry);
        return AICORE_NO;
    }
    char text[64];
    const ndpi_protocol found = {entry->master, entry->app, static_cast<ndpi_protocol_category_t>(entry->category)};
    flow.set_layer7(entry->name);
    flow.set(kProtocol, ndpi_protocol2name(flows.module(), found, text, sizeof text));
    const char *category = ndpi_category_get_name(flows.module(), found.category);
    if (category && found.category != NDPI_PROTOCOL_CATEGORY_UNSPECIFIED) flow.set(kCategory, category);
    close(*entry);
    // libndpi is content with a request's first line where others wait for its end, and with a broken message where
    // they wait for a whole one. Whoever still recognises the flow, from its first byte, has it.
    payload.consumed = 0;
    flow.hand_over();
    return AICORE_YES;
}

constexpr aicore_field kFields[] = {
    {"ndpiprotocol", AICORE_STRING, 0, 0, nullptr, nullptr, "what libndpi calls the flow, as TLS.Google"},
    {"ndpicategory", AICORE_STRING, 0, 32, nullptr, nullptr, "libndpi's category of it, as Web or VPN"},
};

// The protocol with a layer7 name for each of libndpi's, by its number.
struct Definition {
    std::vector<std::string> names;
    std::vector<const char *> aliases;
    aicore_protocol protocol{};

    Definition() {
        ndpi_detection_module_struct *module = make_module();
        if (!module) return;
        for (uint16_t i = 0; i < ndpi_get_num_supported_protocols(module); ++i)
            names.push_back(layer7_name(ndpi_get_proto_name(module, i)));
        ndpi_exit_detection_module(module);
        for (const std::string &name : names)
            aliases.push_back(name.c_str());
        protocol = define_protocol<inspect>({
            .name = "ndpi",
            .help = "flows that nothing else recognised, as nDPI names them",
            .transports = AICORE_TCP | AICORE_UDP,
            .rank = 100,
            .fields = kFields,
            .aliases = aliases,
        });
    }
};

} // namespace

const aicore_protocol *protocol() {
    static const Definition definition;
    const bool same = ndpi_get_api_version() == NDPI_API_VERSION &&
                      ndpi_detection_get_sizeof_ndpi_flow_struct() == sizeof(ndpi_flow_struct);
    return same && !definition.aliases.empty() ? &definition.protocol : nullptr;
}

} // namespace aicore::ndpi
