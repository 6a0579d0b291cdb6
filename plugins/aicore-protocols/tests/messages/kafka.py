# SPDX-License-Identifier: Apache-2.0
"""The Kafka protocol guide: requests with header version 1 and 2."""

from __future__ import annotations

from talk import c, s, tcp, u8, u16, u32, vector


def request(api: int, version: int, number: int, body: bytes = b"", client: bytes | None = b"app-1") -> bytes:
    name = u16(0xFFFF) if client is None else vector(client, 2)
    return vector(u16(api, version) + u32(number) + name + body, 4)


def answer(number: int, body: bytes = bytes(40)) -> bytes:
    return vector(u32(number) + body, 4)


def compact(data: bytes) -> bytes:
    return u8(len(data) + 1) + data


ASK = request(18, 3, 1, u8(0) + compact(b"librdkafka") + compact(b"2.3.0") + u8(0))
ASK_OLD = request(18, 0, 1)
METADATA = request(3, 4, 2, u32(1) + vector(b"orders.eu-1", 2) + u8(1))
PRODUCE = request(0, 3, 3, u16(0xFFFF, 1) + u32(5000, 1) + vector(b"orders", 2) + bytes(3000))

TALKS = {
    "producer": tcp(
        9092,
        c(ASK),
        s(answer(1)),
        c(METADATA),
        s(answer(2, bytes(2000))),
        c(PRODUCE),
        s(answer(3)),
        c(request(41, 0, 4)),
        layer7="kafka",
        kafkaclient="app-1",
        kafkaapi="Produce",
        kafkaapis=["ApiVersions", "Metadata", "Produce"],
        kafkatopic="orders.eu-1",
        kafkasoftware="librdkafka",
    ),
    "other_port": tcp(29092, c(ASK), s(answer(1)), layer7="kafka", kafkasoftware="librdkafka"),
    "old": tcp(29092, c(ASK_OLD), s(answer(1)), layer7="kafka", kafkaapi="ApiVersions"),
    "without_versions": tcp(29092, c(PRODUCE), s(answer(3)), layer7="kafka", kafkatopic="orders", kafkaapi="Produce"),
    "metadata": tcp(9092, c(METADATA), layer7="kafka", kafkatopic="orders.eu-1"),
    "middle": tcp(9092, c(PRODUCE), middle=True, layer7="kafka"),
    "bad_message": tcp(9092, c(ASK), c(u32(2) + bytes(40)), layer7="kafka", anomaly="kafka_bad_message"),
    "no_client": tcp(9092, c(request(3, 4, 2, u32(0), None))),
    "not_its_answer": tcp(29092, c(METADATA), s(answer(7))),
    "unknown_api": tcp(9092, c(request(200, 1, 1))),
    "unknown_version": tcp(9092, c(request(3, 90, 1))),
    "client_too_long": tcp(9092, c(vector(u16(18, 0) + u32(1) + u16(50) + b"app", 4))),
    "control_bytes": tcp(9092, c(request(18, 0, 1, client=b"a\x01b"))),
}
