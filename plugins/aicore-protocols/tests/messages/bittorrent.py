# SPDX-License-Identifier: Apache-2.0
"""BEP 3, 5, 14, 15, 20, 29."""

from __future__ import annotations

import struct

from talk import c, lines, s, tcp, u8, u16, u32, udp

HASH, HEX = bytes(range(0xA0, 0xB4)), bytes(range(0xA0, 0xB4)).hex()
PEER = b"-TR4040-abcdefghijkl"
GREETING = b"\x13BitTorrent protocol" + bytes(5) + u8(0x10, 0, 5) + HASH
HELLO = GREETING + PEER
ID = b"d2:id20:" + bytes(range(20)) + b"e"


def utp(kind: int, number: int, acknowledged: int, payload: bytes = b"", extension: bytes = b"") -> bytes:
    first = u8(kind << 4 | 1, 2 if extension else 0)
    delay = 0 if kind == 4 else 20000
    return first + u16(4711) + u32(1, delay, 65536) + u16(number, acknowledged) + extension + payload


def query(name: bytes, arguments: bytes, tail: bytes = b"1:t2:aa1:v4:LT\x01\x021:y1:q") -> bytes:
    return b"d1:a" + arguments + b"1:q" + str(len(name)).encode() + b":" + name + tail + b"e"


GET_PEERS = query(b"get_peers", b"d2:id20:" + bytes(20) + b"9:info_hash20:" + HASH + b"e")
CONNECT = struct.pack("!QII", 0x41727101980, 0, 77)
ANNOUNCE = bytes(8) + u32(1, 78) + HASH + PEER + bytes(42)
SYN = utp(4, 1, 0)
LOCAL = lines("BT-SEARCH * HTTP/1.1", "Host: 239.192.152.143:6771", "Port: 6881", f"Infohash: {HEX}", "", "")

TALKS = {
    "peers": tcp(
        51413,
        c(HELLO),
        s(GREETING + b"-UT3550-xxxxxxxxxxxx" + bytes(100)),
        layer7="bittorrent",
        bittorrenthash=HEX,
        bittorrentpeer="-TR4040-",
        bittorrentkind="peer",
    ),
    "middle": tcp(6881, s(HELLO), middle=True, layer7="bittorrent", bittorrenthash=HEX),
    "table_query": udp(
        40001,
        c(GET_PEERS),
        s(b"d1:rd2:id20:" + bytes(20) + b"5:nodes0:5:token2:xye1:t2:aa1:y1:re"),
        layer7="bittorrent",
        bittorrenthash=HEX,
        bittorrentquery="get_peers",
        bittorrentsoftware="LT",
        bittorrentkind="dht",
    ),
    "table_answer": udp(40001, s(b"d2:ip6:abcdef1:r" + ID + b"1:t1:a1:y1:re"), layer7="bittorrent"),
    "table_error": udp(40001, s(b"d1:eli201e5:Errore1:t2:aa1:y1:ee"), layer7="bittorrent"),
    "tracker": udp(
        6969,
        c(CONNECT),
        s(u32(0, 77) + bytes(8)),
        c(ANNOUNCE),
        layer7="bittorrent",
        bittorrenthash=HEX,
        bittorrentpeer="-TR4040-",
        bittorrentkind="tracker",
    ),
    "micro": udp(
        40001,
        c(SYN),
        s(utp(2, 900, 1)),
        c(utp(0, 2, 900, HELLO)),
        layer7="bittorrent",
        bittorrentkind="utp",
    ),
    "micro_extended": udp(40001, c(utp(4, 7, 0, extension=u8(0, 8) + bytes(8))), layer7="bittorrent"),
    "micro_greeting": udp(
        40001, c(utp(0, 2, 900, HELLO, u8(0, 4) + bytes(4))), layer7="bittorrent", bittorrenthash=HEX
    ),
    "local": udp(6771, c(LOCAL), layer7="bittorrent", bittorrenthash=HEX, bittorrentkind="local"),
    "micro_acknowledges": udp(40001, c(utp(4, 1, 5))),
    "micro_payload": udp(40001, c(SYN + b"x")),
    "micro_state": udp(40001, s(utp(2, 900, 1)), c(utp(0, 2, 900, bytes(80)))),
    "table_no_type": udp(40001, c(b"d1:a" + ID + b"1:q4:ping1:t2:aae")),
    "table_open": udp(40001, c(GET_PEERS[:-1])),
    "table_behind": udp(40001, c(GET_PEERS + b"x")),
    "table_deep": udp(40001, c(b"d1:a" + b"l" * 200 + b"e" * 200 + b"1:q4:ping1:t2:aa1:y1:qe")),
    "other_name": tcp(51413, c(b"\x13BitTorrent protocok" + bytes(60))),
    "local_no_hash": udp(6771, c(lines("BT-SEARCH * HTTP/1.1", "Port: 6881", "", ""))),
    "tracker_longer": udp(6969, c(CONNECT + b"x")),
}
