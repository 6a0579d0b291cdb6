// SPDX-License-Identifier: Apache-2.0
// What writing and reading of the binary form share: see aicore/binary.h.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aicore/binary.h"
#include "aicore/core_fields.h"

namespace aicore::binary {

inline constexpr std::string_view kSchemaMagic = "AICS", kBatchMagic = "AICB";
inline constexpr uint16_t kVersion = 1;

// A number in a Row. `limit`: the largest value that may be read. `least`: bytes that each row takes at least.
struct Member {
    const char *name;
    size_t offset, size;
    uint64_t limit;
    unsigned least = 0;
    bool name_index = false; // into Schema::names
    bool word = false;       // four bytes in a fixed order
};

// What a row is made of. The flow id, which is random, comes first: because it takes its 16 bytes in any case, the
// number of rows is bounded by the length of the input. Addresses are four words each, the last three of IPv4 are 0.
// attribute_first is no member: attributes are stored in the order of rows. Nor is repeats, which matters only between
// the engine and the stores' selections.
inline const std::vector<Member> kMembers = [] {
    std::vector<Member> members{
        {"flow_id_high", offsetof(Row, flow_id), 8, UINT64_MAX, 8},
        {"flow_id_low", offsetof(Row, flow_id) + 8, 8, UINT64_MAX, 8},
        {"tunnel", offsetof(Row, tunnel), 1, static_cast<uint64_t>(Tunnel::count_) - 1},
        {"tunnel_id", offsetof(Row, tunnel_id), 4, UINT32_MAX},
        {"attribute_count", offsetof(Row, attribute_count), 4, UINT32_MAX},
        {"ip_version", offsetof(Row, ip_version), 1, 6},
    };
    static constexpr const char *kWords[][4] = {{"ipsrc_0", "ipsrc_1", "ipsrc_2", "ipsrc_3"},
                                                {"ipdst_0", "ipdst_1", "ipdst_2", "ipdst_3"}};
    for (size_t n = 0; n < 4; ++n) {
        members.push_back({kWords[0][n], offsetof(Row, ipsrc) + 4 * n, 4, UINT32_MAX, 0, false, true});
        members.push_back({kWords[1][n], offsetof(Row, ipdst) + 4 * n, 4, UINT32_MAX, 0, false, true});
    }
    each_core_field([&]<size_t i> {
        constexpr auto &field = std::get<i>(kCoreFields);
        using Source = typename std::remove_cvref_t<decltype(field)>::Source;
        if constexpr (requires { Source::member; }) {
            static const Row row{};
            const auto *at = reinterpret_cast<const char *>(&(row.*Source::member));
            Member member{field.name, static_cast<size_t>(at - reinterpret_cast<const char *>(&row)),
                          sizeof(row.*Source::member), UINT64_MAX};
            member.name_index = source::IsName<Source>;
            if constexpr (source::IsNumber<Source>) {
                if (Source::type != FieldType::time) member.limit = static_cast<uint64_t>(Source::limit);
            } else if constexpr (!source::IsName<Source>) {
                member.limit = Source::last;
            }
            members.push_back(member);
        }
    });
    return members;
}();

constexpr size_t member_bytes() {
    size_t sum = sizeof(Row::flow_id) + sizeof(Row::tunnel) + sizeof(Row::tunnel_id) + sizeof(Row::attribute_first) +
                 sizeof(Row::attribute_count) + sizeof(Row::ip_version) + sizeof(Row::ipsrc) + sizeof(Row::ipdst);
    each_core_field([&]<size_t i> {
        using Source = typename std::remove_cvref_t<decltype(std::get<i>(kCoreFields))>::Source;
        if constexpr (requires { Source::member; }) sum += sizeof(std::declval<Row &>().*Source::member);
    });
    return sum;
}
static_assert((member_bytes() + alignof(Row) - 1) / alignof(Row) * alignof(Row) == sizeof(Row),
              "a new member of Row has no place in kMembers");

template <typename T> constexpr T little(T value) {
    static_assert(std::is_unsigned_v<T>);
    if constexpr (std::endian::native == std::endian::big) {
        T swapped = 0;
        for (size_t i = 0; i < sizeof(T); ++i)
            swapped = static_cast<T>(swapped << 8 | (value >> 8 * i & 0xff));
        return swapped;
    }
    return value;
}

// Tells texts and schemas apart, in words because a schema has kilobytes. No defence: who can choose the bytes can make
// two alike.
inline uint64_t fingerprint(std::string_view bytes) {
    constexpr uint64_t kFactor = 0x9e3779b97f4a7c15u;
    uint64_t hash = bytes.size() * kFactor;
    const auto add = [&](size_t count) {
        uint64_t word = 0;
        std::memcpy(&word, bytes.data(), count);
        hash = std::rotl(hash ^ little(word), 29) * kFactor;
    };
    for (; bytes.size() >= sizeof hash; bytes.remove_prefix(sizeof hash))
        add(sizeof hash);
    if (!bytes.empty()) add(bytes.size());
    return hash;
}

class Writer {
  public:
    explicit Writer(std::string &out) : out_(out) {}

