// SPDX-License-Identifier: Apache-2.0
// Compressed captures: each format, its members, damage and bombs. What this build has no library for is refused.
#include <array>
#include <fcntl.h>
#include <sys/resource.h>
#ifdef AICORE_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef AICORE_HAVE_ZSTD
#include <zstd.h>
#endif
#ifdef AICORE_HAVE_LZMA
#include <lzma.h>
#endif
#ifdef AICORE_HAVE_LZ4
#include <lz4frame.h>
#endif

#include "pcapng_builder.h"
#include "unpack/compressed.h"

using namespace aicore;

namespace {

using Strings = std::vector<std::string>;

#ifdef AICORE_HAVE_ZLIB
std::string gzip(const std::string &text) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef *>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}
#endif
#ifdef AICORE_HAVE_ZSTD
// As a stream, whose size is not known: the frame says which window it was given.
std::string zstd_with_window(const std::string &text, int log) {
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    if (log) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, log);
    std::string out(ZSTD_compressBound(text.size()), '\0');
    ZSTD_inBuffer input{text.data(), text.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    EXPECT_FALSE(ZSTD_isError(ZSTD_compressStream2(context, &output, &input, ZSTD_e_flush)));
    EXPECT_EQ(ZSTD_compressStream2(context, &output, &input, ZSTD_e_end), 0u);
    out.resize(output.pos);
    ZSTD_freeCCtx(context);
    return out;
}
std::string zstd(const std::string &text) {
    return zstd_with_window(text, 0);
}
#endif
#ifdef AICORE_HAVE_LZMA
std::string xz(const std::string &text) {
    std::string out(lzma_stream_buffer_bound(text.size()), '\0');
    size_t size = 0;
    EXPECT_EQ(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const uint8_t *>(text.data()),
                                      text.size(), reinterpret_cast<uint8_t *>(out.data()), &size, out.size()),
              LZMA_OK);
    out.resize(size);
    return out;
}
#endif
#ifdef AICORE_HAVE_LZ4
std::string lz4(const std::string &text) {
    LZ4F_preferences_t preferences{};
    preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    std::string out(LZ4F_compressFrameBound(text.size(), &preferences), '\0');
    const size_t size = LZ4F_compressFrame(out.data(), out.size(), text.data(), text.size(), &preferences);
    EXPECT_FALSE(LZ4F_isError(size));
    out.resize(size);
    return out;
}
#endif

struct Packer {
    const char *name;
    std::string (*pack)(const std::string &);
};
const std::vector<Packer> kPackers = {
#ifdef AICORE_HAVE_ZLIB
    {"gzip", gzip},
#endif
#ifdef AICORE_HAVE_ZSTD
    {"zstd", zstd},
#endif
#ifdef AICORE_HAVE_LZMA
    {"xz", xz},
#endif
#ifdef AICORE_HAVE_LZ4
    {"lz4", lz4},
#endif
};

const Sample kFirst = {1700000000, 1000, "first packet"}, kSecond = {1700000001, 0, std::string(300, 's')};

struct Read {
    std::vector<Received> packets;
    std::string broken; // without the file's name
};

Read read(const std::string &bytes) {
    Folder folder;
    const std::string path = folder.write("x", bytes);
    Read out;
    try {
        auto source = open_files({path}, "");
        EXPECT_EQ(source->bytes_total(), bytes.size());
        out.packets = read_all(*source);
        for (const auto &file : source->broken())
            out.broken += file.error.substr(path.size() + 2);
    } catch (const std::runtime_error &error) {
        out.broken = "refused: " + std::string(error.what()).substr(path.size() + 2);
    }
    return out;
}

class Packed : public testing::TestWithParam<Packer> {
  protected:
    std::string pack(const std::string &text) const { return GetParam().pack(text); }
    const std::string name_ = GetParam().name;
};
INSTANTIATE_TEST_SUITE_P(, Packed, testing::ValuesIn(kPackers),
                         [](const auto &info) { return std::string(info.param.name); });

TEST(PackedFormats, AreAllTested) {
    EXPECT_EQ(kPackers.size(), 4u) << "a library was not found; its format is refused";
}

TEST_P(Packed, IsReadAsItIs) {
    for (const Format format : {Format{false, false, false, 1}, Format{true, true, true, 1}}) {
        const Read got = read(pack(capture(format, {kFirst, kSecond})));
        EXPECT_EQ(got.broken, "");
        ASSERT_EQ(got.packets.size(), 2u);
        EXPECT_EQ(got.packets[0].data, kFirst.data);
        EXPECT_EQ(got.packets[1].data, kSecond.data);
    }
}

