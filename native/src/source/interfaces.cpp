// SPDX-License-Identifier: Apache-2.0
// The interfaces of this machine that libpcap can capture on.
#include "aicore/source.h"

#include <arpa/inet.h>
#include <memory>
#include <netinet/in.h>
#include <pcap/pcap.h>
#include <stdexcept>

namespace aicore {

namespace {

std::string address_text(const sockaddr *address) {
    char text[INET6_ADDRSTRLEN] = "";
    if (address && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in *>(address)->sin_addr, text, sizeof text);
    else if (address && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6 *>(address)->sin6_addr, text, sizeof text);
    return text; // empty for a link-layer address
}

} // namespace

std::vector<InterfaceInfo> list_interfaces() {
    char reason[PCAP_ERRBUF_SIZE] = "";
    pcap_if_t *found = nullptr;
    if (pcap_findalldevs(&found, reason) != 0)
        throw std::runtime_error(std::string("cannot list interfaces: ") + reason);
    std::unique_ptr<pcap_if_t, void (*)(pcap_if_t *)> list(found, pcap_freealldevs);

    std::vector<InterfaceInfo> result;
    for (const pcap_if_t *device = list.get(); device; device = device->next) {
        InterfaceInfo info;
        info.name = device->name;
        info.description = device->description ? device->description : "";
        info.up = device->flags & PCAP_IF_UP;
        info.running = device->flags & PCAP_IF_RUNNING;
        info.loopback = device->flags & PCAP_IF_LOOPBACK;
        for (const pcap_addr *address = device->addresses; address; address = address->next)
            if (std::string text = address_text(address->addr); !text.empty())
                info.addresses.push_back(std::move(text));
        result.push_back(std::move(info));
    }
    return result;
}

std::string linktype_name(int linktype) {
    const char *name = pcap_datalink_val_to_name(linktype);
    return name ? name : "DLT " + std::to_string(linktype);
}

} // namespace aicore
