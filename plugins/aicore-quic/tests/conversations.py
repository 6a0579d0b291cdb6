# SPDX-License-Identifier: Apache-2.0
"""First packets of QUIC in every shape that the specifications allow, and what a record of them must hold."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from packets import (
    DCID,
    DRAFT_27,
    DRAFT_29,
    Q050,
    V1,
    V2,
    chlo,
    client_hello,
    crypto,
    google_clear,
    initial,
    padded,
    variable,
)

# RFC 9001 appendix A.2: the frame with the client's hello; RFC 9369 appendix A.2 has the same.
RFC_FRAME = bytes.fromhex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0000000"
    "10000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e0005000501000000000033"
    "00260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305"
    "0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001048000"
    "75300901100f088394c8f03e51570806048000ffff"
)
RFC_V1, RFC_V2 = (initial(padded(RFC_FRAME), version, number=2) for version in (V1, V2))

HELLO = client_hello()
LONG = client_hello(key_share=1216)  # as of X25519MLKEM768: more than a datagram holds
HOST, ALPN = "www.example.com", "h3"
# The first part of the JA4 of HELLO and LONG; tests/test_packets.py has what is hashed.
JA4 = "q13d0307h3_55b375c5d22e_"


@dataclass(frozen=True)
class Case:
    client: list[bytes]  # datagrams
    fields: dict[str, Any] = field(default_factory=dict)  # None: may not be recognised


def known(version: str = "1", host: str | None = HOST, alpn: str | None = ALPN, **more: Any) -> dict[str, Any]:
    return {"sslhost": host, "alpn": alpn, "quicversion": version} | more


def pieces(message: bytes, *cuts: int) -> list[bytes]:
    """CRYPTO frames of the message, cut at these places."""
    places = [0, *cuts, len(message)]
    return [crypto(message, a, b) for a, b in pairwise(places)]


def in_two(message: bytes, cut: int, version: int = V1, **options: Any) -> list[bytes]:
    return [
        initial(padded(frame), version, number=number, **options) for number, frame in enumerate(pieces(message, cut))
    ]


def shuffled() -> bytes:
    """Frames as Chrome sends them: small, out of order, PING and PADDING between them."""
    a, b, c, d, e = pieces(HELLO, 7, 40, 90, 130)
    return padded(d + b"\1\1" + b + bytes(9) + e + c + b"\1" + a)


def doubled() -> bytes:
    """Overlapping pieces and an acknowledgement with two ranges and ECN counts."""
    ack = b"\3" + variable(9) + variable(300) + variable(1) + variable(2) + bytes([1, 2, 0, 0, 1])
    return padded(ack + crypto(HELLO, 50) + crypto(HELLO, 20, 100) + crypto(HELLO, 0, 60))


EARLY = b"\xd0\0\0\0\1\0\0" + variable(24, 2) + bytes(24)  # 0-RTT: its keys are not known
RETRIED = b"\x11" * 18

CASES: dict[str, Case] = {
    "rfc9001": Case([RFC_V1], known("1", "example.com", "alpn")),
    "rfc9369": Case([RFC_V2], known("2", "example.com", "alpn")),
    "one packet": Case([initial(padded(crypto(HELLO)))], known()),
    "v2": Case([initial(padded(crypto(HELLO)), V2)], known("2")),
    "draft 29": Case([initial(padded(crypto(HELLO)), DRAFT_29)], known("draft-29")),
    "draft 27": Case([initial(padded(crypto(HELLO)), DRAFT_27)], known("draft-27")),
    "number of one byte": Case([initial(padded(crypto(HELLO)), digits=1, number=200)], known()),
    "long connection ids, token": Case(
        [initial(padded(crypto(HELLO)), dcid=bytes(range(20)), scid=b"\7" * 20, token=b"t" * 90)], known()
    ),
    "empty connection id": Case([initial(padded(crypto(HELLO)), dcid=b"")], known()),
    "shuffled frames": Case([initial(shuffled())], known()),
    "overlaps and ack": Case([initial(doubled())], known()),
    "two datagrams": Case(in_two(LONG, 1000), known()),
    "two datagrams reordered": Case(in_two(LONG, 1000)[::-1], known()),
    "two datagrams v2": Case(in_two(LONG, 700, V2)[::-1], known("2")),
    "copies": Case([p for p in in_two(LONG, 1100)[::-1] for _ in range(3)], known()),
    "coalesced": Case([b"".join(initial(f, number=i) for i, f in enumerate(pieces(HELLO, 60)))], known()),
    "behind early data": Case([EARLY + initial(padded(crypto(HELLO), 900))], known()),
    "garbage behind": Case([initial(padded(crypto(HELLO))) + b"\xff" * 40], known()),
    "ping first": Case([initial(padded(b"\1")), initial(padded(crypto(HELLO)), number=1)], known()),
    "new id of the server": Case(
        [
            initial(padded(crypto(LONG, 0, 900))),
            initial(padded(crypto(LONG, 900)), dcid=RETRIED, number=1, secret_dcid=DCID),
        ],
        known(),
    ),
    "after a retry": Case(
        [
            initial(padded(crypto(LONG, 0, 900))),
            initial(padded(crypto(LONG, 0, 900), 1100), dcid=RETRIED, token=b"t" * 40, number=1),
            initial(padded(crypto(LONG, 900), 1100), dcid=RETRIED, token=b"t" * 40, number=2),
        ],
        known(),
    ),
    "without a name": Case([initial(padded(crypto(client_hello(host=""))))], known(host=None)),
    "name before the end": Case([initial(padded(crypto(client_hello(padding=1200), 0, 1000)))], known(alpn=None)),
    "Q050": Case([initial(padded(crypto(chlo(), google=True)), Q050)], known("Q050", "www.example.org", "hq")),
    "Q046": Case([google_clear(46, chlo())], known("Q046", "www.example.org", "hq")),
    "Q043": Case([google_clear(43, chlo())], known("Q043", "www.example.org", "hq")),
    "Q039": Case([google_clear(39, chlo())], known("Q039", "www.example.org", "hq")),
    "Q035": Case([google_clear(35, chlo())], known("Q035", "www.example.org", "hq")),
    "Q025": Case([google_clear(25, chlo())], known("Q025", "www.example.org", "hq")),
    # broken, though sealed: recognised, and counted
    "not a hello": Case(
        [initial(padded(crypto(b"\2" + HELLO[1:])))], known(host=None, alpn=None, anomaly="quic_bad_hello")
    ),
    "broken hello": Case(
        [initial(padded(crypto(HELLO[:53] + b"\xff\xff" + HELLO[55:])))],
        known(host=None, alpn=None, anomaly="quic_bad_hello"),
    ),
    "hello too long": Case(
        [initial(padded(crypto(b"\1\0\x40\0" + bytes(200))))], known(host=None, alpn=None, anomaly="quic_lost_hello")
    ),
    "piece too far": Case(
        [initial(padded(b"\6" + variable(1 << 40) + variable(20) + bytes(20)))],
        known(host=None, alpn=None, anomaly="quic_lost_hello"),
    ),
    "frame past the end": Case(
        [initial(crypto(HELLO, 0, 100)[:-1])], known(host=None, alpn=None, anomaly="quic_bad_frame")
    ),
}


def broken(packet: bytes, at: int) -> bytes:
    return packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1 :]


SEALED, CLEAR = initial(padded(crypto(HELLO))), google_clear(46, chlo())
OTHERS: dict[str, list[bytes]] = {  # nobody may recognise these
    "tag": [broken(SEALED, len(SEALED) - 1)],
    "token length is sealed": [broken(SEALED, 14)[:16] + SEALED[16:]],
    "connection id": [broken(SEALED, 8)],
    "cut short": [SEALED[:-1]],
    "unknown version": [SEALED[:1] + b"\x1a\x2a\x3a\x4a" + SEALED[5:]],
    "version of another salt": [SEALED[:1] + struct.pack("!I", DRAFT_29) + SEALED[5:]],
    "server's": [initial(padded(crypto(HELLO)), side="server in")],
    "version negotiation": [b"\xc0\0\0\0\0\x08" + DCID + b"\0" + struct.pack("!II", V1, V2)],
    "header alone": [SEALED[:30]],
    "Google's hash": [broken(CLEAR, len(CLEAR) - 1)],
    "Google's version": [broken(CLEAR, 4)],
}


def write_seeds(path: Path) -> None:
    """For native/quic_test.cpp: name, expected server name, datagrams, each behind its length."""
    out = []
    for name, case in CASES.items():
        out += [struct.pack("!H", len(text)) + text.encode() for text in (name, case.fields["sslhost"] or "")]
        out.append(struct.pack("!H", len(case.client)))
        out += [struct.pack("!H", len(datagram)) + datagram for datagram in case.client]
    path.write_bytes(b"".join(out))
