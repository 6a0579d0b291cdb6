// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <arpa/inet.h>

#include "aicore/builtin_protocols.h"
#include "dns/name.h"
#include "host.h"

namespace aicore::test {
namespace {

const auto kFail = [](const std::string &place) { ADD_FAILURE() << place; };
using Names = std::vector<std::string>;

std::string u16(unsigned n) {
    return {static_cast<char>(n >> 8), static_cast<char>(n)};
}
std::string label(const std::string &s) {
    return std::string(1, static_cast<char>(s.size())) + s;
}
std::string name(const std::string &dotted) {
    std::string out;
    for (size_t i = 0; i < dotted.size();) {
        const size_t dot = std::min(dotted.find('.', i), dotted.size());
        out += label(dotted.substr(i, dot - i));
        i = dot + 1;
    }
    return out + '\0';
}
std::string header(unsigned flags, unsigned qd, unsigned an = 0, unsigned ns = 0, unsigned ar = 0) {
    return u16(0x1234) + u16(flags) + u16(qd) + u16(an) + u16(ns) + u16(ar);
}
std::string question(const std::string &n, unsigned type = 1, unsigned cls = 1) {
    return name(n) + u16(type) + u16(cls);
}
std::string query(const std::string &n, unsigned type = 1) {
    return header(0x0100, 1) + question(n, type);
}
std::string record(const std::string &wire_name, unsigned type, const std::string &data, unsigned cls = 1) {
    return wire_name + u16(type) + u16(cls) + std::string("\0\0\1\0", 4) + u16(static_cast<unsigned>(data.size())) +
           data;
}
std::string address(const char *text) {
    char out[16];
    if (inet_pton(AF_INET, text, out) == 1) return {out, 4};
    EXPECT_EQ(inet_pton(AF_INET6, text, out), 1);
    return {out, 16};
}
const std::string kPointer("\xc0\x0c", 2);
std::string response(const std::string &n, const std::vector<std::string> &addresses, unsigned flags = 0x8180) {
    std::string out = header(flags, 1, static_cast<unsigned>(addresses.size())) + question(n);
    for (const std::string &a : addresses)
        out += record(kPointer, a.find(':') == a.npos ? 1 : 28, address(a.c_str()));
    return out;
}
std::string framed(const std::string &message) {
    return u16(static_cast<unsigned>(message.size())) + message;
}

struct Udp : Flow {
    explicit Udp(uint16_t port = 53) : Flow(aicore_dns(), AICORE_UDP) { flow.dst_port = port; }
};
struct Tcp : Flow {
    explicit Tcp(uint16_t port = 53) : Flow(aicore_dns(), AICORE_TCP) { flow.dst_port = port; }
};

TEST(Dns, QueryAndResponse) {
    Udp f;
    EXPECT_EQ(f.feed(query("www.Example.com", 28)), AICORE_YES);
    EXPECT_EQ(f.feed(response("www.Example.com", {"192.0.2.7", "2001:db8::1", "192.0.2.7"}), true), AICORE_YES);
    EXPECT_EQ(f.layer7, "dns");
    EXPECT_EQ(f.text("dnsdomain"), "www.Example.com") << "case as on the wire";
    EXPECT_EQ(f.lists["dnsdomains"], Names{"www.Example.com"});
    EXPECT_EQ(f.text("dnsqtype"), "AAAA");
    EXPECT_EQ(f.text("dnsrcode"), "NOERROR");
    EXPECT_EQ(f.lists["dnsips"], (Names{"192.0.2.7", "2001:db8::1"}));
    EXPECT_TRUE(f.anomalies.empty());
}

// Every flow reports its own type, also for a name that another flow asked for; several names of one flow are all kept.
TEST(Dns, EachFlowHasItsOwnTypeAndAllItsNames) {
    Udp first, second;
    first.feed(query("a.example", 15));
    second.feed(query("a.example", 15));
    EXPECT_EQ(first.text("dnsqtype"), "MX");
    EXPECT_EQ(second.text("dnsqtype"), "MX");
    Udp f;
    f.feed(query("one.example"));
    f.feed(query("two.example", 16));
    f.feed(header(0x8183, 1) + question("one.example"), true);
    EXPECT_EQ(f.text("dnsdomain"), "one.example");
    EXPECT_EQ(f.text("dnsqtype"), "A");
    EXPECT_EQ(f.text("dnsrcode"), "NXDOMAIN");
    EXPECT_EQ(f.lists["dnsdomains"], (Names{"one.example", "two.example"}));
}

TEST(Dns, EveryNameOfAFlowButSixteenAddresses) {
    Udp f;
    Names asked;
    for (int i = 0; i < 40; ++i) {
        asked.push_back("n" + std::to_string(i) + ".example");
        f.feed(query(asked.back()));
        f.feed(response(asked.back(), {"192.0.2.1"}), true);
    }
    EXPECT_FALSE(f.done);
    EXPECT_EQ(f.lists["dnsdomains"], asked);
    Udp many;
    std::vector<std::string> addresses;
    for (int i = 0; i < 40; ++i)
        addresses.push_back("192.0.2." + std::to_string(i));
    many.feed(response("a.example", addresses), true);
    EXPECT_EQ(many.lists["dnsips"].size(), 16u);
}

TEST(Dns, AnyBytesInLabels) {
    const auto text = [](const std::string &wire) {
        Udp f;
        f.feed(header(0x0100, 1) + wire + u16(1) + u16(1));
        return f.text("dnsdomain");
    };
    EXPECT_EQ(text(label("a.b") + label("c\\d") + '\0'), "a\\.b.c\\\\d");
    EXPECT_EQ(text(label(std::string("x\0\x1f\x7f", 4)) + '\0'), "x\\000\\031\\127");
    EXPECT_EQ(text(label("a\"b") + label("caf\xe9") + '\0'), "a\"b.caf\xe9");
    EXPECT_EQ(text(label(std::string(0x25, 'z')) + label(std::string(63, 'y')) + '\0'),
              std::string(0x25, 'z') + '.' + std::string(63, 'y'));
    EXPECT_EQ(text(std::string(1, '\0')), ".");
    std::string longest, longest_text;
    for (int i = 0; i < 3; ++i)
        longest += label(std::string(63, '\1'));
    longest += label(std::string(61, '\1'));
    for (int i = 0; i < 4; ++i) {
        if (i) longest_text += '.';
        for (int k = 0; k < (i < 3 ? 63 : 61); ++k)
            longest_text += "\\001";
    }
    EXPECT_EQ(text(longest + '\0'), longest_text) << "255 bytes, every one escaped";
    longest = longest.substr(0, longest.size() - 62) + label(std::string(62, '\1'));
    EXPECT_EQ(text(longest + '\0'), "(none)") << "256 bytes";
}

TEST(Dns, BrokenNames) {
    const auto answer = [](const std::string &wire) { return Udp().feed(header(0x0100, 1) + wire + u16(1) + u16(1)); };
    EXPECT_EQ(answer("\x03www\x40x"), AICORE_NO) << "label type 01";
    EXPECT_EQ(answer("\x03www\x80x"), AICORE_NO) << "label type 10";
    EXPECT_EQ(answer(kPointer), AICORE_NO) << "a pointer to itself";
    EXPECT_EQ(answer("\x01"
                     "a\xc0\x0c"),
              AICORE_NO)
        << "a loop";
    EXPECT_EQ(answer(std::string("\xc0\x20", 2)), AICORE_NO) << "forwards";
    EXPECT_EQ(Udp().feed(header(0x0100, 1) + "\x3fshort"), AICORE_NO);
    EXPECT_EQ(Udp().feed(header(0x0100, 1)), AICORE_NO);
    EXPECT_EQ(Udp().feed(header(0x0100, 1) + name("a.example") + u16(1)), AICORE_NO) << "no class";
    EXPECT_EQ(Udp().feed(header(0x0100, 1).substr(0, 11)), AICORE_NO);
    Udp f;
    f.feed(query("a.example"));
    EXPECT_EQ(f.feed(header(0x0100, 1) + kPointer + u16(1) + u16(1)), AICORE_YES);
    EXPECT_EQ(f.anomalies, Names{"dns_bad_name"});
}

TEST(Dns, LongChainOfPointersIsRefused) {
    std::string message = header(0x8180, 1, 1) + question("a.example");
    std::string chain;
    for (unsigned i = 0; i < 4000; ++i)
        chain += u16(0xc000 | (i ? static_cast<unsigned>(message.size()) + 12 + 2 * (i - 1) : 12));
    message += record(kPointer, 16, chain);
    size_t at = message.size() - 2;
    const auto *data = reinterpret_cast<const uint8_t *>(message.data());
    dns::Name out;
    EXPECT_FALSE(dns::read_name(data, message.size(), at, out));
    at = message.size() - chain.size() + 2 * 20;
    EXPECT_TRUE(dns::read_name(data, message.size(), at, out));
    EXPECT_EQ(out.view(), "a.example");
}

TEST(Dns, ChainOfPointersAtTheBound) {
    std::string message = label("a") + '\0'; // then pointers, each to the one before
    for (unsigned i = 0; i < 128; ++i)
        message += u16(0xc000 | (i ? 3 + 2 * (i - 1) : 0));
    const auto *data = reinterpret_cast<const uint8_t *>(message.data());
    dns::Name out;
    size_t at = message.size() - 4;
    EXPECT_TRUE(dns::read_name(data, message.size(), at, out)) << "127 jumps";
    EXPECT_EQ(out.view(), "a");
    EXPECT_EQ(at, message.size() - 2);
    EXPECT_FALSE(dns::read_name(data, message.size(), at, out)) << "128 jumps";
}

TEST(Dns, BrokenRecordsAreFlagged) {
    const std::string whole = response("a.example", {"192.0.2.1", "192.0.2.2"});
    Udp f;
    EXPECT_EQ(f.feed(whole.substr(0, whole.size() - 3)), AICORE_YES);
    EXPECT_EQ(f.lists["dnsips"], Names{"192.0.2.1"});
    EXPECT_EQ(f.anomalies, Names{"dns_bad_record"});
    Udp snapped;
    EXPECT_EQ(snapped.feed(whole.substr(0, whole.size() - 3), false, AICORE_TRUNCATED), AICORE_YES);
    EXPECT_TRUE(snapped.anomalies.empty()) << "cut by the capture, not by the sender";
    Udp odd; // an A record of 5 bytes is none
    odd.feed(header(0x8180, 1, 1) + question("a.example") + record(kPointer, 1, "12345"));
    EXPECT_TRUE(odd.lists.count("dnsips") == 0);
    Udp chaos;
    chaos.feed(header(0x8180, 1, 1) + question("a.example") + record(kPointer, 1, "1234", 3));
    EXPECT_TRUE(chaos.lists.count("dnsips") == 0);
}

TEST(Dns, TypesAndCodesAsText) {
    Udp f;
    f.feed(query("a.example", 65));
    EXPECT_EQ(f.text("dnsqtype"), "HTTPS");
    f.feed(header(0x818c, 1) + question("a.example", 65), true);
    EXPECT_EQ(f.text("dnsrcode"), "RCODE12");
    Udp g;
    g.feed(query("a.example", 65500));
    EXPECT_EQ(g.text("dnsqtype"), "TYPE65500");
    for (const auto &[type, text] :
         {std::pair{1, "A"}, {2, "NS"},     {5, "CNAME"}, {6, "SOA"},    {12, "PTR"},   {13, "HINFO"},
          {15, "MX"},        {16, "TXT"},   {24, "SIG"},  {28, "AAAA"},  {29, "LOC"},   {33, "SRV"},
          {35, "NAPTR"},     {39, "DNAME"}, {41, "OPT"},  {43, "DS"},    {46, "RRSIG"}, {47, "NSEC"},
          {48, "DNSKEY"},    {50, "NSEC3"}, {52, "TLSA"}, {55, "HIP"},   {59, "CDS"},   {61, "OPENPGPKEY"},
          {64, "SVCB"},      {65, "HTTPS"}, {99, "SPF"},  {250, "TSIG"}, {251, "IXFR"}, {252, "AXFR"},
          {255, "ANY"},      {256, "URI"},  {257, "CAA"}})
        EXPECT_STREQ(dns::type_name(static_cast<uint16_t>(type)), text) << type;
    EXPECT_EQ(dns::type_name(0), nullptr);
    EXPECT_EQ(dns::type_name(54), nullptr);
}

TEST(Dns, MulticastAndLinkLocal) {
    Udp query_flow(5353);
    EXPECT_EQ(query_flow.feed(header(0, 2) + question("_ipp._tcp.local", 12, 0x8001) +
                              question("My Printer._ipp._tcp.local", 33)),
              AICORE_YES);
    EXPECT_EQ(query_flow.layer7, "mdns");
    EXPECT_EQ(query_flow.text("dnsdomain"), "_ipp._tcp.local");
    EXPECT_EQ(query_flow.lists["dnsdomains"], (Names{"_ipp._tcp.local", "My Printer._ipp._tcp.local"}));
    Udp announcement(5353);
    EXPECT_EQ(announcement.feed(header(0x8400, 0, 1) + record(name("host.local"), 1, address("192.0.2.9"), 0x8001)),
              AICORE_YES);
    EXPECT_EQ(announcement.text("dnsdomain"), "host.local");
    EXPECT_EQ(announcement.lists["dnsips"], Names{"192.0.2.9"});
    announcement.feed(header(0, 1) + question("asked.local"), true);
    EXPECT_EQ(announcement.text("dnsdomain"), "asked.local") << "a question is better";
    Udp group(9999);
    std::memcpy(group.flow.dst, "\xe0\0\0\xfb", 4);
    EXPECT_EQ(group.feed(header(0, 1) + question("a.local")), AICORE_YES);
    EXPECT_EQ(group.layer7, "mdns");
    Udp link(5355);
    EXPECT_EQ(link.feed(header(0, 1) + question("fileserver")), AICORE_YES);
    EXPECT_EQ(link.layer7, "llmnr");
    EXPECT_EQ(Udp(53).feed(header(0x8400, 0, 1) + record(name("host.local"), 1, "1234")), AICORE_NO);
}

TEST(Dns, OnAnyPortIfAllOfItFits) {
    EXPECT_EQ(Udp(9999).feed(query("a.example")), AICORE_YES);
    EXPECT_EQ(Udp(9999).feed(response("a.example", {"192.0.2.1"})), AICORE_YES);
    EXPECT_EQ(Udp(9999).feed(header(0x0120, 1, 0, 0, 1) + question("a.example") + record(std::string(1, '\0'), 41, "")),
              AICORE_YES);
    EXPECT_EQ(Udp(9999).feed(query("a.example") + "x"), AICORE_NO) << "bytes behind it";
    EXPECT_EQ(Udp(9999).feed(header(0x0140, 1) + question("a.example")), AICORE_NO) << "Z";
    EXPECT_EQ(Udp(9999).feed(header(0x0100, 2) + question("a.example") + question("b.example")), AICORE_NO);
    EXPECT_EQ(Udp(9999).feed(header(0x2800, 1) + question("a.example", 6)), AICORE_NO);
    EXPECT_EQ(Udp(9999).feed(query("a.example", 65500)), AICORE_NO);
    EXPECT_EQ(Udp(9999).feed(header(0x0100, 1) + question("a.example", 1, 77)), AICORE_NO);
    EXPECT_EQ(Udp(9999).feed(header(0x0103, 1) + question("a.example")), AICORE_NO) << "a query with a response code";
    EXPECT_EQ(Udp(53).feed(header(0x2800, 1) + question("a.example", 6)), AICORE_YES) << "dynamic update";
    EXPECT_EQ(Udp(53).feed(header(0x0100, 0)), AICORE_NO);
    EXPECT_EQ(Udp(53).feed(header(0x7900, 1) + question("a.example")), AICORE_NO) << "no such opcode";
}

// RFC 1002 section 4.2: the same header, but names of 32 letters and types 0x20 and 0x21.
TEST(Dns, NetbiosIsNotDns) {
    const std::string encoded = "FHEPFCELEHFCEPFFFACACACACACACABN";
    ASSERT_EQ(encoded.size(), 32u);
    EXPECT_EQ(Udp(137).feed(header(0x0110, 1) + question(encoded, 0x20)), AICORE_NO);
    EXPECT_EQ(Udp(9999).feed(header(0x0110, 1) + question(encoded, 0x20)), AICORE_NO);
    EXPECT_EQ(Udp(9999).feed(header(0x0000, 1) + question(encoded, 0x21)), AICORE_NO);
    EXPECT_EQ(Udp(53).feed(query(encoded)), AICORE_YES) << "a host may have such a name";
}

TEST(Dns, OverTcp) {
    every_split(aicore_dns(),
                {{false, framed(query("a.example")) + framed(query("b.example", 28))},
                 {true, framed(response("a.example", {"192.0.2.1", "2001:db8::2"}))}},
                kFail);
    Tcp f;
    EXPECT_EQ(f.feed(framed(query("a.example")).substr(0, 1)), AICORE_MORE);
    EXPECT_EQ(f.feed(framed(query("a.example")).substr(1)), AICORE_YES);
    EXPECT_EQ(f.feed("behind a hole", false, AICORE_GAP), AICORE_YES) << "no telling where a message begins";
    f.feed(framed(query("b.example")) + framed(query("c.example"))); // at a later payload
    f.feed(std::string("\0\x0c", 2) + "not a header");
    f.feed(framed(query("d.example").substr(0, 20) + "..."));
    f.feed(framed(query("e.example")));
    EXPECT_EQ(f.lists["dnsdomains"], (Names{"a.example", "b.example", "c.example", "e.example"}));
    EXPECT_EQ(f.anomalies, Names{"dns_bad_header"});
    EXPECT_EQ(Tcp(9999).feed("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), AICORE_NO);
    EXPECT_EQ(Tcp(9999).feed(std::string("\0\0", 2)), AICORE_NO);
    EXPECT_EQ(Tcp(9999).feed(framed(query("a.example"))), AICORE_YES);
}

TEST(Dns, TcpMessageLongerThanWhatIsWaitedFor) {
    std::string transfer = header(0x8400, 1, 2000) + question("zone.example", 252);
    for (int i = 0; i < 2000; ++i)
        transfer += record(kPointer, 1, address("192.0.2.77"));
    ASSERT_GT(transfer.size(), 20000u);
    const std::string stream = framed(transfer) + framed(query("next.example"));
    Tcp f;
    for (size_t i = 0; i < stream.size(); i += 1460)
        f.feed(stream.substr(i, 1460));
    EXPECT_EQ(f.lists["dnsdomains"], (Names{"zone.example", "next.example"}));
    EXPECT_EQ(f.text("dnsqtype"), "AXFR");
    EXPECT_EQ(f.lists["dnsips"], Names{"192.0.2.77"});
    EXPECT_TRUE(f.anomalies.empty());
}

TEST(Dns, TcpMessageAtTheBoundOfWhatIsWaitedFor) {
    const auto begun = [](size_t size) { // its first part
        const std::string front = header(0x8180, 1, 1) + question("a.example");
        const std::string rest = record(kPointer, 16, std::string(size - front.size() - 12, 't'));
        const std::string stream = framed(front + rest);
        EXPECT_EQ(stream.size(), 2 + size);
        return Tcp().feed(stream.substr(0, 3000));
    };
    EXPECT_EQ(begun(12288), AICORE_MORE);
    EXPECT_EQ(begun(12289), AICORE_YES);
}

TEST(Dns, NamesOfOneMessageAtTheBound) {
    const auto named = [](unsigned questions) {
        std::string message = header(0, questions);
        for (unsigned i = 0; i < questions; ++i)
            message += question("n" + std::to_string(i) + ".local");
        Udp f(5353);
        EXPECT_EQ(f.feed(message), AICORE_YES);
        EXPECT_TRUE(f.anomalies.empty());
        return f.lists["dnsdomains"].size();
    };
    EXPECT_EQ(named(64), 64u);
    EXPECT_EQ(named(66), 64u);
}

} // namespace
} // namespace aicore::test
