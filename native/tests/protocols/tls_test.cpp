// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "aicore/builtin_protocols.h"
#include "aicore/tls.h"
#include "host.h"
#include "tls_messages.h"

namespace aicore::test {
namespace {

const auto kFail = [](const std::string &place) { ADD_FAILURE() << place; };

const std::vector<Extension> kModern = {server_name("www.example.com"), alpn({"h2", "http/1.1"}),
                                        signatures({0x0403, 0x0804}), versions({0x0304, 0x0303})};
const std::string kClient = records(client_hello(0x0303, {0x1301, 0xc02f}, kModern));
const std::string kServer13 = records(server_hello(0x0303, {{43, u16(0x0304)}}), 16384, 22, 0x0303);
const std::string kServer12 = records(server_hello(0x0303, {alpn({"http/1.1"})}), 16384, 22, 0x0303);

TEST(Tls, NegotiatedByTheServer) {
    Flow f(aicore_tls());
    EXPECT_EQ(f.feed(kClient), AICORE_YES);
    EXPECT_EQ(f.text("sslhost"), "www.example.com");
    EXPECT_EQ(f.text("tlsversion"), "1.3");
    EXPECT_EQ(f.text("alpn"), "h2");
    EXPECT_EQ(f.feed(kServer12, true), AICORE_DONE);
    EXPECT_EQ(f.text("tlsversion"), "1.2");
    EXPECT_EQ(f.text("alpn"), "http/1.1");
    Flow g(aicore_tls());
    g.feed(kClient);
    EXPECT_EQ(g.feed(kServer13, true), AICORE_DONE);
    EXPECT_EQ(g.text("tlsversion"), "1.3");
    EXPECT_EQ(g.text("alpn"), "h2") << "the server's choice is encrypted";
    EXPECT_TRUE(g.anomalies.empty());
}

TEST(Tls, EverySplitAndEveryRecordSizeGivesTheSame) {
    every_split(aicore_tls(), {{false, kClient}, {true, kServer12}}, kFail);
    every_split(aicore_tls(), {{false, "EHLO a\r\nSTARTTLS\r\n" + kClient}, {true, "220 ready\r\n" + kServer13}},
                kFail);
    const Outcome whole = run(aicore_tls(), {{false, kClient}, {true, kServer13}});
    const std::string hello = client_hello(0x0303, {0x1301, 0xc02f}, kModern);
    for (size_t size = 1; size < hello.size(); ++size)
        EXPECT_EQ(run(aicore_tls(), {{false, records(hello, size)}, {true, kServer13}}), whole)
            << "records of " << size;
    every_split(aicore_tls(), {{false, records(hello, 7)}}, kFail);
}

TEST(Tls, ServerSeenFirst) {
    Flow f(aicore_tls());
    EXPECT_EQ(f.feed(kServer12, true), AICORE_YES);
    EXPECT_EQ(f.feed(kClient), AICORE_DONE);
    EXPECT_EQ(f.text("sslhost"), "www.example.com");
    EXPECT_EQ(f.text("tlsversion"), "1.2");
    EXPECT_EQ(f.text("alpn"), "http/1.1");
}

TEST(Tls, HelloLargerThanWhatIsWaitedFor) {
    std::vector<Extension> list = kModern;
    list.push_back({51, std::string(20000, 'k')});
    const std::string stream = records(client_hello(0x0303, {0x1301}, list));
    Flow f(aicore_tls());
    for (size_t i = 0; i < stream.size(); i += 1400)
        f.feed(stream.substr(i, 1400));
    EXPECT_EQ(f.text("sslhost"), "www.example.com");
    EXPECT_EQ(f.text("ja4"), "(none)") << "no fingerprint of half a hello";
    EXPECT_EQ(f.feed(kServer13, true), AICORE_DONE);
    EXPECT_EQ(f.text("tlsversion"), "1.3");
    EXPECT_TRUE(f.anomalies.empty());
    Flow gap(aicore_tls()); // the rest was not captured
    gap.feed(kClient.substr(0, kClient.size() - 2));
    EXPECT_EQ(gap.text("sslhost"), "www.example.com");
    gap.feed("lost", false, AICORE_GAP);
    EXPECT_EQ(gap.feed(kServer13, true), AICORE_DONE);
}

TEST(Tls, HelloAtTheBoundOfWhatIsWaitedFor) {
    std::vector<Extension> list = kModern;
    list.push_back({51, std::string(14000, 'k')});
    const std::string stream = records(client_hello(0x0303, {0x1301}, list));
    Flow f(aicore_tls());
    EXPECT_EQ(f.feed(stream.substr(0, 12287)), AICORE_YES);
    EXPECT_EQ(f.buffer[0].size(), 12287u) << "waited for";
    EXPECT_EQ(f.feed(stream.substr(12287, 1)), AICORE_YES);
    EXPECT_EQ(f.buffer[0].size(), 0u) << "given up";
}

TEST(Tls, RecordsAtTheirLargest) {
    const std::string hello = client_hello(0x0303, {0x1301}, {{51, std::string(20000, 'k')}});
    EXPECT_EQ(Flow(aicore_tls()).feed(records(hello, 16384).substr(0, 1400)), AICORE_YES);
    EXPECT_EQ(Flow(aicore_tls()).feed(records(hello, 16385).substr(0, 1400)), AICORE_NO);
    const auto encrypted = [](size_t size) {
        const std::string record = records(std::string(size, 'x'), size, 23, 0x0303);
        return Flow(aicore_tls()).feed(record.substr(0, 1400), false, AICORE_MIDSTREAM);
    };
    EXPECT_EQ(encrypted(16384 + 2048), AICORE_MORE);
    EXPECT_EQ(encrypted(16384 + 2049), AICORE_NO);
}

TEST(Tls, ADirectionThatGoesOnAloneIsLeftAfterSixtyFourPayloads) {
    Flow f(aicore_tls());
    EXPECT_EQ(f.feed(kClient), AICORE_YES);
    for (int i = 1; i < 64; ++i)
        EXPECT_EQ(f.feed("x"), AICORE_YES) << i;
    EXPECT_EQ(f.feed("x"), AICORE_DONE);
}

TEST(Tls, Alerts) {
    const std::string refused = records("\x02\x28", 16384, 21, 0x0303);
    Flow f(aicore_tls());
    f.feed(kClient);
    EXPECT_EQ(f.feed(refused, true), AICORE_DONE);
    EXPECT_EQ(f.text("tlsversion"), "1.3");
    Flow warned(aicore_tls()); // unrecognised name, then the ServerHello
    warned.feed(kClient);
    EXPECT_EQ(warned.feed(records("\x01\x70", 16384, 21, 0x0303) + kServer12, true), AICORE_DONE);
    EXPECT_EQ(warned.text("tlsversion"), "1.2");
    EXPECT_EQ(Flow(aicore_tls()).feed(refused), AICORE_DONE);
    EXPECT_EQ(Flow(aicore_tls()).feed(refused.substr(0, 6)), AICORE_MORE);
    EXPECT_EQ(Flow(aicore_tls()).feed(records("\x02\x05", 16384, 21)), AICORE_NO) << "no such alert";
}

TEST(Tls, MiddleOfAConnection) {
    const std::string data = records(std::string(100, 'x'), 16384, 23, 0x0303);
    EXPECT_EQ(Flow(aicore_tls()).feed(data + data, false, AICORE_MIDSTREAM), AICORE_DONE);
    EXPECT_EQ(Flow(aicore_tls()).feed(data + data), AICORE_NO) << "a connection does not begin so";
    EXPECT_EQ(Flow(aicore_tls()).feed(data, false, AICORE_MIDSTREAM), AICORE_MORE) << "one header proves nothing";
    EXPECT_EQ(Flow(aicore_tls()).feed(data + "GET / HTTP/1.1", false, AICORE_MIDSTREAM), AICORE_NO);
    EXPECT_EQ(Flow(aicore_tls()).feed(data + records("y", 16384, 23, 0x0302), false, AICORE_MIDSTREAM), AICORE_NO);
    Flow both(aicore_tls()); // records longer than what is buffered: one header in each direction
    const std::string large = records(std::string(16384, 'x'), 16384, 23, 0x0303);
    EXPECT_EQ(both.feed(large.substr(0, 1400), true, AICORE_MIDSTREAM), AICORE_MORE);
    EXPECT_EQ(both.feed(data, false, AICORE_MIDSTREAM), AICORE_DONE);
}

TEST(Tls, BehindADialogueInClear) {
    Flow smtp(aicore_tls());
    EXPECT_EQ(smtp.feed("220 mail.example ESMTP\r\n", true), AICORE_MORE);
    EXPECT_EQ(smtp.feed("EHLO client.example\r\n"), AICORE_MORE);
    EXPECT_EQ(smtp.feed("250-mail.example\r\n250 STARTTLS\r\n", true), AICORE_MORE);
    EXPECT_EQ(smtp.feed("STARTTLS\r\n"), AICORE_MORE);
    EXPECT_EQ(smtp.feed("220 go ahead\r\n", true), AICORE_MORE);
    EXPECT_EQ(smtp.feed(kClient), AICORE_YES);
    EXPECT_EQ(smtp.text("sslhost"), "www.example.com");
    EXPECT_EQ(smtp.feed(kServer12, true), AICORE_DONE);
    EXPECT_EQ(smtp.text("tlsversion"), "1.2");
    EXPECT_TRUE(smtp.anomalies.empty());
    Flow endless(aicore_tls());
    EXPECT_EQ(endless.feed(std::string(2048, 'a')), AICORE_MORE);
    EXPECT_EQ(endless.feed("a"), AICORE_NO);
    EXPECT_EQ(Flow(aicore_tls()).feed(std::string("220 binary\r\n\x16\x03\x09\x00\x10\x01", 18)), AICORE_NO);
}

TEST(Tls, OldHello) {
    const std::string body =
        u8(1) + u16(0x0301) + u16(6) + u16(0) + u16(16) + std::string(6, 'c') + std::string(16, 'r');
    Flow f(aicore_tls());
    EXPECT_EQ(f.feed(u16(0x8000 | body.size()) + body), AICORE_YES);
    EXPECT_EQ(f.text("tlsversion"), "1.0");
    EXPECT_EQ(Flow(aicore_tls()).feed(u16(0x8000 | (body.size() + 1)) + body), AICORE_NO);
    EXPECT_EQ(f.feed(kServer12, true), AICORE_DONE);
}

TEST(Tls, IsNotTls) {
    const auto answer = [](const std::string &bytes) { return Flow(aicore_tls()).feed(bytes); };
    std::string hello = kClient;
    hello[1] = 2;
    EXPECT_EQ(answer(hello), AICORE_NO);
    hello = kClient;
    hello[2] = 5;
    EXPECT_EQ(answer(hello), AICORE_NO);
    hello = kClient;
    hello[5] = 3; // no hello
    EXPECT_EQ(answer(hello), AICORE_NO);
    hello = kClient;
    hello[9] = 2; // of no known version
    EXPECT_EQ(answer(hello), AICORE_NO);
    EXPECT_EQ(answer(u8(22) + u16(0x0301) + u16(0)), AICORE_NO);
    EXPECT_EQ(answer(u8(22) + u16(0x0301) + u16(20000)), AICORE_NO);
    EXPECT_EQ(answer(records(u8(1) + u24(20) + std::string(20, 3))), AICORE_NO) << "shorter than any hello";
    EXPECT_EQ(answer("\x16"), AICORE_MORE);
}

TEST(Tls, BrokenHelloIsFlagged) {
    std::string hello = client_hello(0x0303, {0x1301}, kModern);
    hello[hello.size() - 5] = 0x7f; // length of the last list
    Flow whole(aicore_tls());
    EXPECT_EQ(whole.feed(records(hello)), AICORE_YES);
    EXPECT_EQ(whole.text("sslhost"), "www.example.com");
    std::string cut = client_hello(0x0303, {0x1301}, kModern);
    cut.resize(cut.size() - 10);
    cut = u8(1) + u24(cut.size() - 4) + cut.substr(4);
    Flow f(aicore_tls());
    EXPECT_EQ(f.feed(records(cut)), AICORE_YES);
    EXPECT_EQ(f.text("sslhost"), "www.example.com");
    EXPECT_EQ(f.text("ja4"), "(none)");
    EXPECT_EQ(f.anomalies, std::vector<std::string>{"tls_bad_handshake"});
    Flow plain(aicore_tls()); // a server that speaks HTTP on this port
    plain.feed(kClient);
    EXPECT_EQ(plain.feed("HTTP/1.1 400 Bad Request\r\n\r\n", true), AICORE_DONE);
    EXPECT_EQ(plain.anomalies, std::vector<std::string>{"tls_bad_handshake"});
}

Bytes body_of(const std::string &message) {
    return {reinterpret_cast<const uint8_t *>(message.data()) + 4, message.size() - 4};
}

std::string ja4_of(const std::string &message, tls::Carrier carrier = tls::Carrier::tcp) {
    tls::ClientHello hello;
    EXPECT_TRUE(tls::read_client_hello(body_of(message), hello, carrier));
    const tls::Ja4 out = tls::ja4(hello, carrier);
    return {out.data(), out.size()};
}

// The example of the specification: its ciphers, extensions and algorithms in their original order, with GREASE added.
const std::vector<uint16_t> kCiphers = {0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030,
                                        0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035};
const std::vector<uint16_t> kSignatures = {0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601};

std::vector<Extension> example(const std::vector<std::string> &protocols, bool with_signatures = true,
                               bool with_name = true) {
    std::vector<Extension> list = {{0x1a1a, ""}, {0x001b, ""}};
    if (with_name) list.push_back(server_name("example.com"));
    list.push_back({0x0033, ""});
    list.push_back(alpn(protocols));
    for (const uint16_t type : {0x4469, 0x0017, 0x002d})
        list.push_back({type, ""});
    if (with_signatures) list.push_back(signatures(kSignatures));
    for (const uint16_t type : {0x0005, 0x0023, 0x0012})
        list.push_back({type, ""});
    list.push_back(versions({0x3a3a, 0x0304, 0x0303}));
    for (const uint16_t type : {0xff01, 0x000b, 0x000a, 0x0015, 0xdada})
        list.push_back({type, ""});
    return list;
}

TEST(Ja4, ExampleOfTheSpecification) {
    EXPECT_EQ(ja4_of(client_hello(0x0303, kCiphers, example({"h2", "http/1.1"}))),
              "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

TEST(Tls, ASecondEmptyServerNameHidesNothing) { // forbidden (RFC 8446 section 4.2)
    std::vector<Extension> list = kModern;
    list.push_back({0, ""});
    Flow f(aicore_tls());
    f.feed(records(client_hello(0x0303, {0x1301}, list)));
    EXPECT_EQ(f.text("sslhost"), "www.example.com");
}

TEST(Ja4, TheFirstLetterIsTheCarrier) {
    EXPECT_EQ(ja4_of(client_hello(0x0303, kCiphers, example({"h3"})), tls::Carrier::quic),
              "q13d1516h3_8daaf6152771_e5627efa2ab1");
    // DTLS has a cookie behind the session id, and its versions count down.
    const auto dtls = [](uint16_t version, const std::vector<Extension> &list) {
        std::string message = client_hello(version, kCiphers, list);
        message.insert(4 + 2 + 32 + 1 + 32, vector8("cookie"));
        return ja4_of(message, tls::Carrier::dtls).substr(0, 10);
    };
    EXPECT_EQ(dtls(0xfeff, {}), "dd1i150000");
    EXPECT_EQ(dtls(0xfefd, {}), "dd2i150000");
    EXPECT_EQ(dtls(0xfefd, {versions({0xfeff, 0xfefc, 0xfefd, 0x0304})}), "dd3i150100");
    EXPECT_EQ(dtls(0xfefd, {versions({0xfeff})}), "dd2i150100") << "an older version is not the highest";
}

TEST(Ja4, FirstProtocolGivesTwoCharacters) {
    const auto code = [](const std::string &name) {
        return ja4_of(client_hello(0x0303, kCiphers, example({name, "x"}))).substr(8, 2);
    };
    EXPECT_EQ(code("h2"), "h2");
    EXPECT_EQ(code("http/1.1"), "h1");
    EXPECT_EQ(code("h"), "hh");
    EXPECT_EQ(code(""), "00");
    EXPECT_EQ(code("\xab"), "ab");
    EXPECT_EQ(code("\xab\xcd"), "ad");
    EXPECT_EQ(code("0\xab"), "3b");
    EXPECT_EQ(code("01\xab\xcd"), "3d");
    EXPECT_EQ(code("0\xab\xcd"
                   "1"),
              "01");
}

// Sums made with Python's hashlib from the lists as the specification spells them.
TEST(Ja4, OtherForms) {
    EXPECT_EQ(ja4_of(client_hello(0x0303, kCiphers, example({"h2"}, true, false))),
              "t13i1515h2_8daaf6152771_e5627efa2ab1");
    EXPECT_EQ(ja4_of(client_hello(0x0301, {0x0005, 0x0004}, {})), "t10i020000_6e254592683c_000000000000");
    EXPECT_EQ(ja4_of(client_hello(0x0300, {}, {})), "ts3i000000_000000000000_000000000000");
    EXPECT_EQ(ja4_of(client_hello(0x0303, {0x0a0a}, {server_name("a"), alpn({"h2"})})),
              "t12d0002h2_000000000000_000000000000");
    std::vector<uint16_t> many(120, 0x1301);
    EXPECT_EQ(ja4_of(client_hello(0x0303, many, {{0x000b, ""}})).substr(0, 10), "t12i990100");
}

// Without signature algorithms no underscore is hashed; the specification's own second example has their extension in
// the list nevertheless, as here an empty one.
TEST(Ja4, WithoutSignatureAlgorithms) {
    std::vector<Extension> list = example({"h2"}, false);
    list.push_back({0x000d, ""});
    EXPECT_EQ(ja4_of(client_hello(0x0303, kCiphers, list)), "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

} // namespace
} // namespace aicore::test
