// SPDX-License-Identifier: Apache-2.0
// A bounds-checked view of received bytes. A read past the end gives 0 (or nothing) and clears ok() for good, so that a
// parser may read a whole structure and ask once. Never owns, never throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace aicore {

class Bytes {
  public:
    constexpr Bytes() = default;
    constexpr Bytes(const uint8_t *data, size_t length) : data_(data), left_(length) {}

    constexpr const uint8_t *data() const { return data_; }
    constexpr size_t left() const { return left_; }
    constexpr bool ok() const { return ok_; }

    // Numbers in network order.
    constexpr uint8_t u8() { return static_cast<uint8_t>(number(1)); }
    constexpr uint16_t u16() { return static_cast<uint16_t>(number(2)); }
    constexpr uint32_t u24() { return number(3); }
    constexpr uint32_t u32() { return number(4); }

    // Numbers with the least significant byte first.
    constexpr uint16_t u16le() {
        const uint16_t value = u16();
        return static_cast<uint16_t>(value << 8 | value >> 8);
    }
    constexpr uint32_t u32le() {
        const uint32_t value = u32();
        return value << 24 | (value & 0xff00) << 8 | (value >> 8 & 0xff00) | value >> 24;
    }

    constexpr void skip(size_t n) { take(n); }

    // The next n bytes as a view of their own; an empty one if there are not so many.
    constexpr Bytes take(size_t n) {
        if (n > left_) {
            fail();
            return {};
        }
        const Bytes part(data_, n);
        data_ += n;
        left_ -= n;
        return part;
    }

    // As take(), but gives what there is, for input that may end early: ok() tells whether it was all.
    constexpr Bytes take_some(size_t n) {
        const size_t have = n < left_ ? n : left_;
        const Bytes part = take(have);
        if (have < n) fail();
        return part;
    }

  private:
    constexpr uint32_t number(size_t n) {
        if (n > left_) {
            fail();
            return 0;
        }
        uint32_t value = 0;
        for (size_t i = 0; i < n; ++i)
            value = value << 8 | data_[i];
        data_ += n;
        left_ -= n;
        return value;
    }
    constexpr void fail() {
        left_ = 0;
        ok_ = false;
    }

    const uint8_t *data_ = nullptr;
    size_t left_ = 0;
    bool ok_ = true;
};

inline std::string_view text(const Bytes &bytes) {
    return {reinterpret_cast<const char *>(bytes.data()), bytes.left()};
}

} // namespace aicore
