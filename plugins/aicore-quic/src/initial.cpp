// SPDX-License-Identifier: Apache-2.0
#include "initial.h"

#include <cstring>
#include <string_view>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "version.h"

namespace aicore::quic {

namespace {

constexpr size_t kTag = 16, kSample = 16, kHash = 32;

// What libcrypto needs, looked up and allocated once a thread: by name and for each packet it took two thirds of the
// time.
struct Tools {
    EVP_CIPHER *ecb = EVP_CIPHER_fetch(nullptr, "AES-128-ECB", nullptr);
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    EVP_MAC_CTX *hmac = nullptr;

    Tools() {
        char digest[] = "SHA256";
        const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                         OSSL_PARAM_construct_end()};
        EVP_MAC *mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
        hmac = EVP_MAC_CTX_new(mac);
        EVP_MAC_free(mac);
        if (EVP_MAC_CTX_set_params(hmac, parameters) != 1) {
            EVP_MAC_CTX_free(hmac);
            hmac = nullptr;
        }
    }
    ~Tools() {
        EVP_MAC_CTX_free(hmac);
        EVP_CIPHER_CTX_free(cipher);
        EVP_CIPHER_free(gcm);
        EVP_CIPHER_free(ecb);
    }
    Tools(const Tools &) = delete;
    Tools &operator=(const Tools &) = delete;

    bool usable() const { return ecb && gcm && cipher && hmac; }

    static const Tools &of_this_thread() {
        thread_local const Tools tools;
        return tools;
    }
};

bool hmac(const uint8_t *key, size_t key_length, const uint8_t *data, size_t length, uint8_t (&out)[kHash]) {
    EVP_MAC_CTX *c = Tools::of_this_thread().hmac;
    size_t size = 0;
    return EVP_MAC_init(c, key, key_length, nullptr) == 1 && EVP_MAC_update(c, data, length) == 1 &&
           EVP_MAC_final(c, out, &size, kHash) == 1 && size == kHash;
}

// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1), for results of at most one block of SHA-256.
bool expand(const uint8_t (&secret)[kHash], std::string_view label, uint8_t *out, size_t length) {
    uint8_t info[64], block[kHash];
    size_t n = 0;
    const auto put = [&](std::string_view text) {
        std::memcpy(info + n, text.data(), text.size());
        n += text.size();
    };
    info[n++] = 0;
    info[n++] = static_cast<uint8_t>(length);
    info[n++] = static_cast<uint8_t>(6 + label.size());
    put("tls13 ");
    put(label);
    info[n++] = 0; // context
    info[n++] = 1; // number of the block (RFC 5869)
    if (!hmac(secret, kHash, info, n, block)) return false;
    std::memcpy(out, block, length);
    return true;
}

// One block of AES: the mask of header protection (RFC 9001 section 5.4.3).
bool mask_of(const Tools &tools, const Keys &keys, const uint8_t *sample, uint8_t (&mask)[16]) {
    int n = 0;
    return EVP_EncryptInit_ex2(tools.cipher, tools.ecb, keys.hp, nullptr, nullptr) == 1 &&
           EVP_EncryptUpdate(tools.cipher, mask, &n, sample, kSample) == 1 && n == 16;
}

} // namespace

uint64_t variable(Bytes &in) {
    uint64_t value = in.u8();
    const int more = (1 << (value >> 6)) - 1;
    value &= 0x3f;
    for (int i = 0; i < more; ++i)
        value = value << 8 | in.u8();
    return value;
}

bool read_long_header(const uint8_t *data, size_t length, LongHeader &out) {
    Bytes in(data, length);
    const uint8_t first = in.u8();
    const uint32_t version = in.u32();
    if ((first & 0xc0) != 0xc0 || !initial_salt(version)) return false;
    const size_t destination = in.u8();
    if (destination > kMaxConnectionId) return false;
    out.destination = in.take(destination);
    const size_t source = in.u8();
    if (source > kMaxConnectionId) return false;
    in.skip(source);
    const uint8_t type = static_cast<uint8_t>(first >> 4 & 3);
    const uint8_t initial = version == kV2 ? 1 : 0, retry = version == kV2 ? 0 : 3;
    if (type == retry) return false;
    out.initial = type == initial;
    if (out.initial) {
        const uint64_t token = variable(in);
        if (token > in.left()) return false;
        in.skip(static_cast<size_t>(token));
    }
    const uint64_t rest = variable(in);
    if (!in.ok() || rest > in.left()) return false;
    out.packet_number = static_cast<size_t>(in.data() - data);
    out.size = out.packet_number + static_cast<size_t>(rest);
    return true;
}

bool derive_client_keys(uint32_t version, Bytes destination, Keys &out) {
    const Salt *salt = initial_salt(version);
    uint8_t initial[kHash], client[kHash];
    if (!salt || !Tools::of_this_thread().usable() ||
        !hmac(salt->data(), salt->size(), destination.data(), destination.left(), initial) ||
        !expand(initial, "client in", client, kHash))
        return false;
    const bool v2 = version == kV2;
    return expand(client, v2 ? "quicv2 key" : "quic key", out.key, sizeof out.key) &&
           expand(client, v2 ? "quicv2 iv" : "quic iv", out.iv, sizeof out.iv) &&
           expand(client, v2 ? "quicv2 hp" : "quic hp", out.hp, sizeof out.hp);
}

size_t open_initial(const Keys &keys, const uint8_t *packet, const LongHeader &header, uint8_t *out) {
    const Tools &tools = Tools::of_this_thread();
    const size_t start = header.packet_number;
    uint8_t mask[16];
    if (header.size > kMaxPacket || header.size - start < 4 + kSample || !tools.usable() ||
        !mask_of(tools, keys, packet + start + 4, mask))
        return 0;
    uint8_t unmasked[5]; // first byte and packet number
    unmasked[0] = static_cast<uint8_t>(packet[0] ^ (mask[0] & 0x0f));
    const size_t digits = (unmasked[0] & 3u) + 1;
    uint8_t nonce[12];
    std::memcpy(nonce, keys.iv, sizeof nonce);
    // The packet number itself: a client's Initial packets are too few for it to need more bytes than it was sent with.
    for (size_t i = 0; i < digits; ++i) {
        unmasked[1 + i] = static_cast<uint8_t>(packet[start + i] ^ mask[1 + i]);
        nonce[12 - digits + i] = static_cast<uint8_t>(nonce[12 - digits + i] ^ unmasked[1 + i]);
    }
    const uint8_t *body = packet + start + digits;
    const size_t size = header.size - start - digits - kTag;
    uint8_t tag[kTag];
    std::memcpy(tag, body + size, kTag);
    EVP_CIPHER_CTX *c = tools.cipher;
    int n = 0;
    const bool fits = EVP_DecryptInit_ex2(c, tools.gcm, keys.key, nonce, nullptr) == 1 &&
                      EVP_DecryptUpdate(c, nullptr, &n, unmasked, 1) == 1 &&
                      EVP_DecryptUpdate(c, nullptr, &n, packet + 1, static_cast<int>(start - 1)) == 1 &&
                      EVP_DecryptUpdate(c, nullptr, &n, unmasked + 1, static_cast<int>(digits)) == 1 &&
                      EVP_DecryptUpdate(c, out, &n, body, static_cast<int>(size)) == 1 &&
                      EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kTag, tag) == 1 &&
                      EVP_DecryptFinal_ex(c, out + size, &n) == 1;
    return fits ? size : 0;
}

} // namespace aicore::quic
