// SPDX-License-Identifier: Apache-2.0
// The link types of captures: what libpcap calls them, and the filter compiled for each. Engine thread only.
#pragma once

#include <map>
#include <string>

#include "bpf.h"

namespace aicore {

struct LinkType {
    int dlt = -1; // DLT_* value of libpcap, which is not always the LINKTYPE_* value of files
    Bpf filter;
};

class LinkTypes {
  public:
    explicit LinkTypes(std::string filter) : filter_(std::move(filter)) {}

    // std::runtime_error if the filter suits no link type: a slip in it is told at once, not with the first packet.
    // Some words, such as `inbound`, are known to some link types alone.
    void check();

    // Of a LINKTYPE_* value, made when first asked for; stays valid. std::runtime_error naming `file` if the filter
    // does not suit it.
    const LinkType &of(const std::string &file, uint32_t linktype);

  private:
    const std::string filter_;
    std::map<uint32_t, LinkType> known_; // at most one for each of the values that pcapng can say, 65,536
};

} // namespace aicore
