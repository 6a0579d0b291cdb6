# SPDX-License-Identifier: Apache-2.0
"""RFC 1350, options of RFC 2347."""

from __future__ import annotations

from talk import c, s, u16, udp


def texts(*values: bytes) -> bytes:
    return b"".join(value + b"\0" for value in values)


READ = c(u16(1) + texts(b"boot/pxe.0", b"octet"))
FIELDS = {"tftpfile": "boot/pxe.0", "tftpmode": "octet", "tftpoperation": "read"}

TALKS = {
    "read": udp(69, READ, layer7="tftp", **FIELDS),
    "any_port": udp(6969, READ, layer7="tftp", **FIELDS),
    "write_with_options": udp(
        69,
        c(u16(2) + texts(b"x.cfg", b"NetASCII", b"blksize", b"1428")),
        layer7="tftp",
        tftpfile="x.cfg",
        tftpoperation="write",
        tftpmode="NetASCII",
    ),
    "transfer": udp(45000, s(u16(3, 1) + bytes(512)), c(u16(4, 1)), layer7="tftp", tftpfile=None),
    "transfer_of_a_write": udp(45000, s(u16(4, 0)), c(u16(3, 1) + bytes(512)), layer7="tftp"),
    "options": udp(45000, s(u16(6) + texts(b"blksize", b"1428")), c(u16(4, 0)), layer7="tftp"),
    "another_mode": udp(6969, c(u16(1) + texts(b"x", b"binary"))),
    "no_file": udp(6969, c(u16(1) + texts(b"", b"octet"))),
    "another_block": udp(45000, s(u16(3, 9) + bytes(512))),
    "short_block": udp(45000, s(u16(3, 1) + bytes(100))),
    "unknown_option": udp(45000, s(u16(6) + texts(b"colour", b"red"))),
    "no_end": udp(6969, c(u16(1) + b"x\0octet")),
}