TEST_P(Packed, MembersFollowOneAnother) {
    const std::string whole = capture({}, {kFirst, kSecond});
    for (size_t cut = 0; cut <= whole.size(); cut += 7) {
        const Read got = read(pack(whole.substr(0, cut)) + pack("") + pack(whole.substr(cut)));
        EXPECT_EQ(got.packets.size(), 2u) << cut;
        EXPECT_EQ(got.broken, "") << cut;
    }
}

TEST_P(Packed, CutAtEveryByte) {
    const std::string whole = pack(capture({}, {kFirst, kSecond}));
    for (size_t size = 6; size < whole.size(); ++size) {
        const Read got = read(whole.substr(0, size));
        ASSERT_NE(got.broken, "") << size;
        EXPECT_NE(got.broken.find(name_ + " data end early"), std::string::npos) << size << ": " << got.broken;
    }
}

TEST_P(Packed, WhatCameBeforeTheDamageIsKept) {
    std::string text = header({});
    uint64_t random = 1;
    for (int i = 0; i < 400; ++i) { // does not compress, so that much lies before the damage
        std::string data(1000, '\0');
        for (char &byte : data)
            byte = static_cast<char>((random = random * 6364136223846793005ull + 1442695040888963407ull) >> 56);
        text += record({}, {1700000000, 0, data});
    }
    std::string bytes = pack(text);
    const Read cut = read(bytes.substr(0, bytes.size() - 1000));
    EXPECT_GT(cut.packets.size(), 300u);
    EXPECT_NE(cut.broken.find(": " + name_ + " data end early; read " + std::to_string(cut.packets.size())),
              std::string::npos)
        << cut.broken;
    for (size_t i = 0; i < 16; ++i)
        bytes[bytes.size() - 100 - i] = static_cast<char>(~bytes[bytes.size() - 100 - i]);
    const Read damaged = read(bytes);
    EXPECT_GT(damaged.packets.size(), name_ == "lz4" ? 200u : 300u) << "lz4 checks blocks of 64 KiB and more whole";
    EXPECT_NE(damaged.broken.find(name_ + " data are damaged ("), std::string::npos) << damaged.broken;
}

TEST_P(Packed, OtherThingsBehindItAreDamage) {
    const Read got = read(pack(capture({}, {kFirst})) + "and something else");
    EXPECT_EQ(got.packets.size(), 1u);
    EXPECT_NE(got.broken.find(name_ + " data are damaged ("), std::string::npos) << got.broken;
}

TEST_P(Packed, is_unpacked_once) {
    EXPECT_EQ(read(pack(pack(capture({}, {kFirst})))).broken,
              "refused: is not a capture (pcap or pcapng) (unpacked from " + name_ + ")");
    EXPECT_EQ(read(pack("Once upon a time")).broken,
              "refused: is not a capture (pcap or pcapng) (unpacked from " + name_ + ")");
    EXPECT_EQ(read(pack("")).broken, "refused: is empty (unpacked from " + name_ + ")");
}

