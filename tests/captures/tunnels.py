# SPDX-License-Identifier: Apache-2.0
"""Rarer tunnels: the outer packet from what it carries."""

from __future__ import annotations

import struct
import zlib

from captures.links import nsh_header
from captures.packets import ETHERTYPE, MAC_A, MAC_B, OUTER4, checksum, ethernet, ip, ipip, packed, ppp, ppp_hdlc, udp


def over_udp(port: int, payload: bytes, sport: int = 55555) -> bytes:
    return udp(OUTER4[0], sport, OUTER4[1], port, payload)


def _labels(packet: bytes) -> bytes:
    return struct.pack("!II", 16 << 12 | 64, 17 << 12 | 1 << 8 | 64) + packet


def etherip(packet: bytes) -> bytes:
    """RFC 3378."""
    return ip(*OUTER4, 97, b"\x30\0" + ethernet(packet))


def gre_mpls(packet: bytes) -> bytes:
    """RFC 4023."""
    return ip(*OUTER4, 47, struct.pack("!HH", 0, 0x8847) + _labels(packet))


def gre_wccp(packet: bytes, version: int = 2) -> bytes:
    """GRE of the Web Cache Communication Protocol: version 2 adds flags, service and buckets."""
    return ip(*OUTER4, 47, struct.pack("!HH", 0, 0x883E) + (bytes([0x40, 0, 1, 2]) if version == 2 else b"") + packet)


def gre_nsh(packet: bytes) -> bytes:
    return ip(*OUTER4, 47, struct.pack("!HH", 0, 0x894F) + nsh_header(3) + ethernet(packet))


def mpls_ip(packet: bytes) -> bytes:
    """RFC 4023."""
    return ip(*OUTER4, 137, _labels(packet))


def mpls_udp(packet: bytes) -> bytes:
    """RFC 7510."""
    return over_udp(6635, _labels(packet))


def mpls_udp_ethernet(packet: bytes) -> bytes:
    """A pseudowire with a control word (RFC 4448)."""
    return over_udp(6635, _labels(bytes(4) + ethernet(packet)))


def vxlan_gpe(packet: bytes, vni: int = 42) -> bytes:
    """draft-ietf-nvo3-vxlan-gpe: the next protocol is an IP."""
    return over_udp(4790, struct.pack("!BHBI", 0x0C, 0, 1 if packet[0] >> 4 == 4 else 2, vni << 8) + packet)


def vxlan_gpe_nsh(packet: bytes, vni: int = 42) -> bytes:
    return over_udp(4790, struct.pack("!BHBI", 0x0C, 0, 4, vni << 8) + nsh_header(3) + ethernet(packet))


def l2tp(packet: bytes, full: bool = False) -> bytes:
    """RFC 2661: version 2, at its shortest, or with length, sequence numbers and an offset."""
    frame = ppp_hdlc(packet) if full else ppp(packet)
    if not full:
        return over_udp(1701, struct.pack("!HHH", 2, 5, 6) + frame, 1701)
    return over_udp(1701, struct.pack("!HHHHHHH2x", 0x4A02, 16 + len(frame), 5, 6, 1, 2, 2) + frame, 1701)


def l2tp3_udp(packet: bytes) -> bytes:
    """RFC 3931: session, no cookie, an Ethernet pseudowire."""
    return over_udp(1701, struct.pack("!HHI", 3, 0, 7) + ethernet(packet), 1701)


def l2tp3_ip(packet: bytes, between: bytes = bytes.fromhex("c0ffee0140000001")) -> bytes:
    """RFC 3931: session, here with a cookie of 4 bytes and the default sublayer."""
    return ip(*OUTER4, 115, struct.pack("!I", 7) + between + ethernet(packet))


def capwap(packet: bytes) -> bytes:
    """RFC 5415: an IEEE 802.3 frame."""
    return over_udp(5247, struct.pack("!IHH", 2 << 19 | 1 << 14 | 1 << 9, 0, 0) + ethernet(packet), 50001)


def capwap_wifi(packet: bytes, exchanged: bool = False) -> bytes:
    """RFC 5415: a frame of IEEE 802.11 to the access point, behind radio address and wireless information."""
    word = 6 << 19 | 1 << 14 | 1 << 9 | 1 << 8 | 1 << 5 | 1 << 4
    header = (
        struct.pack("!IHH", word, 0, 0) + struct.pack("!B6sx", 6, MAC_A) + struct.pack("!B4s3x", 4, b"\xc0\x20\0\x0b")
    )
    control = b"\x01\x08" if exchanged else b"\x08\x01"
    frame = control + struct.pack("!H6s6s6sH", 0, MAC_B, MAC_A, MAC_B, 0x10)
    return over_udp(
        5247, header + frame + b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", ETHERTYPE[packet[0] >> 4]) + packet, 50001
    )


def ayiya(packet: bytes) -> bytes:
    """draft-massar-v6ops-ayiya-02: an IPv6 identity, a SHA-1 signature."""
    head = struct.pack("!BBBBI", 0x41, 0x52, 0x11, 41 if packet[0] >> 4 == 6 else 4, 1_700_000_000)
    return over_udp(5072, head + packed("2001:db8::1") + bytes(range(20)) + packet, 50002)


def pim_register(packet: bytes) -> bytes:
    """RFC 7761: the checksum is that of the header alone."""
    header = struct.pack("!BBHI", 0x21, 0, 0, 0)
    return ip(*OUTER4, 103, header[:2] + struct.pack("!H", checksum(header)) + header[4:] + packet)


def ipcomp(packet: bytes) -> bytes:
    """RFC 3173 and 2394: IP in IP, behind a header of IPComp, in a stored block of DEFLATE."""
    inner = ipip(packet)
    body = inner[20:]
    packer = zlib.compressobj(0, zlib.DEFLATED, -15)
    stored = packer.compress(body) + packer.flush()
    return ip(*OUTER4, 108, struct.pack("!BBH", inner[9], 0, 2) + stored)
