// SPDX-License-Identifier: Apache-2.0
#include "name.h"

#include <algorithm>
#include <iterator>

namespace aicore::dns {

namespace {

constexpr size_t kMaxName = 255;  // with the root's zero byte
constexpr size_t kMaxJumps = 127; // as many as a name has labels

char *append_label(char *out, const uint8_t *label, size_t length) {
    for (size_t i = 0; i < length; ++i) {
        const uint8_t c = label[i];
        if (c == '.' || c == '\\') *out++ = '\\';
        if (c >= 0x20 && c != 0x7f) {
            *out++ = static_cast<char>(c);
        } else {
            *out++ = '\\';
            *out++ = static_cast<char>('0' + c / 100);
            *out++ = static_cast<char>('0' + c / 10 % 10);
            *out++ = static_cast<char>('0' + c % 10);
        }
    }
    return out;
}

// Calls label(data, length) for each. Pointers go back only, so there is no loop; both bounds keep the work small.
template <typename Label> bool walk(const uint8_t *message, size_t length, size_t &at, Label label) {
    size_t here = at, limit = at, used = 1, jumps = 0;
    for (;;) {
        if (here >= length) return false;
        const uint8_t n = message[here];
        if (n == 0) {
            if (jumps == 0) at = here + 1;
            return true;
        }
        if (n < 64) {
            if (here + 1 + n > length || (used += n + 1u) > kMaxName) return false;
            label(message + here + 1, n);
            here += n + 1u;
            continue;
        }
        if (n < 0xc0 || here + 1 >= length) return false; // 01 and 10 are no label types (RFC 6891 section 5)
        const size_t target = static_cast<size_t>(n & 0x3f) << 8 | message[here + 1];
        if (target >= limit || jumps == kMaxJumps) return false;
        if (jumps++ == 0) at = here + 2;
        here = limit = target;
    }
}

} // namespace

bool read_name(const uint8_t *message, size_t length, size_t &at, Name &out) {
    char *end = out.text.data();
    bool first = true;
    out.encoded_netbios = false;
    const bool whole = walk(message, length, at, [&](const uint8_t *label, size_t n) {
        if (first)
            out.encoded_netbios =
                n == 32 && std::all_of(label, label + n, [](uint8_t c) { return c >= 'A' && c <= 'P'; });
        else
            *end++ = '.';
        first = false;
        end = append_label(end, label, n);
    });
    if (first) *end++ = '.';
    out.length = static_cast<size_t>(end - out.text.data());
    return whole;
}

bool skip_name(const uint8_t *message, size_t length, size_t &at) {
    while (at < length) {
        const uint8_t n = message[at];
        if (n >= 0xc0) {
            at += 2;
            return at <= length;
        }
        if (n >= 64) return false;
        at += n + 1u;
        if (n == 0) return true;
    }
    return false;
}

const char *type_name(uint16_t type) {
    static constexpr const char *kTypes[] = {
        nullptr,   "A",          "NS",     "MD",       "MF",    "CNAME",    "SOA",   "MB",   "MG",     "MR",
        "NULL",    "WKS",        "PTR",    "HINFO",    "MINFO", "MX",       "TXT",   "RP",   "AFSDB",  "X25",
        "ISDN",    "RT",         "NSAP",   "NSAP-PTR", "SIG",   "KEY",      "PX",    "GPOS", "AAAA",   "LOC",
        "NXT",     "EID",        "NIMLOC", "SRV",      "ATMA",  "NAPTR",    "KX",    "CERT", "A6",     "DNAME",
        "SINK",    "OPT",        "APL",    "DS",       "SSHFP", "IPSECKEY", "RRSIG", "NSEC", "DNSKEY", "DHCID",
        "NSEC3",   "NSEC3PARAM", "TLSA",   "SMIMEA",   nullptr, "HIP",      "NINFO", "RKEY", "TALINK", "CDS",
        "CDNSKEY", "OPENPGPKEY", "CSYNC",  "ZONEMD",   "SVCB",  "HTTPS",    "DSYNC"};
    if (type < std::size(kTypes)) return kTypes[type];
    switch (type) {
    case 99:
        return "SPF";
    case 104:
        return "NID";
    case 105:
        return "L32";
    case 106:
        return "L64";
    case 107:
        return "LP";
    case 108:
        return "EUI48";
    case 109:
        return "EUI64";
    case 249:
        return "TKEY";
    case 250:
        return "TSIG";
    case 251:
        return "IXFR";
    case 252:
        return "AXFR";
    case 253:
        return "MAILB";
    case 254:
        return "MAILA";
    case 255:
        return "ANY";
    case 256:
        return "URI";
    case 257:
        return "CAA";
    case 258:
        return "AVC";
    case 259:
        return "DOA";
    case 260:
        return "AMTRELAY";
    case 261:
        return "RESINFO";
    case 32768:
        return "TA";
    case 32769:
        return "DLV";
    default:
        return nullptr;
    }
}

const char *rcode_name(uint8_t rcode) {
    static constexpr const char *kCodes[16] = {"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP",  "REFUSED",
                                               "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE", "DSOTYPENI"};
    return kCodes[rcode & 15];
}

} // namespace aicore::dns
