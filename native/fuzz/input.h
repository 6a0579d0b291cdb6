// SPDX-License-Identifier: Apache-2.0
// What the harnesses share. An input is read through aicore/bytes.h from its start; numbers are in network order, as
// native/fuzz/seeds.py writes them.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "aicore/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace aicore::fuzz {

// A rule that no input may break; libFuzzer keeps the input that does.
inline void require(bool holds, const char *rule) {
    if (holds) return;
    std::fprintf(stderr, "broken rule: %s\n", rule);
    std::abort();
}

// Reads every byte, so that AddressSanitizer sees a range that is not all there.
inline void touch(const void *data, size_t size) {
    uint8_t sum = 0;
    for (size_t i = 0; i < size; ++i)
        sum = static_cast<uint8_t>(sum + static_cast<const uint8_t *>(data)[i]);
    [[maybe_unused]] volatile const uint8_t sink = sum;
}

} // namespace aicore::fuzz
