// SPDX-License-Identifier: Apache-2.0
// A source that reads blocks, handing out their packets one by one where that is asked for.
#pragma once

#include <algorithm>

#include "aicore/source.h"

namespace aicore {

class BlockSource : public Source {
  public:
    ReadStatus read(int max, int wait_ms, PacketHandler handler, void *user) final {
        const auto most = static_cast<size_t>(std::max(max, 1));
        const ReadStatus status = read_block(block_, wait_ms, std::min(most, PacketBlock::kMost));
        for (const RawPacket &packet : block_.all())
            handler(user, packet);
        block_.clear();
        return status;
    }
    bool blocks() const final { return true; }

  private:
    PacketBlock block_;
};

} // namespace aicore
