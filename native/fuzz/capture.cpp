// SPDX-License-Identifier: Apache-2.0
// A capture, as a regular file or, if the first byte is odd, through a pipe. The packets are decoded.
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "aicore/decode.h"
#include "aicore/source.h"
#include "input.h"

namespace {

constexpr int kPipeBytes = 1 << 17; // an input that does not fit is cut

void packet(void *user, const aicore::RawPacket &raw) {
    aicore::fuzz::touch(raw.data, raw.captured);
    aicore::Packet out;
    static_cast<aicore::Decoder *>(user)->decode(raw, out);
}

void read(int fd, const std::string &filter) {
    std::unique_ptr<aicore::Source> source;
    try {
        source = aicore::open_files({"/proc/self/fd/" + std::to_string(fd)}, filter);
    } catch (const std::runtime_error &) { // not a capture
    }
    close(fd); // the source has it open for itself
    aicore::Counters counters;
    aicore::Decoder decoder({.vlan_in_key = true, .max_fragments = 4}, counters);
    for (auto status = aicore::ReadStatus::ok; source && status == aicore::ReadStatus::ok;) {
        status = source->read(64, 1000, packet, &decoder);
        aicore::fuzz::require(status != aicore::ReadStatus::idle, "nobody waits for data that is there");
        for (const auto &file : source->broken())
            aicore::fuzz::require(!file.path.empty() && !file.error.empty(), "errors have a text");
    }
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    const uint8_t options = *data;
    const std::string filter = options & 2 ? "tcp or vlan" : "";
    if (options & 1) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0 || fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes) < 0) std::abort();
        [[maybe_unused]] const auto written = write(ends[1], data + 1, size - 1);
        close(ends[1]);
        read(ends[0], filter);
    } else {
        const int fd = memfd_create("capture", MFD_CLOEXEC);
        if (fd < 0 || write(fd, data + 1, size - 1) < 0) std::abort();
        read(fd, filter);
    }
    return 0;
}
