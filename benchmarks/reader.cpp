// SPDX-License-Identifier: Apache-2.0
// aicore's reader of captures alone: every packet is handed out, a byte of it is touched. Prints JSON.
#include <cstdio>
#include <ctime>
#include <stdexcept>

#include "aicore/source.h"

namespace {

struct Count {
    unsigned long packets = 0, bytes = 0;
};

void count(void *user, const aicore::RawPacket &packet) {
    auto &sum = *static_cast<Count *>(user);
    ++sum.packets;
    sum.bytes += packet.length + packet.data[0];
}

double cpu() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

} // namespace

int main(int argc, char **argv) {
    try {
        if (argc != 2) throw std::runtime_error("usage: reader CAPTURE");
        const auto source = aicore::open_files({argv[1]}, "");
        Count sum;
        const double before = cpu();
        while (source->read(512, 0, count, &sum) == aicore::ReadStatus::ok) {
        }
        std::printf("{\"packets\": %lu, \"flows\": null, \"cpu\": %.6f}\n", sum.packets, cpu() - before);
        for (const auto &file : source->broken())
            throw std::runtime_error(file.error);
        return sum.bytes == 0;
    } catch (const std::runtime_error &error) {
        std::fprintf(stderr, "reader: %s\n", error.what());
        return 1;
    }
}
