// SPDX-License-Identifier: Apache-2.0
// What the rows of a batch mean: the fields that protocols add, and the names behind numbers. Built before a run
// starts, shared by its batches, never changed afterwards: any thread may read it without a lock.
#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace aicore {

// Numbers as in protocol.h. Integers are signed 64 bits; a time is one, in nanoseconds since the epoch, UTC.
enum class FieldType : uint8_t {
    string = 1,
    integer = 2,
    strings = 3, // a list, as integers and reals are
    real = 4,
    boolean = 5,
    integers = 6,
    reals = 7,
    time = 8
};
inline constexpr FieldType kLastFieldType = FieldType::time;

// By number, as Python and `aicore fields` name them.
inline constexpr const char *kFieldTypeNames[] = {"",     "str",       "int",         "list[str]", "float",
                                                  "bool", "list[int]", "list[float]", "time"};
static_assert(std::size(kFieldTypeNames) == static_cast<size_t>(kLastFieldType) + 1);

constexpr const char *type_name(FieldType type) {
    return kFieldTypeNames[static_cast<size_t>(type)];
}
constexpr std::optional<FieldType> type_of_name(std::string_view name) {
    for (size_t i = 1; i < std::size(kFieldTypeNames); ++i)
        if (name == kFieldTypeNames[i]) return static_cast<FieldType>(i);
    return {};
}
constexpr bool is_list(FieldType type) {
    return type == FieldType::strings || type == FieldType::integers || type == FieldType::reals;
}
// Of a scalar, or of a list's items.
constexpr bool is_text(FieldType type) {
    return type == FieldType::string || type == FieldType::strings;
}
constexpr bool is_real(FieldType type) {
    return type == FieldType::real || type == FieldType::reals;
}

struct FieldInfo {
    std::string name;
    FieldType type;
    bool notify;
    uint32_t width; // bytes in fixed-width stores
    std::string unit, ecs, help, protocol;

    // A list of names: a record holds the latest of a flow's, each new one makes an update event.
    bool names() const { return notify && type == FieldType::strings; }
};

struct Schema {
    std::vector<FieldInfo> fields;   // index = Attribute::field
    std::vector<FieldInfo> declared; // by hook plugins, which fill them batch by batch
    std::vector<std::string> names;  // layer7, anomalies, sensor; index 0 is absent
    // Of both: far below what the 16 bits of an Attribute hold, which must not wrap into another plugin's field.
    static constexpr size_t kMaxFields = 4096;
    bool of_run = false; // no batch gets other fields than these

    // Adds it if new. During a run only the reader's thread does so, and only while there is reserved room: the readers
    // of a batch look up the names that it holds, and those do not move.
    uint16_t name_index(const std::string &name) {
        for (size_t i = 0; i < names.size(); ++i)
            if (names[i] == name) return static_cast<uint16_t>(i);
        if (names.size() > UINT16_MAX) throw std::length_error("more than 65,536 names");
        names.push_back(name);
        return static_cast<uint16_t>(names.size() - 1);
    }
    Schema() : names{""} {}
};

} // namespace aicore
