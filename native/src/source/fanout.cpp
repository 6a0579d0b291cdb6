// SPDX-License-Identifier: Apache-2.0
#include "aicore/fanout.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>
#include <stdexcept>
#include <vector>

#ifdef __linux__
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "fanout_program.h"
#endif

namespace aicore {

namespace {

uint32_t word(const uint8_t *p) {
    uint32_t value;
    std::memcpy(&value, p, sizeof value);
    return __builtin_bswap32(value);
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "word() reads network byte order");

uint32_t odd() {
    std::random_device device;
    return static_cast<uint32_t>(device()) | 1;
}

} // namespace

Fanout::Fanout(size_t workers) : workers_(workers), of_ports_(odd()), of_all_(odd()) {}

// As fanout_program() and the kernel, which takes the result modulo the number of sockets.
uint16_t Fanout::owner(const FlowKey &key) const noexcept {
    uint32_t hash = static_cast<uint32_t>(key.port_a ^ key.port_b) * of_ports_;
    for (size_t at = 0; at < sizeof key.a; at += 4)
        hash ^= word(key.a + at) ^ word(key.b + at);
    return static_cast<uint16_t>((hash * of_all_ >> 16) % workers_);
}

#ifdef __linux__

bool Fanout::supported() noexcept {
    return true;
}

int64_t Fanout::join(int socket, const std::string &interface) {
    const auto set = [&](int name, const void *value, socklen_t size) {
        return setsockopt(socket, SOL_PACKET, name, value, size) == 0;
    };
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    int64_t from = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
    const auto known = groups_.find(interface);
    uint32_t argument = known == groups_.end() ? 0 : static_cast<uint32_t>(known->second | PACKET_FANOUT_CBPF << 16);
    // A group ends with its last socket, and belongs to one device: one that came back needs another one.
    if (known == groups_.end() || !set(PACKET_FANOUT, &argument, sizeof argument)) {
        argument = (PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
        if (!set(PACKET_FANOUT, &argument, sizeof argument))
            throw std::runtime_error(interface + ": cannot be shared among workers: " + std::strerror(errno));
        socklen_t size = sizeof argument;
        if (getsockopt(socket, SOL_PACKET, PACKET_FANOUT, &argument, &size) != 0)
            throw std::runtime_error(interface + ": cannot be shared among workers: " + std::strerror(errno));
        groups_[interface] = static_cast<int>(argument & 0xffff);
        from = INT64_MIN;
        std::vector<sock_filter> code = fanout_program(of_ports_, of_all_);
        const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
        if (!set(PACKET_FANOUT_DATA, &program, sizeof program))
            throw std::runtime_error(interface + ": cannot be shared among workers: " + std::strerror(errno));
    }
    return from;
}

#else

bool Fanout::supported() noexcept {
    return false;
}

int64_t Fanout::join(int, const std::string &interface) {
    throw std::runtime_error(interface + ": cannot be shared among workers: this system has no PACKET_FANOUT");
}

#endif

} // namespace aicore
