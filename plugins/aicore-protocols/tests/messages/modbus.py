# SPDX-License-Identifier: Apache-2.0
"""MODBUS Application Protocol V1.1b3, Messaging on TCP/IP V1.0b."""

from __future__ import annotations

from talk import c, s, tcp, u8, u16


def message(function: int, body: bytes, unit: int = 17, protocol: int = 0) -> bytes:
    return u16(1, protocol, len(body) + 2) + u8(unit, function) + body


READ = [c(message(3, u16(100, 2))), s(message(3, u8(4) + u16(1, 2)))]
WRITE = [c(message(16, u16(1, 1) + u8(2) + u16(7))), s(message(16, u16(1, 1)))]

TALKS = {
    "registers": tcp(
        502,
        *READ,
        *WRITE,
        layer7="modbus",
        modbusunit=17,
        modbusfunction="read-holding-registers",
        modbusfunctions=["read-holding-registers", "write-multiple-registers"],
        modbusexception=None,
    ),
    "exception": tcp(502, c(message(5, u16(1, 0xFF00))), s(message(0x85, u8(2))), layer7="modbus", modbusexception=2),
    "pipelined": tcp(
        502,
        c(message(1, u16(0, 8)) + message(6, u16(1, 2))),
        layer7="modbus",
        modbusfunctions=["read-coils", "write-single-register"],
    ),
    "middle": tcp(502, *READ, middle=True, layer7="modbus", modbusunit=17),
    "bad_message": tcp(502, *READ, c(message(5, u16(1))), layer7="modbus", anomaly="modbus_bad_message"),
    "another_protocol": tcp(502, c(message(3, u16(100, 2), protocol=1))),
    "another_length": tcp(502, c(message(3, u16(100)))),
    "unknown_function": tcp(502, c(message(99, u16(100, 2)))),
    "another_port": tcp(5020, *READ),
}
