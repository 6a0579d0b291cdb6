# SPDX-License-Identifier: Apache-2.0
"""QUIC's first packets, sealed here from the specifications: HKDF with Python's hmac, AES with OpenSSL's libcrypto."""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import hmac
import struct

V1, V2, DRAFT_29, DRAFT_27, Q050 = 1, 0x6B3343CF, 0xFF00001D, 0xFF00001B, 0x51303530

SALTS = {  # RFC 9001 section 5.2, RFC 9369 section 3.3.1, draft-ietf-quic-tls-29 and -27 section 5.2
    V1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a",
    V2: "0dede3def700a6db819381be6e269dcbf9bd2ed9",
    DRAFT_29: "afbfec289993d24c9e9786f19c6111e04390a899",
    DRAFT_27: "c3eef712c72ebb5a11a7d2432bb46365bef9f502",
    Q050: "504574efd066fe2f9d945cfcdbd3a7f0d3b56b45",
}
DCID = bytes.fromhex("8394c8f03e515708")  # of the examples in RFC 9001 and RFC 9369

_crypto = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
for _name in ("EVP_CIPHER_CTX_new", "EVP_aes_128_ecb", "EVP_aes_128_gcm"):
    getattr(_crypto, _name).restype = ctypes.c_void_p


def _encrypt(cipher: int, key: bytes, iv: bytes | None, header: bytes, data: bytes, tag: int) -> bytes:
    context = ctypes.c_void_p(_crypto.EVP_CIPHER_CTX_new())
    out, n = ctypes.create_string_buffer(len(data) + 32), ctypes.c_int()
    try:
        assert _crypto.EVP_EncryptInit_ex(context, ctypes.c_void_p(cipher), None, key, iv) == 1
        if header:
            assert _crypto.EVP_EncryptUpdate(context, None, ctypes.byref(n), header, len(header)) == 1
        assert _crypto.EVP_EncryptUpdate(context, out, ctypes.byref(n), data, len(data)) == 1
        sealed = out.raw[: len(data)]
        if tag:
            last, mac = ctypes.create_string_buffer(32), ctypes.create_string_buffer(tag)
            assert _crypto.EVP_EncryptFinal_ex(context, last, ctypes.byref(n)) == 1
            assert _crypto.EVP_CIPHER_CTX_ctrl(context, 0x10, tag, mac) == 1  # EVP_CTRL_AEAD_GET_TAG
            sealed += mac.raw
        return sealed
    finally:
        _crypto.EVP_CIPHER_CTX_free(context)


