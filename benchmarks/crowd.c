/* SPDX-License-Identifier: Apache-2.0
 * Many live flows: crowd FLOWS PACKETS OPENING FURTHER. Writes a capture to standard output: to each flow the packets
 * of the file OPENING, and, once a line has come from standard input, PACKETS further ones of the file FURTHER to flows
 * chosen at random. Ends when standard input does. Both files hold Ethernet frames of IPv4 with TCP or UDP, each behind
 * its length in 32 bits. A dot on standard error says that the one or the other are written. Of a frame that goes to
 * port 1024 or above, the flow's own address is the destination's. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct frames {
    unsigned count;
    uint32_t length[16];
    unsigned char bytes[16][1600];
};

static void load(const char *path, struct frames *frames) {
    FILE *file = fopen(path, "rb");
    uint32_t length;
    while (file && frames->count < 16 && fread(&length, sizeof length, 1, file) == 1 && length <= 1600) {
        frames->length[frames->count] = length;
        if (fread(frames->bytes[frames->count++], 1, length, file) != length) break;
    }
    if (!file || ferror(file) || frames->count == 0) {
        fprintf(stderr, "crowd: no frames in %s\n", path);
        exit(1);
    }
    fclose(file);
}

static uint64_t written;

static void packet(struct frames *frames, unsigned which, uint32_t flow) {
    unsigned char *bytes = frames->bytes[which];
    const uint32_t length = frames->length[which], address = 0x0a000000 | flow >> 14, port = 1024 + (flow & 0x3fff);
    const unsigned to = (unsigned)bytes[36] << 8 | bytes[37];
    unsigned char *ip = bytes + (to >= 1024 ? 30 : 26), *number = bytes + (to >= 1024 ? 36 : 34);
    for (int i = 0; i < 4; ++i)
        ip[i] = (unsigned char)(address >> (24 - 8 * i));
    number[0] = (unsigned char)(port >> 8);
    number[1] = (unsigned char)port;
    /* A million packets a second: 20 million are far from any timeout. */
    const uint32_t head[4] = {1700000000 + (uint32_t)(written / 1000000), (uint32_t)(written % 1000000), length,
                              length};
    ++written;
    fwrite(head, sizeof head, 1, stdout);
    fwrite(bytes, 1, length, stdout);
}

/* All of it is in the pipe, which holds little, or was read. */
static void tell(void) {
    fflush(stdout);
    fputc('.', stderr);
}

int main(int argc, char **argv) {
    static struct frames opening, further;
    if (argc != 5) {
        fprintf(stderr, "usage: crowd FLOWS PACKETS OPENING FURTHER\n");
        return 1;
    }
    const uint32_t flows = (uint32_t)atoll(argv[1]), packets = (uint32_t)atoll(argv[2]);
    load(argv[3], &opening);
    load(argv[4], &further);
    static const uint32_t header[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1};
    fwrite(header, sizeof header, 1, stdout);
    for (uint32_t flow = 0; flow < flows; ++flow)
        for (unsigned i = 0; i < opening.count; ++i)
            packet(&opening, i, flow);
    tell();
    if (getchar() == EOF) return 0;
    uint64_t random = 88172645463325252u;
    for (uint32_t n = 0; n < packets; ++n) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        packet(&further, n % further.count, (uint32_t)((random >> 32) * flows >> 32));
    }
    tell();
    while (getchar() != EOF) {
    }
    return 0;
}
