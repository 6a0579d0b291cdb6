// SPDX-License-Identifier: Apache-2.0
// pcapng block by block, with what capture_builder.h does not need: several interfaces, options, every kind of packet.
#pragma once

#include "capture_builder.h"

namespace aicore {

struct Ng {
    bool big = false;

    Bytes bytes() const { return Bytes(big); }
    std::string block(uint32_t type, const std::string &body) const { return pcapng_block({true, big}, type, body); }
    std::string option(uint16_t code, std::string value) const {
        Bytes out(big);
        out.u16(code).u16(value.size());
        value.resize((value.size() + 3) / 4 * 4);
        return out.add(value).text;
    }
    std::string section(uint16_t major = 1, uint16_t minor = 0) const {
        return block(0x0a0d0d0a, bytes().u32(0x1a2b3c4d).u16(major).u16(minor).u(~0ull, 8).text);
    }
    std::string interface(uint16_t linktype = 1, uint32_t snaplen = 0, const std::string &options = "") const {
        return block(1, bytes().u16(linktype).u16(0).u32(snaplen).add(options).text);
    }
    std::string unit(uint8_t resolution) const { return option(9, std::string(1, static_cast<char>(resolution))); }
    std::string offset(int64_t seconds) const { return option(14, bytes().u(static_cast<uint64_t>(seconds), 8).text); }
    std::string packet(uint32_t interface, uint64_t ticks, const std::string &data, uint32_t length = 0,
                       const std::string &options = "") const {
        Bytes body = bytes();
        body.u32(interface).u32(ticks >> 32).u32(ticks & 0xffffffff).u32(data.size());
        body.u32(length ? length : data.size()).add(data);
        body.text.resize((body.text.size() + 3) / 4 * 4);
        return block(6, body.add(options).text);
    }
    std::string obsolete(uint16_t interface, uint64_t ticks, const std::string &data) const {
        return block(2, bytes()
                            .u16(interface)
                            .u16(7) // dropped
                            .u32(ticks >> 32)
                            .u32(ticks & 0xffffffff)
                            .u32(data.size())
                            .u32(data.size())
                            .add(data)
                            .text);
    }
    std::string simple(const std::string &data, uint32_t length = 0) const {
        return block(3, bytes().u32(length ? length : data.size()).add(data).text);
    }
};

} // namespace aicore