def expand(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 section 7.1), of one block."""
    name = b"tls13 " + label.encode()
    info = struct.pack("!HB", length, len(name)) + name + b"\0"
    return hmac.digest(secret, info + b"\1", hashlib.sha256)[:length]


def keys(version: int, dcid: bytes, side: str = "client in") -> tuple[bytes, bytes, bytes]:
    """Key, IV and header protection key."""
    secret = expand(hmac.digest(bytes.fromhex(SALTS[version]), dcid, hashlib.sha256), side, 32)
    prefix = "quicv2" if version == V2 else "quic"
    return expand(secret, f"{prefix} key", 16), expand(secret, f"{prefix} iv", 12), expand(secret, f"{prefix} hp", 16)


def variable(number: int, width: int | None = None) -> bytes:
    """RFC 9000 section 16; `width` bytes, or as few as it needs."""
    width = width or next(w for w in (1, 2, 4, 8) if number < 1 << (8 * w - 2))
    return (number | {1: 0, 2: 1, 4: 2, 8: 3}[width] << (8 * width - 2)).to_bytes(width, "big")


def initial(
    frames: bytes,
    version: int = V1,
    dcid: bytes = DCID,
    scid: bytes = b"",
    *,
    number: int = 0,
    digits: int = 4,
    token: bytes = b"",
    secret_dcid: bytes | None = None,
    side: str = "client in",
    kind: int | None = None,
) -> bytes:
    """One sealed packet with a long header; `secret_dcid`: of the client's first packet, if it had another."""
    kind = kind if kind is not None else (1 if version == V2 else 0)
    head = bytes([0xC0 | kind << 4 | digits - 1]) + struct.pack("!I", version)
    head += bytes([len(dcid)]) + dcid + bytes([len(scid)]) + scid
    head += variable(len(token)) + token + variable(digits + len(frames) + 16, 2)
    packet_number = number.to_bytes(digits, "big")
    key, iv, hp = keys(version, dcid if secret_dcid is None else secret_dcid, side)
    nonce = (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")
    body = _encrypt(_crypto.EVP_aes_128_gcm(), key, nonce, head + packet_number, frames, 16)
    sample = body[4 - digits : 20 - digits]
    mask = _encrypt(_crypto.EVP_aes_128_ecb(), hp, None, b"", sample, 0)
    masked = bytes(a ^ b for a, b in zip(packet_number, mask[1:], strict=False))
    return bytes([head[0] ^ mask[0] & 0x0F]) + head[1:] + masked + body


def crypto(message: bytes, start: int = 0, end: int | None = None, google: bool = False) -> bytes:
    """A CRYPTO frame with a part of the message."""
    part = message[start:end]
    return bytes([8 if google else 6]) + variable(start) + variable(len(part), 2) + part


def padded(frames: bytes, size: int = 1162) -> bytes:
    return frames + bytes(size - len(frames))


def _vector(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack("!H", kind) + _vector(data, 2)


def client_hello(host: str = "www.example.com", alpn: str = "h3", key_share: int = 32, padding: int = 0) -> bytes:
    """A ClientHello of TLS 1.3 as QUIC has it; `key_share` bytes before the name or `padding` behind make it long."""
    extensions = [
        extension(0x0033, _vector(struct.pack("!H", 0x11EC) + _vector(bytes(key_share), 2), 2)),
        extension(0x0A0A, b""),
        extension(0x002B, _vector(struct.pack("!HH", 0x1A1A, 0x0304), 1)),
        extension(0x000D, _vector(struct.pack("!HHH", 0x0403, 0x0804, 0x0401), 2)),
        extension(0x0010, _vector(_vector(alpn.encode(), 1), 2)),
        extension(0x000A, _vector(struct.pack("!HH", 0x11EC, 0x001D), 2)),
        extension(0x0039, b"\x04\x04\x80\x10\x00\x00"),
    ]
    if host:
        extensions.append(extension(0x0000, _vector(b"\0" + _vector(host.encode(), 2), 2)))
    if padding:
        extensions.append(extension(0x0015, bytes(padding)))
    ciphers = struct.pack("!HHH", 0x1301, 0x1302, 0x1303)
    body = b"\x03\x03" + bytes(range(32)) + b"\0" + _vector(ciphers, 2) + b"\1\0" + _vector(b"".join(extensions), 2)
    return b"\1" + _vector(body, 3)


def chlo(host: str = "www.example.org", pad: int = 400) -> bytes:
    """The client's first message in Google's QUIC."""
    values = [(b"PAD\0", b"-" * pad), (b"SNI\0", host.encode()), (b"VER\0", b"Q046"), (b"ALPN", b"hq")]
    table, end = b"", 0
    for tag, value in values:
        end += len(value)
        table += tag + struct.pack("<I", end)
    return b"CHLO" + struct.pack("<HH", len(values), 0) + table + b"".join(value for _, value in values)


def fnv1a(data: bytes) -> bytes:
    """The low 96 bits of FNV-1a of 128 bits, least significant byte first."""
    value = 0x6C62272E07BB014262B821756295C58D
    for byte in data:
        value = (value ^ byte) * ((1 << 88) + 0x13B) % (1 << 128)
    return (value % (1 << 96)).to_bytes(12, "little")


def google_clear(number: int, message: bytes, sided: bool | None = None) -> bytes:
    """A client's packet of Q024 to Q043 or of Q046, with the message on stream 1."""
    version = b"Q%03d" % number
    if number == 46:
        head = b"\xc3" + version + b"\x50" + DCID + b"\0\0\0\1"
    else:
        head = (b"\x0d" if number < 33 else b"\x09") + DCID + version + b"\1"
    order = "<" if number < 39 else ">"
    frames = b"\xa0\1" + struct.pack(order + "H", len(message)) + message
    if number < 34:
        frames = b"\0" + frames  # private flags
    sided = number >= 37 if sided is None else sided
    return head + fnv1a(head + frames + (b"Client" if sided else b"")) + frames
