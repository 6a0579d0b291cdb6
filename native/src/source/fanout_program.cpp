// SPDX-License-Identifier: Apache-2.0
#ifdef __linux__
#include "fanout_program.h"

#include <map>
#include <stdexcept>
#include <string>

namespace aicore {

namespace {

// Offsets count from the network header, wherever the socket's data begins.
constexpr uint32_t kNet = static_cast<uint32_t>(SKF_NET_OFF);

enum Memory : uint32_t { kBase, kTransport, kAddresses, kProtocol, kScratch };
constexpr uint32_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100, kQinq = 0x88a8, kTeb = 0x6558;

// Jumps go forward to labels, all by BPF_JA, whose reach has no limit.
class Assembler {
  public:
    void op(unsigned code, uint32_t k = 0) { code_.push_back({static_cast<uint16_t>(code), 0, 0, k}); }
    void load_x(Memory from) { op(BPF_LDX | BPF_MEM, from); }
    void load(Memory from) { op(BPF_LD | BPF_MEM, from); }
    void store(Memory to) { op(BPF_ST, to); }
    // A = what lies `offset` behind the network header plus memory.
    void word(Memory base, uint32_t offset) { read(BPF_W, base, offset); }
    void half(Memory base, uint32_t offset) { read(BPF_H, base, offset); }
    void byte(Memory base, uint32_t offset) { read(BPF_B, base, offset); }
    void add(uint32_t k) { op(BPF_ALU | BPF_ADD | BPF_K, k); }
    void add(Memory m) { load_x(m), op(BPF_ALU | BPF_ADD | BPF_X); }
    void exclusive_or(Memory m) { load_x(m), op(BPF_ALU | BPF_XOR | BPF_X); }
    void mask(uint32_t k) { op(BPF_ALU | BPF_AND | BPF_K, k); }
    void multiply(uint32_t k) { op(BPF_ALU | BPF_MUL | BPF_K, k); }
    void shift_right(uint32_t k) { op(BPF_ALU | BPF_RSH | BPF_K, k); }
    void shift_left(uint32_t k) { op(BPF_ALU | BPF_LSH | BPF_K, k); }
    void constant(uint32_t k) { op(BPF_LD | BPF_IMM, k); }

    void jump(const std::string &to) {
        open_.emplace(to, code_.size());
        op(BPF_JMP | BPF_JA);
    }
    void equal(uint32_t k, const std::string &to) { test(BPF_JEQ, k, to); }
    void any_of(uint32_t bits, const std::string &to) { test(BPF_JSET, bits, to); }
    void label(const std::string &name) {
        for (auto [at, end] = open_.equal_range(name); at != end; ++at)
            code_[at->second].k = static_cast<uint32_t>(code_.size() - at->second - 1);
        open_.erase(name);
    }
    std::vector<sock_filter> done() {
        if (!open_.empty()) throw std::logic_error("no label " + open_.begin()->first);
        return std::move(code_);
    }

  private:
    void read(unsigned size, Memory base, uint32_t offset) {
        load_x(base);
        op(BPF_LD | BPF_IND | size, kNet + offset);
    }
    void test(unsigned how, uint32_t k, const std::string &to) { // if it holds, the jump behind it, else over it
        code_.push_back({static_cast<uint16_t>(BPF_JMP | how | BPF_K), 0, 1, k});
        jump(to);
    }

    std::vector<sock_filter> code_;
    std::multimap<std::string, size_t> open_; // jumps to labels that are to come
};

// A is the EtherType, kBase where its packet begins. To `transport` with kTransport, kProtocol and kAddresses set.
void network(Assembler &a, const std::string &level) {
    a.equal(kIpv4, level + "ipv4");
    a.equal(kIpv6, level + "ipv6");
    a.jump("none");

    a.label(level + "ipv4");
    a.word(kBase, 12);
    a.store(kAddresses);
    a.word(kBase, 16);
    a.exclusive_or(kAddresses);
    a.store(kAddresses);
    a.half(kBase, 6);
    a.any_of(0x3fff, "addresses"); // a fragment: its ports may be elsewhere
    a.byte(kBase, 9);
    a.store(kProtocol);
    a.byte(kBase, 0);
    a.mask(15);
    a.shift_left(2);
    a.add(kBase);
    a.store(kTransport);
    a.jump(level + "transport");

    a.label(level + "ipv6");
    a.constant(0);
    a.store(kAddresses);
    for (uint32_t at = 8; at < 40; at += 4) {
        a.word(kBase, at);
        a.exclusive_or(kAddresses);
        a.store(kAddresses);
    }
    a.byte(kBase, 6);
    a.store(kProtocol);
    a.load(kBase);
    a.add(40);
    a.store(kTransport);
    a.label(level + "transport");
}

// kBase points behind a tag: A becomes the type of what follows, and kBase its begin.
void behind_tag(Assembler &a) {
    a.half(kBase, 2);
    a.store(kScratch);
    a.load(kBase);
    a.add(4);
    a.store(kBase);
    a.load(kScratch);
}

// kBase points behind an Ethernet header: A becomes its type, behind one VLAN tag if there is one.
void ethernet(Assembler &a, const std::string &level) {
    a.load(kBase);
    a.add(static_cast<uint32_t>(-2));
    a.store(kScratch);
    a.half(kScratch, 0);
    a.equal(kVlan, level + "tagged");
    a.jump(level + "type");
    a.label(level + "tagged");
    behind_tag(a);
    a.label(level + "type");
}

} // namespace

std::vector<sock_filter> fanout_program(uint32_t of_ports, uint32_t of_all) {
    Assembler a;
    a.constant(0);
    a.store(kBase);
    a.store(kAddresses);
    a.op(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL)); // behind the first tag
    for (const char *tag : {"tag1", "tag2"}) {
        const std::string name = tag;
        a.equal(kVlan, name);
        a.equal(kQinq, name);
        a.jump(name + "none");
        a.label(name);
        behind_tag(a);
        a.label(name + "none");
    }

