# SPDX-License-Identifier: Apache-2.0
"""RFC 4253."""

from __future__ import annotations

from talk import c, s, tcp, u8, u32, vector


def packet(number: int, body: bytes = b"") -> bytes:
    """Section 6: padding up to a multiple of 8, at least 4 bytes."""
    payload = u8(number) + body
    padding = 4 + -(len(payload) + 9) % 8
    return vector(u8(padding) + payload + bytes(padding), 4)


KEXINIT = packet(20, bytes(16) + vector(b"curve25519-sha256", 4) + bytes(200))
NEWKEYS = packet(21)
CLIENT, SERVER = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"SSH-2.0-dropbear_2022.83\r\n"
KEX = [c(KEXINIT), s(KEXINIT), c(packet(30, bytes(36))), s(packet(31, bytes(300)) + NEWKEYS), c(NEWKEYS)]
NAMES = {"sshclient": "OpenSSH_9.2p1 Debian-2", "sshserver": "dropbear_2022.83", "sshversion": "2.0"}
CLEAR = len(CLIENT + SERVER) + sum(len(turn.data) for turn in KEX)
ENCRYPTED = [c(bytes(range(64))), s(bytes(range(128)))]
DONE = {**NAMES, "sshhandshake": 1, "sshclearbytes": CLEAR}

TALKS = {
    "client_first": tcp(22, c(CLIENT), s(SERVER), *KEX, *ENCRYPTED, layer7="ssh", **DONE),
    "server_first": tcp(2200, s(SERVER), c(CLIENT), *KEX, *ENCRYPTED, layer7="ssh", **DONE),
    "banner_alone": tcp(8022, s(SERVER), layer7="ssh", sshserver="dropbear_2022.83", sshclient=None),
    "lines_before": tcp(22, c(CLIENT), s(b"Welcome\r\nto us\r\n" + SERVER), layer7="ssh", **NAMES, sshhandshake=None),
    "version_1": tcp(
        22, s(b"SSH-1.5-1.2.27\n"), c(b"SSH-1.5-PuTTY\n"), layer7="ssh", sshserver="1.2.27", sshversion="1.5"
    ),
    "compatible": tcp(22, s(b"SSH-1.99-Cisco-1.25\n"), layer7="ssh", sshserver="Cisco-1.25", sshversion="1.99"),
    "bad_packet": tcp(22, s(SERVER), c(CLIENT + u32(0xFFFFFFFF) + bytes(8)), layer7="ssh", anomaly="ssh_bad_packet"),
    "middle": tcp(22, s(SERVER), c(CLIENT), middle=True, layer7="ssh", **NAMES),
    "no_version": tcp(2222, s(b"SSH-please\r\n")),
    "control_bytes": tcp(2222, s(b"SSH-2.0-a\x00b\x01\r\n")),
    "too_long": tcp(2222, s(b"SSH-2.0-" + b"a" * 300 + b"\r\n")),
    "in_the_text": tcp(2222, c(b"GET SSH-2.0-x\r\n")),
}
