// SPDX-License-Identifier: Apache-2.0
// Captures made byte by byte, in every format a source reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>
#include <vector>

#include "aicore/source.h"

namespace aicore {

// Appends numbers in the byte order asked for.
class Bytes {
  public:
    explicit Bytes(bool big) : big_(big) {}
    Bytes &u(uint64_t value, int size) {
        for (int i = 0; i < size; ++i)
            text.push_back(static_cast<char>(value >> 8 * (big_ ? size - 1 - i : i)));
        return *this;
    }
    Bytes &u16(uint64_t value) { return u(value, 2); }
    Bytes &u32(uint64_t value) { return u(value, 4); }
    Bytes &add(const std::string &more) {
        text += more;
        return *this;
    }
    std::string text;

  private:
    bool big_;
};

struct Sample {
    uint32_t seconds;
    uint32_t nanoseconds;
    std::string data;
    uint32_t length = 0; // on the wire; 0 = as captured
};

struct Format {
    bool pcapng = false;
    bool big = false;
    bool nano = false;
    int linktype = 1; // Ethernet
};

inline std::string pcapng_block(const Format &format, uint32_t type, std::string body) {
    body.resize((body.size() + 3) / 4 * 4);
    const auto total = static_cast<uint32_t>(body.size() + 12);
    return Bytes(format.big).u32(type).u32(total).add(body).u32(total).text;
}

inline std::string pcapng_interface(const Format &format) {
    Bytes body(format.big);
    body.u16(format.linktype).u16(0).u32(65535);
    if (format.nano) body.u16(9).u16(1).add(std::string("\x09\0\0\0", 4)).u16(0).u16(0); // if_tsresol 10^-9, end
    return pcapng_block(format, 1, body.text);
}

inline std::string header(const Format &format) {
    if (!format.pcapng)
        return Bytes(format.big)
            .u32(format.nano ? 0xa1b23c4d : 0xa1b2c3d4)
            .u16(2)
            .u16(4)
            .u32(0)
            .u32(0)
            .u32(65535)
            .u32(format.linktype)
            .text;
    Bytes section(format.big);
    section.u32(0x1a2b3c4d).u16(1).u16(0).u(~0ull, 8);
    return pcapng_block(format, 0x0a0d0d0a, section.text) + pcapng_interface(format);
}

inline std::string record(const Format &format, const Sample &sample) {
    const uint32_t length = sample.length ? sample.length : static_cast<uint32_t>(sample.data.size());
    Bytes out(format.big);
    if (!format.pcapng)
        return out.u32(sample.seconds)
            .u32(format.nano ? sample.nanoseconds : sample.nanoseconds / 1000)
            .u32(sample.data.size())
            .u32(length)
            .add(sample.data)
            .text;
    const uint64_t unit = format.nano ? 1'000'000'000 : 1'000'000;
    const uint64_t time = sample.seconds * unit + (format.nano ? sample.nanoseconds : sample.nanoseconds / 1000);
    out.u32(0).u32(time >> 32).u32(time & 0xffffffff).u32(sample.data.size()).u32(length).add(sample.data);
    return pcapng_block(format, 6, out.text);
}

inline std::string capture(const Format &format, const std::vector<Sample> &samples) {
    std::string text = header(format);
    for (const auto &sample : samples)
        text += record(format, sample);
    return text;
}

// A folder of its own for each test, removed afterwards.
class Folder {
  public:
    Folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "aicore-source-XXXXXX").string();
        if (!mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp");
        path_ = pattern;
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    std::string path(const std::string &name) const { return (path_ / name).string(); }
    std::string write(const std::string &name, const std::string &bytes) const {
        std::ofstream(path(name), std::ios::binary) << bytes;
        return path(name);
    }

  private:
    std::filesystem::path path_;
};

struct Received {
    std::string data;
    uint32_t length;
    int64_t time;
    int linktype;
};

inline void collect(void *user, const RawPacket &packet) {
    static_cast<std::vector<Received> *>(user)->push_back(
        {std::string(reinterpret_cast<const char *>(packet.data), packet.captured), packet.length, packet.time,
         packet.linktype});
}

// Reads to the end or to an error; `last` gets the status.
inline std::vector<Received> read_all(Source &source, ReadStatus *last = nullptr, int max = 100) {
    std::vector<Received> all;
    ReadStatus status;
    do {
        status = source.read(max, 100, collect, &all);
    } while (status == ReadStatus::ok);
    if (last) *last = status;
    return all;
}

} // namespace aicore
