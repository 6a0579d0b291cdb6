// SPDX-License-Identifier: Apache-2.0
#include "live_interface.h"

#include <algorithm>
#include <net/if.h>
#include <stdexcept>

#include "bpf.h"

namespace aicore {

namespace {

std::string existing_interfaces() {
    std::string names;
    for (const auto &interface : list_interfaces())
        names += (names.empty() ? "" : ", ") + interface.name;
    return names;
}

} // namespace

LiveInterface::LiveInterface(const std::string &name, const std::string &filter, const LiveOptions &options,
                             std::shared_ptr<Fanout> fanout, std::vector<std::string> &warnings)
    : name_(name), filter_(filter), options_(options), fanout_(std::move(fanout)), warnings_(warnings),
      since_(Clock::now()) {
    const int status = open();
    if (status == PCAP_ERROR_IFACE_NOT_UP)
        warnings_.push_back(trouble_ + "; waiting for it");
    else if (status == PCAP_ERROR_NO_SUCH_DEVICE)
        throw std::runtime_error(name_ + ": no such interface; there are " + existing_interfaces());
    else if (status != 0)
        throw std::runtime_error(trouble_);
}

int LiveInterface::fail(const std::string &why, int status) {
    trouble_ = why;
    return status;
}

// 0, or a PCAP_ERROR_* with trouble_ telling why.
int LiveInterface::open() {
    char reason[PCAP_ERRBUF_SIZE] = "";
    pcap_t *pcap = pcap_create(name_.c_str(), reason);
    if (!pcap) return fail(name_ + ": " + reason, PCAP_ERROR);
    const int status = configure(pcap);
    const State before = state_;
    if (status == 0) {
        state_ = State::capturing;
        trouble_.clear();
        const std::scoped_lock lock(mutex_);
        pcap_ = pcap;
        last_ = {};
        if (fanout_) pcap_stats(pcap, &last_); // what came before it had joined
    } else {
        pcap_close(pcap);
        state_ = status == PCAP_ERROR_IFACE_NOT_UP                                              ? State::down
                 : status == PCAP_ERROR_PERM_DENIED || status == PCAP_ERROR_PROMISC_PERM_DENIED ? State::refused
                                                                                                : State::gone;
    }
    if (state_ != before) since_ = Clock::now();
    return status;
}

int LiveInterface::configure(pcap_t *pcap) {
    pcap_set_snaplen(pcap, options_.snaplen);
    pcap_set_buffer_size(pcap, options_.buffer_bytes);
    pcap_set_promisc(pcap, options_.promiscuous);
    pcap_set_immediate_mode(pcap, options_.immediate);
    pcap_set_timeout(pcap, std::max(options_.timeout_ms, 1));    // 0 would hold a block back until it is full
    pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO); // where it can; asked below

    const int status = pcap_activate(pcap);
    if (status == PCAP_ERROR_PERM_DENIED || status == PCAP_ERROR_PROMISC_PERM_DENIED)
        return fail("no right to capture on " + name_ +
                        ": run as root, or give the service CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW)",
                    status);
    if (status == PCAP_ERROR_IFACE_NOT_UP) return fail(name_ + ": interface is down", status);
    if (status == PCAP_ERROR_NO_SUCH_DEVICE) return fail(name_ + ": interface is gone", status);
    if (status < 0) {
        const std::string text = pcap_geterr(pcap);
        return fail(name_ + ": " + (text.empty() ? pcap_statustostr(status) : text), status);
    }
    // "any" has no promiscuous mode: no news to its user.
    if (status > 0 && !(status == PCAP_WARNING_PROMISC_NOTSUP && name_ == "any"))
        warnings_.push_back(name_ + ": " + pcap_statustostr(status));

    // Cooked version 2 keeps the interface's number, which version 1 (libpcap's default) lacks.
    if (pcap_datalink(pcap) == DLT_LINUX_SLL) pcap_set_datalink(pcap, DLT_LINUX_SLL2);
    Bpf filter;
    try {
        filter.compile(pcap, name_, filter_);
    } catch (const std::runtime_error &error) {
        return fail(error.what(), PCAP_ERROR);
    }
    if (!filter.empty() && pcap_setfilter(pcap, filter.program()) != 0)
        return fail(name_ + ": filter '" + filter_ + "': " + pcap_geterr(pcap), PCAP_ERROR);
    char reason[PCAP_ERRBUF_SIZE] = "";
    if (pcap_setnonblock(pcap, 1, reason) != 0) return fail(name_ + ": " + reason, PCAP_ERROR);

