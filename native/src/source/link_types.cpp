// SPDX-License-Identifier: Apache-2.0
#include "link_types.h"

#include <cstdio>
#include <memory>

namespace aicore {

namespace {

constexpr uint32_t kTypeBits = 0x03ffffff; // the upper ones tell of a frame check sequence

// libpcap tells its number of a link type, and what a filter may ask of captures, only to those that open a capture.
std::unique_ptr<pcap_t, decltype(&pcap_close)> empty_capture(uint32_t linktype) {
    struct {
        uint32_t magic = 0xa1b2c3d4;
        uint16_t major = 2, minor = 4;
        uint32_t zone = 0, accuracy = 0, snaplen = 262144;
        uint32_t linktype = 0;
    } header;
    header.linktype = linktype;
    char error[PCAP_ERRBUF_SIZE] = "no memory";
    FILE *stream = fmemopen(&header, sizeof header, "rb");
    pcap_t *pcap = stream ? pcap_fopen_offline(stream, error) : nullptr;
    if (!pcap) {
        if (stream) fclose(stream);
        throw std::runtime_error("link type " + std::to_string(linktype) + ": " + error);
    }
    return {pcap, pcap_close};
}

} // namespace

void LinkTypes::check() {
    std::string why;
    for (const uint32_t linktype : {1, 113, 276, 127}) { // Ethernet, Linux cooked, its second version, 802.11 radio
        try {
            of("captures", linktype);
            return;
        } catch (const std::runtime_error &error) {
            if (why.empty()) why = error.what();
        }
    }
    throw std::runtime_error(why);
}

const LinkType &LinkTypes::of(const std::string &file, uint32_t linktype) {
    linktype &= kTypeBits;
    const auto [found, fresh] = known_.try_emplace(linktype);
    if (!fresh) return found->second;
    try {
        const auto pcap = empty_capture(linktype);
        found->second.dlt = pcap_datalink(pcap.get());
        found->second.filter.compile(pcap.get(), file, filter_);
    } catch (...) {
        known_.erase(found);
        throw;
    }
    return found->second;
}

} // namespace aicore
