# SPDX-License-Identifier: Apache-2.0
"""RFC 3261, session descriptions of RFC 4566."""

from __future__ import annotations

from talk import c, lines, s, tcp, udp

URI, TAG = "sip:bob@example.org", '"Ann" <sip:ann@example.net>;tag=1'
VIA = "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1"


def sdp(address: str, port: int) -> bytes:
    session = lines("v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0")
    return session + lines(f"m=audio {port} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=video 9 RTP/AVP 96")


def message(start: str, body: bytes = b"", *more: str) -> bytes:
    kind = ("Content-Type: application/sdp",) if body else ()
    head = (f"Via: {VIA}", f"From: {TAG}", f"To: <{URI}>", "Call-ID: 7@x", "CSeq: 1 INVITE", *more, *kind)
    return lines(start, *head, f"Content-Length: {len(body)}", "") + body


INVITE = message(f"INVITE {URI} SIP/2.0", sdp("192.0.2.10", 40100), "User-Agent: phone/1")
TRYING, OK = message("SIP/2.0 100 Trying"), message("SIP/2.0 200 OK", sdp("198.51.100.20", 40200))
CALL = [
    c(INVITE),
    s(TRYING),
    s(OK),
    c(message(f"ACK {URI} SIP/2.0")),
    c(message(f"BYE {URI} SIP/2.0")),
    s(message("SIP/2.0 481 no")),
]
FIELDS = {
    "sipmethod": "INVITE",
    "sipuri": URI,
    "sipfrom": TAG,
    "sipto": f"<{URI}>",
    "sipvia": VIA,
    "sipstatus": 200,
    "sipcallid": "7@x",
    "sipuseragent": "phone/1",
    "sipmediaipsrc": "192.0.2.10",
    "sipmediaportsrc": 40100,
    "sipmediaipdst": "198.51.100.20",
    "sipmediaportdst": 40200,
}
COMPACT = lines("REGISTER sip:example.org SIP/2.0", f"v: {VIA}", f"f: {TAG}", f"t: <{URI}>", "i: 9@x", "l: 0", "")
FOLDED = lines(f"OPTIONS {URI} SIP/2.0", "from: <sip:ann@example.net>", " ;tag=1", f"TO : <{URI}>", "", "")

TALKS = {
    "call": udp(5060, *CALL, layer7="sip", **FIELDS),
    "any_port": udp(20000, *CALL, layer7="sip", **FIELDS),
    "tcp_call": tcp(5070, *CALL, layer7="sip", **FIELDS),
    "tcp_pipelined": tcp(5070, c(b"\r\n\r\n" + INVITE + INVITE), s(TRYING + OK), layer7="sip", **FIELDS),
    "compact": udp(5060, c(COMPACT), layer7="sip", sipmethod="REGISTER", sipfrom=TAG, sipcallid="9@x", sipstatus=None),
    "folded": udp(5060, c(FOLDED), layer7="sip", sipfrom="<sip:ann@example.net> ;tag=1", sipto=f"<{URI}>"),
    "tel": udp(5060, c(message("MESSAGE tel:+123 SIP/2.0")), layer7="sip", sipuri="tel:+123"),
    "answer_first": udp(5060, s(OK), layer7="sip", sipstatus=200, sipmethod=None),
    "keep_alive_first": udp(5060, c(b"\r\n\r\n"), c(b"\0"), c(INVITE), layer7="sip", sipmethod="INVITE"),
    "bad_message": udp(5060, c(INVITE), c(b"INVITE what is this\r\n\r\n"), layer7="sip", anomaly="sip_bad_message"),
    "tcp_without_headers_yet": tcp(5070, c(f"INVITE {URI} SIP/2.0\r\n".encode())),
    "http_options": udp(20000, c(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), layer7="ssdp"),
    "version_3": udp(20000, c(message(f"INVITE {URI} SIP/3.0"))),
    "status_999": udp(20000, s(message("SIP/2.0 999 what"))),
    "no_uri": udp(20000, c(message("INVITE bob SIP/2.0"))),
}
