# SPDX-License-Identifier: Apache-2.0
"""MongoDB's wire protocol and BSON 1.1."""

from __future__ import annotations

import struct
from typing import Any

from talk import c, s, tcp, u8


def bson(**items: Any) -> bytes:
    out = b""
    for key, value in items.items():
        name = key.replace("dollar_", "$").encode() + b"\0"
        if isinstance(value, bytes):
            out += u8(3) + name + value
        elif isinstance(value, str):
            out += u8(2) + name + struct.pack("<I", len(value) + 1) + value.encode() + b"\0"
        elif isinstance(value, bool):
            out += u8(8) + name + u8(value)
        elif isinstance(value, float):
            out += u8(1) + name + struct.pack("<d", value)
        else:
            out += u8(16) + name + struct.pack("<i", value)
    return struct.pack("<I", len(out) + 5) + out + b"\0"


def message(operation: int, body: bytes, number: int = 7, answers: int = 0) -> bytes:
    return struct.pack("<IIII", 16 + len(body), number, answers, operation) + body


def op_msg(document: bytes, answers: int = 0) -> bytes:
    return message(2013, struct.pack("<IB", 0, 0) + document, answers=answers)


def op_query(collection: bytes, document: bytes) -> bytes:
    return message(2004, bytes(4) + collection + b"\0" + struct.pack("<ii", 0, 1) + document)


CLIENT = bson(application=bson(name="shop"), driver=bson(name="PyMongo", version="4.6"), platform="x")
HELLO = op_msg(bson(hello=1, client=CLIENT, saslSupportedMechs="admin.web", dollar_db="admin"))
OK = op_msg(bson(ok=1.0), answers=7)
FIND = op_msg(bson(find="orders", filter=bson(), singleBatch=True, dollar_db="sales"))

TALKS = {
    "commands": tcp(
        27017,
        c(HELLO),
        s(OK),
        c(FIND),
        s(op_msg(bson(cursor=bson(firstBatch="x" * 5000), ok=1.0), 7)),
        layer7="mongodb",
        mongodbcommand="find",
        mongodbcommands=["hello", "find"],
        mongodbdatabase="admin",
        mongodbcollection="orders",
        mongodbapplication="shop",
        mongodbdriver="PyMongo",
        mongodbuser="admin.web",
    ),
    "old": tcp(
        30000,
        c(op_query(b"admin.$cmd", bson(isMaster=1, client=CLIENT))),
        s(message(1, bytes(20) + bson(ok=1.0), answers=7)),
        layer7="mongodb",
        mongodbcommand="isMaster",
        mongodbdatabase="admin",
        mongodbdriver="PyMongo",
        mongodbcollection=None,
    ),
    "old_query": tcp(
        30000, c(op_query(b"shop.users", bson())), layer7="mongodb", mongodbdatabase="shop", mongodbcollection="users"
    ),
    "compressed": tcp(27017, c(message(2012, struct.pack("<IIB", 2013, 100, 2) + bytes(50))), layer7="mongodb"),
    "sequence_first": tcp(
        27017,
        c(message(2013, struct.pack("<IBI", 0, 1, 20 + len(bson())) + b"documents\0" + bson(a=1))),
        layer7="mongodb",
    ),
    "sequence_longer": tcp(27017, c(message(2013, struct.pack("<IBI", 0, 1, 90) + b"documents\0" + bson(a=1)))),
    "middle": tcp(27018, c(FIND), middle=True, layer7="mongodb", mongodbdatabase="sales"),
    "bad_message": tcp(27017, c(HELLO), c(bytes(40)), layer7="mongodb", anomaly="mongodb_bad_message"),
    "unknown_operation": tcp(27017, c(message(2100, bytes(30)))),
    "flags": tcp(27017, c(message(2013, struct.pack("<IB", 0xFF00, 0) + bson(ping=1)))),
    "no_element": tcp(27017, s(message(2013, struct.pack("<IBI", 0, 0, 30) + bytes(26), answers=7))),
    "document_longer": tcp(27017, c(message(2013, struct.pack("<IBI", 0, 0, 5000) + bytes(30)))),
    "no_collection": tcp(27017, c(op_query(b"admin", bson(ping=1)))),
}