TEST_P(Packed, ThroughAPipeAsItComes) {
    Folder folder;
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const int saved = dup(STDIN_FILENO);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    auto source = open_files({"-"}, "");
    dup2(saved, STDIN_FILENO);
    close(saved);
    std::vector<Received> got;
    const std::string whole = capture({}, {kFirst, kSecond, kFirst});
    const size_t first = capture({}, {kFirst}).size(), second = capture({}, {kFirst, kSecond}).size();
    const auto send = [&](const std::string &bytes) {
        ASSERT_EQ(write(ends[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    };
    EXPECT_EQ(source->read(100, 0, collect, &got), ReadStatus::idle);
    send(pack(whole.substr(0, first)).substr(0, 3));
    EXPECT_EQ(source->read(100, 0, collect, &got), ReadStatus::idle);
    send(pack(whole.substr(0, first)).substr(3));
    EXPECT_EQ(source->read(100, 1000, collect, &got), ReadStatus::ok);
    EXPECT_EQ(got.size(), 1u) << "not held back until more comes";
    EXPECT_EQ(source->read(100, 0, collect, &got), ReadStatus::idle);
    send(pack(whole.substr(first, second - first)) + pack(whole.substr(second)));
    close(ends[1]);
    for (ReadStatus status = ReadStatus::ok; status != ReadStatus::end;)
        ASSERT_NE(status = source->read(100, 0, collect, &got), ReadStatus::error);
    EXPECT_EQ(got.size(), 3u);
    EXPECT_TRUE(source->broken().empty());
}

long peak_kib() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

// One packet, and behind it a block that unpacks to 100 MiB of zeros.
TEST_P(Packed, ABombCostsTimeOnly) {
    const Ng ng;
    const std::string bomb = pack(ng.section() + ng.interface() + ng.packet(0, 1, "p") +
                                  ng.block(4, std::string(100 << 20, '\0')) + ng.packet(0, 2, "q"));
    EXPECT_LT(bomb.size(), 1u << 20);
    Folder folder;
    const std::string path = folder.write("bomb", bomb);
    auto source = open_files({path}, "");
    const long before = peak_kib();
    EXPECT_EQ(read_all(*source).size(), 2u);
    EXPECT_LE(peak_kib() - before, 16 << 10);
    EXPECT_TRUE(source->broken().empty());
}

// Reading ends soon once it is stopped, whatever the file unpacks to.
TEST_P(Packed, ABombCanBeStopped) {
    const Ng ng;
    std::string zeros = ng.section() + ng.interface() + ng.packet(0, 1, "p");
    zeros += ng.block(4, std::string(100 << 20, '\0'));
    Folder folder;
    auto source = open_files({folder.write("bomb", pack(zeros))}, "");
    std::vector<Received> got;
    EXPECT_EQ(source->read(100, 0, collect, &got), ReadStatus::ok);
    int calls = 0;
    while (source->read(100, 0, collect, &got) == ReadStatus::ok)
        ++calls;
    EXPECT_GE(calls, 5) << "each call does a bounded part of the work";
    EXPECT_EQ(got.size(), 1u);
}

#ifdef AICORE_HAVE_ZLIB
TEST(Gzip, ZerosMayFollow) {
    const Read got = read(gzip(capture({}, {kFirst})) + std::string(10240, '\0'));
    EXPECT_EQ(got.packets.size(), 1u);
    EXPECT_EQ(got.broken, "");
}

TEST(Gzip, AMillionEmptyMembers) {
    std::string text;
    const std::string empty = gzip("");
    for (int i = 0; i < 300'000; ++i) // 6 MB
        text += empty;
    EXPECT_EQ(read(text + gzip(capture({}, {kFirst}))).packets.size(), 1u);
}
#endif

#ifdef AICORE_HAVE_ZSTD
TEST(Zstd, SkippableFramesMayBegin) {
    const std::string skippable("\x50\x2a\x4d\x18\x04\0\0\0abcd", 12); // as pzstd does
    EXPECT_EQ(read(skippable + zstd(capture({}, {kFirst}))).packets.size(), 1u);
}

TEST(Zstd, WindowsAreBounded) {
    const std::string text = capture({}, {kFirst});
    EXPECT_NE(read(zstd_with_window(text, 28)).broken.find("zstd data are damaged (Frame requires too much memory"),
              std::string::npos);
    EXPECT_EQ(read(zstd_with_window(text, 27)).packets.size(), 1u);
}
#endif

TEST(Compressed, WhatNobodyUnpacksSaysHow) {
    Folder folder;
    for (const auto &[name, bytes, command] : {std::array<std::string, 3>{"bzip2", "BZh91AY&SY and so on", "bzcat"},
                                               {"compress", "\x1f\x9d\x90 and so on", "zcat"},
#ifndef AICORE_HAVE_ZLIB
                                               {"gzip", "\x1f\x8b\x08 and so on", "zcat"},
#endif
#ifndef AICORE_HAVE_ZSTD
                                               {"zstd", "\x28\xb5\x2f\xfd and so on", "zstdcat"},
#endif
#ifndef AICORE_HAVE_LZMA
                                               {"xz", std::string("\xfd\x37zXZ\0 and so on", 16), "xzcat"},
#endif
#ifndef AICORE_HAVE_LZ4
                                               {"lz4", "\x04\x22\x4d\x18 and so on", "lz4cat"},
#endif
                                               {"lz4's legacy format", "\x02\x21\x4c\x18 and so on", "lz4cat"}}) {
        const std::string path = folder.write("x.pcap.z", bytes);
        try {
            open_files({path}, "");
            FAIL() << name;
        } catch (const std::runtime_error &error) {
            EXPECT_EQ(error.what(), path + ": is compressed with " + name +
                                        ", which this aicore cannot read; unpack it: " + command + " " + path +
                                        " | aicore run -");
        }
    }
}

} // namespace
