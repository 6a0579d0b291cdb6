// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "aicore/builtin_protocols.h"
#include "host.h"

namespace aicore::test {
namespace {

const std::string kRequest =
    "GET /index.html?q=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: probe/1.0\r\nAccept: */*\r\n\r\n";
const std::string kResponse = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\nok";

const auto kFail = [](const std::string &place) { ADD_FAILURE() << place; };

TEST(Http, FirstRequestAndResponse) {
    Flow f(aicore_http());
    EXPECT_EQ(f.feed(kRequest), AICORE_YES);
    EXPECT_EQ(f.feed(kResponse, true), AICORE_DONE);
    EXPECT_EQ(f.text("httphost"), "www.example.com");
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

TEST(Http, PipelinedRequestsKeepTheFirst) {
    Flow f(aicore_http());
    f.feed(kRequest + "GET /second HTTP/1.1\r\nHost: second.example\r\n\r\n");
    f.feed(kResponse + "HTTP/1.1 500 No\r\n\r\n", true);
    EXPECT_EQ(f.text("httphost"), "www.example.com");
    EXPECT_EQ(f.text("httpuri"), "/index.html?q=1");
    EXPECT_EQ(f.integers["httpstatus"], 200);
    EXPECT_TRUE(f.done);
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
    EXPECT_EQ(answer("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), AICORE_NO) << "no method is that long";
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
    EXPECT_EQ(f.feed("more of it\r\n", true), AICORE_YES);
    EXPECT_EQ(f.feed("CONNECT b.example:443 HTTP/1.1\r\nProxy-Authorization: x\r\n\r\n"), AICORE_YES);
    EXPECT_EQ(f.feed("HTTP/1.1 200 OK\r\n\r\n", true), AICORE_YES);
    EXPECT_EQ(f.handed_over, std::string());
    EXPECT_EQ(f.integers["httpstatus"], 407) << "the first response of the flow";
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
    EXPECT_EQ(ignored.feed("HTTP/1.1 200 OK\r\n\r\n", true), AICORE_DONE);
}

TEST(Http, MiddleOfAConnection) {
    Flow f(aicore_http());
    EXPECT_EQ(f.feed("HTTP/1.1 304 Not Modified\r\n\r\n", true, AICORE_MIDSTREAM), AICORE_YES);
    EXPECT_EQ(f.feed("tail of a body", false, AICORE_MIDSTREAM), AICORE_YES);
    EXPECT_EQ(f.feed(kRequest, false, AICORE_MIDSTREAM), AICORE_DONE);
    EXPECT_EQ(f.text("httphost"), "www.example.com");
    EXPECT_EQ(f.integers["httpstatus"], 304);
    EXPECT_TRUE(f.anomalies.empty());
}

TEST(Http, ResponsesAloneAreGivenUpInTheEnd) {
    Flow f(aicore_http());
    f.feed("HTTP/1.1 200 OK\r\n\r\n", true, AICORE_MIDSTREAM);
    int calls = 0;
    while (!f.done && calls < 1000) {
        f.feed("no request", false, AICORE_MIDSTREAM);
        ++calls;
    }
    EXPECT_EQ(calls, 64);
}

TEST(Http, GapInsideTheHeadIsBridged) {
    Flow f(aicore_http());
    f.feed("GET / HTTP/1.1\r\nCookie: aaaaaaaa");
    f.feed("bbbb Host: no\r\nHost: www.example.com\r\n\r\n", false, AICORE_GAP);
    EXPECT_EQ(f.text("httphost"), "www.example.com");
    EXPECT_EQ(f.feed(kResponse, true), AICORE_DONE);
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