    if (fanout_) {
        try {
            own_from_ = fanout_->join(pcap_fileno(pcap), name_);
        } catch (const std::runtime_error &error) {
            return fail(error.what(), PCAP_ERROR);
        }
    }
    index_ = if_nametoindex(name_.c_str());
    linktype_ = pcap_datalink(pcap);
    tick_ = pcap_get_tstamp_precision(pcap) == PCAP_TSTAMP_PRECISION_NANO ? 1 : 1000;
    return 0;
}

void LiveInterface::close() {
    const std::scoped_lock lock(mutex_);
    if (!pcap_) return;
    add_stats();
    pcap_close(pcap_);
    pcap_ = nullptr;
}

int LiveInterface::read(int max, PacketHandler handler, void *user) {
    if (!pcap_) return 0;
    struct Reader {
        PacketHandler handler;
        void *user;
        int64_t tick, own_from;
        int linktype;
        int count;
    } reader{handler, user, tick_, own_from_, linktype_, 0};
    const int status = pcap_dispatch(
        pcap_, max,
        [](u_char *self, const pcap_pkthdr *header, const u_char *data) {
            auto &to = *reinterpret_cast<Reader *>(self);
            ++to.count;
            const int64_t time = header->ts.tv_sec * int64_t{1'000'000'000} + header->ts.tv_usec * to.tick;
            if (time < to.own_from) return;
            to.handler(to.user, {data, header->caplen, header->len, time, to.linktype});
        },
        reinterpret_cast<u_char *>(&reader));
    // libpcap itself goes on when the interface is only down; what it reports is the end of this socket.
    if (status < 0 && state_ == State::capturing) leave(name_ + ": " + pcap_geterr(pcap_));
    return reader.count;
}

bool LiveInterface::next(RawPacket &packet) {
    if (!pcap_) return false;
    pcap_pkthdr *header;
    const u_char *data; // libpcap copies it out of the ring
    const int status = pcap_next_ex(pcap_, &header, &data);
    if (status < 0 && state_ == State::capturing) leave(name_ + ": " + pcap_geterr(pcap_));
    if (status <= 0) return false;
    packet = {data, header->caplen, header->len,
              header->ts.tv_sec * int64_t{1'000'000'000} + header->ts.tv_usec * tick_, linktype_};
    return true;
}

int LiveInterface::poll_fd() const {
    return state_ == State::capturing ? pcap_get_selectable_fd(pcap_) : -1;
}

void LiveInterface::leave(const std::string &why) {
    state_ = State::draining;
    since_ = Clock::now();
    trouble_ = why;
}

void LiveInterface::check(Clock::time_point now) {
    if (state_ == State::capturing) {
        // By number: an interface made again under the old name is another one, a renamed one is still the same.
        char name[IF_NAMESIZE];
        if (index_ && !if_indextoname(index_, name)) leave(name_ + ": interface is gone");
        const std::scoped_lock lock(mutex_);
        add_stats(); // often enough for 32 bits
        return;
    }
    if (state_ == State::refused) return;
    if (state_ == State::draining) {
        // The kernel hands over the last block when its timeout is up.
        if (now - since_ < 2 * std::chrono::milliseconds(options_.timeout_ms)) return;
        close();
        warnings_.push_back(trouble_ + "; trying to open it again");
        state_ = State::gone;
    }
    const State before = state_;
    if (open() == 0)
        warnings_.push_back(name_ + ": capturing again");
    else if (state_ != before)
        warnings_.push_back(trouble_);
}

bool LiveInterface::lost(Clock::time_point now) const {
    return state_ == State::refused ||
           (state_ == State::gone && now - since_ >= std::chrono::milliseconds(options_.gone_after_ms));
}

void LiveInterface::add_stats() {
    pcap_stat now{};
    if (pcap_stats(pcap_, &now) != 0) return;
    stats_.received += static_cast<uint32_t>(now.ps_recv - last_.ps_recv);
    stats_.kernel_drop += static_cast<uint32_t>(now.ps_drop - last_.ps_drop);
    stats_.interface_drop += static_cast<uint32_t>(now.ps_ifdrop - last_.ps_ifdrop);
    last_ = now;
}

SourceStats LiveInterface::stats() {
    const std::scoped_lock lock(mutex_);
    if (pcap_) add_stats();
    return stats_;
}

} // namespace aicore
