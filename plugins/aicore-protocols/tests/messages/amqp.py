# SPDX-License-Identifier: Apache-2.0
"""AMQP 0-9-1 and 1.0."""

from __future__ import annotations

from talk import c, s, tcp, u8, u16, u32, vector

OLD, NEW, SASL, TLS = b"AMQP\0\0\x09\1", b"AMQP\0\1\0\0", b"AMQP\3\1\0\0", b"AMQP\2\1\0\0"


def frame(kind: int, body: bytes, channel: int = 0, end: bytes = b"\xce") -> bytes:
    return u8(kind) + u16(channel) + vector(body, 4) + end


def method(group: int, number: int, body: bytes = b"", channel: int = 1) -> bytes:
    return frame(1, u16(group, number) + body, channel)


def short(*values: str) -> bytes:
    return b"".join(vector(value.encode(), 1) for value in values)


def new(code: int, *values: bytes, kind: int = 0, wide: bool = False) -> bytes:
    """1.0: a frame with a performative."""
    items = b"".join(values)
    size = 4 if wide else 1
    count = len(values).to_bytes(size, "big")
    body = u8(0, 0x53, code, 0xD0 if wide else 0xC0) + vector(count + items, size)
    return u32(8 + len(body)) + u8(2, kind) + u16(0) + body


def string(value: str, code: int = 0xA1) -> bytes:
    return u8(code) + vector(value.encode(), 1 if code < 0xB0 else 4)


START = method(10, 10, u8(0, 9) + vector(b"\7productS" + vector(b"RabbitMQ", 4), 4) + vector(b"PLAIN AMQPLAIN", 4), 0)
TABLE = vector(b"\7productS" + vector(b"pika", 4), 4)
START_OK = method(10, 11, TABLE + short("PLAIN") + vector(b"\0web\0hidden", 4) + short("en_US"), 0)
PUBLISH = method(60, 40, u16(0) + short("logs", "app.error") + u8(0))
DELIVER = method(60, 60, short("tag") + bytes(9) + short("tasks", "celery"))
CONTENT = frame(2, u16(60, 0) + bytes(12), 1) + frame(3, bytes(5000), 1)
HEARTBEAT = frame(8, b"")
OPEN = new(0x10, string("client-7"), string("broker.example", 0xB1), wide=True)

TALKS = {
    "old": tcp(
        5672,
        c(OLD),
        s(START),
        c(START_OK),
        c(method(10, 40, short("/shop", "") + u8(0), 0)),
        c(method(50, 10, u16(0) + short("jobs") + bytes(5))),
        c(PUBLISH + CONTENT),
        s(HEARTBEAT),
        layer7="amqp",
        amqpversion="0-9-1",
        amqphost="/shop",
        amqpmechanism="PLAIN",
        amqpexchange="logs",
        amqpqueue="jobs",
        amqproutingkey="app.error",
        amqpproduct="pika",
    ),
    "exchange": tcp(
        5673, c(OLD), c(method(40, 10, u16(0) + short("e", "topic") + bytes(5))), layer7="amqp", amqpexchange="e"
    ),
    "bind": tcp(
        5673, c(OLD + method(50, 20, u16(0) + short("q", "e", "k"))), layer7="amqp", amqpqueue="q", amqproutingkey="k"
    ),
    "consume": tcp(5673, c(OLD + method(60, 20, u16(0) + short("q", ""))), layer7="amqp", amqpqueue="q"),
    "new": tcp(
        5672,
        c(SASL),
        s(SASL + new(0x40, string("PLAIN", 0xA3), kind=1)),
        c(new(0x41, string("ANONYMOUS", 0xA3), b"\x40", kind=1)),
        s(new(0x44, u8(0x50, 0), kind=1)),
        c(NEW + OPEN),
        s(NEW + OPEN + u32(8) + u8(2, 0, 0, 0)),
        layer7="amqp",
        amqpversion="1.0",
        amqpmechanism="ANONYMOUS",
        amqpcontainer="client-7",
        amqphost="broker.example",
    ),
    "tls": tcp(5672, c(TLS), s(TLS), layer7="amqp", amqpversion="1.0"),
    "older": tcp(5672, c(b"AMQP\1\1\0\x0a" + bytes(20)), layer7="amqp", amqpversion="0-10"),
    "delivered": tcp(
        5672, s(DELIVER + CONTENT), middle=True, layer7="amqp", amqpexchange="tasks", amqproutingkey="celery"
    ),
    "bad_frame": tcp(5672, c(OLD), s(frame(1, u16(10, 10), end=b"x")), layer7="amqp", anomaly="amqp_bad_frame"),
    "bad_new": tcp(5672, c(NEW + bytes(20)), layer7="amqp", anomaly="amqp_bad_frame"),
    "other_version": tcp(5672, c(b"AMQP\7\7\7\7")),
    "no_end": tcp(5672, c(frame(1, u16(60, 40) + bytes(9), 1, b"\xcf")), middle=True),
    "no_method": tcp(5672, c(method(61, 40, bytes(9))), middle=True),
    "heartbeat_alone": tcp(5672, c(HEARTBEAT), middle=True),
}
