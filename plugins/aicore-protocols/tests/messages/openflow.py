# SPDX-License-Identifier: Apache-2.0
"""The OpenFlow switch specification: 1.0 appendix A, 1.3 section 7."""

from __future__ import annotations

from talk import c, s, tcp, u8, u16, u32


def message(kind: int, body: bytes = b"", version: int = 4) -> bytes:
    return u8(version, kind) + u16(8 + len(body)) + u32(7) + body


BITMAP = u16(1, 8) + u32(0x12)
SWITCH, CONTROLLER = message(0, BITMAP), message(0, BITMAP, 5)
FEATURES = message(6, bytes(range(8)) + bytes(16))
SESSION = [
    c(SWITCH),
    s(CONTROLLER + message(5)),
    c(FEATURES),
    s(message(14, bytes(900))),
    c(message(1, u16(5, 1) + bytes(64))),
    c(message(29, bytes(8))),
]
NAMES = ["hello", "features-request", "features-reply", "flow-mod", "error", "other"]
FIELDS = {
    "openflowversion": 4,
    "openflowmessage": "other",
    "openflowdatapath": "0001020304050607",
    "openflowerror": 5,
}

TALKS = {
    "session": tcp(6653, *SESSION, layer7="openflow", **FIELDS),
    "any_port": tcp(20000, *SESSION, layer7="openflow", openflowmessages=NAMES, **FIELDS),
    "version_1": tcp(
        6633,
        c(message(0, version=1)),
        s(message(0, version=1) + message(5, version=1)),
        layer7="openflow",
        openflowversion=1,
        openflowmessage="features-request",
    ),
    "one_side": tcp(6633, c(SWITCH + message(2)), layer7="openflow", openflowmessage="echo-request"),
    "bad_message": tcp(20000, *SESSION, c(message(2, version=9)), layer7="openflow", anomaly="openflow_bad_message"),
    "hello_alone": tcp(6653, c(SWITCH)),
    "one_side_elsewhere": tcp(20000, c(SWITCH + message(2))),
    "odd_element": tcp(6653, c(message(0, u16(2, 8) + u32(1)) + message(2)), s(CONTROLLER)),
    "no_hello": tcp(6653, c(message(2)), s(message(3))),
    "not_both": tcp(20000, c(SWITCH), s(b"no, thanks\r\n")),
    "too_long": tcp(6653, c(message(0, bytes(100)) + message(2))),
}
