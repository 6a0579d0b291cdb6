// SPDX-License-Identifier: Apache-2.0
// What the rows of a batch mean: the fields that protocols add, and the names behind numbers. Built before a run
// starts, shared by its batches, never changed afterwards: any thread may read it without a lock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace aicore {

enum class FieldType : uint8_t { string = 1, integer = 2, list = 3, real = 4 };

struct FieldInfo {
    std::string name;
    FieldType type;
    bool notify;
    uint32_t width; // bytes in fixed-width stores
    std::string unit, ecs, help, protocol;
};

struct Schema {
    std::vector<FieldInfo> fields;  // index = Attribute::field
    std::vector<std::string> names; // layer7, anomalies, sensor; index 0 is absent

    // Adds it if new. During a run only the engine thread does so, and only while there is reserved room: the readers
    // of a batch look up the names that it holds, and those do not move.
    uint16_t name_index(const std::string &name) {
        for (size_t i = 0; i < names.size(); ++i)
            if (names[i] == name) return static_cast<uint16_t>(i);
        names.push_back(name);
        return static_cast<uint16_t>(names.size() - 1);
    }
    Schema() : names{""} {}
};

} // namespace aicore