    template <typename T> void number(T value) {
        const T bytes = little(value);
        out_.append(reinterpret_cast<const char *>(&bytes), sizeof bytes);
    }
    void bytes(std::string_view text) { out_ += text; }
    void text(std::string_view text) {
        number(static_cast<uint32_t>(text.size()));
        out_ += text;
    }

    // As numbers() writes n times the same one.
    void repeated(int64_t value, size_t n, unsigned least) {
        number(static_cast<uint8_t>(least));
        number(static_cast<uint64_t>(value));
        out_.append(n * least, '\0');
    }

    // Differences from the least of them, in as many bytes as the largest needs but no fewer than `least`.
    void numbers(std::span<const int64_t> values, unsigned least = 0) {
        int64_t low = values.empty() ? 0 : values[0], high = low;
        for (const int64_t value : values) {
            low = std::min(low, value);
            high = std::max(high, value);
        }
        const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
        const unsigned width = std::max(least, static_cast<unsigned>(std::bit_width(range) + 7) / 8);
        number(static_cast<uint8_t>(width));
        number(static_cast<uint64_t>(low));
        if (width == 0) return;
        const size_t begin = out_.size(), end = begin + values.size() * width;
        out_.resize(end + sizeof(uint64_t)); // eight bytes are written for every number, the next one covers the rest
        char *p = out_.data() + begin;
        for (const int64_t value : values) {
            const uint64_t difference = little(static_cast<uint64_t>(value) - static_cast<uint64_t>(low));
            std::memcpy(p, &difference, sizeof difference);
            p += width;
        }
        out_.resize(end);
    }

  private:
    std::string &out_;
};

// Every read throws BinaryError if there are not so many bytes.
class Reader {
  public:
    explicit Reader(std::string_view in) : in_(in) {}

    size_t left() const { return in_.size(); }

    std::string_view bytes(size_t n) {
        if (n > in_.size()) throw BinaryError("it ends too early");
        const std::string_view part = in_.substr(0, n);
        in_.remove_prefix(n);
        return part;
    }
    template <typename T> T number() {
        T value;
        std::memcpy(&value, bytes(sizeof value).data(), sizeof value);
        return little(value);
    }
    std::string_view text() { return bytes(number<uint32_t>()); }

    // n numbers, as Writer::numbers() wrote them. With a `least` of 1 or more n may come from the input.
    void numbers(std::vector<int64_t> &out, uint64_t n, unsigned least = 0) {
        const unsigned width = number<uint8_t>();
        const uint64_t low = number<uint64_t>();
        if (width > sizeof low || width < least) throw BinaryError("numbers of " + std::to_string(width) + " bytes");
        if (width > 0 && n > in_.size() / width) throw BinaryError("it ends too early");
        const std::string_view packed = bytes(n * width);
        out.resize(n);
        const uint64_t mask = width == 8 ? UINT64_MAX : (uint64_t{1} << 8 * width) - 1;
        // Eight bytes are read for every number as long as the input has them.
        const auto there = static_cast<size_t>(in_.data() + in_.size() - packed.data());
        const size_t whole = width && there >= sizeof low ? std::min<size_t>(n, (there - sizeof low) / width + 1) : 0;
        const char *p = packed.data();
        size_t i = 0;
        for (; i < whole; ++i, p += width) {
            uint64_t difference;
            std::memcpy(&difference, p, sizeof difference);
            out[i] = static_cast<int64_t>(low + (little(difference) & mask));
        }
        for (; i < n; ++i, p += width) {
            uint64_t difference = 0;
            std::memcpy(&difference, p, width);
            out[i] = static_cast<int64_t>(low + little(difference));
        }
    }

    void skip_numbers(uint64_t n) {
        const unsigned width = number<uint8_t>();
        number<uint64_t>();
        if (width > 0 && n > in_.size() / width) throw BinaryError("it ends too early");
        bytes(n * width);
    }

  private:
    std::string_view in_;
};

} // namespace aicore::binary
