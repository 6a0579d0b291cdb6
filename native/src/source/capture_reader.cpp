// SPDX-License-Identifier: Apache-2.0
#include "capture_reader.h"

#include <algorithm>

namespace aicore {

const LinkType *CaptureReader::link_type(uint32_t linktype) {
    try {
        const LinkType &type = types_.of(name_, linktype);
        if (std::find(links_.begin(), links_.end(), type.dlt) == links_.end()) links_.push_back(type.dlt);
        return &type;
    } catch (const std::runtime_error &error) {
        std::string why = error.what();
        if (why.starts_with(name_ + ": ")) why.erase(0, name_.size() + 2);
        damaged(std::move(why));
        return nullptr;
    }
}

std::unique_ptr<CaptureReader> open_capture(std::span<const uint8_t> head, const std::string &name, LinkTypes &types) {
    auto reader = open_pcap(head, name, types);
    return reader ? std::move(reader) : open_pcapng(head, name, types);
}

} // namespace aicore
