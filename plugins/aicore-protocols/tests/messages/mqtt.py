# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 and 5.0 (OASIS)."""

from __future__ import annotations

from talk import c, s, tcp, u8, u16, vector


def packet(first: int, body: bytes) -> bytes:
    """Section 2.1: the fixed header with the length in bytes of 7 bits."""
    size, length = len(body), b""
    while True:
        length += u8(size & 0x7F | (0x80 if size > 0x7F else 0))
        size >>= 7
        if not size:
            return u8(first) + length + body


def text(value: str) -> bytes:
    return vector(value.encode(), 2)


def connect(client: str, level: int = 4, name: str = "MQTT", flags: int = 2, rest: bytes = b"") -> bytes:
    properties = u8(5, 0x11, 0, 0, 0, 10) if level == 5 else b""  # session expiry interval
    return packet(0x10, text(name) + u8(level, flags) + u16(60) + properties + text(client) + rest)


def publish(topic: str, body: bytes = b"21.5", identifier: int = 0, properties: bytes = b"") -> bytes:
    return packet(
        0x32 if identifier else 0x30, text(topic) + (u16(identifier) if identifier else b"") + properties + body
    )


def subscribe(*topics: str, properties: bytes = b"") -> bytes:
    return packet(0x82, u16(7) + properties + b"".join(text(topic) + u8(1) for topic in topics))


CONNACK, SUBACK, PING, PONG = u8(0x20, 2, 0, 0), u8(0x90, 4, 0, 7, 1, 1), u8(0xC0, 0), u8(0xD0, 0)
LONG = publish("big/topic", bytes(9000))

TALKS = {
    "subscriber": tcp(
        1883,
        c(connect("meter-1")),
        s(CONNACK),
        c(subscribe("plant/+/temp", "alarm/#")),
        s(SUBACK),
        s(publish("plant/7/temp")),
        c(PING),
        s(PONG),
        layer7="mqtt",
        mqttclientid="meter-1",
        mqttversion="3.1.1",
        mqtttopic="plant/+/temp",
        mqtttopics=["plant/+/temp", "alarm/#", "plant/7/temp"],
        mqttclientpackets=3,
        mqttserverpackets=4,
        mqttoperation=13,
    ),
    "version_5": tcp(
        17501,
        c(connect("c5", 5, flags=0xC2, rest=text("ann") + text("secret"))),
        s(u8(0x20, 3, 0, 0, 0)),
        c(publish("a/b", properties=u8(0))),
        layer7="mqtt",
        mqttclientid="c5",
        mqttuser="ann",
        mqttversion="5.0",
        mqtttopic="a/b",
    ),
    "version_31_will": tcp(
        1883,
        c(connect("old", 3, "MQIsdp", 0x86, text("will/topic") + text("gone") + text("bob"))),
        layer7="mqtt",
        mqttversion="3.1",
        mqttuser="bob",
    ),
    "nameless_client": tcp(1883, c(connect("")), s(CONNACK), layer7="mqtt", mqttclientid=None),
    "large": tcp(
        1883,
        c(connect("big")),
        s(CONNACK),
        c(LONG + publish("second")),
        layer7="mqtt",
        mqtttopics=["big/topic", "second"],
        mqttclientpackets=3,
    ),
    "bad_packet": tcp(1883, c(connect("x")), s(u8(0x0F, 0)), layer7="mqtt", anomaly="mqtt_bad_packet"),
    "middle_ping": tcp(17501, c(PING), s(PONG), c(publish("x/y")), middle=True, layer7="mqtt", mqtttopic="x/y"),
    "middle_publish": tcp(
        17501, s(publish("x/y", identifier=9)), c(u8(0x40, 2, 0, 9)), s(publish("x/z")), middle=True, layer7="mqtt"
    ),
    "middle_other_identifier": tcp(17501, s(publish("x/y", identifier=9)), c(u8(0x40, 2, 0, 8)), middle=True),
    "wrong_name": tcp(17501, c(packet(0x10, text("MQQT") + u8(4, 2) + u16(60) + text("x")))),
    "wrong_level": tcp(17501, c(connect("x", 9))),
    "reserved_flag": tcp(17501, c(connect("x", flags=3))),
}
