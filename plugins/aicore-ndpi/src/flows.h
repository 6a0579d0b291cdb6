// SPDX-License-Identifier: Apache-2.0
// What libndpi knows of the flows that are still nobody's. aicore keeps no state of a flow before somebody recognised
// it, so it lies here: one table an engine thread, of kSets * kWays flows of about 800 bytes, 3.2 MiB once all were
// used. In a full set the flow that was silent longest gives way and is looked at anew with its next payload.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <ndpi_api.h>

#include "aicore/protocol.h"

namespace aicore::ndpi {

struct Key { // without padding: compared and hashed as bytes
    uint8_t src[16], dst[16];
    uint16_t src_port, dst_port;
    uint8_t ip_version, transport, reserved[2];
};

struct Entry {
    Key key;
    uint64_t used;    // by turns; 0: free
    uint64_t packets; // of the flow when it was seen last
    uint32_t fed[2];  // bytes of each direction's stream that libndpi saw
    uint32_t base[2]; // sequence number of the stream's start
    uint16_t name;    // libndpi's protocol once it is found, else 0
    uint16_t master, app, category;
    uint8_t payloads;
    bool closed; // named, or given up
    ndpi_flow_struct flow;
};

class Flows {
  public:
    static Flows &of_this_thread();

    ndpi_detection_module_struct *module() { return module_; }
    // The flow's entry, a cleared one if it is new; nullptr if libndpi could not be started.
    Entry *find(const aicore_flow &flow);
    void forget(Entry &entry);

    Flows(const Flows &) = delete;
    Flows &operator=(const Flows &) = delete;

  private:
    static constexpr size_t kSets = 1024, kWays = 4;

    Flows();
    ~Flows();

    ndpi_detection_module_struct *module_;
    std::unique_ptr<Entry[]> entries_;
    uint64_t turn_ = 0;
};

// Ready to be asked, every protocol enabled; nullptr if there is no memory. Ends with ndpi_exit_detection_module.
ndpi_detection_module_struct *make_module();

} // namespace aicore::ndpi
