# SPDX-License-Identifier: Apache-2.0
"""What applications say: HTTP, TLS hellos and DNS messages, built with the standard library alone."""

from __future__ import annotations

import hashlib
import ipaddress
import struct
from collections.abc import Iterable, Sequence

A, NS, CNAME, PTR, MX, TXT, AAAA, SRV = 1, 2, 5, 12, 15, 16, 28, 33
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) demo/1.0"


def http_request(
    host: str | bytes, uri: str = "/", method: str = "GET", agent: str = USER_AGENT, body: bytes = b""
) -> bytes:
    """An HTTP/1.1 request (RFC 9112). A host in bytes goes out as it is."""
    name = host if isinstance(host, bytes) else host.encode()
    length = f"Content-Length: {len(body)}\r\n".encode() if body else b""
    head = f"{method} {uri} HTTP/1.1\r\n".encode() + b"Host: " + name + f"\r\nUser-Agent: {agent}\r\n".encode()
    return head + b"Accept: */*\r\n" + length + b"\r\n" + body


def http_response(
    body: bytes = b"<html>hello</html>", status: int = 200, reason: str = "OK", kind: str = "text/html"
) -> bytes:
    head = f"HTTP/1.1 {status} {reason}\r\nServer: demo\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


CIPHERS = (0x0A0A, 0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8)  # the first is GREASE
SIGNATURES = (0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601)


def _vector(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width, "big") + data


def _u16(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}H", *values)


def _extension(number: int, data: bytes) -> bytes:
    return _u16(number) + _vector(data, 2)


def _record(handshake: bytes, version: int = 0x0301) -> bytes:
    return b"\x16" + _u16(version) + _vector(handshake, 2)


def client_hello(
    name: str | bytes | None = "www.example.org",
    alpn: Sequence[str] = ("h2", "http/1.1"),
    tls13: bool = True,
    ciphers: Sequence[int] = CIPHERS,
    padding: int = 0,
) -> bytes:
    """A TLS record with a ClientHello (RFC 8446 section 4.1.2), shaped like a browser's; GREASE of RFC 8701."""
    raw = name.encode() if isinstance(name, str) else name
    extensions = _extension(0x1A1A, b"")
    if raw is not None:
        extensions += _extension(0, _vector(b"\0" + _vector(raw, 2), 2))
    extensions += _extension(10, _vector(_u16(0x2A2A, 29, 23, 24), 2)) + _extension(11, _vector(b"\0", 1))
    extensions += _extension(13, _vector(_u16(*SIGNATURES), 2))
    if alpn:
        extensions += _extension(16, _vector(b"".join(_vector(p.encode(), 1) for p in alpn), 2))
    if tls13:
        extensions += _extension(43, _vector(_u16(0x3A3A, 0x0304, 0x0303), 1))
        extensions += _extension(51, _vector(_u16(29) + _vector(bytes(range(32)), 2), 2))
    if padding:
        extensions += _extension(21, bytes(padding))
    body = _u16(0x0303) + bytes(range(32)) + _vector(bytes(32), 1) + _vector(_u16(*ciphers), 2) + b"\x01\0"
    return _record(b"\x01" + _vector(body + _vector(extensions, 2), 3))


def server_hello(tls13: bool = True, alpn: str | None = None, cipher: int = 0x1301) -> bytes:
    """A TLS record with a ServerHello; under TLS 1.3 the chosen ALPN is encrypted, so it stands here only without."""
    extensions = b""
    if tls13:
        extensions += _extension(43, _u16(0x0304)) + _extension(51, _u16(29) + _vector(bytes(range(32, 64)), 2))
    elif alpn:
        extensions += _extension(16, _vector(_vector(alpn.encode(), 1), 2))
    body = _u16(0x0303) + bytes(range(64, 96)) + _vector(bytes(32), 1) + _u16(cipher) + b"\0"
    return _record(b"\x02" + _vector(body + _vector(extensions, 2), 3), 0x0303)


def tls_data(data: bytes = bytes(200)) -> bytes:
    """A TLS record of application data."""
    return b"\x17" + _u16(0x0303) + _vector(data, 2)


def ja4(
    name: str | None = "www.example.org", alpn: Sequence[str] = ("h2", "http/1.1"), tls13: bool = True, padding: int = 0
) -> str:
    """JA4 of client_hello() with the same arguments, worked out from the published description of the fingerprint."""
    ciphers = sorted(f"{c:04x}" for c in CIPHERS if c & 0x0F0F != 0x0A0A)
    extensions = [10, 11, 13] + [43, 51] * tls13 + [21] * bool(padding)
    count = len(extensions) + (name is not None) + bool(alpn)
    listed = ",".join(sorted(f"{e:04x}" for e in extensions)) + "_" + ",".join(f"{s:04x}" for s in SIGNATURES)
    first = alpn[0][0] + alpn[0][-1] if alpn else "00"
    start = f"t{'13' if tls13 else '12'}{'d' if name is not None else 'i'}{len(ciphers):02}{count:02}{first}"
    digests = (hashlib.sha256(text.encode()).hexdigest()[:12] for text in (",".join(ciphers), listed))
    return "_".join((start, *digests))


def dns_name(name: str | Iterable[bytes]) -> bytes:
    """Labels of RFC 1035 section 3.1; a list of labels in bytes goes out as it is."""
    labels = [part.encode() for part in name.split(".") if part] if isinstance(name, str) else list(name)
    return b"".join(_vector(label, 1) for label in labels) + b"\0"


def dns_query(*questions: tuple[str | Sequence[bytes], int], ident: int = 0x1234, flags: int = 0x0100) -> bytes:
    body = b"".join(dns_name(name) + _u16(qtype, 1) for name, qtype in questions)
    return _u16(ident, flags, len(questions), 0, 0, 0) + body


def dns_response(
    *questions: tuple[str | Sequence[bytes], int],
    answers: Sequence[tuple[int, str]] = (),
    ident: int = 0x1234,
    rcode: int = 0,
    flags: int = 0x8180,
) -> bytes:
    """The answers (type, text: address or name) all belong to the first question and point to it (compression)."""
    body = b"".join(dns_name(name) + _u16(qtype, 1) for name, qtype in questions)
    for kind, value in answers:
        data = ipaddress.ip_address(value).packed if kind in (A, AAAA) else dns_name(value)
        body += b"\xc0\x0c" + _u16(kind, 1) + struct.pack("!I", 300) + _vector(data, 2)
    return _u16(ident, flags | rcode, len(questions), len(answers), 0, 0) + body


def mdns_announcement(name: str, address: str) -> bytes:
    """An unsolicited mDNS response (RFC 6762): no question, one A record with the cache-flush bit."""
    record = (
        dns_name(name) + _u16(A, 0x8001) + struct.pack("!I", 120) + _vector(ipaddress.ip_address(address).packed, 2)
    )
    return _u16(0, 0x8400, 0, 1, 0, 0) + record
