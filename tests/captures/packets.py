# SPDX-License-Identifier: Apache-2.0
"""Packets built byte by byte with the standard library alone: an oracle that shares no code with the decoder.

A packet is an IP datagram as bytes; a frame is what a capture file holds. Checksums are right.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence

TCP, UDP, ICMP, ICMPV6, SCTP, IGMP, ESP = 6, 17, 1, 58, 132, 2, 50
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETHERTYPE = {4: 0x0800, 6: 0x86DD}
MAC_A, MAC_B = bytes.fromhex("02005e000001"), bytes.fromhex("02005e000002")


def checksum(data: bytes) -> int:
    """Internet checksum, RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _pseudo(src: str, dst: str, proto: int, length: int) -> bytes:
    if ":" in src:
        return packed(src) + packed(dst) + struct.pack("!IxxxB", length, proto)
    return packed(src) + packed(dst) + struct.pack("!BBH", 0, proto, length)


def ip(
    src: str,
    dst: str,
    proto: int,
    body: bytes,
    *,
    ident: int = 0,
    ttl: int = 64,
    more: bool = False,
    offset: int = 0,
    options: bytes = b"",
    extensions: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """IPv4 (RFC 791) or IPv6 (RFC 8200) by the address. `offset` in bytes and `more` make an IPv4 fragment;
    `extensions` are (header number, bytes without the next-header byte) for IPv6."""
    if ":" not in src:
        words = 5 + len(options) // 4
        fields = (0x40 | words, 0, words * 4 + len(body), ident, (0x2000 if more else 0) | offset // 8, ttl, proto, 0)
        header = struct.pack("!BBHHHBBH", *fields) + packed(src) + packed(dst) + options
        return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + body
    chain = [number for number, _ in extensions] + [proto]
    for (_, content), following in zip(reversed(extensions), reversed(chain[1:]), strict=True):
        body = bytes([following]) + content + body
    return struct.pack("!IHBB", 6 << 28, len(body), chain[0], ttl) + packed(src) + packed(dst) + body


def fragments(packet: bytes, size: int, ident: int = 0x1234) -> list[bytes]:
    """The datagram in fragments of `size` body bytes (a multiple of 8)."""
    out = []
    v6 = packet[0] >> 4 == 6
    header, body = (packet[:40], packet[40:]) if v6 else (packet[:20], packet[20:])
    for at in range(0, len(body), size):
        piece, more = body[at : at + size], at + size < len(body)
        if v6:
            inner = struct.pack("!BxHI", header[6], at | more, ident) + piece
            out.append(header[:4] + struct.pack("!HB", len(inner), 44) + header[7:] + inner)
        else:
            src, dst = str(ipaddress.ip_address(header[12:16])), str(ipaddress.ip_address(header[16:20]))
            out.append(ip(src, dst, header[9], piece, ident=ident, more=more, offset=at))
    return out


def udp(src: str, sport: int, dst: str, dport: int, payload: bytes, **kwargs: object) -> bytes:
    """A UDP datagram (RFC 768) in its IP packet."""
    header = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    value = checksum(_pseudo(src, dst, UDP, len(header + payload)) + header + payload) or 0xFFFF
    return ip(src, dst, UDP, header[:6] + struct.pack("!H", value) + payload, **kwargs)  # type: ignore[arg-type]


def tcp(
    src: str,
    sport: int,
    dst: str,
    dport: int,
    seq: int,
    ack: int,
    flags: int,
    payload: bytes = b"",
    *,
    options: bytes = b"",
    **kwargs: object,
) -> bytes:
    """A TCP segment (RFC 9293) in its IP packet."""
    header = struct.pack(
        "!HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, (5 + len(options) // 4) << 4, flags, 64240, 0, 0
    )
    header += options
    value = checksum(_pseudo(src, dst, TCP, len(header + payload)) + header + payload)
    return ip(src, dst, TCP, header[:16] + struct.pack("!H", value) + header[18:] + payload, **kwargs)  # type: ignore[arg-type]


# Link layers: frame from packet.


def ethernet(packet: bytes, ethertype: int | None = None, vlans: Sequence[int] = (), tpid: int = 0x8100) -> bytes:
    """Ethernet II, with 802.1Q tags outermost first; the outer one of two is 802.1ad (QinQ)."""
    tags = b"".join(
        struct.pack("!HH", 0x88A8 if len(vlans) > 1 and i == 0 else tpid, tag) for i, tag in enumerate(vlans)
    )
    return MAC_B + MAC_A + tags + struct.pack("!H", ethertype or ETHERTYPE[packet[0] >> 4]) + packet


def mpls(packet: bytes, labels: Iterable[int] = (100,)) -> bytes:
    """RFC 3032 label stack behind Ethernet."""
    stack = list(labels)
    words = (label << 12 | (i == len(stack) - 1) << 8 | 64 for i, label in enumerate(stack))
    return ethernet(b"".join(struct.pack("!I", word) for word in words) + packet, 0x8847)


def ppp(packet: bytes) -> bytes:
    return (b"\x00\x21" if packet[0] >> 4 == 4 else b"\x00\x57") + packet


def pppoe(packet: bytes, session: int = 7) -> bytes:
    """RFC 2516 session stage."""
    return ethernet(struct.pack("!BBHH", 0x11, 0, session, len(packet) + 2) + ppp(packet), 0x8864)


def ppp_hdlc(packet: bytes) -> bytes:
    """RFC 1662 framing: address and control before the protocol."""
    return b"\xff\x03" + ppp(packet)


def chdlc(packet: bytes) -> bytes:
    return struct.pack("!BBH", 0x0F, 0, ETHERTYPE[packet[0] >> 4]) + packet


def sll(packet: bytes) -> bytes:
    """Linux cooked capture v1."""
    return struct.pack("!HHH8sH", 0, 1, 6, MAC_A + b"\0\0", ETHERTYPE[packet[0] >> 4]) + packet


def sll2(packet: bytes) -> bytes:
    """Linux cooked capture v2."""
    return struct.pack("!HHIHBB8s", ETHERTYPE[packet[0] >> 4], 0, 2, 1, 0, 6, MAC_A + b"\0\0") + packet


def null(packet: bytes) -> bytes:
    """BSD loopback: the address family in the byte order of the machine that captured, here little."""
    return struct.pack("<I", 2 if packet[0] >> 4 == 4 else 30) + packet


def loop(packet: bytes) -> bytes:
    """OpenBSD loopback: the address family in network order."""
    return struct.pack(">I", 2 if packet[0] >> 4 == 4 else 24) + packet


def raw(packet: bytes) -> bytes:
    return packet


# Tunnels: outer packet from what they carry.

OUTER4, OUTER6 = ("192.0.2.1", "192.0.2.2"), ("2001:db8:ffff::1", "2001:db8:ffff::2")


def ipip(packet: bytes, outer: tuple[str, str] = OUTER4) -> bytes:
    """IP in IP (RFC 2003, RFC 2473, RFC 4213)."""
    return ip(*outer, 4 if packet[0] >> 4 == 4 else 41, packet)


def gre(packet: bytes, key: int | None = None, seq: int | None = None, outer: tuple[str, str] = OUTER4) -> bytes:
    """RFC 2784 with the key and sequence number of RFC 2890."""
    flags = (0x2000 if key is not None else 0) | (0x1000 if seq is not None else 0)
    extra = b"".join(struct.pack("!I", x) for x in (key, seq) if x is not None)
    return ip(*outer, 47, struct.pack("!HH", flags, ETHERTYPE[packet[0] >> 4]) + extra + packet)


def gre_ethernet(packet: bytes, key: int | None = None, outer: tuple[str, str] = OUTER4) -> bytes:
    """Transparent Ethernet bridging over GRE."""
    head = struct.pack("!HHI", 0x2000, 0x6558, key) if key is not None else struct.pack("!HH", 0, 0x6558)
    return ip(*outer, 47, head + ethernet(packet))


def erspan(packet: bytes, outer: tuple[str, str] = OUTER4) -> bytes:
    """ERSPAN type II (draft-foschiano-erspan): GRE with a sequence number, 8 bytes of ERSPAN, the frame."""
    return ip(*outer, 47, struct.pack("!HHI", 0x1000, 0x88BE, 1) + struct.pack("!HHI", 0x1000, 1, 0) + ethernet(packet))


def vxlan(packet: bytes, vni: int = 42, outer: tuple[str, str] = OUTER4, sport: int = 55555) -> bytes:
    """RFC 7348."""
    return udp(outer[0], sport, outer[1], 4789, struct.pack("!II", 0x08000000, vni << 8) + ethernet(packet))


def geneve(packet: bytes, vni: int = 42, outer: tuple[str, str] = OUTER4, sport: int = 55555) -> bytes:
    """RFC 8926, with one option of 4 bytes."""
    head = struct.pack("!BBHI", 2, 0, 0x6558, vni << 8) + struct.pack("!HBB4s", 0x0102, 0x80, 1, b"opt.")
    return udp(outer[0], sport, outer[1], 6081, head + ethernet(packet))


def gtpu(packet: bytes, teid: int = 0xABCD, outer: tuple[str, str] = OUTER4, extension: bool = False) -> bytes:
    """GTP-U G-PDU (3GPP TS 29.281), with a PDU session container if `extension`."""
    rest = struct.pack("!HBB", 0, 0, 0x85) + bytes([1, 0, 9, 0]) if extension else b""
    head = struct.pack("!BBHI", 0x34 if extension else 0x30, 255, len(rest + packet), teid)
    return udp(outer[0], 2152, outer[1], 2152, head + rest + packet)


def teredo(packet: bytes, outer: tuple[str, str] = OUTER4, origin: bool = False) -> bytes:
    """RFC 4380: IPv6 in UDP port 3544, optionally behind an origin indication."""
    head = struct.pack("!HHI", 0, 0xFFFF ^ 40000, 0xFFFFFFFF ^ 0xC0000201) if origin else b""
    return udp(outer[0], 50000, outer[1], 3544, head + packet)
