// SPDX-License-Identifier: Apache-2.0
#include "reassembly.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace aicore::quic {

// By words of 64 bytes: bytes one at a time took as long as the decryption.
void Hello::put(size_t offset, Bytes piece) {
    if (offset >= kMaxHello) return;
    const size_t end = std::min(offset + piece.left(), kMaxHello);
    for (size_t i = offset, next; i < end; i = next) {
        next = std::min(end, (i | 63) + 1);
        const uint64_t ones = next - i == 64 ? ~uint64_t{0} : (uint64_t{1} << (next - i)) - 1;
        const uint64_t mine = ones << i % 64;
        uint64_t &known = known_[i / 64];
        if ((known & mine) == 0)
            std::memcpy(bytes_ + i, piece.data() + (i - offset), next - i);
        else
            for (size_t k = i; k < next; ++k)
                if (!(known >> k % 64 & 1)) bytes_[k] = piece.data()[k - offset];
        known |= mine;
    }
    while (prefix_ < kMaxHello) {
        const uint64_t rest = known_[prefix_ / 64] >> prefix_ % 64;
        const auto more = static_cast<size_t>(std::countr_one(rest));
        if (more == 0) break;
        prefix_ += more;
    }
}

Hellos::Hellos() : hellos_(new (std::nothrow) Hello[kSlots]) {
    for (uint16_t i = 0; i < kSlots; ++i)
        free_[i] = static_cast<uint16_t>(kSlots - 1 - i); // low ones first: few pages are touched
}

Hellos &Hellos::of_this_thread() {
    thread_local Hellos hellos;
    return hellos;
}

Hello *Hellos::find(Claim &claim) {
    if (!hellos_) return nullptr;
    if (claim.ticket) return tickets_[claim.slot] == claim.ticket ? &hellos_[claim.slot] : nullptr;
    if (free_count_)
        claim.slot = free_[--free_count_];
    else // rare: more hellos at once than slots, or that many were never finished
        claim.slot = static_cast<uint16_t>(std::min_element(tickets_.begin(), tickets_.end()) - tickets_.begin());
    claim.ticket = tickets_[claim.slot] = next_ticket_++;
    hellos_[claim.slot].clear();
    return &hellos_[claim.slot];
}

void Hellos::give(Claim &claim) {
    if (claim.ticket && tickets_[claim.slot] == claim.ticket) {
        tickets_[claim.slot] = 0;
        free_[free_count_++] = claim.slot;
    }
    claim = {};
}

} // namespace aicore::quic