    network(a, "outer ");
    a.load(kProtocol);
    a.equal(6, "ports");
    a.equal(17, "udp");
    a.equal(47, "gre");
    a.equal(4, "ip4 in ip");
    a.equal(41, "ip6 in ip");
    a.jump("addresses");

    a.label("udp");
    a.half(kTransport, 2);
    a.equal(4789, "vxlan");
    a.equal(8472, "vxlan");
    a.equal(2152, "gtp");
    a.half(kTransport, 0);
    a.equal(2152, "gtp");
    a.jump("ports");

    a.label("vxlan"); // UDP, VXLAN, Ethernet: RFC 7348
    a.load(kTransport);
    a.add(8 + 8 + 14);
    a.store(kBase);
    ethernet(a, "vxlan ");
    a.jump("inner");

    a.label("gtp"); // version 1, G-PDU, no extension headers: 3GPP TS 29.281
    a.byte(kTransport, 9);
    a.equal(255, "g-pdu");
    a.jump("ports");
    a.label("g-pdu");
    a.load(kTransport);
    a.add(8 + 8);
    a.store(kBase);
    a.byte(kTransport, 8);
    a.any_of(4, "extended");
    a.any_of(3, "optional");
    a.jump("version");
    a.label("extended");
    a.byte(kTransport, 8 + 11);
    a.equal(0, "optional");
    a.jump("ports");
    a.label("optional");
    a.load(kBase);
    a.add(4);
    a.store(kBase);
    a.label("version");
    a.byte(kBase, 0);
    a.shift_right(4);
    a.equal(4, "is ipv4");
    a.equal(6, "is ipv6");
    a.jump("ports");
    a.label("is ipv4");
    a.constant(kIpv4);
    a.jump("inner");
    a.label("is ipv6");
    a.constant(kIpv6);
    a.jump("inner");

    a.label("gre"); // RFC 2784, RFC 2890: four bytes each for checksum, key and sequence number
    a.half(kTransport, 0);
    a.any_of(7, "addresses"); // another version
    a.load(kTransport);
    a.add(4);
    a.store(kBase);
    for (const uint32_t bit : {0x8000u, 0x2000u, 0x1000u}) {
        const std::string name = "gre " + std::to_string(bit);
        a.half(kTransport, 0);
        a.any_of(bit, name);
        a.jump(name + "none");
        a.label(name);
        a.load(kBase);
        a.add(4);
        a.store(kBase);
        a.label(name + "none");
    }
    a.half(kTransport, 2);
    a.equal(kTeb, "teb");
    a.jump("inner");
    a.label("teb");
    a.load(kBase);
    a.add(14);
    a.store(kBase);
    ethernet(a, "teb ");
    a.jump("inner");

    a.label("ip4 in ip");
    a.load(kTransport);
    a.store(kBase);
    a.constant(kIpv4);
    a.jump("inner");
    a.label("ip6 in ip");
    a.load(kTransport);
    a.store(kBase);
    a.constant(kIpv6);

    a.label("inner");
    network(a, "inner ");
    a.load(kProtocol);
    a.equal(6, "ports");
    a.equal(17, "ports");
    a.jump("addresses");

    a.label("ports");
    a.half(kTransport, 0);
    a.store(kScratch);
    a.half(kTransport, 2);
    a.exclusive_or(kScratch);
    a.multiply(of_ports);
    a.exclusive_or(kAddresses);
    a.store(kAddresses);
    a.label("addresses");
    a.load(kAddresses);
    a.multiply(of_all);
    a.shift_right(16);
    a.op(BPF_RET | BPF_A);
    a.label("none");
    a.op(BPF_RET | BPF_K, 0);
    return a.done();
}

} // namespace aicore
#endif
