// SPDX-License-Identifier: Apache-2.0
// External protocols: those whose inspect() is not native. The engine copies the payloads of the flows that they may
// recognise into the batches. Engine::inspect() puts them before the protocols, in order and under the rules of
// protocol.h, and takes what they find out back to the flow. Reader's thread only.
#pragma once

#include <cstdint>
#include <string>

#include "aicore/protocol.h"
#include "aicore/registry.h"

namespace aicore {

// One call of aicore_protocol.inspect; valid during it.
struct Question {
    aicore_flow &flow;
    aicore_payload &payload;
    const Registry &registry;
    uint16_t protocol;   // index in registry.protocols()
    uint64_t inspection; // names the flow until ended()
    uint32_t row;        // in Payloads::rows: the flow as it was when the payload came

    void set_layer7(const std::string &name) const; // as host->set_layer7, with a name that need not be an alias
};

class ExternalProtocols {
  public:
    virtual ~ExternalProtocols() = default;
    virtual int inspect(const Question &question) noexcept = 0; // aicore_answer
    virtual void ended(uint64_t inspection) noexcept = 0;       // nothing more is asked about that flow
};

} // namespace aicore
