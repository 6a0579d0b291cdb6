// SPDX-License-Identifier: Apache-2.0
// Structures that a plugin gives by a C ABI, which may have been compiled with an older or newer header. The rules are
// in aicore/protocol.h, VERSIONS.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

// Where a member ends: the size of a structure that has it and nothing behind it.
#define AICORE_END_OF(structure, member) (offsetof(structure, member) + sizeof(structure::member))

namespace aicore::abi {

// A structure of `size` bytes as this core knows it: what it lacks is zero, what is unknown is left out.
template <typename Structure> Structure copy(const void *from, size_t size) {
    Structure out{};
    std::memcpy(&out, from, std::min(size, sizeof out));
    return out;
}

// The same for an array whose elements are `stride` bytes apart.
template <typename Structure> std::vector<Structure> copy(const Structure *from, uint32_t count, uint32_t stride) {
    std::vector<Structure> out;
    for (uint32_t i = 0; i < count; ++i)
        out.push_back(copy<Structure>(reinterpret_cast<const uint8_t *>(from) + size_t{stride} * i, stride));
    return out;
}

// Why a size is refused, or empty. `member` holds it, `structure` is what it is the size of.
inline std::string too_small(const char *member, size_t size, const char *structure, size_t least) {
    if (size >= least) return {};
    return std::string(member) + " is " + std::to_string(size) + ", must be sizeof(" + structure + "), at least " +
           std::to_string(least);
}

} // namespace aicore::abi
