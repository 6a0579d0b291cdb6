// SPDX-License-Identifier: Apache-2.0
// TLS messages put together by hand for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace aicore::test {

inline std::string u8(size_t n) {
    return std::string(1, static_cast<char>(n));
}
inline std::string u16(size_t n) {
    return u8(n >> 8 & 255) + u8(n & 255);
}
inline std::string u24(size_t n) {
    return u8(n >> 16 & 255) + u16(n);
}
inline std::string vector8(const std::string &s) {
    return u8(s.size()) + s;
}
inline std::string vector16(const std::string &s) {
    return u16(s.size()) + s;
}
inline std::string codes(const std::vector<uint16_t> &list) {
    std::string out;
    for (const uint16_t c : list)
        out += u16(c);
    return out;
}

using Extension = std::pair<uint16_t, std::string>;
inline Extension server_name(const std::string &name) {
    return {0, vector16(u8(0) + vector16(name))};
}
inline Extension alpn(const std::vector<std::string> &names) {
    std::string list;
    for (const std::string &n : names)
        list += vector8(n);
    return {16, vector16(list)};
}
inline Extension versions(const std::vector<uint16_t> &list) {
    return {43, vector8(codes(list))};
}
inline Extension signatures(const std::vector<uint16_t> &list) {
    return {13, vector16(codes(list))};
}

inline std::string extensions(const std::vector<Extension> &list) {
    std::string out;
    for (const auto &[type, value] : list)
        out += u16(type) + vector16(value);
    return vector16(out);
}

inline std::string client_hello(uint16_t version, const std::vector<uint16_t> &ciphers,
                                const std::vector<Extension> &list) {
    const std::string body = u16(version) + std::string(32, 'r') + vector8(std::string(32, 's')) +
                             vector16(codes(ciphers)) + vector8(u8(0)) + (list.empty() ? "" : extensions(list));
    return u8(1) + u24(body.size()) + body;
}

inline std::string server_hello(uint16_t version, const std::vector<Extension> &list) {
    const std::string body = u16(version) + std::string(32, 'R') + vector8("") + u16(0xc02f) + u8(0) +
                             (list.empty() ? "" : extensions(list));
    return u8(2) + u24(body.size()) + body;
}

// In records of at most `size` bytes.
inline std::string records(const std::string &message, size_t size = 16384, uint8_t type = 22,
                           uint16_t version = 0x0301) {
    std::string out;
    for (size_t i = 0; i < message.size(); i += size)
        out += u8(type) + u16(version) + vector16(message.substr(i, size));
    return out;
}

} // namespace aicore::test
