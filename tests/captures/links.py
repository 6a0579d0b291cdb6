# SPDX-License-Identifier: Apache-2.0
"""Frames of the rarer link types and of what may stand behind Ethernet's addresses: frame from packet."""

from __future__ import annotations

import struct

from captures.packets import ETHERTYPE, MAC_A, ethernet

SLIP, PPI, FRELAY, ARCNET_BSD, PFLOG, ARCNET_LINUX, NFLOG, PKTAP = 8, 192, 107, 7, 117, 129, 239, 258  # LINKTYPE_*


def _type(packet: bytes) -> bytes:
    return struct.pack("!H", ETHERTYPE[packet[0] >> 4])


# Tags.


def vn_tag(packet: bytes) -> bytes:
    """Cisco VN-Tag: direction, pointer, destination and source interface."""
    return ethernet(struct.pack("!HH", 0x0001, 0x0002) + _type(packet) + packet, 0x8926)


def vn_tag_vlan(packet: bytes) -> bytes:
    return ethernet(struct.pack("!HHHH", 0x0001, 0x0002, 0x8100, 100) + _type(packet) + packet, 0x8926)


def e_tag(packet: bytes) -> bytes:
    """IEEE 802.1BR."""
    return ethernet(struct.pack("!HHBB", 0, 0x1001, 0, 0) + _type(packet) + packet, 0x893F)


def cisco_metadata(packet: bytes) -> bytes:
    """Version, words of options, a security group."""
    return ethernet(struct.pack("!BBHH", 1, 1, 1, 7) + _type(packet) + packet, 0x8909)


def hsr(packet: bytes) -> bytes:
    """IEC 62439-3: path and size, sequence number."""
    return ethernet(struct.pack("!HH", 0x1000 | len(packet) + 6 & 0xFFF, 9) + _type(packet) + packet, 0x892F)


def prp(packet: bytes) -> bytes:
    """IEC 62439-3: the trailer, behind all."""
    return ethernet(packet) + struct.pack("!HHH", 9, 0xA000 | len(packet) + 6 & 0xFFF, 0x88FB)


def macsec(packet: bytes) -> bytes:
    """IEEE 802.1AE without encryption: flags, short length, packet number, channel; the check value, behind all."""
    tag = struct.pack("!BBI6sH", 0x20, len(packet) + 2 if len(packet) < 46 else 0, 1, MAC_A, 1)
    return ethernet(tag + _type(packet) + packet, 0x88E5) + bytes(16)


def pbb(packet: bytes, service: int = 100) -> bytes:
    """IEEE 802.1ah: backbone VLAN, service, the customer's frame."""
    tag = struct.pack("!HHI", 5, 0x88E7, service)
    return ethernet(tag + ethernet(packet), 0x88A8)


def trill(packet: bytes) -> bytes:
    """RFC 6325: flags and hop count, egress and ingress."""
    return ethernet(struct.pack("!HHH", 62, 1, 2) + ethernet(packet), 0x22F3)


def nsh_header(following: int) -> bytes:
    """RFC 8300, with the fixed context of type 1."""
    return struct.pack("!HBBI", 63 << 6 | 6, 1, following, 0x64FF) + bytes(16)


def nsh(packet: bytes) -> bytes:
    return ethernet(nsh_header(1 if packet[0] >> 4 == 4 else 2) + packet, 0x894F)


def nsh_ethernet(packet: bytes) -> bytes:
    return ethernet(nsh_header(3) + ethernet(packet), 0x894F)


# Link types.


def ppi(packet: bytes) -> bytes:
    """Version, flags, length, link type: Ethernet."""
    return struct.pack("<BBHI", 0, 0, 8, 1) + ethernet(packet)


def nflog(packet: bytes, order: str = "<") -> bytes:
    """Attributes: packet header, prefix, payload."""

    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack(order + "HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)

    header = attribute(1, _type(packet) + b"\x01\0") + attribute(10, b"drop\0")
    return struct.pack("!BBH", 2 if packet[0] >> 4 == 4 else 10, 0, 5) + header + attribute(9, packet)


def pflog(packet: bytes) -> bytes:
    """Of OpenBSD: length, address family, action, reason, interface, rule set, rule, user, direction."""
    fields = struct.pack(
        "!BBBB16s16sIIIIIIB3x", 61, 2 if packet[0] >> 4 == 4 else 24, 0, 0, b"em0", b"", 1, 0, 0, 0, 0, 0, 1
    )
    return fields + packet


def pktap(packet: bytes) -> bytes:
    """Of macOS: length, kind, link type, interface, flags, family, bytes before and behind, process."""
    head = struct.pack(
        "<III24sIIIII20sIHHII20sII", 108, 1, 1, b"en0", 1, 2, 14, 0, 5, b"curl", 0, 6, 0, 0, 0, b"", 0, 0
    )
    return head[:108].ljust(108, b"\0") + ethernet(packet)


def frame_relay(packet: bytes) -> bytes:
    """RFC 2427."""
    return b"\x18\x41\x03" + (b"\xcc" if packet[0] >> 4 == 4 else b"\x8e") + packet


def frame_relay_snap(packet: bytes) -> bytes:
    return b"\x18\x41\x03\0\x80\0\0\0" + _type(packet) + packet


def frame_relay_cisco(packet: bytes) -> bytes:
    return b"\x18\x41" + _type(packet) + packet


def slip(packet: bytes) -> bytes:
    """Direction, the header as it was on the line."""
    return b"\x01\x45" + bytes(14) + packet


def arcnet_bsd(packet: bytes) -> bytes:
    """RFC 1201."""
    return bytes([1, 2, 212 if packet[0] >> 4 == 4 else 196, 0, 0, 7]) + packet


def arcnet_linux(packet: bytes) -> bytes:
    return bytes([1, 2, 0, 0, 212 if packet[0] >> 4 == 4 else 196, 0, 0, 7]) + packet
