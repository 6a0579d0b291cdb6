// SPDX-License-Identifier: Apache-2.0
// In place of libcrypto's functions: no mask, no cipher, and every tag fits. A changed byte of a sealed packet is found
// out at once, so that fuzzing would never get to the frames behind the seal.
#include <cstring>

#include <openssl/evp.h>

int EVP_EncryptUpdate(EVP_CIPHER_CTX *, unsigned char *out, int *written, const unsigned char *, int length) {
    std::memset(out, 0, static_cast<size_t>(length));
    *written = length;
    return 1;
}

int EVP_DecryptUpdate(EVP_CIPHER_CTX *, unsigned char *out, int *written, const unsigned char *in, int length) {
    if (out) std::memcpy(out, in, static_cast<size_t>(length));
    *written = length;
    return 1;
}

int EVP_DecryptFinal_ex(EVP_CIPHER_CTX *, unsigned char *, int *written) {
    *written = 0;
    return 1;
}
