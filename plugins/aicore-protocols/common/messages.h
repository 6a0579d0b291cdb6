// SPDX-License-Identifier: Apache-2.0
// A stream of messages that begin with their length: of each its start is read, the rest passed over.
#pragma once

#include "aicore/dissector.h"

namespace aicore::protocols {

enum class Message : uint8_t {
    broken, // none of this protocol
    fits,   // may be one
    proof,  // is one
    last,   // is one, and nothing behind it says more
    over    // is one, and behind it the connection is another protocol's
};

// size(in): bytes of the message that `in` begins with, at most 4 GiB; 0: cannot tell yet; negative: none.
// read(message, proven): what it is; it may be cut at `head` bytes, or where the capture cut it. `proven`: the flow is
// this protocol's, by a message before if not by a call before.
template <typename Size, typename Read>
int each_message(Flow flow, aicore_payload &payload, uint32_t (&skip)[2], uint32_t broken, size_t head, Size size,
                 Read read) {
    uint32_t &rest = skip[payload.reverse & 1];
    bool proven = flow.recognised();
    if (payload.flags & AICORE_GAP && proven) return AICORE_DONE; // where a message begins is lost
    const auto bad = [&] {
        if (!proven) return AICORE_NO;
        flow.anomaly(broken);
        return AICORE_DONE;
    };
    Bytes in = bytes(payload);
    for (;;) {
        const size_t passed = std::min<size_t>(rest, in.left());
        in.skip(passed);
        rest -= static_cast<uint32_t>(passed);
        if (in.left() == 0) break;
        const int64_t length = size(in);
        if (length < 0 || length > UINT32_MAX) return bad();
        const size_t wanted = std::min<size_t>(static_cast<size_t>(length), head);
        if (length == 0 || (in.left() < wanted && !(payload.flags & AICORE_TRUNCATED))) break;
        const Message message = read(Bytes(in.data(), std::min(in.left(), wanted)), proven);
        if (message == Message::broken) return bad();
        proven |= message != Message::fits;
        if (message == Message::last) return AICORE_DONE;
        rest = static_cast<uint32_t>(length);
        if (message == Message::over) {
            payload.consumed = payload.length - in.left() + std::min<size_t>(rest, in.left());
            flow.hand_over();
            return AICORE_YES;
        }
    }
    payload.consumed = proven ? payload.length - in.left() : 0; // not proven: shown again from its start
    return proven ? AICORE_YES : AICORE_MORE;
}

} // namespace aicore::protocols
