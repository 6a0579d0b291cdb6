// SPDX-License-Identifier: Apache-2.0
// A network namespace of the test's own, with veth pairs, and raw frames sent into it.
#pragma once

#include <arpa/inet.h>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace aicore {

constexpr uint16_t kTestType = 0x88b5; // IEEE 802: for local experiments

class Network : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        if (geteuid() != 0) {
            reason_ = "needs root, to make a network namespace";
            return;
        }
        if (std::system("ip -V >/dev/null 2>&1") != 0) {
            reason_ = "needs the command ip (iproute2)";
            return;
        }
        old_ = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (unshare(CLONE_NEWNET) != 0) {
            reason_ = std::string("no right to make a network namespace: ") + std::strerror(errno);
            return;
        }
        reason_.clear();
        // No traffic but the tests' own.
        for (const char *which : {"all", "default"})
            std::ofstream(std::string("/proc/sys/net/ipv6/conf/") + which + "/disable_ipv6") << 1;
    }
    static void TearDownTestSuite() {
        if (old_ < 0) return;
        if (setns(old_, CLONE_NEWNET) != 0) ADD_FAILURE() << "cannot go back";
        close(old_);
        old_ = -1;
    }
    void SetUp() override {
        if (!reason_.empty()) GTEST_SKIP() << reason_;
        make("a");
    }
    void TearDown() override {
        for (const char *name : {"a0", "b0"})
            if (if_nametoindex(name)) ip(std::string("link del ") + name);
    }

    static void ip(const std::string &command) { ASSERT_EQ(std::system(("ip " + command).c_str()), 0) << command; }
    // NAME0, where the source listens, and NAME1, where the test sends.
    static void make(const std::string &name) {
        ip("link add " + name + "0 type veth peer name " + name + "1");
        ip("link set " + name + "0 up");
        ip("link set " + name + "1 up");
    }

  private:
    static inline int old_ = -1;
    static inline std::string reason_;
};

class Sender {
  public:
    explicit Sender(const std::string &interface) : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
        if (bind(fd_, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0) ADD_FAILURE() << interface;
    }
    ~Sender() { close(fd_); }
    Sender(const Sender &) = delete;
    Sender &operator=(const Sender &) = delete;

    static std::string frame(size_t size, char fill = 'x', uint16_t type = kTestType) {
        std::string bytes(12, '\x02');
        bytes += static_cast<char>(type >> 8);
        bytes += static_cast<char>(type & 0xff);
        bytes.resize(size, fill);
        return bytes;
    }
    bool send(const std::string &bytes) {
        return ::send(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
    }
    // Waits until the interface passes frames: a veth that was set up needs a moment.
    bool send_soon(const std::string &bytes) {
        for (int i = 0; i < 100; ++i, usleep(10'000))
            if (send(bytes)) return true;
        return false;
    }

  private:
    int fd_;
};

} // namespace aicore
