// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "aicore/builtin_protocols.h"
#include "host.h"

namespace aicore::test {
namespace {

const std::string kRequest =
    "GET /index.html?q=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: probe/1.0\r\nAccept: */*\r\n\r\n";
const std::string kResponse = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\nok";

using Names = std::vector<std::string>;
std::string get(const std::string &host, const std::string &more = "") {
    return "GET / HTTP/1.1\r\nHost: " + host + "\r\n" + more + "\r\n";
}
std::string response(const std::string &status, const std::string &more = "Content-Length: 0\r\n") {
    return "HTTP/1.1 " + status + "\r\n" + more + "\r\n";
}
const std::string kUpgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

const auto kFail = [](const std::string &place) { ADD_FAILURE() << place; };

TEST(Http, FirstRequestAndResponse) {
    Flow f(aicore_http());
    EXPECT_EQ(f.feed(kRequest), AICORE_YES);
    EXPECT_EQ(f.feed(kResponse, true), AICORE_YES);
    EXPECT_EQ(f.text("httphost"), "www.example.com");
    EXPECT_EQ(f.lists["httphosts"], Names{"www.example.com"});
    EXPECT_EQ(f.text("httpuri"), "/index.html?q=1");
    EXPECT_EQ(f.text("httpmethod"), "GET");
    EXPECT_EQ(f.text("useragent"), "probe/1.0");
    EXPECT_EQ(f.integers["httpstatus"], 200);
    EXPECT_TRUE(f.anomalies.empty());
}

// The first segment of a request may be of any length (a classifier that decides on it alone misses the flow).
TEST(Http, EverySplitGivesTheSame) {
    every_split(aicore_http(), {{false, kRequest}, {true, kResponse}}, kFail);
    every_split(
        aicore_http(),
        {{false,
          "POST http://u@h.example:81/x HTTP/1.0\nhOsT :\tfolded.example:8080 \r\nUSER-AGENT: a\r\n  b\r\n\tc\r\n"
          "X-Host: no\r\nExpect: 100-continue\r\n\r\nbody Host: no"},
         {true, "HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n"}},
        kFail);
    every_split(aicore_http(),
                {{false, "GET /chat HTTP/1.1\r\nHost: ws.example\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"},
                 {true, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi"}},
                kFail);
}

TEST(Http, EveryHostOfAConnectionAndTheRestOfItsFirstRequest) {
    Flow f(aicore_http());
    f.feed(kRequest + "GET /second HTTP/1.1\r\nHost: second.example\r\nUser-Agent: other\r\n\r\n");
    f.feed(kResponse + "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", true);
    f.feed(get("third.example") + get("second.example"));
    EXPECT_EQ(f.text("httphost"), "www.example.com");
    EXPECT_EQ(f.lists["httphosts"], (Names{"www.example.com", "second.example", "third.example"}));
    EXPECT_EQ(f.text("httpuri"), "/index.html?q=1");
    EXPECT_EQ(f.text("useragent"), "probe/1.0");
    EXPECT_EQ(f.integers["httpstatus"], 200);
    EXPECT_TRUE(f.anomalies.empty());
}

TEST(Http, EveryNameOfARequest) {
    Flow f(aicore_http());
    f.feed("GET http://target.example/ HTTP/1.1\r\nHost: header.example:81\r\nHost: again.example\r\n\r\n");
    EXPECT_EQ(f.text("httphost"), "header.example");
    EXPECT_EQ(f.lists["httphosts"], (Names{"target.example", "header.example", "again.example"}));
    Flow later(aicore_http());
    later.feed("GET / HTTP/1.0\r\n\r\n" + get("a.example"));
    EXPECT_EQ(later.text("httphost"), "a.example") << "the first request that names one";
}

// Bodies with every framing that RFC 9112 section 6 has, cut anywhere. What is in them looks like requests.
TEST(Http, BodiesArePassedOver) {
    const std::string bait = get("bait.example");
    const std::string chunks =
        "5;x=\"y\"\r\nGET /\r\n28 \r\n" + get("inside.example") + "\r\n0\r\n" + "Host: trailer.example\r\n\r\n";
    ASSERT_EQ(get("inside.example").size(), 0x28u);
    const std::vector<Piece> talk = {
        {false, get("a.example", "Content-Length: " + std::to_string(bait.size()) + "\r\n") + bait},
        {false, get("b.example", "Transfer-Encoding: gzip, Chunked\r\n") + chunks + get("c.example")},
        {true, response("200 OK", "Content-Length: " + std::to_string(bait.size()) + "\r\n") + bait},
        {true, response("200 OK", "Transfer-Encoding: chunked\r\n") + chunks + response("204 No", "")},
        {false, "HEAD / HTTP/1.1\r\nHost: d.example\r\n\r\n" + get("e.example") + get("f.example", kUpgrade)},
        {true, response("200 OK", "Content-Length: 1000\r\n") + response("304 Same", "Content-Length: 1000\r\n")},
        {true, response("103 Early", "Link: x\r\n") + response("101 Switching Protocols", kUpgrade) + "\x81\x02hi"},
    };
    const Outcome whole = run(aicore_http(), talk);
    EXPECT_EQ(whole.lists.at("httphosts"),
              (Names{"a.example", "b.example", "c.example", "d.example", "e.example", "f.example"}));
    EXPECT_EQ(whole.handed_over, "websocket");
    EXPECT_TRUE(whole.anomalies.empty());
    every_split(aicore_http(), talk, kFail);
}

TEST(Http, BodyOfGigabytesIsNeitherShownNorKept) {
    Flow f(aicore_http());
    f.feed("PUT / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9000000000\r\n\r\nfirst");
    EXPECT_EQ(f.pass_over[0], 9'000'000'000 - 5);
    EXPECT_TRUE(f.buffer[0].empty());
    f.pass_over[0] = 4;
    f.feed("last" + get("b.example"));
    EXPECT_EQ(f.lists["httphosts"], (Names{"a.example", "b.example"}));
    Flow until_close(aicore_http());
    until_close.feed(kRequest);
    until_close.feed("HTTP/1.0 200 OK\r\n\r\nbody", true);
    EXPECT_GT(until_close.pass_over[1], uint64_t{1} << 62);
    EXPECT_EQ(until_close.feed(get("b.example")), AICORE_YES) << "the client is read on";
    EXPECT_EQ(until_close.lists["httphosts"], (Names{"www.example.com", "b.example"}));
}

TEST(Http, LengthsThatAreNone) {
    const auto hosts = [](const std::string &lengths, bool flagged = true, const std::string &body = "12345") {
        Flow f(aicore_http());
        f.feed("POST / HTTP/1.1\r\n" + lengths + "\r\n" + body);
        f.feed(get("next.example")); // where a message begins is found again at a payload
        EXPECT_EQ(f.anomalies, flagged ? Names{"http_bad_length"} : Names{}) << lengths;
        return f.lists["httphosts"];
    };
    const Names next{"next.example"};
    EXPECT_EQ(hosts("Content-Length: 5\r\n", false), next);
    EXPECT_EQ(hosts("Content-Length: 5, 5\r\nContent-Length: 005\r\n", false), next);
    EXPECT_EQ(hosts("Content-Length: 99999999999999999999999999\r\n"), next);
    EXPECT_EQ(hosts("Content-Length: 9223372036854775808\r\n"), next);
    EXPECT_EQ(hosts("Content-Length: -5\r\n"), next);
    EXPECT_EQ(hosts("Content-Length: +5\r\n"), next);
    EXPECT_EQ(hosts("Content-Length: 0x5\r\n"), next);
    EXPECT_EQ(hosts("Content-Length:\r\n"), next);
    EXPECT_EQ(hosts("Content-Length: 5,\r\n"), next);
    EXPECT_EQ(hosts("Content-Length: 5\r\nContent-Length: 70000\r\n"), next);
    EXPECT_EQ(hosts("Transfer-Encoding: gzip\r\n", false), next) << "a server refuses it";
    EXPECT_EQ(hosts("Transfer-Encoding: chunked\r\n", true, "hello"), next);
    EXPECT_EQ(hosts("Transfer-Encoding: chunked\r\n", true, "1\r\n22"), next);
    EXPECT_EQ(hosts("Content-Length: 70000\r\nTransfer-Encoding: chunked\r\n", true, "0\r\n\r\n"), next);
    EXPECT_EQ(hosts("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", false), next);
    Flow chunks(aicore_http());
    chunks.feed("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n");
    chunks.feed(get("next.example"));
    EXPECT_EQ(chunks.lists["httphosts"], next);
    EXPECT_EQ(chunks.anomalies, Names{"http_bad_length"});
}

// RFC 9110 section 10.1.1: the body comes behind 100 Continue, and not behind another answer.
TEST(Http, BodyThatIsNotSent) {
    const std::string asks =
        "PUT / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n";
    every_split(aicore_http(), {{false, asks}, {true, response("417 No")}, {false, get("b.example")}}, kFail);
    Flow refused(aicore_http());
    refused.feed(asks);
    refused.feed(response("417 No"), true);
    refused.feed(get("b.example"));
    EXPECT_EQ(refused.lists["httphosts"], (Names{"a.example", "b.example"}));
    Flow sent(aicore_http());
    sent.feed(asks);
    sent.feed(response("100 Continue", ""), true);
    sent.feed(get("body.example"));
    EXPECT_EQ(sent.lists["httphosts"], Names{"a.example"});
    EXPECT_EQ(sent.pass_over[0], 5000 - get("body.example").size());
}

TEST(Http, ThousandsOfRequestsOfOneDirection) {
    Flow f(aicore_http());
    Names hosts;
    for (int i = 0; i < 1000; ++i) {
        hosts.push_back("h" + std::to_string(i) + ".example");
        EXPECT_EQ(f.feed(get(hosts.back())), AICORE_YES);
        EXPECT_TRUE(f.buffer[0].empty());
    }
    EXPECT_EQ(f.lists["httphosts"], hosts);
    Flow responses(aicore_http());
    for (int i = 0; i < 1000; ++i)
        EXPECT_EQ(responses.feed(kResponse, true), AICORE_YES);
    EXPECT_TRUE(responses.anomalies.empty());
}

// The requests that a response answers are counted: a tunnel begins behind the response to the request for it.
TEST(Http, ResponsesBelongToRequestsInTheirOrder) {
    Flow f(aicore_http());
    f.feed(get("a.example") + "CONNECT b.example:443 HTTP/1.1\r\n\r\n");
    f.feed(response("200 OK"), true);
    EXPECT_FALSE(f.handed_over);
    f.feed(response("200 OK", "") + "tunnel", true);
    EXPECT_EQ(f.handed_over, "");
    EXPECT_EQ(f.buffer[1], "tunnel");
    Flow early(aicore_http()); // the capture has the response before its request
    early.feed(response("200 OK", "Content-Length: 3\r\n"), true);
    early.feed("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    early.feed(get("b.example", kUpgrade));
    early.feed(response("101 Switching Protocols", kUpgrade), true);
    EXPECT_EQ(early.lists["httphosts"], (Names{"a.example", "b.example"}));
    EXPECT_EQ(early.handed_over, "websocket");
}

TEST(Http, UpgradeThatTheServerIgnores) {
    const std::string h2c = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    Flow f(aicore_http());
    f.feed(get("a.example", h2c) + get("b.example"));
    f.feed(response("200 OK") + response("200 OK"), true);
    f.feed(get("c.example", h2c));
    f.feed("not a request"); // maybe the other protocol's
    EXPECT_EQ(f.buffer[0], "not a request");
    f.feed(response("200 OK"), true);
    f.feed("\r\n");
    f.feed(get("d.example"));
    EXPECT_EQ(f.lists["httphosts"], (Names{"a.example", "b.example", "c.example", "d.example"}));
    Flow alone(aicore_http()); // without the server's side
    for (const char *host : {"a.example", "b.example"})
        alone.feed(get(host, h2c));
    EXPECT_EQ(alone.lists["httphosts"], (Names{"a.example", "b.example"}));
}

TEST(Http, GapsBetweenHeads) {
    Flow body(aicore_http());
    body.feed(get("a.example", "Transfer-Encoding: chunked\r\n") + "5\r\nab");
    for (int i = 0; i < 500; ++i)
        body.feed("not framed any more", false, i ? 0 : AICORE_GAP);
    body.feed(get("b.example"));
    EXPECT_EQ(body.lists["httphosts"], (Names{"a.example", "b.example"}));
    EXPECT_TRUE(body.anomalies.empty());
    Flow head(aicore_http()); // its end and the beginning of the next are lost
    head.feed("GET / HTTP/1.1\r\nHost: a.example\r\nCookie: ");
    head.feed("\r\nX: y\r\n", false, AICORE_GAP);
    head.feed(get("b.example"));
    EXPECT_EQ(head.lists["httphosts"], (Names{"a.example", "b.example"}));
    Flow answer(aicore_http());
    answer.feed(get("a.example") + get("b.example", kUpgrade));
    answer.feed("HTTP/1.1 200 OK\r\nX: ", true);
    answer.feed("lost\r\n\r\nbody", true, AICORE_GAP);
    answer.feed(response("101 Switching Protocols", kUpgrade), true);
    EXPECT_EQ(answer.handed_over, "websocket");
    Flow tunnel(aicore_http());
    tunnel.feed("CONNECT a.example:443 HTTP/1.1\r\n\r\n");
    tunnel.feed("HTTP/1.1 200 OK\r\nX: ", true);
    EXPECT_EQ(tunnel.feed("\r\n\r\n\x16\x03", true, AICORE_GAP), AICORE_DONE) << "no telling where it begins";
    EXPECT_FALSE(tunnel.handed_over);
}

TEST(Http, TargetLongerThanServersTake) {
    Flow f(aicore_http());
    f.feed(get("a.example") + "GET /");
    for (int i = 0; i < 40; ++i)
        f.feed(std::string(1000, 'a'));
    f.feed(" HTTP/1.1\r\nHost: b.example\r\n\r\n");
    EXPECT_EQ(f.lists["httphosts"], (Names{"a.example", "b.example"}));
}

TEST(Http, HostHeaderInAllItsForms) {
    const auto host = [](const std::string &head) {
        Flow f(aicore_http());
        f.feed(head + "\r\n\r\n");
        return f.text("httphost");
    };
    EXPECT_EQ(host("GET / HTTP/1.1\r\nhost:a.example"), "a.example");
    EXPECT_EQ(host("GET / HTTP/1.1\r\nHOST:   a.example:8080  "), "a.example");
    EXPECT_EQ(host("GET / HTTP/1.1\r\nHost:\r\n a.example"), "a.example");
    EXPECT_EQ(host("GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080"), "[2001:db8::1]");
    EXPECT_EQ(host("GET / HTTP/1.1\r\nHost: [2001:db8::1]"), "[2001:db8::1]");
    EXPECT_EQ(host("GET / HTTP/1.1\r\nHost: 2001:db8::1"), "2001:db8::1");
    EXPECT_EQ(host("GET / HTTP/1.1\r\nHost: a.example:http"), "a.example:http");
    EXPECT_EQ(host("GET / HTTP/1.1\r\nX-Host: a\r\nHostage: b"), "(none)");
    EXPECT_EQ(host("GET / HTTP/1.1\r\nHost:"), "(none)");
    EXPECT_EQ(host("GET http://user:pw@b.example:8080/x?y HTTP/1.1"), "b.example");
    EXPECT_EQ(host("GET http://b.example?y=a@c HTTP/1.1"), "b.example");
    EXPECT_EQ(host("GET http://b.example/ HTTP/1.1\r\nHost: a.example"), "a.example");
    EXPECT_EQ(host("GET /http://b.example/ HTTP/1.1"), "(none)");
    EXPECT_EQ(host("OPTIONS * HTTP/1.1"), "(none)");
    EXPECT_EQ(host("CONNECT b.example:443 HTTP/1.1"), "b.example");
}

// Bytes of a packet are data: they reach the record as they are, and the core makes valid UTF-8 of them.
TEST(Http, OddBytesInTheHostArePassedOnAndFlagged) {
    Flow f(aicore_http());
    f.feed("GET / HTTP/1.1\r\nHost: a\"b\\c.com\r\n\r\n");
    EXPECT_EQ(f.text("httphost"), "a\"b\\c.com");
    EXPECT_EQ(f.anomalies, std::vector<std::string>{"http_bad_header"});
    Flow latin(aicore_http());
    latin.feed("GET / HTTP/1.1\r\nHost: caf\xe9.com\r\n\r\n");
    EXPECT_EQ(latin.text("httphost"), "caf\xe9.com");
    Flow twice(aicore_http());
    twice.feed("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n");
    EXPECT_EQ(twice.text("httphost"), "a.example");
    EXPECT_EQ(twice.anomalies, std::vector<std::string>{"http_bad_header"});
}

TEST(Http, OtherMethodsAndOtherProtocols) {
    const auto answer = [](const std::string &bytes) { return Flow(aicore_http()).feed(bytes); };
    for (const char *method : {"PROPFIND", "MKCOL", "VERSION-CONTROL", "NOTIFY", "RPC_IN_DATA", "PURGE"})
        EXPECT_EQ(answer(std::string(method) + " /dav HTTP/1.1\r\n"), AICORE_YES) << method;
    EXPECT_EQ(answer("GET /a b c HTTP/1.1\r\n"), AICORE_YES) << "servers take spaces in a target";
    EXPECT_EQ(answer("\r\nGET / HTTP/1.1\r\n"), AICORE_NO);
    EXPECT_EQ(answer("OPTIONS rtsp://a/b RTSP/1.0\r\nCSeq: 1\r\n"), AICORE_NO);
    EXPECT_EQ(answer("OPTIONS sip:a@b SIP/2.0\r\n"), AICORE_NO);
    EXPECT_EQ(answer("NOTIFY sip:a@b SIP/2.0\r\nHost: HTTP/1.1\r\n"), AICORE_NO);
    EXPECT_EQ(answer("SIP/2.0 200 OK\r\n"), AICORE_NO);
    EXPECT_EQ(answer("RTSP/1.0 200 OK\r\n"), AICORE_NO);
    EXPECT_EQ(answer("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), AICORE_NO);
    EXPECT_EQ(answer("GET / HTTP/1\r\n"), AICORE_NO);
    EXPECT_EQ(answer("GET /\r\n"), AICORE_NO);
    EXPECT_EQ(answer("GET  HTTP/1.1\r\n"), AICORE_NO);
    EXPECT_EQ(answer("get / HTTP/1.1\r\n"), AICORE_NO);
    EXPECT_EQ(answer("GET \x01\x02\x03"), AICORE_NO);
    EXPECT_EQ(answer("HTTP/1.1 20x OK\r\n"), AICORE_NO);
    EXPECT_EQ(answer("HTTP/1.1 2000\r\n"), AICORE_NO);
    EXPECT_EQ(answer("HTTP/1.1 200\r\n"), AICORE_YES);
    for (const size_t length : {2u, 3u, 24u, 25u})
        EXPECT_EQ(answer(std::string(length, 'A') + " / HTTP/1.1\r\n"),
                  length == 3 || length == 24 ? AICORE_YES : AICORE_NO);
    EXPECT_EQ(answer(std::string(24, 'A')), AICORE_MORE);
    EXPECT_EQ(answer(std::string(25, 'A')), AICORE_NO) << "no method is that long";
    EXPECT_EQ(answer("GET / HTTP/1.1"), AICORE_MORE);
    EXPECT_EQ(answer("GET /" + std::string(9000, 'a')), AICORE_MORE);
}

TEST(Http, ConnectHandsOverBehindTheResponse) {
    Flow f(aicore_http());
    f.feed("CONNECT b.example:443 HTTP/1.1\r\nUser-Agent: x\r\n\r\n\x16\x03\x01");
    EXPECT_EQ(f.buffer[0], "\x16\x03\x01") << "a client that does not wait: already the tunnel's";
    EXPECT_EQ(f.feed("HTTP/1.1 200 Connection established\r\nVia: p\r\n\r\nrest", true), AICORE_YES);
    EXPECT_EQ(f.handed_over, std::string());
    EXPECT_EQ(f.buffer[0], "\x16\x03\x01");
    EXPECT_EQ(f.buffer[1], "rest");
    EXPECT_EQ(f.text("httphost"), "b.example");
    EXPECT_EQ(f.text("httpmethod"), "CONNECT");
    EXPECT_EQ(f.integers["httpstatus"], 200);
}

TEST(Http, ConnectRefusedIsAskedAgain) {
    Flow f(aicore_http());
    f.feed("CONNECT b.example:443 HTTP/1.1\r\n\r\n");
    EXPECT_EQ(f.feed("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nhello", true), AICORE_YES);
    EXPECT_EQ(f.feed("CONNECT b.example:443 HTTP/1.1\r\nProxy-Authorization: x\r\n\r\n"), AICORE_YES);
    EXPECT_EQ(f.feed("HTTP/1.1 200 OK\r\n\r\n", true), AICORE_YES);
    EXPECT_EQ(f.handed_over, std::string());
    EXPECT_EQ(f.integers["httpstatus"], 407) << "the first response of the flow";
    EXPECT_EQ(f.lists["httphosts"], Names{"b.example"});
    EXPECT_TRUE(f.anomalies.empty());
}

TEST(Http, UpgradeHandsOver) {
    Flow f(aicore_http());
    f.feed("GET /chat HTTP/1.1\r\nHost: ws.example\r\nUpgrade: websocket\r\n\r\n");
    f.feed("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi", true);
    EXPECT_EQ(f.handed_over, "websocket");
    EXPECT_EQ(f.buffer[1], "\x81\x02hi");
    Flow other(aicore_http());
    other.feed("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: TLS/1.0\r\n\r\n");
    other.feed("HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.0\r\n\r\n", true);
    EXPECT_EQ(other.handed_over, std::string());
    Flow ignored(aicore_http());
    ignored.feed("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n");
    EXPECT_EQ(ignored.feed("HTTP/1.1 200 OK\r\n\r\n", true), AICORE_YES);
    EXPECT_FALSE(ignored.handed_over);
}

TEST(Http, MiddleOfAConnection) {
    Flow f(aicore_http());
    EXPECT_EQ(f.feed("HTTP/1.1 304 Not Modified\r\n\r\n", true, AICORE_MIDSTREAM), AICORE_YES);
    EXPECT_EQ(f.feed("tail of a body", false, AICORE_MIDSTREAM), AICORE_YES);
    EXPECT_EQ(f.feed(kRequest, false, AICORE_MIDSTREAM), AICORE_YES);
    EXPECT_EQ(f.text("httphost"), "www.example.com");
    EXPECT_EQ(f.integers["httpstatus"], 304);
    EXPECT_TRUE(f.anomalies.empty());
}

TEST(Http, GapInsideTheHeadIsBridged) {
    Flow f(aicore_http());
    f.feed("GET / HTTP/1.1\r\nCookie: aaaaaaaa");
    f.feed("bbbb Host: no\r\nHost: www.example.com\r\n\r\n", false, AICORE_GAP);
    EXPECT_EQ(f.text("httphost"), "www.example.com");
}

TEST(Http, LongHeadersAreNotBuffered) {
    Flow f(aicore_http());
    f.feed("GET / HTTP/1.1\r\nCookie: ");
    for (int i = 0; i < 40; ++i) {
        f.feed(std::string(1000, 'c'));
        ASSERT_TRUE(f.buffer[0].empty());
    }
    f.feed("\r\nHost: www.example.com\r\n\r\n");
    EXPECT_EQ(f.text("httphost"), "www.example.com");
    Flow long_agent(aicore_http());
    long_agent.feed("GET / HTTP/1.1\r\nUser-Agent: ");
    for (int i = 0; i < 40; ++i)
        long_agent.feed(std::string(1000, 'c'));
    long_agent.feed("\r\nHost: www.example.com\r\n\r\n");
    EXPECT_EQ(long_agent.text("httphost"), "www.example.com");
    EXPECT_EQ(long_agent.text("useragent"), "(none)");
    EXPECT_EQ(long_agent.anomalies, std::vector<std::string>{"http_bad_header"});
}

// A header that came so far without its end is waited for up to 8,191 bytes, whether its name is known yet or its value
// is what is missing.
TEST(Http, HeadersAreWaitedForUpToTheBound) {
    for (const std::string name : {"User-Agent: ", "Host"}) {
        for (const size_t length : {8191u, 8192u}) {
            Flow f(aicore_http());
            f.feed("GET / HTTP/1.1\r\n");
            f.feed(name + std::string(length - name.size(), ' '));
            EXPECT_EQ(f.buffer[0].size(), length < 8192 ? length : 0u) << name;
            f.feed(name == "Host" ? ": a\r\n\r\n" : "a\r\n\r\n");
            EXPECT_EQ(f.text(name == "Host" ? "httphost" : "useragent"), length < 8192 ? "a" : "(none)");
        }
    }
}

TEST(Http, AnswerThatIsNoHttp) {
    Flow f(aicore_http());
    f.feed(kRequest);
    EXPECT_EQ(f.feed("ICY 200 OK\r\n", true), AICORE_YES);
    EXPECT_EQ(f.anomalies, std::vector<std::string>{"http_bad_start_line"});
}

TEST(Http, OverUdpItIsSsdp) {
    Flow search(aicore_http(), AICORE_UDP);
    EXPECT_EQ(search.feed("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\r\n"),
              AICORE_DONE);
    EXPECT_EQ(search.layer7, "ssdp");
    EXPECT_EQ(search.text("httphost"), "239.255.255.250");
    EXPECT_EQ(search.text("httpuri"), "*");
    Flow reply(aicore_http(), AICORE_UDP);
    EXPECT_EQ(reply.feed("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n"), AICORE_DONE);
    EXPECT_EQ(reply.layer7, "ssdp");
    EXPECT_EQ(Flow(aicore_http(), AICORE_UDP).feed("GET / HTTP/1.1\r\n\r\n"), AICORE_NO);
    EXPECT_EQ(Flow(aicore_http(), AICORE_UDP).feed("M-SEARCH *"), AICORE_NO) << "a datagram has no more";
}

} // namespace
} // namespace aicore::test
