// SPDX-License-Identifier: Apache-2.0
// Added columns for tests, written as text: "a|b" is a list of two, "" one of none, std::nullopt no value.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "aicore/batch.h"

namespace aicore::test {

using Written = std::optional<std::string>;

inline FieldInfo field_of(const std::string &name, FieldType type) {
    return {name, type, false, 64, "", "", "", ""};
}

inline void append_item(Values &values, const std::string &text) {
    if (is_text(values.type()))
        values.text(text);
    else if (is_real(values.type()))
        values.number(std::bit_cast<int64_t>(std::strtod(text.c_str(), nullptr)));
    else
        values.number(std::strtoll(text.c_str(), nullptr, 10));
}

inline AddedColumn added(const std::string &name, FieldType type, const std::vector<Written> &rows) {
    Values values(type);
    for (const Written &written : rows) {
        if (!written) {
            values.absent();
            continue;
        }
        std::string rest = *written;
        if (!is_list(type)) {
            append_item(values, rest);
        } else if (!rest.empty()) {
            size_t bar;
            while ((bar = rest.find('|')) != rest.npos) {
                append_item(values, rest.substr(0, bar));
                rest.erase(0, bar + 1);
            }
            append_item(values, rest);
        }
        values.end();
    }
    return {field_of(name, type), values};
}

} // namespace aicore::test
