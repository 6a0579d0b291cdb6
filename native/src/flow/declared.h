// SPDX-License-Identifier: Apache-2.0
// What protocols and meters may declare alike; in registry.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "aicore/protocol.h"

namespace aicore {

// ^[a-z][a-z0-9_]*$, with dashes too if `dash`, at most `limit` bytes.
bool valid_name(const char *name, size_t limit, bool dash);

// Why a field cannot be declared, or empty. `index`: its place, for one without a name.
std::string field_problem(const aicore_field &field, size_t index);

// What is wrong once Schema::kMaxFields are reached.
std::string too_many_fields();

} // namespace aicore
