// SPDX-License-Identifier: Apache-2.0
// A compiled BPF expression. Compiled for one link type: each link type of captures and each interface has its own.
#pragma once

#include <pcap/pcap.h>
#include <stdexcept>
#include <string>

namespace aicore {

class Bpf {
  public:
    Bpf() = default;
    ~Bpf() { pcap_freecode(&program_); } // frees nothing where nothing was compiled
    Bpf(const Bpf &) = delete;
    Bpf &operator=(const Bpf &) = delete;

    // `name` is the file or interface, for the error. An empty expression leaves everything through.
    void compile(pcap_t *pcap, const std::string &name, const std::string &expression) {
        if (expression.empty()) return;
        if (pcap_compile(pcap, &program_, expression.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) {
            std::string why = pcap_geterr(pcap);
            throw std::runtime_error(name + ": filter '" + expression + "': " + why);
        }
    }

    [[nodiscard]] bool empty() const noexcept { return program_.bf_insns == nullptr; }
    bpf_program *program() { return &program_; }
    [[nodiscard]] bool matches(const uint8_t *data, uint32_t captured, uint32_t length) const {
        if (empty()) return true;
        pcap_pkthdr header{};
        header.caplen = captured;
        header.len = length;
        return pcap_offline_filter(&program_, &header, data) != 0;
    }

  private:
    bpf_program program_{};
};

} // namespace aicore
